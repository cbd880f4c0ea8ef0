"""`deploy`: from a payload to an endpoint in service."""

from dataclasses import dataclass, field, replace

from autopilot_deploy.core.account import Phase
from autopilot_deploy.core.cost import INSTANCE_PRICES, MOST_FLEETS_BY_NAME, Usage, by_name_fault, cost_line
from autopilot_deploy.core.errors import PayloadError
from autopilot_deploy.core.payload import Wanted
from autopilot_deploy.core.plan import plan_deploy
from autopilot_deploy.flows.apply import DeployContext, apply, await_settled, rehearse
from autopilot_deploy.flows.gather import find_endpoint, gather_for_deploy


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `deploy` was asked for. `usage`: what it is to serve, so that its cost can be told."""

    wanted: Wanted
    retention_days: int = 30
    dry_run: bool = False
    usage: Usage = field(default_factory=Usage)


def deploy(asked: Deployment, context: DeployContext) -> None:
    """Deploy, or say what would be done. A second run continues where a first one ended. Raises DeployError."""
    if not asked.dry_run:
        _settle(context)
    cost = _cost(asked)
    found = gather_for_deploy(context.aws, context.names, asked.wanted)
    plan = plan_deploy(asked.wanted, context.names, found, asked.retention_days)
    if asked.dry_run:
        for line in (*rehearse(plan), f"# note: {cost}"):
            context.console.say(line)
        return
    for note in (*plan.notes, cost):
        context.console.say(f"note: {note}")
    apply(plan, context)
    context.console.say(f"{context.names.endpoint} is in service")


def _cost(asked: Deployment) -> str:
    """A month's cost, of the instances that run at least. Raises PayloadError for metrics that nobody would pay."""
    wanted, usage = asked.wanted, asked.usage
    setting = "AUTOPILOT_METRICS_FLEET_DIMENSION"
    by_fleet = str(wanted.options.get("environment", {}).get(setting, "")).lower() in {"true", "1"}
    if by_fleet and usage.fleets > MOST_FLEETS_BY_NAME:
        raise PayloadError(f"$.environment.{setting}: {by_name_fault(usage.fleets)}")
    running = [one for one in wanted.variants if not one.serverless]
    prices = [
        (one.count or 0) * price for one in running if (price := INSTANCE_PRICES.get(one.instance_type)) is not None
    ]
    count = sum(one.count or 0 for one in running)
    known = sum(prices) / count if count and len(prices) == len(running) else None
    price = usage.instance_price if usage.instance_price is not None else known
    return cost_line(replace(usage, instances=count, instance_price=price if count else 0.0, by_fleet=by_fleet))


def _settle(context: DeployContext) -> None:
    """An earlier run, or someone else, may still be changing the endpoint."""
    endpoint = find_endpoint(context.aws, context.names)
    if endpoint is not None and endpoint.phase is Phase.BUSY:
        context.console.say(f"{endpoint.name} is {endpoint.status}: waiting for that first")
        await_settled(context)
