import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.payload import DEFAULT_POLICY, backlog_policy
from autopilot_deploy.core.services import scaling
from autopilot_deploy.core.services.scaling import POLICY
from autopilot_deploy.core.shapes import operation
from testkit.aws import machine
from testkit.aws.machine import DEFINITION, run, states_of

EARLIER = "test-endpoint-20200101000000"


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch, account):
    machine.fix_moto(monkeypatch, account)


def run_earlier(account, payload):
    """A run of another day: names of configs carry the second."""
    run(account, payload)
    (config,) = account.contents()["configs"]
    account.rename_config(config, EARLIER)


def changed(payload, **fields):
    return payload | {"productionVariants": [payload["productionVariants"][0] | fields]}


def test_the_payload_of_old_ends_in_service_scaled_and_told(account, seed_payload, seed_model):
    ended = run(account, seed_payload)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["endpointStatus"] == "InService"
    assert account.targets() == {"endpoint/test-endpoint/variant/AllTraffic": (1, 4)}
    assert [subject for subject, _ in ended.told] == ["Deployed test-endpoint"]
    assert "AcceleratorType" not in account.asked("CreateEndpointConfig")[0]["ProductionVariants"][0]


def respelled(payload):
    spelled = {"InstanceType": "inferenceInstanceType", "ModelName": "modelName"}
    variants = [{spelled.get(name, name): one for name, one in each.items()} for each in payload["productionVariants"]]
    return payload | {"productionVariants": variants}


def test_the_other_spelling_of_the_deployers_page_ends_the_same(account, seed_payload, seed_model):
    ended = run(account, respelled(seed_payload))
    assert ended.status == "SUCCEEDED", ended.cause
    (variant,) = account.asked("CreateEndpointConfig")[0]["ProductionVariants"]
    assert (variant["InstanceType"], variant["ModelName"]) == ("ml.c5.2xlarge", seed_model)


def test_a_field_in_both_spellings_at_once_is_told(account, seed_payload, seed_model):
    assert_failed(run(account, changed(seed_payload, modelName="another")), "modelName is there beside ModelName")


def test_an_update_that_fails_leaves_bounds_that_another_deployment_has_set(account, seed_payload, seed_model):
    run_earlier(account, seed_payload)
    resource = "endpoint/test-endpoint/variant/AllTraffic"
    account.script = "rolled back"
    begin = account._update_endpoint

    def another_deployment_meanwhile(call):
        account._moto.make(scaling.register(resource, 2, 8))
        return begin(call)

    account._refuse_scaled = lambda *_: None
    account._update_endpoint = another_deployment_meanwhile
    assert_failed(run(account, changed(seed_payload, InstanceType="ml.c5.xlarge")), "rolled back")
    assert account.targets() == {resource: (2, 8)}


def test_variants_get_instances_by_name_and_keep_what_auto_scaling_gave_them(account, seed_payload, seed_model):
    run_earlier(account, seed_payload)
    account.autoscale("test-endpoint", "AllTraffic", 3)
    ended = run(account, changed(seed_payload, InstanceType="ml.c5.xlarge") | {"autoscalingMaxCapacity": 8})
    assert ended.status == "SUCCEEDED", ended.cause
    assert account._endpoints["test-endpoint"].counts == {"AllTraffic": 3}
    assert account.targets() == {"endpoint/test-endpoint/variant/AllTraffic": (1, 8)}
    operations = account.operations()
    assert operations.index("DeregisterScalableTarget") < operations.index("UpdateEndpoint")


def test_the_same_types_again_free_no_target(account, seed_payload, seed_model):
    run_earlier(account, seed_payload)
    assert run(account, seed_payload).status == "SUCCEEDED"
    assert "DeregisterScalableTarget" not in account.operations()


def test_a_variant_that_goes_loses_its_target(account, seed_payload, seed_model):
    second = {"VariantName": "Second", "InstanceType": "ml.m5.large", "ModelName": seed_model}
    both = seed_payload | {"productionVariants": [*seed_payload["productionVariants"], second]}
    run_earlier(account, both)
    assert len(account.targets()) == 2
    assert run(account, seed_payload).status == "SUCCEEDED"
    assert account.targets() == {"endpoint/test-endpoint/variant/AllTraffic": (1, 4)}


