"""Calls to CloudWatch: dashboard and alarms."""

from collections.abc import Sequence

from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.names import Names


def describe_alarms(alarms: Sequence[str]) -> AwsCall:
    """Some alarms."""
    return AwsCall("cloudwatch", "DescribeAlarms", {"AlarmNames": list(alarms)})


def list_tags(names: Names, alarm: str) -> AwsCall:
    """An alarm's tags."""
    arn = names.arn("cloudwatch", f"alarm:{alarm}")
    return AwsCall("cloudwatch", "ListTagsForResource", {"ResourceARN": arn}, arn)


def get_dashboard(names: Names) -> AwsCall:
    """The dashboard."""
    return AwsCall("cloudwatch", "GetDashboard", {"DashboardName": names.dashboard}, _dashboard_arn(names))


def put_dashboard(names: Names, body: str) -> AwsCall:
    """The dashboard."""
    request = {"DashboardName": names.dashboard, "DashboardBody": body}
    return AwsCall("cloudwatch", "PutDashboard", request, _dashboard_arn(names))


def put_alarm(names: Names, request: Json) -> AwsCall:
    """One alarm."""
    return AwsCall("cloudwatch", "PutMetricAlarm", request, names.arn("cloudwatch", f"alarm:{request['AlarmName']}"))


def delete_alarms(alarms: Sequence[str]) -> AwsCall:
    """Delete alarms."""
    return AwsCall("cloudwatch", "DeleteAlarms", {"AlarmNames": list(alarms)})


def delete_dashboard(names: Names) -> AwsCall:
    """Delete the dashboard."""
    return AwsCall("cloudwatch", "DeleteDashboards", {"DashboardNames": [names.dashboard]}, _dashboard_arn(names))


def _dashboard_arn(names: Names) -> str:
    return f"arn:{names.partition}:cloudwatch::{names.account}:dashboard/{names.dashboard}"
