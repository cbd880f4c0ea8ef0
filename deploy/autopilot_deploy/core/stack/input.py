"""The states that read the payload and say what is wrong with it."""

from autopilot_deploy.core.names import LONGEST_NAME
from autopilot_deploy.core.payload import DEFAULT_POLICY, LEFT_OUT, SPELLINGS, backlog_policy
from autopilot_deploy.core.stack.jsonata import literal, merged, query, renamed, without
from autopilot_deploy.core.stack.states import State, choice, note

LONGEST_ENDPOINT_NAME = LONGEST_NAME - len("-20261130120000")
"""The machine's configs have the endpoint's name, a dash and the second in which it started."""


def reading() -> dict[str, State]:
    """From the input to variables; what is wrong with it is told, all of it."""
    return {
        "Spell it as AWS does": {
            "Type": "Pass",
            "Comment": "The deployer's page has two spellings of some fields. Nothing here fails on a value of the "
            "wrong type: such a failure would not be told.",
            "Output": query(_respelled()),
            "Next": "Check the input",
        },
        "Check the input": {
            "Type": "Pass",
            "Comment": "Nor does anything here fail on one.",
            "Assign": {
                "endpointName": query(
                    "$exists($states.input.endpointName) ? $string($states.input.endpointName) : '(no name)'"
                ),
                "freed": [],
                "problem": "",
                "faults": query(_faults()),
            },
            "Next": "Is the input fine?",
        },
        "Is the input fine?": choice(("$count($faults) = 0", "Read the input"), default="The input is wrong"),
        "The input is wrong": note("'the payload is wrong: ' & $join($faults, '; ')"),
        "Read the input": {
            "Type": "Pass",
            "Comment": "Elastic Inference has ended: AcceleratorType is left out.",
            "Assign": _read_input(),
            "Output": {},
            "Next": "Look for the endpoint",
        },
    }


def _respelled() -> str:
    """The input with each variant spelled as AWS does; one that has a field in both spellings stays, to be refused."""
    twice = " or ".join(f"($exists($v.{seed}) and $exists($v.{ours}))" for seed, ours in SPELLINGS.items())
    variant = f"$type($v) != 'object' ? $v : ({twice} ? $v : {renamed('$v', SPELLINGS)})"
    listed = [
        f"$type($states.input.{name}) = 'array' ? "
        f"{{'{name}': [$map($states.input.{name}, function($v) {{ {variant} }})]}} : {{}}"
        for name in ("productionVariants", "shadowProductionVariants")
    ]
    return f"$type($states.input) != 'object' ? $states.input : {merged('$states.input', *listed)}"