def test_the_config_before_goes_and_other_peoples_stay(account, seed_payload, seed_model):
    run_earlier(account, seed_payload)
    run(account, seed_payload)
    assert account.asked("DeleteEndpointConfig") == [{"EndpointConfigName": EARLIER}]


FAILED_CREATION = {
    "failed": "the endpoint is Failed: the alarm",
    "out of service": "the endpoint is OutOfService: the alarm",
    "a state of the future": "the endpoint is Hibernating: the alarm",
}
FAILED_UPDATE = FAILED_CREATION | {
    "rolled back": "the update was rolled back, ",
    "rollback failed": "the endpoint is UpdateRollbackFailed: the alarm",
}


def assert_failed(ended, problem):
    assert ended.status == "FAILED"
    assert problem in ended.cause
    ((subject, message),) = ended.told
    assert subject.startswith("FAILED to deploy")
    assert problem in message["problem"]


@pytest.mark.parametrize(("script", "problem"), FAILED_CREATION.items())
def test_an_endpoint_that_does_not_start_is_told_and_fails(account, seed_payload, seed_model, script, problem):
    account.script = script
    assert_failed(run(account, seed_payload), problem)
    assert account.targets() == {}


@pytest.mark.parametrize(("script", "problem"), FAILED_UPDATE.items())
def test_an_update_that_fails_is_told_and_scales_as_before(account, seed_payload, seed_model, script, problem):
    run_earlier(account, seed_payload)
    before = account.targets()
    account.script = script
    changes = changed(seed_payload, InstanceType="ml.c5.xlarge") | {"autoscalingMaxCapacity": 9}
    assert_failed(run(account, changes), problem)
    assert "DeregisterScalableTarget" in account.operations()
    assert account.targets() == before


