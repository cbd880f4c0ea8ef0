"""Demand from Prometheus: instant queries that must each give exactly one number."""

import json
import math
from urllib.parse import urlencode

from autopilot_client.config.demand import PrometheusDemand, Queries
from autopilot_client.demand.json_path import LARGEST, number_at
from autopilot_client.net.fetch import Call, FetchError, RetryBudget, shown
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.domain import MOST_ARRIVALS, Reading, age


def read_prometheus(source: PrometheusDemand, now: float, budget: RetryBudget | None = None) -> Reading:
    """Demand and the rest by their queries. No result, many, or NaN: DemandUnknownError, never zero."""

    def ask(query: str) -> object:
        return _ask(source, query, budget or RetryBudget())

    def total(queries: Queries, largest: int = LARGEST) -> float:
        return sum(number_at(ask(q), "value", largest) for q in ([queries] if isinstance(queries, str) else queries))

    seconds = 0.0 if source.age_query is None else _age(ask(source.age_query))
    if seconds > source.max_age_seconds:
        raise DemandUnknownError(f"{source.age_query}: {seconds:.0f} s old")
    sessions, arrivals, queue = source.sessions_query, source.arrivals_query, source.queue_query
    return Reading(
        demand=total(source.query) / source.per_server,
        at=now - seconds,
        sessions=round(total(sessions)) if sessions else None,
        queue=total(queue) / source.per_server if queue else None,
        arrivals=int(total(arrivals, MOST_ARRIVALS)) if arrivals else None,
    )


def _age(found: object) -> float:
    """Seconds; a little below 0 is the difference of two clocks. Raises DemandUnknownError."""
    text = found.get("value") if isinstance(found, dict) else None
    try:
        seconds = age(-float(str(text)), 0.0)
    except ValueError:
        seconds = None
    if seconds is None or not seconds < math.inf:
        raise DemandUnknownError(f"{str(text)[:60]!r} is not an age in seconds")
    return seconds


def _ask(source: PrometheusDemand, query: str, budget: RetryBudget) -> object:
    url = f"{source.url.rstrip('/')}/api/v1/query?" + urlencode({"query": query})
    try:
        call = Call(url, 1.0, source.timeout_seconds, access=source.access)
        reply = json.loads(budget.fetch(call))
    except FetchError as error:
        raise DemandUnknownError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise DemandUnknownError(f"{shown(source.url)}: the reply is not JSON") from error
    return {"value": _single(reply, query)}


def _single(reply: object, query: str) -> object:
    """The one value of a reply. A reply with warnings may lack a part of the series: it is unknown."""
    data = reply.get("data") if isinstance(reply, dict) and reply.get("status") == "success" else None
    if not isinstance(reply, dict) or not isinstance(data, dict):
        raise DemandUnknownError(f"{query}: Prometheus reported no success")
    if reply.get("warnings"):
        raise DemandUnknownError(f"{query}: a partial answer: {str(reply['warnings'])[:200]}")
    results = data.get("result")
    if data.get("resultType") != "scalar":
        if not isinstance(results, list) or len(results) != 1:
            count = len(results) if isinstance(results, list) else "no"
            raise DemandUnknownError(f"{query}: {count} results instead of one")
        results = results[0].get("value") if isinstance(results[0], dict) else None
    if not isinstance(results, list) or len(results) != 2:
        raise DemandUnknownError(f"{query}: a result that is not a pair of time and value")
    return results[1]
