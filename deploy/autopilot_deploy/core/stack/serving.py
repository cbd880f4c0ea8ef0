"""The states of the machine that learns which look at what serves, and put another model in its place.

What serves says itself what it is: a model's environment names the candidate that decides beside it, and what it took
the place of. So nothing is kept elsewhere, and nothing can contradict it.
"""

from autopilot_deploy.core.names import TAG
from autopilot_deploy.core.requests import CONFIG_OPTIONS
from autopilot_deploy.core.stack.jsonata import literal, merged, query
from autopilot_deploy.core.stack.states import SAID, State, call, choice

FAILURE = "Tell of the failure"
LOOK = "Look for the endpoint"
DECIDE = "What is to be done?"
ASK_BEFORE, SWITCHED, _MAKE = "Ask who serves", "It serves", "Make the model"
_LOOK_AGAIN = "Look whether it is the same"
BUILT_IN, CHANNEL = "built-in", "candidate"
NOBODY = "nobody"
"""Who answers, where that is not known."""
_CANDIDATE = f"/opt/ml/additional-model-data-sources/{CHANNEL}"
"""Where SageMaker puts an additional data source, by the name of its channel."""
_PREVIOUS, _PREVIOUS_POLICY, _SINCE = "LEARNING_PREVIOUS", "LEARNING_PREVIOUS_POLICY", "LEARNING_SINCE"
"""In a model's environment, for this machine alone: what it took the place of, who answered then, and when it was."""
_OURS = ("AUTOPILOT_CANDIDATE", _PREVIOUS, _PREVIOUS_POLICY, _SINCE)
_OF_MODEL = ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
_OF_CONTAINER = ("Image", "ImageConfig", "Mode", "ContainerHostname")
_OF_CONFIG = (
    *("ProductionVariants", "ShadowProductionVariants", "ExplainerConfig", "VpcConfig", "ExecutionRoleArn"),
    *("EnableNetworkIsolation", *CONFIG_OPTIONS.values()),
)
_QUESTION = '{"fleet": "who-serves", "demand": 0, "history": []}'
"""A fleet that brings its history along: it is answered like any other, and nothing is stored of it."""
_TAGS = literal([{"Key": TAG, "Value": "${EndpointName}"}, {"Key": "environment", "Value": "${Environment}"}])
"""By the first, `destroy` knows what is the endpoint's."""
_POLL_SECONDS, _BAKED_SECONDS = 30, 300
_BUSY = "$status in ['Updating', 'SystemUpdating', 'RollingBack', 'Creating']"


def failing(what: str) -> list[State]:
    """Catch everything: what could not be done, and what AWS says; it is told."""
    return [{"ErrorEquals": ["States.ALL"], "Assign": {"problem": query(f"'{what}: ' & {SAID}")}, "Next": FAILURE}]


def problem(text: str) -> State:
    """What to assign on the way to the end that tells of a failure."""
    return {"problem": query(text)}


def looking() -> dict[str, State]:
    """The endpoint, its config and its model: what serves, what decides beside it, and what served before."""
    busy = problem("'the endpoint is ' & $status & ': start this again when it is in service'")
    several = problem("'there are ' & $string($variants) & ' production variants: which one learns is not said'")
    unread = problem("'the model ' & $serving & ' has no model.tar.gz, but other data: deploy one that has'")
    return {
        LOOK: call(
            "sagemaker:describeEndpoint", {"EndpointName": "${EndpointName}"},
            Assign={"status": query("$states.result.EndpointStatus"),
                    "liveConfig": query("$states.result.EndpointConfigName")},
            Output={},
            Catch=[{**failing("the endpoint could not be looked at")[0], "Next": "Is there none?"}],
            Next="Is it in service?",
        ),
        "Is there none?": choice(
            ("$contains($problem, 'Could not find') and $ask in ['learn', 'beside']", "Tell that nothing serves"),
            default=FAILURE,
        ),
        "Is it in service?": choice(("$status = 'InService'", "Look at its config"), default=FAILURE, Assign=busy),
        "Look at its config": call(
            "sagemaker:describeEndpointConfig", {"EndpointConfigName": query("$liveConfig")},
            Assign={"live": query(_kept("$states.result", _OF_CONFIG)),
                    "serving": query("$states.result.ProductionVariants[0].ModelName"),
                    "variants": query("$count($states.result.ProductionVariants)")},
            Output={}, Catch=failing("the config in service could not be read"), Next="Is it one model?",
        ),
        "Is it one model?": choice(("$variants = 1", "Look at its model"), default=FAILURE, Assign=several),
        "Look at its model": call(
            "sagemaker:describeModel", {"ModelName": query("$serving")}, Assign=_model_seen(),
            Output={}, Catch=failing("the model in service could not be read"), Next="Can it be read?",
        ),
        "Can it be read?": choice(("$readable", DECIDE), default=FAILURE, Assign=unread),
    }  # fmt: skip