@pytest.mark.parametrize("scaled", [True, False], ids=["another policy", "no scaling any more"])
def test_an_update_that_fails_puts_the_old_policy_back_whatever_was_wanted(account, seed_payload, seed_model, scaled):
    run_earlier(account, seed_payload)
    account.script = "rolled back"
    changes = changed(seed_payload, InstanceType="ml.c5.xlarge")
    changes["targetTrackingScalingPolicyConfiguration"] = {**DEFAULT_POLICY, "TargetValue": 7.0}
    for name in [] if scaled else [one for one in changes if one.startswith(("autoscaling", "target"))]:
        del changes[name]
    assert_failed(run(account, changes), "the update was rolled back")
    last = account.asked("PutScalingPolicy")[-1]
    assert len(account.asked("PutScalingPolicy")) == 2
    assert last["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 5000
    assert last["PolicyName"] == POLICY


def test_configs_of_failed_runs_go_with_the_next_good_one(account, seed_payload, seed_model):
    run_earlier(account, seed_payload)
    left = ["test-endpoint-20200101000001", "test-endpoint-mine", "test-endpoint-b-20200101000001"]
    variants = seed_payload["productionVariants"]
    for name in left:
        account._moto.make(
            AwsCall("sagemaker", "CreateEndpointConfig", {"EndpointConfigName": name, "ProductionVariants": variants})
        )
    assert run(account, seed_payload).status == "SUCCEEDED"
    configs = account.contents()["configs"]
    assert set(left) & set(configs) == {"test-endpoint-mine", "test-endpoint-b-20200101000001"}
    assert len(configs) == 3


@pytest.mark.parametrize("operation", ["ListEndpointConfigs", "DeleteEndpointConfig"])
def test_a_config_that_stays_is_no_failure(account, seed_payload, seed_model, operation):
    run_earlier(account, seed_payload)
    account.failing[operation] = [("AccessDeniedException", "no policy allows it")]
    assert run(account, seed_payload).status == "SUCCEEDED"


def test_an_asynchronous_endpoint_scales_on_its_backlog_as_from_the_command_line(account, seed_payload, seed_model):
    del seed_payload["targetTrackingScalingPolicyConfiguration"]
    output = {"OutputConfig": {"S3OutputPath": "s3://results/answers/"}}
    ended = run(account, seed_payload | {"asyncInferenceConfig": output, "autoscalingMinCapacity": 0})
    assert ended.status == "SUCCEEDED", ended.cause
    (policy,) = account.asked("PutScalingPolicy")
    assert policy["TargetTrackingScalingPolicyConfiguration"] == backlog_policy("test-endpoint")


def test_the_default_policy_is_the_command_lines(account, seed_payload, seed_model):
    del seed_payload["targetTrackingScalingPolicyConfiguration"]
    assert run(account, seed_payload).status == "SUCCEEDED"
    assert account.asked("PutScalingPolicy")[0]["TargetTrackingScalingPolicyConfiguration"] == DEFAULT_POLICY


def test_what_never_ends_is_a_time_out(account, seed_payload, seed_model):
    account.script = "never ends"
    assert_failed(run(account, seed_payload, DeadlineMinutes="0"), "time-out: the endpoint is still Creating")


def test_a_failed_endpoint_is_deleted_and_made_anew(account, seed_payload, seed_model):
    account.script = "failed"
    run_earlier(account, seed_payload)
    account.script = "fine"
    assert run(account, seed_payload).status == "SUCCEEDED"
    assert account.operations().count("CreateEndpoint") == 2


STEPS = ("DescribeEndpoint", "CreateEndpointConfig", "CreateEndpoint", "RegisterScalableTarget", "PutScalingPolicy")


@pytest.mark.parametrize("operation", STEPS)
@pytest.mark.parametrize("words", ["no policy allows it", 'quotes " and \\ and\nlines'])
def test_every_refusal_on_the_way_is_told(account, seed_payload, seed_model, operation, words):
    account.failing[operation] = [("AccessDeniedException", words)]
    assert_failed(run(account, seed_payload), words)


UPDATE_STEPS = (
    "DescribeEndpointConfig", "DescribeScalableTargets", "DescribeScalingPolicies", "DeregisterScalableTarget",
    "UpdateEndpoint",
)  # fmt: skip


@pytest.mark.parametrize("operation", UPDATE_STEPS)
def test_every_refusal_of_an_update_is_told(account, seed_payload, seed_model, operation):
    run_earlier(account, seed_payload)
    before = account.targets()
    account.failing[operation] = [("AccessDeniedException", "no policy allows it")]
    assert_failed(run(account, changed(seed_payload, InstanceType="ml.c5.xlarge")), "no policy allows it")
    assert account.targets() == before


WRONG = {
    "no name": (lambda p: p.pop("endpointName"), "$.endpointName is missing"),
    "a name with a space": (lambda p: p.update(endpointName="a b"), "letters, digits and dashes"),
    "a long name": (lambda p: p.update(endpointName="a" * 60), "longer than 48"),
    "no variants": (lambda p: p.pop("productionVariants"), "$.productionVariants is missing"),
    "no model": (lambda p: p["productionVariants"][0].pop("ModelName"), "ModelName is missing"),
    "bounds the wrong way": (lambda p: p.update(autoscalingMinCapacity=9), "is above"),
    "half of the bounds": (lambda p: p.pop("autoscalingMinCapacity"), "go together"),
    "a minimum of nothing": (lambda p: p.update(autoscalingMinCapacity=0), "is below 1"),
    "a bound in words": (lambda p: p.update(autoscalingMinCapacity="1"), "autoscalingMinCapacity must be a number"),
    "a name that is none": (lambda p: p.update(endpointName={"a": 1}), "endpointName must be a string"),
    "a name of other letters": (lambda p: p.update(endpointName="\u00e9\n"), "letters, digits and dashes"),
    "variants that are no list": (lambda p: p.update(productionVariants="x"), "productionVariants must be a list"),
    "variants that are no objects": (lambda p: p.update(productionVariants=["x"]), "each must be an object"),
    "a count in words": (lambda p: p["productionVariants"][0].update(InitialInstanceCount="1"), "must be a number"),
    "shadows that are no list": (lambda p: p.update(shadowProductionVariants=1), "must be a list"),
    "a policy without bounds": (lambda p: [p.pop("autoscalingMinCapacity"), p.pop("autoscalingMaxCapacity")],
                                "$.autoscalingMaxCapacity is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "problem"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_payload_is_told_before_any_other_call(account, seed_payload, spoil, problem):
    spoil(seed_payload)
    assert_failed(run(account, seed_payload), problem)
    assert account.operations() == ["Publish"]


@pytest.mark.parametrize("payload", [[], ["a"], "text", 5, None], ids=repr)
def test_what_is_no_object_is_told(account, payload):
    assert_failed(run(account, payload), "the payload must be an object")


def test_a_subject_has_only_what_sns_takes(account, seed_payload):
    ((subject, _),) = run(account, seed_payload | {"endpointName": "\u00e9 \n"}).told
    assert subject == "FAILED to deploy ???"


def test_all_faults_of_a_payload_are_told_at_once(account, seed_payload):
    del seed_payload["endpointName"], seed_payload["productionVariants"]
    ended = run(account, seed_payload)
    assert "endpointName is missing; $.productionVariants is missing" in ended.cause


def test_what_the_command_line_takes_besides_reaches_aws(account, seed_payload, seed_model):
    shadow = {"VariantName": "Next", "InstanceType": "ml.c5.large", "ModelName": seed_model}
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 5, "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }  # fmt: skip
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
                                       "WaitIntervalInSeconds": 60}}  # fmt: skip
    more = {"shadowProductionVariants": [shadow], "dataCaptureConfig": capture, "deploymentConfig": rolling}
    assert run(account, seed_payload | more).status == "SUCCEEDED"
    config = account.asked("CreateEndpointConfig")[0]
    assert (config["ShadowProductionVariants"], config["DataCaptureConfig"]) == (
        [shadow | {"InitialInstanceCount": 1}],
        capture,
    )
    assert account.asked("CreateEndpoint")[0]["DeploymentConfig"] == rolling


def test_every_action_and_literal_parameter_is_one_that_aws_has():
    tasks = [one for one in states_of(json.loads(DEFINITION.read_text())) if one["Type"] == "Task"]
    assert len(tasks) == 19
    for task in tasks:
        model = operation(*_action(task["Resource"]))
        if isinstance(task["Arguments"], dict):
            assert set(task["Arguments"]) <= set(model.input_shape.members), task["Resource"]
            assert set(model.input_shape.required_members) <= set(task["Arguments"]), task["Resource"]


def _action(resource):
    services = {"applicationautoscaling": "application-autoscaling", "sagemakerruntime": "sagemaker-runtime"}
    service, action = re.fullmatch(r"arn:aws:states:::(?:aws-sdk:)?(\w+):(\w+)", resource).groups()
    return services.get(service, service), action[0].upper() + action[1:]


def test_every_way_to_the_failed_end_leads_past_the_notification():
    states = json.loads(DEFINITION.read_text())["States"]
    tells = {name for name, state in states.items() if "Not deployed" in _next(state)}
    assert tells == {"Tell of the failure"}
    for name, state in states.items():
        if state["Type"] in {"Task", "Map"}:
            assert "Catch" in state, name


def _next(state):
    ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {way[key] for way in ways for key in ("Next", "Default") if key in way}


def test_a_throttled_call_is_made_again_under_the_name_that_the_error_has():
    """Errors that a service's model does not name arrive under the name of the service's base exception."""
    bases = {"sagemaker": "SageMaker.SageMakerException", "sns": "States.ALL",
             "applicationautoscaling": "ApplicationAutoScaling.ApplicationAutoScalingException"}  # fmt: skip
    for task in states_of(json.loads(DEFINITION.read_text())):
        if task["Type"] == "Task":
            service = task["Resource"].removeprefix("arn:aws:states:::").removeprefix("aws-sdk:").split(":")[0]
            assert bases[service] in {error for one in task["Retry"] for error in one["ErrorEquals"]}


def test_statelint_finds_nothing():
    linter = Path(sys.executable).with_name("statelint")
    checked = subprocess.run([linter, DEFINITION], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
