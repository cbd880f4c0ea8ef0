"""The state machine that takes the deployer's payload. It deploys as `plan_deploy` does, with models that exist."""

from autopilot_deploy.core.account import PHASES, Phase
from autopilot_deploy.core.names import TAG
from autopilot_deploy.core.requests import CONFIG_OPTIONS
from autopilot_deploy.core.stack.input import reading
from autopilot_deploy.core.stack.jsonata import literal, merged, optional, query
from autopilot_deploy.core.stack.states import PUT_BACK, State, call, choice, each, failing, leaving, note
from autopilot_deploy.core.stack.targets import freeing, putting_back, scaling_up

FAILED = "DeploymentFailed"
"""The error of an execution that has told of its failure."""
_BUSY = literal([status for status, phase in PHASES.items() if phase is Phase.BUSY])
_POLL_SECONDS = 30
_TAGS = literal(
    [{"Key": TAG, "Value": "@endpoint"}, {"Key": "environment", "Value": "${Environment}"}],
    {"@endpoint": "$endpointName"},
)
_OVERDUE = "$toMillis($states.context.State.EnteredTime) > $deadline"


def state_machine() -> State:
    """The definition, in Amazon States Language."""
    return {
        "Comment": "Deploys an auto-scaling SageMaker endpoint from the payload {endpointName, productionVariants, "
        "autoscalingMinCapacity, autoscalingMaxCapacity, targetTrackingScalingPolicyConfiguration}. Every end, good or "
        "bad, is told to the topic.",
        "QueryLanguage": "JSONata",
        "StartAt": "Spell it as AWS does",
        "States": reading()
        | _settle()
        | _configure()
        | freeing()
        | _switch()
        | scaling_up()
        | _clean()
        | _tell()
        | putting_back()
        | _fail(),
    }


def _settle() -> dict[str, State]:
    counts = merged(
        "$map($states.result.ProductionVariants[$exists(DesiredInstanceCount)], function($v) "
        "{ {$v.VariantName: $v.DesiredInstanceCount} })",
        "{}",
    )
    not_found = [
        {
            "ErrorEquals": ["States.ALL"],
            "Assign": {
                "found": False,
                "problem": query("$states.errorOutput.Error & ': ' & $states.errorOutput.Cause"),
            },
            "Output": {},
            "Next": "Is there none?",
        }
    ]
    return {
        "Look for the endpoint": call(
            "sagemaker:describeEndpoint",
            {"EndpointName": query("$endpointName")},
            Assign={
                "found": True,
                "status": query("$states.result.EndpointStatus"),
                "liveConfig": query("$states.result.EndpointConfigName"),
                "counts": query(counts),
            },
            Output={},
            Catch=not_found,
            Next="What is it doing?",
        ),
        "Is there none?": choice(
            (
                "$contains($problem, 'Could not find')",
                "Create the config",
                {"problem": "", "counts": {}, "liveConfig": ""},
            ),
            default=PUT_BACK,
        ),
        "What is it doing?": choice(
            (f"$status in {_BUSY} and {_OVERDUE}", PUT_BACK, _time_out()),
            (f"$status in {_BUSY}", "Wait for an earlier change"),
            ("$status = 'Failed'", "Delete the failed endpoint"),
            default="Look at its config",
        ),
        "Wait for an earlier change": {"Type": "Wait", "Seconds": _POLL_SECONDS, "Next": "Look for the endpoint"},
        "Delete the failed endpoint": call(
            "sagemaker:deleteEndpoint",
            {"EndpointName": query("$endpointName")},
            Comment="A failed endpoint serves nothing and can only be deleted.",
            Output={},
            Catch=failing("the failed endpoint could not be deleted"),
            Next="Wait for an earlier change",
        ),
        "Look at its config": call(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName": query("$liveConfig")},
            Assign={
                "liveTypes": query(
                    merged(
                        "$map($states.result.ProductionVariants, function($v) "
                        "{ {$v.VariantName: $exists($v.InstanceType) ? $v.InstanceType : ''} })",
                        "{}",
                    )
                )
            },
            Output={},
            Catch=failing("the config in service could not be read"),
            Next="Create the config",
        ),
    }


def _time_out() -> State:
    return {"problem": query("'time-out: the endpoint is still ' & $status")}


