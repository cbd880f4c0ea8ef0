"""`dashboard`: graphs and alarms."""

import json

from autopilot_deploy.core.board import Sources, alarms, dashboard
from autopilot_deploy.core.plan import Plan
from autopilot_deploy.core.services import cloudwatch
from autopilot_deploy.flows.apply import World, apply, rehearse


def put_up(sources: Sources, topic: str | None, world: World, dry_run: bool) -> None:
    """Create or replace the dashboard and the alarms. Raises AwsError."""
    body = json.dumps(dashboard(world.names, sources), separators=(",", ":"))
    ringing = alarms(world.names, sources, topic)
    plan = Plan((
        cloudwatch.put_dashboard(world.names, body),
        *(cloudwatch.put_alarm(world.names, one) for one in ringing),
    ))  # fmt: skip
    if dry_run:
        for line in rehearse(plan):
            world.console.say(line)
        return
    apply(plan, world)
    where = f"https://{world.names.region}.console.aws.amazon.com/cloudwatch/home?region={world.names.region}"
    world.console.say(f"{where}#dashboards:name={world.names.dashboard}")
