"""The kinds of resources that the stack has more than one of: roles, state machines, rules that tell of their end."""

from collections.abc import Mapping, Sequence

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.services import iam


def resource(kind: str, properties: Json, **more: object) -> Json:
    """A resource: `kind` as `IAM::Role`; `more` stands beside its properties."""
    return {"Type": f"AWS::{kind}", **more, "Properties": properties}


def role(names: Names, service: str, statements: Sequence[Json], tags: Sequence[Json]) -> Json:
    """A role that this account's `service` takes, with these rights and no others."""
    policy = {"PolicyName": "least", "PolicyDocument": iam.document(list(statements))}
    trust = iam.trust(names, service)
    return resource("IAM::Role", {"AssumeRolePolicyDocument": trust, "Policies": [policy], "Tags": tags})


def allow(sid: str, service: str, operations: str, resource: object) -> dict[str, object]:
    """A statement: `operations` of one service, with blanks between them, on a resource or several."""
    actions = [f"{service}:{one}" for one in operations.split()]
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def log_delivery() -> Json:
    """What a state machine needs to write its log."""
    operations = (
        "CreateLogDelivery GetLogDelivery UpdateLogDelivery DeleteLogDelivery ListLogDeliveries "
        "PutResourcePolicy DescribeResourcePolicies DescribeLogGroups"
    )
    return allow("LogDelivery", "logs", operations, "*")


def machine(definition: str, substitutions: Json, role: str, tags: Mapping[str, str]) -> Json:
    """A state machine of a definition's file, under the role of that name; its errors go to the stack's log."""
    log = {"CloudWatchLogsLogGroup": {"LogGroupArn": {"Fn::GetAtt": ["MachineLog", "Arn"]}}}
    properties = {
        "Type": "STANDARD",
        "DefinitionUri": definition,
        "DefinitionSubstitutions": substitutions,
        "Role": {"Fn::GetAtt": [role, "Arn"]},
        "Logging": {"Level": "ERROR", "IncludeExecutionData": False, "Destinations": [log]},
        "Tags": tags,
    }
    return resource("Serverless::StateMachine", properties)


def tells_of_the_end(machine: str, topic: Json, detail: Json, description: str) -> Json:
    """A rule that tells the topic of executions of a machine that ended as `detail` says."""
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {**detail, "stateMachineArn": [{"Ref": machine}]},
    }
    targets = [{"Id": "topic", "Arn": topic}]
    return resource("Events::Rule", {"Description": description, "EventPattern": pattern, "Targets": targets})


def tells_of_an_abort(machine: str, topic: Json) -> Json:
    """The rule for executions that have no chance to tell."""
    described = "An execution that is aborted or times out cannot tell by itself."
    return tells_of_the_end(machine, topic, {"status": ["ABORTED", "TIMED_OUT"]}, described)
