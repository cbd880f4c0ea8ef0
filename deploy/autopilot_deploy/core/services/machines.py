"""Calls to Step Functions."""

import json
from collections.abc import Mapping

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.names import Names

SERVICE = "stepfunctions"


def start_learning(names: Names, asked: Mapping[str, str]) -> AwsCall:
    """An execution of the machine that learns, for one thing alone: `promote`, `rollback`, or `beside`."""
    machine = names.arn("states", f"stateMachine:{names.learning_machine}")
    return AwsCall(SERVICE, "StartExecution", {"stateMachineArn": machine, "input": json.dumps(dict(asked))}, machine)


def describe_execution(arn: str) -> AwsCall:
    """How far an execution is."""
    return AwsCall(SERVICE, "DescribeExecution", {"executionArn": arn}, arn)
