"""The port's routes as one WSGI application: probes, metrics, the page, Agones' webhook and KEDA's metrics-api.

Everything is answered from memory, so an answer never waits for the endpoint; a size is told only after a short look at
the object, for it may have been made anew, or set by somebody else, since the last pass.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from autopilot_client.config.fleet import LONGEST_KEY, Fleet
from autopilot_client.ports import KubeError, ReadSpec
from autopilot_client.rules.domain import Spec
from autopilot_client.rules.kinds import ObjectPlace
from autopilot_client.rules.offer import Question, Unsure, offer
from autopilot_client.rules.rivals import not_taken
from autopilot_client.status.metrics import LeadershipView, StatusCollector, exposition
from autopilot_client.status.overview import as_json, course
from autopilot_client.status.page import PageQuery, render, role
from autopilot_client.status.review import Review, ReviewError, parse_review, refusal, reply
from autopilot_client.status.store import StatusStore

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LARGEST_BODY = 256 * 1024
TEXTS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"}
TEXTS |= {413: "Content Too Large", 503: "Service Unavailable"}
SAFE = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
]


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int
    body: bytes
    kind: str = "application/json"


def of_json(status: int, document: object) -> Reply:
    """A JSON reply."""
    return Reply(status, json.dumps(document).encode())


def of_error(status: int, code: str, message: str) -> Reply:
    """An error in the same form as the endpoint's."""
    return of_json(status, {"error": {"code": code, "message": message, "field": None}})


def no_spec(_: ObjectPlace) -> Spec | None:
    """Where no object may be read."""
    return None


