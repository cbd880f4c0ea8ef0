"""Calls to CloudWatch: dashboard and alarms."""

from collections.abc import Sequence

from autopilot_deploy.core.call import Call, Json
from autopilot_deploy.core.names import Names


def describe_alarms(alarms: Sequence[str]) -> Call:
    """Some alarms."""
    return Call("cloudwatch", "DescribeAlarms", {"AlarmNames": list(alarms)})


def list_tags(names: Names, alarm: str) -> Call:
    """An alarm's tags."""
    arn = names.arn("cloudwatch", f"alarm:{alarm}")
    return Call("cloudwatch", "ListTagsForResource", {"ResourceARN": arn}, arn)


def get_dashboard(names: Names) -> Call:
    """The dashboard."""
    return Call("cloudwatch", "GetDashboard", {"DashboardName": names.dashboard}, _dashboard_arn(names))


def put_dashboard(names: Names, body: str) -> Call:
    """The dashboard."""
    request = {"DashboardName": names.dashboard, "DashboardBody": body}
    return Call("cloudwatch", "PutDashboard", request, _dashboard_arn(names))


def put_alarm(names: Names, request: Json) -> Call:
    """One alarm."""
    return Call("cloudwatch", "PutMetricAlarm", request, names.arn("cloudwatch", f"alarm:{request['AlarmName']}"))


def delete_alarms(alarms: Sequence[str]) -> Call:
    """Alarms, away."""
    return Call("cloudwatch", "DeleteAlarms", {"AlarmNames": list(alarms)})


def delete_dashboard(names: Names) -> Call:
    """The dashboard, away."""
    return Call("cloudwatch", "DeleteDashboards", {"DashboardNames": [names.dashboard]}, _dashboard_arn(names))


def _dashboard_arn(names: Names) -> str:
    return f"arn:{names.partition}:cloudwatch::{names.account}:dashboard/{names.dashboard}"
