"""Demand from a matchmaker's URL. One fetch a pass serves every fleet that names the same URL."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from autopilot_client.config.demand import HttpDemandConfig
from autopilot_client.demand.json_path import number_at, time_at
from autopilot_client.net.access import Access
from autopilot_client.net.fetch import Call, FetchError, RetryBudget, shown
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.domain import MOST_ARRIVALS, Reading, age

AT_ONCE = 8
"""URLs that are fetched at the same time."""


_Key = tuple[str, Access]


def _key(source: HttpDemandConfig) -> _Key:
    """What makes two fetches one: the address, and who asks."""
    return source.url, source.access


@dataclass(slots=True)
class HttpSource:
    """The URLs of one pass: each is fetched once with the same token, success or failure."""

    now: float
    budget: RetryBudget = field(default_factory=RetryBudget)
    _seen: dict[_Key, object] = field(default_factory=dict)

    def prefetch(self, sources: Sequence[HttpDemandConfig]) -> None:
        """Fetch every URL, several at a time, before they are read."""
        patient_last = sorted(sources, key=lambda source: source.timeout_seconds)
        wanted = {_key(source): source for source in patient_last}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._seen.update(zip(wanted, pool.map(self._fetch, wanted.values()), strict=True))

    def read(self, source: HttpDemandConfig) -> Reading:
        """Demand, queue and sessions by their fields. Raises DemandUnknownError."""
        if _key(source) not in self._seen:
            self._seen[_key(source)] = self._fetch(source)
        document = self._seen[_key(source)]
        if isinstance(document, DemandUnknownError):
            raise document
        at = time_at(document, source.at_field) if source.at_field else self.now
        since = age(at, self.now)
        if since is None:
            raise DemandUnknownError(f"{shown(source.url)}: of a time {at - self.now:.0f} s ahead")
        if since > source.max_age_seconds:
            raise DemandUnknownError(f"{shown(source.url)}: {since:.0f} s old")
        sessions = number_at(document, source.sessions_field) if source.sessions_field else None
        arrivals = number_at(document, source.arrivals_field, MOST_ARRIVALS) if source.arrivals_field else None
        return Reading(
            demand=number_at(document, source.field) / source.per_server,
            at=min(at, self.now),  # the endpoint refuses observations from the future
            sessions=None if sessions is None else round(sessions),
            queue=number_at(document, source.queue_field) / source.per_server if source.queue_field else None,
            arrivals=None if arrivals is None else int(arrivals),
        )

    def _fetch(self, source: HttpDemandConfig) -> object:
        try:
            call = Call(source.url, 1.0, source.timeout_seconds, access=source.access)
            return json.loads(self.budget.fetch(call))
        except FetchError as error:
            return DemandUnknownError(str(error))
        except (ValueError, RecursionError):
            return DemandUnknownError(f"{shown(source.url)}: the reply is not JSON")