def _kept(item: str, keys: tuple[str, ...]) -> str:
    """An object with some of its keys alone, as far as they say anything; the empty one where none does."""
    kept = f"$k in {literal(list(keys))} and $string($x) != '{{}}'"
    return merged("{}", f"$sift({item}, function($x, $k) {{ {kept} }})")


def _model_seen() -> State:
    container = "$states.result.PrimaryContainer"
    env = f"{container}.Environment"
    beside = f"{container}.AdditionalModelDataSources[ChannelName = '{CHANNEL}'].S3DataSource.S3Uri"
    theirs = f"$not($k in {literal(list(_OURS))})"
    found = {"served": (f"{container}.ModelDataUrl", BUILT_IN), "candidate": (beside, ""),
             "previous": (f"{env}.{_PREVIOUS}", ""), "previousPolicy": (f"{env}.{_PREVIOUS_POLICY}", ""),
             "since": (f"{env}.{_SINCE}", "")}  # fmt: skip
    archive = f"$exists({container}.ModelDataUrl) or $not($exists({container}.ModelDataSource))"
    return {
        "made": query(_kept("$states.result", _OF_MODEL)),
        "container": query(_kept(container, _OF_CONTAINER)),
        "environment": query(merged("{}", f"$sift({env}, function($x, $k) {{ {theirs} }})")),
        "readable": query(f"$exists({container}) and ({archive})"),
        **{name: query(f"$exists({one}) ? {one} : '{other}'") for name, (one, other) in found.items()},
    }


def wished(suffix: str, changes: bool, **models: str) -> State:
    """The model to put in service. `models`: served, candidate, previous and since, as JSONata.

    suffix   of its name
    changes  whether another policy is to answer

    Without a previous one it goes back, which nothing that is wrong with what serves may prevent.
    """
    wanted = "{" + ", ".join(f"'{name}': {models.get(name, _NONE)}" for name in _SLOTS) + "}"
    back = "previous" not in models
    assigned = {"wanted": query(wanted), "changes": changes, "back": back, "name": query(f"$model & '-{suffix}'")}
    return {"Type": "Pass", "Assign": assigned, "Output": {}, "Next": _LOOK_AGAIN}


_SLOTS, _NONE = ("served", "candidate", "previous", "since"), "''"


def switching() -> dict[str, State]:
    """Make the model that is wished for, and put it in service; an alarm puts the one before back."""
    rolled_back = problem("'the update was rolled back, ' & $servedConfig & ' is in service: ' & $reason")
    unmoved = problem("'the endpoint is in service with ' & $name & ', and ' & $after & ' answers: before, ' & $before")
    return {
        **_before(),
        _MAKE: call(
            "sagemaker:createModel", query(_model_request()), Output={}, Catch=failing("the model could not be made"),
            Next="Make the config",
        ),
        "Make the config": call(
            "sagemaker:createEndpointConfig", query(_config_request()), Output={},
            Catch=failing("the endpoint config could not be made"), Next="Update the endpoint",
        ),
        "Update the endpoint": call(
            "sagemaker:updateEndpoint", _update_request(), Output={},
            Catch=failing("the endpoint could not be updated"), Next="Wait for the endpoint",
        ),
        "Wait for the endpoint": {"Type": "Wait", "Seconds": _POLL_SECONDS, "Next": "Look at the endpoint"},
        "Look at the endpoint": _look("Is it in service now?"),
        "Is it in service now?": choice(
            (_BUSY, "Wait for the endpoint"),
            ("$status = 'InService' and $servedConfig = $config", "Ask who serves now"),
            default=FAILURE, Assign=rolled_back,
        ),
        "Ask who serves now": _ask("after", "Does the right one answer?", failing(_SILENT)),
        "Does the right one answer?": choice(
            (f"$after != '{NOBODY}' and $changes != ($after = $before)", SWITCHED), default=FAILURE, Assign=unmoved
        ),
    }  # fmt: skip


_SILENT = "the endpoint does not answer"