def _faults() -> str:
    """A list of what is wrong. JSONata evaluates both sides of `and`: what may fail stands behind a `?`."""
    twice = [
        f"$count($objects[$exists({seed}) and $exists({ours})]) > 0 ? '$.productionVariants: {seed} is there beside "
        f"{ours}: leave one of them out'"
        for seed, ours in SPELLINGS.items()
    ]
    checks = [
        "$type($in) != 'object' ? 'the payload must be an object'",
        "$not($exists($name)) ? '$.endpointName is missing'",
        "$exists($name) ? ($type($name) != 'string' ? '$.endpointName must be a string' : "
        "($not($contains($name, /^[a-zA-Z0-9](-*[a-zA-Z0-9])*$/)) ? "
        "'$.endpointName takes letters, digits and dashes'))",
        f"$type($name) = 'string' ? ($length($name) > {LONGEST_ENDPOINT_NAME} ? "
        f"'$.endpointName is longer than {LONGEST_ENDPOINT_NAME} characters')",
        "$not($exists($given)) ? '$.productionVariants is missing'",
        "$exists($given) ? ($not($listed) ? '$.productionVariants must be a list' : "
        "($count($given) = 0 ? '$.productionVariants is missing'))",
        "$listed ? ($count($objects) != $count($given) ? '$.productionVariants: each must be an object')",
        "$count($objects[$not($exists(VariantName))]) > 0 ? '$.productionVariants: VariantName is missing'",
        _of_another_type("VariantName", "string", "a string"),
        *twice,
        "$count($objects[$not($exists(ModelName))]) > 0 ? '$.productionVariants: ModelName is missing'",
        _of_another_type("InitialInstanceCount", "number", "a number"),
        "$exists($in.shadowProductionVariants) ? ($type($in.shadowProductionVariants) != 'array' ? "
        "'$.shadowProductionVariants must be a list' : ($count($filter($in.shadowProductionVariants, function($v) "
        "{ $type($v) != 'object' })) > 0 ? '$.shadowProductionVariants: each must be an object'))",
        "$exists($most) != $exists($least) ? '$.autoscalingMinCapacity and $.autoscalingMaxCapacity go together'",
        "$exists($in.targetTrackingScalingPolicyConfiguration) ? ($not($exists($most)) ? "
        "'$.autoscalingMaxCapacity is missing, and $.targetTrackingScalingPolicyConfiguration is there')",
        "$exists($least) ? ($type($least) != 'number' ? '$.autoscalingMinCapacity must be a number')",
        "$exists($most) ? ($type($most) != 'number' ? '$.autoscalingMaxCapacity must be a number')",
        "$numbers ? ($least > $most ? '$.autoscalingMinCapacity is above $.autoscalingMaxCapacity')",
        "$type($least) = 'number' ? ($least < 1 ? ($not($exists($in.asyncInferenceConfig)) ? "
        "'$.autoscalingMinCapacity is below 1'))",
    ]
    given = (
        "$in := $states.input; $name := $in.endpointName; $given := $in.productionVariants; "
        "$least := $in.autoscalingMinCapacity; $most := $in.autoscalingMaxCapacity; "
        "$listed := $type($given) = 'array'; "
        "$objects := $listed ? [$filter($given, function($v) { $type($v) = 'object' })] : []; "
        "$numbers := $type($least) = 'number' ? $type($most) = 'number' : false"
    )
    return f"( {given}; [ {', '.join(checks)} ])"


def _of_another_type(field: str, wanted: str, said: str) -> str:
    another = f"$exists($v.{field}) ? $type($v.{field}) != '{wanted}' : false"
    return (
        f"$count($filter($objects, function($v) {{ {another} }})) > 0 ? '$.productionVariants: {field} must be {said}'"
    )


def _read_input() -> State:
    given = "$states.input"
    left = without("$v", LEFT_OUT)
    one_instance = literal({"InitialInstanceCount": 1})
    second = "$replace($substring($states.context.Execution.StartTime, 0, 19), /[^0-9]/, '')"
    capacity = {
        name: query(f"$exists({given}.{field}) ? {given}.{field} : 1")
        for name, field in (("minCapacity", "autoscalingMinCapacity"), ("maxCapacity", "autoscalingMaxCapacity"))
    }
    backlog = literal(backlog_policy("@endpoint"), {"@endpoint": f"{given}.endpointName"})
    policy = "targetTrackingScalingPolicyConfiguration"
    types = f"$map({given}.productionVariants[$exists(InstanceType) and $exists(VariantName)], function($v) "
    return {
        "given": query(given),
        "variants": query(f"[$map({given}.productionVariants, function($v) {{ {left} }})]"),
        "shadows": query(f"[$map({given}.shadowProductionVariants, function($v) {{ {merged(one_instance, left)} }})]"),
        "scaled": query(f"$exists({given}.autoscalingMaxCapacity)"),
        **capacity,
        "policy": query(
            f"$exists({given}.{policy}) ? {given}.{policy} : "
            f"($exists({given}.asyncInferenceConfig) ? {backlog} : {literal(DEFAULT_POLICY)})"
        ),
        "configName": query(f"{given}.endpointName & '-' & {second}"),
        "deadline": query("$toMillis($states.context.Execution.StartTime) + 60000 * ${DeadlineMinutes}"),
        "found": True,
        "liveConfig": "",
        "counts": {},
        "liveTypes": {},
        "servedConfig": "",
        "newTypes": query(merged(types + "{ {$v.VariantName: $v.InstanceType} })", "{}")),
        "status": "",
        "reason": "",
    }
