"""`deploy`: from a payload to an endpoint in service."""

from dataclasses import dataclass

from autopilot_deploy.core.account import Phase
from autopilot_deploy.core.payload import Wanted
from autopilot_deploy.core.plan import ChangePlan, plan_deploy
from autopilot_deploy.flows.apply import RunContext, apply, await_settled, rehearse
from autopilot_deploy.flows.gather import find_endpoint, gather_for_deploy


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `deploy` was asked for."""

    wanted: Wanted
    retention_days: int = 30
    dry_run: bool = False


def deploy(asked: Deployment, context: RunContext) -> None:
    """Deploy, or say what would be done. A second run continues where a first one ended. Raises DeployError."""
    if not asked.dry_run:
        _settle(context)
    plan = _plan(asked, context)
    if asked.dry_run:
        for line in rehearse(plan):
            context.console.say(line)
        return
    for note in plan.notes:
        context.console.say(f"note: {note}")
    apply(plan, context)
    context.console.say(f"{context.names.endpoint} is in service")


def _plan(asked: Deployment, context: RunContext) -> ChangePlan:
    found = gather_for_deploy(context.aws, context.names, asked.wanted)
    return plan_deploy(asked.wanted, context.names, found, asked.retention_days)


def _settle(context: RunContext) -> None:
    """An earlier run, or someone else, may still be changing the endpoint."""
    endpoint = find_endpoint(context.aws, context.names)
    if endpoint is not None and endpoint.phase is Phase.BUSY:
        context.console.say(f"{endpoint.name} is {endpoint.status}: waiting for that first")
        await_settled(context)