def _before() -> dict[str, State]:
    """What was looked at must still serve: a trial takes minutes, and people deploy meanwhile. And who answers now."""
    changed = problem(
        "'the endpoint was changed meanwhile: it is ' & $status & ' with ' & $servedConfig & ', and was looked at "
        "with ' & $liveConfig & '; it was left as it is'"
    )
    return {
        _LOOK_AGAIN: _look("Is it still the same?"),
        "Is it still the same?": choice(
            ("$status = 'InService' and $servedConfig = $liveConfig", ASK_BEFORE), default=FAILURE, Assign=changed
        ),
        ASK_BEFORE: asked_who_answers("before", _MAKE, "Must it answer?"),
        "Must it answer?": choice(("$back", _MAKE), default=FAILURE),
    }  # fmt: skip


def asked_who_answers(variable: str, following: str, unanswered: str = "") -> State:
    """Ask the endpoint, and keep who answers, which may be nobody; without an answer it goes on elsewhere, if named."""
    (silent,) = failing(_SILENT)
    caught = {**silent, "Assign": {**silent["Assign"], variable: NOBODY}, "Next": unanswered or following}
    return _ask(variable, following, [caught])


def _ask(variable: str, following: str, unanswered: list[State]) -> State:
    """Ask the endpoint, and keep the name and checksum of the policy that answers."""
    named = "$match($string($states.result.Body), /[A-Za-z0-9_.-]+@[0-9a-f]{8}/)[0].match"
    question = {"EndpointName": "${EndpointName}", "ContentType": "application/json", "Body": _QUESTION}
    return call(
        "sagemakerruntime:invokeEndpoint", question,
        Assign={variable: query(f"$exists({named}) ? {named} : '{NOBODY}'")},
        Output={}, Catch=unanswered, Next=following,
    )  # fmt: skip


def _model_request() -> str:
    source = "{'S3Uri': $wanted.candidate, 'S3DataType': 'S3Object', 'CompressionType': 'None'}"
    beside = f"{{'AdditionalModelDataSources': [{{'ChannelName': '{CHANNEL}', 'S3DataSource': {source}}}]}}"
    previous = (
        f"{{'{_PREVIOUS}': $wanted.previous, '{_PREVIOUS_POLICY}': $changes ? $before : $previousPolicy, "
        f"'{_SINCE}': $wanted.since}}"
    )
    environment = merged(
        "$environment",
        f"$wanted.candidate != '' ? {{'AUTOPILOT_CANDIDATE': '{_CANDIDATE}'}} : {{}}",
        f"$wanted.previous != '' ? {previous} : {{}}",
    )
    container = merged(
        "$container",
        f"{{'Environment': {environment}}}",
        f"$wanted.served != '{BUILT_IN}' ? {{'ModelDataUrl': $wanted.served}} : {{}}",
        f"$wanted.candidate != '' ? {beside} : {{}}",
    )
    return merged("$made", f"{{'ModelName': $name, 'PrimaryContainer': {container}, 'Tags': {_TAGS}}}")


def _config_request() -> str:
    """The config in service with another model, under a name that the machine that deploys knows as its own."""
    variants = "[$map($live.ProductionVariants, function($v) { $merge([$v, {'ModelName': $name}]) })]"
    named = f"{{'EndpointConfigName': $config, 'ProductionVariants': {variants}, 'Tags': {_TAGS}}}"
    return merged("$live", named)


def _update_request() -> State:
    """All traffic at once to new instances, which alarms watch for some minutes before the old ones go.

    But on the way back: there what is taken back may ring the alarm, which counts the errors of both.
    """
    at_once = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": _BAKED_SECONDS}
    watched = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "${RollbackAlarm}"}]}}
    blue_green = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": at_once}}
    return {
        "EndpointName": "${EndpointName}",
        "EndpointConfigName": query("$config"),
        "RetainAllVariantProperties": True,
        "DeploymentConfig": query(merged(literal(blue_green), f"$back ? {{}} : {literal(watched)}")),
    }


def _look(following: str) -> State:
    """Look at the endpoint: its status, the config in service, and why an update failed."""
    no_reason = "'SageMaker gives no reason'"
    seen = {
        "status": query("$states.result.EndpointStatus"),
        "servedConfig": query("$states.result.EndpointConfigName"),
        "reason": query(f"$exists($states.result.FailureReason) ? $states.result.FailureReason : {no_reason}"),
    }
    return call(
        "sagemaker:describeEndpoint", {"EndpointName": "${EndpointName}"}, Assign=seen, Output={},
        Catch=failing("the endpoint could not be looked at"), Next=following,
    )  # fmt: skip