class Application:
    """The WSGI application over one store."""

    def __init__(
        self,
        store: StatusStore,
        leadership: LeadershipView,
        calls: dict[str, int],
        clock: Callable[[], float] = time.time,
        read_spec: ReadSpec = no_spec,
    ) -> None:
        self._store, self._leadership, self._clock, self._read_spec = store, leadership, clock, read_spec
        self._collector = StatusCollector(store, leadership, calls)
        self._gets: dict[str, Callable[[str], Reply]] = {
            "/": self._page,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/v1/fleets": self._fleets,
            "/v1/course": self._course,
        }
        fleets = [(store.namespace_of(fleet), fleet) for fleet in store.config.fleets]
        self._reviewed = {(namespace, fleet.object): fleet for namespace, fleet in fleets if fleet.kind == "fleet"}
        self._scaled = {(namespace, fleet.object): fleet for namespace, fleet in fleets if fleet.apply == "keda"}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        reply = self._answer(environ)
        head = [("Content-Type", reply.kind), ("Content-Length", str(len(reply.body))), *SAFE]
        start_response(f"{reply.status} {TEXTS[reply.status]}", head)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    def _answer(self, environ: "WSGIEnvironment") -> Reply:
        path, method = str(environ.get("PATH_INFO", "/")), environ["REQUEST_METHOD"]
        if path == "/v1/review":
            return self._review(environ) if method == "POST" else of_error(405, "method", "POST a FleetAutoscaleReview")
        if method not in ("GET", "HEAD"):
            return of_error(405, "method", "GET")
        if path in self._gets:
            return self._gets[path](str(environ.get("QUERY_STRING", "")))
        parts = path.split("/")
        if parts[:3] == ["", "v1", "fleets"] and parts[-1] == "desired" and len(parts) in (5, 6):
            return self._desired(parts[3] if len(parts) == 6 else self._store.namespace, parts[-2])
        routes = "/v1/fleets, /v1/course, /v1/review, /v1/fleets/[NAMESPACE/]NAME/desired"
        return of_error(404, "path", f"see /, /healthz, /readyz, /metrics, {routes}")

    def _healthz(self, _: str) -> Reply:
        if self._store.alive(self._clock()):
            return Reply(200, b"ok\n", "text/plain")
        return Reply(503, b"the loop stands still\n", "text/plain")

    def _readyz(self, _: str) -> Reply:
        if self._leadership.refused:
            return Reply(503, f"{self._leadership.refused}\n".encode(), "text/plain")
        if self._store.finished:
            held = [view for view in self._store.views.values() if view.rivalry.held_since is not None]
            words = "".join(f"{view.fleet.name}: {view.rivalry.words}\n" for view in held)
            return Reply(200, f"ok\n{words}".encode(), "text/plain; charset=utf-8")
        return Reply(503, b"no pass has finished yet\n", "text/plain")

    def _metrics(self, _: str) -> Reply:
        return Reply(200, exposition(self._collector), "text/plain; version=0.0.4; charset=utf-8")

    def _page(self, query: str) -> Reply:
        asked = {name: values[0][:LONGEST_KEY] for name, values in parse_qs(query).items()}
        wanted = asked.get("page", "1")
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 5 else 1
        shown = PageQuery(asked.get("fleet", ""), asked.get("find", ""), number, asked.get("reload") == "on")
        text = render(self._store, self._leadership.leads(), self._clock(), shown)
        return Reply(200, text.encode(), "text/html; charset=utf-8")

    def _fleets(self, _: str) -> Reply:
        """Every fleet, the worst first, for `autopilot explore --follow`."""
        return of_json(200, as_json(self._store, role(self._store, self._leadership.leads()), self._clock()))

    def _course(self, query: str) -> Reply:
        """The last six hours of one fleet."""
        fleet = parse_qs(query).get("fleet", [""])[0]
        found = course(self._store, fleet, self._clock())
        return of_error(404, "fleet", "no fleet of this name is seen") if found is None else of_json(200, found)

    def _desired(self, namespace: str, name: str) -> Reply:
        """KEDA's metrics-api. Unsure is 503, never 0: KEDA then keeps the size."""
        fleet = self._scaled.get((namespace, name))
        if fleet is None:
            return of_error(404, "fleet", f"no target of this name in namespace {namespace} has apply: keda")
        size = self._offer(fleet, in_use=0)
        if isinstance(size, Unsure):
            return of_error(503, "unsure", size.why)
        return of_json(200, {"desired_replicas": size, "fleet": fleet.name})

    def _review(self, environ: "WSGIEnvironment") -> Reply:
        size = str(environ.get("CONTENT_LENGTH") or "")
        if not size.isdigit():
            return of_json(411, refusal())
        if int(size) > LARGEST_BODY:
            return of_json(413, refusal())
        try:
            document: Any = json.loads(environ["wsgi.input"].read(int(size)))
            review = parse_review(document)
        except (ValueError, RecursionError) as error:
            text = str(error) if isinstance(error, ReviewError) else "not JSON"
            return of_json(400, refusal() | {"error": {"code": "review", "message": text, "field": None}})
        wanted = self._size_for(review)
        if isinstance(wanted, Unsure):
            doubt = {"code": "unsure", "message": wanted.why, "field": None}
            return of_json(503, refusal(review.uid) | {"error": doubt})
        return of_json(200, reply(review, wanted))

    def _size_for(self, review: Review) -> int | Unsure:
        fleet = self._reviewed.get((review.namespace or self._store.namespace, review.name))
        if fleet is None:
            return Unsure("no fleet of this name and namespace is configured")
        self._store.remember_review(fleet, review, self._clock())
        if fleet.apply != "webhook":
            return Unsure(f"the fleet has apply: {fleet.apply}")
        return self._offer(fleet, review.in_use)

    def _offer(self, fleet: Fleet, in_use: int) -> int | Unsure:
        """The size to tell now: the latest decision, held against the object as it is at this moment."""
        if self._store.dry_run:
            return Unsure("a dry run")
        told = self._store.told.pop(fleet.name, None)
        standing = self._store.standing(fleet.name)
        if standing is None:
            return Unsure("nothing is decided")
        try:
            spec = self._read_spec(fleet.place)
        except KubeError as error:
            return Unsure(f"its size cannot be read: {error}")
        now = self._clock()
        theirs = not_taken(told, standing.decision.allocation or 0, spec.replicas if spec else None, now)
        if theirs is not None:
            self._store.not_taken[fleet.name] = theirs
        size = offer(standing, Question(now, in_use, spec, told[0] if told else None))
        if isinstance(size, int) and not standing.stays:
            self._store.told[fleet.name] = size, now
        return size