def _configure() -> dict[str, State]:
    wished = "$exists($v.InitialInstanceCount) ? $v.InitialInstanceCount : 1"
    running = "$lookup($counts, $v.VariantName)"
    within = f"$max([1, $min([$maxCapacity, $max([$minCapacity, $exists({running}) ? {running} : ({wished})])])])"
    sized = f"$merge([$v, {{'InitialInstanceCount': $scaled ? {within} : ({wished})}}])"
    variants = f"[$map($variants, function($v) {{ $exists($v.ServerlessConfig) ? $v : {sized} }})]"
    config = merged(
        f"{{'EndpointConfigName': $configName, 'ProductionVariants': {variants}, 'Tags': {_TAGS}}}",
        "$exists($given.shadowProductionVariants) ? {'ShadowProductionVariants': $shadows} : {}",
        *optional(CONFIG_OPTIONS, "$given"),
    )
    deployment = optional({"deploymentConfig": "DeploymentConfig"}, "$given")
    endpoint = "'EndpointName': $endpointName, 'EndpointConfigName': $configName"
    return {
        "Create the config": call(
            "sagemaker:createEndpointConfig",
            query(config),
            Comment="Variants that are scaled keep the number of instances that they have now.",
            Output={},
            Catch=failing("the endpoint config could not be created"),
            Next="Create or update?",
        ),
        "Create or update?": choice(("$found", "Look for scalable targets"), default="Create the endpoint"),
        "Create the endpoint": call(
            "sagemaker:createEndpoint",
            query(merged(f"{{{endpoint}, 'Tags': {_TAGS}}}", *deployment)),
            Output={},
            Catch=failing("the endpoint could not be created"),
            Next="Wait for the endpoint",
        ),
        "Update the endpoint": call(
            "sagemaker:updateEndpoint",
            query(merged(f"{{{endpoint}}}", *deployment)),
            Output={},
            Catch=failing("the endpoint could not be updated"),
            Next="Wait for the endpoint",
        ),
    }


def _switch() -> dict[str, State]:
    no_reason = "'SageMaker gives no reason, see the log group /aws/sagemaker/Endpoints/' & $endpointName"
    return {
        "Wait for the endpoint": {"Type": "Wait", "Seconds": _POLL_SECONDS, "Next": "Look at the endpoint"},
        "Look at the endpoint": call(
            "sagemaker:describeEndpoint",
            {"EndpointName": query("$endpointName")},
            Assign={
                "status": query("$states.result.EndpointStatus"),
                "servedConfig": query("$states.result.EndpointConfigName"),
                "reason": query(f"$exists($states.result.FailureReason) ? $states.result.FailureReason : {no_reason}"),
            },
            Output={},
            Catch=failing("the endpoint could not be read"),
            Next="Is it in service?",
        ),
        "Is it in service?": choice(
            ("$status = 'InService' and $servedConfig = $configName", "Is it to scale?"),
            (
                "$status = 'InService'",
                PUT_BACK,
                {"problem": query("'the update was rolled back, ' & $servedConfig & ' is in service: ' & $reason")},
            ),
            (f"$status in {_BUSY} and {_OVERDUE}", PUT_BACK, _time_out()),
            (f"$status in {_BUSY}", "Wait for the endpoint"),
            default="It will not be in service",
            Comment="In service on another config than the new one is a rollback: a failure.",
        ),
        "It will not be in service": note("'the endpoint is ' & $status & ': ' & $reason"),
    }


def _clean() -> dict[str, State]:
    mine = (
        "$c != $configName and $substring($c, 0, $length($endpointName) + 1) = $endpointName & '-' "
        "and $contains($substring($c, $length($endpointName) + 1), /^[0-9]{14}$/)"
    )
    following = "Tell of the success"
    return {
        "Look for old configs": call(
            "sagemaker:listEndpointConfigs",
            {"NameContains": query("$endpointName & '-'"), "MaxResults": 100},
            Comment="Configs that this machine named, of the run before and of runs that failed. Nothing uses them "
            "now.",
            Assign={
                "oldConfigs": query(
                    f"[$filter($states.result.EndpointConfigs.EndpointConfigName, function($c) {{ {mine} }})]"
                )
            },
            Output={},
            Catch=leaving(following),
            Next="Delete old configs",
        ),
        "Delete old configs": each(
            "$oldConfigs",
            {
                "Delete the old config": call(
                    "sagemaker:deleteEndpointConfig",
                    {"EndpointConfigName": query("$states.input")},
                    Output={},
                    End=True,
                )
            },
            Output={},
            Catch=leaving(following),
            Next=following,
        ),
    }


def _tell() -> dict[str, State]:
    done = {
        "endpointName": query("$endpointName"),
        "endpointConfigName": query("$configName"),
        "endpointStatus": "InService",
    }
    message = "{'endpoint': $endpointName, 'status': 'InService', 'config': $configName, 'execution': @execution}"
    return {
        "Tell of the success": _publish(
            "'Deployed ' & $endpointName",
            message,
            Output=done,
            Catch=leaving("Deployed", {**done, "notified": False}),
            Next="Deployed",
        ),
        "Deployed": {"Type": "Succeed"},
    }


def _fail() -> dict[str, State]:
    shown = "$replace($substring($endpointName, 0, 63), /[^a-zA-Z0-9-]/, '?')"
    return {
        "Tell of the failure": _publish(
            f"'FAILED to deploy ' & {shown}",
            "{'endpoint': $endpointName, 'problem': $problem, 'execution': @execution}",
            Output={},
            Catch=leaving("Not deployed"),
            Next="Not deployed",
        ),
        "Not deployed": {"Type": "Fail", "Error": FAILED, "Cause": query("$problem")},
    }


def _publish(subject: str, message: str, **more: object) -> State:
    arguments = {
        "TopicArn": "${TopicArn}",
        "Subject": query(subject),
        "Message": query(f"$string({message.replace('@execution', '$states.context.Execution.Id')})"),
    }
    return call("sns:publish", arguments, **more)
