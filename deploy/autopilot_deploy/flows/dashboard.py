"""`dashboard`: graphs and alarms."""

import json

from autopilot_deploy.core.monitoring import MetricSources, alarms, dashboard
from autopilot_deploy.core.plan import ChangePlan
from autopilot_deploy.core.services import cloudwatch
from autopilot_deploy.flows.apply import DeployContext, apply, rehearse


def put_up(sources: MetricSources, topic: str | None, context: DeployContext, dry_run: bool) -> None:
    """Create or replace the dashboard and the alarms. Raises AwsError."""
    body = json.dumps(dashboard(context.names, sources), separators=(",", ":"))
    ringing = alarms(context.names, sources, topic)
    plan = ChangePlan((
        cloudwatch.put_dashboard(context.names, body),
        *(cloudwatch.put_alarm(context.names, one) for one in ringing),
    ))  # fmt: skip
    if dry_run:
        for line in rehearse(plan):
            context.console.say(line)
        return
    apply(plan, context)
    where = f"https://{context.names.region}.console.aws.amazon.com/cloudwatch/home?region={context.names.region}"
    context.console.say(f"{where}#dashboards:name={context.names.dashboard}")
