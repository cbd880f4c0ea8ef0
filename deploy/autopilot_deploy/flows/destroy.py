"""`destroy`: everything that was made for an endpoint, and nothing else, away."""

from collections.abc import Callable

from autopilot_deploy.core.errors import DeployError
from autopilot_deploy.core.plan import ChangePlan
from autopilot_deploy.core.plan_destroy import plan_destroy
from autopilot_deploy.flows.apply import DeployContext, apply, rehearse
from autopilot_deploy.flows.gather import gather_for_destroy


def destroy(context: DeployContext, keep_history: bool, confirmed: Callable[[ChangePlan], bool] | None) -> None:
    """Take everything away; `confirmed` None: only say what would be done. Raises DeployError."""
    found, table = gather_for_destroy(context.aws, context.names)
    plan = plan_destroy(context.names, found, table, keep_history)
    if confirmed is None:
        for line in rehearse(plan):
            context.console.say(line)
        return
    for note in plan.notes:
        context.console.say(f"note: {note}")
    if not plan.steps:
        context.console.say(f"nothing of {context.names.endpoint} is left")
        return
    if not confirmed(plan):
        raise DeployError("nothing was touched")
    apply(plan, context)
    context.console.say(f"{context.names.endpoint} is gone")
