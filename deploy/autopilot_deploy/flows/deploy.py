"""`deploy`: from a payload to an endpoint in service."""

from dataclasses import dataclass

from autopilot_deploy.core.found import Phase
from autopilot_deploy.core.payload import Wanted
from autopilot_deploy.core.plan import Plan, plan_deploy
from autopilot_deploy.flows.apply import World, apply, await_settled, rehearse
from autopilot_deploy.flows.gather import find_endpoint, gather_for_deploy


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `deploy` was asked for."""

    wanted: Wanted
    retention_days: int = 30
    dry_run: bool = False


def deploy(asked: Deployment, world: World) -> None:
    """Deploy, or say what would be done. A second run continues where a first one ended. Raises DeployError."""
    if not asked.dry_run:
        _settle(world)
    plan = _plan(asked, world)
    if asked.dry_run:
        for line in rehearse(plan):
            world.console.say(line)
        return
    for note in plan.notes:
        world.console.say(f"note: {note}")
    apply(plan, world)
    world.console.say(f"{world.names.endpoint} is in service")


def _plan(asked: Deployment, world: World) -> Plan:
    found = gather_for_deploy(world.aws, world.names, asked.wanted)
    return plan_deploy(asked.wanted, world.names, found, asked.retention_days)


def _settle(world: World) -> None:
    """An earlier run, or someone else, may still be changing the endpoint."""
    endpoint = find_endpoint(world.aws, world.names)
    if endpoint is not None and endpoint.phase is Phase.BUSY:
        world.console.say(f"{endpoint.name} is {endpoint.status}: waiting for that first")
        await_settled(world)
