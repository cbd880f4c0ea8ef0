"""`destroy`: everything that was made for an endpoint, and nothing else, away."""

from collections.abc import Callable

from autopilot_deploy.core.errors import DeployError
from autopilot_deploy.core.plan import Plan
from autopilot_deploy.core.plan_destroy import plan_destroy
from autopilot_deploy.flows.apply import World, apply, rehearse
from autopilot_deploy.flows.gather import gather_for_destroy


def destroy(world: World, keep_history: bool, confirmed: Callable[[Plan], bool] | None) -> None:
    """Take everything away; `confirmed` None: only say what would be done. Raises DeployError."""
    found, table = gather_for_destroy(world.aws, world.names)
    plan = plan_destroy(world.names, found, table, keep_history)
    if confirmed is None:
        for line in rehearse(plan):
            world.console.say(line)
        return
    for note in plan.notes:
        world.console.say(f"note: {note}")
    if not plan.steps:
        world.console.say(f"nothing of {world.names.endpoint} is left")
        return
    if not confirmed(plan):
        raise DeployError("nothing was touched")
    apply(plan, world)
    world.console.say(f"{world.names.endpoint} is gone")
