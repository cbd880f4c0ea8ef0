"""`status`: what is there, and whether it serves."""

from collections.abc import Iterator, Sequence
from typing import Any

from autopilot_deploy.core.account import AccountState, Phase
from autopilot_deploy.core.monitoring import alarm_names
from autopilot_deploy.core.services import cloudwatch
from autopilot_deploy.flows.apply import DeployContext
from autopilot_deploy.flows.gather import gather_for_destroy


def status(context: DeployContext) -> dict[str, Any]:
    """The endpoint and its parts, as JSON. `healthy`: in service. Raises AwsError."""
    found, table = gather_for_destroy(context.aws, context.names)
    ringing = context.aws.entries(cloudwatch.describe_alarms(alarm_names(context.names)), "MetricAlarms")
    return _endpoint(found, context.names.endpoint) | {
        "scaling": [
            {"variant": one.variant, "min": one.least, "max": one.most, "policies": list(one.policies)}
            for one in found.targets
        ],
        "history": None if found.table is None else {"table": table, "status": found.table.status},
        "alarms": {one["AlarmName"]: one["StateValue"] for one in ringing},
        "dashboard": context.names.dashboard if found.dashboard else None,
        "made_here": [*found.own_configs, *found.own_models],
        "models": list(found.own_models),
    }


def _endpoint(found: AccountState, name: str) -> dict[str, Any]:
    there = found.endpoint
    if there is None:
        return {"endpoint": name, "status": "none", "healthy": False}
    return {
        "endpoint": name,
        "status": there.status,
        "healthy": there.phase is Phase.LIVE,
        "reason": there.reason,
        "config": there.config,
        "instances": dict(there.counts),
    }


def lines(seen: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield f"{seen['endpoint']}: {seen['status']}" + (f" ({seen['reason']})" if seen.get("reason") else "")
    for name in ("config", "dashboard"):
        if seen.get(name):
            yield f"  {name:10}{seen[name]}"
    yield from (f"  variant   {name}: {count} instances" for name, count in seen.get("instances", {}).items())
    yield from (f"  model     {name}" for name in seen["models"])
    yield from _rest(seen["scaling"], seen["history"], seen["alarms"])


def _rest(targets: Sequence[dict[str, Any]], history: dict[str, Any] | None, alarms: dict[str, str]) -> Iterator[str]:
    yield from (f"  scaling   {one['variant']}: {one['min']} to {one['max']}" for one in targets)
    if history:
        yield f"  history   {history['table']} ({history['status']})"
    yield from (f"  alarm     {name}: {state}" for name, state in alarms.items())
