"""The Lease in the cluster, and the thread that keeps it. Nothing that the API server does ends the thread."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from autopilot_client.config.document import Lease
from autopilot_client.kube.api import UNREADABLE, Kube
from autopilot_client.kube.election import Candidate, Record, lost, may_write, observe, pause, written
from autopilot_client.ports import KubeError, KubeRefusedError
from autopilot_client.rules.bill import BillLedger, monday_of, week_told

GROUP = "coordination.k8s.io/v1"
BILLED = "gameserver-autopilot/billed-week"
"""Annotation of the Lease: the Monday of the last week whose bill was told. It outlives every replica."""
log = logging.getLogger(__name__)


REMEDIES = {
    "403": "; the Role must let the client get and patch the Lease of lease.name, and create one where it is missing: "
    "see client/specs/base/role.yaml",
    "404": "; it is missing: see client/specs/base/lease.yaml",
}
"""What to do about a refusal, by its status."""


class _Metadata(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion")
    annotations: dict[str, str] = {}


class _Spec(msgspec.Struct):
    holder: str | None = msgspec.field(default=None, name="holderIdentity")
    duration: Annotated[int, msgspec.Meta(le=2**31 - 1)] | None = msgspec.field(
        default=None, name="leaseDurationSeconds"
    )
    transitions: int | None = msgspec.field(default=None, name="leaseTransitions")


class _Lease(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


class Leadership:
    """One replica's part in the election. `leads` may be asked from any thread.

    ledger  what was told of bills: the Lease carries it from replica to replica, and over a restart of all of them
    """

    def __init__(self, kube: Kube, lease: Lease, identity: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._lease, self._clock = kube, lease, clock
        self._candidate = Candidate(identity, lease.duration_seconds)
        self.ledger = BillLedger()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""

    @property
    def refused(self) -> str:
        """Why this replica can never lead: what the API server refuses, and the remedy. Empty where it can."""
        known = self._trouble in REMEDIES
        return f"the API server refuses the Lease ({self._trouble}){REMEDIES[self._trouble]}" if known else ""

    def leads(self) -> bool:
        """Whether this replica may act now."""
        return self._candidate.leads(self._clock())

    def start(self) -> None:
        """Take part, in a thread of its own, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the election, and hand the Lease over at once."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=10)
        if self.leads():
            self._release()

    def step(self) -> None:
        """One turn: renew, take over or watch. Raises KubeError; leadership then simply runs out."""
        now = self._clock()
        if not self._candidate.leads(now):
            record = self._read_or_create()
            self._candidate, self.ledger.elsewhere = observe(self._candidate, record, now), record.billed
        if not may_write(self._candidate, now):
            self._candidate = lost(self._candidate)
            return
        try:
            record = self._write(self._candidate.identity)
        except KubeRefusedError as error:
            if error.status in (404, 409):  # gone, or written by somebody else: nothing that we know is true any more
                self._candidate = lost(self._candidate)
            raise
        self._candidate = written(self._candidate, record, now)

    def _run(self) -> None:
        while not self._stop.is_set():
            led = self.leads()
            try:
                self.step()
                self._report(None)
            except KubeError as error:
                self._report(error)
            except Exception:
                log.exception("lease %s: unexpected", self._lease.name)
            if self.leads() != led:
                log.info("leader: %s", "this replica leads" if self.leads() else "another replica leads, or none")
            self._stop.wait(max(0.05, pause(self._candidate, self._lease.renew_seconds, self._clock())))

    def _report(self, error: KubeError | None) -> None:
        """Say when trouble begins, changes and ends: turns come every other second."""
        before, self._trouble = self._trouble, _kind(error)
        if error and self._trouble != before:
            log.warning("lease %s: %s%s", self._lease.name, error, REMEDIES.get(self._trouble, ""))
        elif before and not error:
            log.info("lease %s: reached again", self._lease.name)

    def _release(self) -> None:
        try:
            self._write("")
        except KubeError as error:
            log.warning("lease %s: not handed over: %s", self._lease.name, error)
        self._candidate = lost(self._candidate)

    def _path(self) -> str:
        return self._kube.path(GROUP, "leases", self._lease.name)

    def _read_or_create(self) -> Record:
        """The Lease; one without a holder is made where it is missing, so that it may be pruned or never restored."""
        try:
            return self._read()
        except KubeRefusedError as error:
            if error.status != 404:
                raise
        body = {"apiVersion": GROUP, "kind": "Lease", "metadata": {"name": self._lease.name}, "spec": {}}
        try:
            made = self._kube.post(self._kube.path(GROUP, "leases"), body)
        except KubeRefusedError as error:
            if error.status == 409:  # the other replica was faster
                return self._read()
            raise
        log.info("lease %s: it was missing, and was made", self._lease.name)
        return _record(made, self._lease.duration_seconds)

    def _read(self) -> Record:
        return _record(self._kube.get(self._path()), self._lease.duration_seconds)

    def _write(self, holder: str) -> Record:
        seen = self._candidate.seen
        return _record(self._kube.patch(self._path(), self._body(holder, seen)), self._lease.duration_seconds)

    def _body(self, holder: str, seen: Record | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = seen is not None and seen.holder == holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._lease.duration_seconds)),
            "renewTime": now,
            "leaseTransitions": (seen.transitions if seen else 0) + (0 if same else 1),
        }
        metadata: dict[str, Any] = {"resourceVersion": seen.version} if seen else {}
        if (told := self.ledger.told) is not None and (seen is None or seen.billed != told):
            metadata["annotations"] = {BILLED: monday_of(told)}
        return {"metadata": metadata, "spec": spec}


class Alone:
    """Leadership without an election: for a single replica, and for one pass by hand."""

    refused = ""

    def __init__(self) -> None:
        self.ledger = BillLedger()

    def leads(self) -> bool:
        """Always."""
        return True

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


class Spectator(Alone):
    """Leadership of a dry run: it never leads, and leaves the Lease to those that act."""

    def leads(self) -> bool:
        """Never."""
        return False


def _kind(error: KubeError | None) -> str:
    """What tells one trouble from another."""
    if error is None:
        return ""
    return str(error.status) if isinstance(error, KubeRefusedError) else type(error).__name__


def _record(body: bytes, duration: float) -> Record:
    try:
        lease = msgspec.json.decode(body, type=_Lease)
    except UNREADABLE as error:
        raise KubeError(f"unreadable Lease: {error}") from error
    spec = lease.spec
    billed = week_told(lease.metadata.annotations.get(BILLED, ""), time.time())
    return Record(
        spec.holder or "", lease.metadata.version, float(spec.duration or duration), spec.transitions or 0, billed
    )
