"""Demand from Prometheus: instant queries that must each give exactly one number."""

import json
from urllib.parse import urlencode

import urllib3

from autopilot_client.config import PrometheusDemand
from autopilot_client.demand.json_path import number_at
from autopilot_client.net.fetch import Call, FetchError, RetryBudget, bearer, shown
from autopilot_client.ports import DemandUnknownError
from autopilot_client.rules.domain import Reading


def read_prometheus(
    pool: urllib3.PoolManager, source: PrometheusDemand, now: float, budget: RetryBudget | None = None
) -> Reading:
    """Demand, queue and sessions by their queries. No result, many, or NaN: DemandUnknownError, never zero."""

    def ask(query: str) -> float:
        return _ask(pool, source, query, budget or RetryBudget())

    age = ask(source.age_query) if source.age_query else 0.0
    if age > source.max_age_seconds:
        raise DemandUnknownError(f"{source.age_query}: {age:.0f} s old")
    sessions = ask(source.sessions_query) if source.sessions_query else None
    return Reading(
        demand=ask(source.query),
        at=now - age,
        sessions=None if sessions is None else round(sessions),
        queue=ask(source.queue_query) if source.queue_query else None,
    )


def _ask(pool: urllib3.PoolManager, source: PrometheusDemand, query: str, budget: RetryBudget) -> float:
    url = f"{source.url.rstrip('/')}/api/v1/query?" + urlencode({"query": query})
    try:
        call = Call(url, 1.0, source.timeout_seconds, headers=bearer(source.token_file))
        reply = json.loads(budget.fetch(pool, call))
    except FetchError as error:
        raise DemandUnknownError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise DemandUnknownError(f"{shown(source.url)}: the reply is not JSON") from error
    return _single(reply, query)


def _single(reply: object, query: str) -> float:
    data = reply.get("data") if isinstance(reply, dict) and reply.get("status") == "success" else None
    if not isinstance(data, dict):
        raise DemandUnknownError(f"{query}: Prometheus reported no success")
    if data.get("resultType") == "scalar":
        return number_at(data, "result.1")
    results = data.get("result")
    if not isinstance(results, list) or len(results) != 1:
        count = len(results) if isinstance(results, list) else "no"
        raise DemandUnknownError(f"{query}: {count} results instead of one")
    return number_at(results[0], "value.1")
