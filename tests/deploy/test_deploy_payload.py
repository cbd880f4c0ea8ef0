import json

import pytest

from autopilot_deploy.core.errors import PayloadError
from autopilot_deploy.core.payload import DEFAULT_POLICY, FIELDS, payload_problems, wanted_from
from autopilot_deploy.core.shapes import member


def paths(payload):
    return [one.path for one in payload_problems(payload)]


def test_the_payload_of_old_is_fine(seed_payload):
    assert paths(seed_payload) == []


def test_every_field_names_a_parameter_that_aws_has():
    for service, operation, *path in FIELDS.values():
        assert member(service, operation, *path).name


def test_every_fault_is_listed_at_once_with_its_path(seed_payload):
    variant = seed_payload["productionVariants"][0]
    variant["InstanceType"] = "ml.c5.bogus"
    variant["InitialInstanceCount"] = "one"
    variant["modelname"] = variant.pop("ModelName")
    seed_payload["autoscalingMaxCapacity"] = 0
    seed_payload["endpointname"] = "x"
    del seed_payload["targetTrackingScalingPolicyConfiguration"]["TargetValue"]
    assert set(paths(seed_payload)) >= {
        "$.productionVariants[0].InstanceType",
        "$.productionVariants[0].InitialInstanceCount",
        "$.productionVariants[0].modelname",
        "$.targetTrackingScalingPolicyConfiguration.TargetValue",
        "$.endpointname",
    }


def respelled(payload):
    """The payload as the seed's table of parameters spells it; its example spells it as AWS does."""
    (variant,) = payload["productionVariants"]
    spelled = {"InstanceType": "inferenceInstanceType", "ModelName": "modelName"}
    return payload | {"productionVariants": [{spelled.get(name, name): one for name, one in variant.items()}]}


def test_both_spellings_of_the_deployers_page_mean_the_same(seed_payload):
    assert respelled(seed_payload) != seed_payload
    assert wanted_from(respelled(seed_payload)) == wanted_from(seed_payload)


def test_a_fault_is_told_in_the_spelling_of_the_payload(seed_payload):
    seed_payload["productionVariants"][0] |= {"InstanceType": "ml.c5.bogus", "ModelName": 7}
    places = {"$.productionVariants[0].inferenceInstanceType", "$.productionVariants[0].modelName"}
    assert set(paths(respelled(seed_payload))) == places


def test_a_field_in_both_spellings_at_once_is_refused(seed_payload):
    seed_payload["productionVariants"][0]["modelName"] = "another"
    assert paths(seed_payload) == ["$.productionVariants[0].modelName"]


def test_faults_between_fields_are_listed_beside_faults_within_them(seed_payload):
    broken = seed_payload["productionVariants"][0]
    del broken["ModelName"]
    broken["InstanceType"] = "ml.c5.bogus"
    another = {"VariantName": "AllTraffic", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 9, "ModelName": "m"}
    policy = seed_payload["targetTrackingScalingPolicyConfiguration"]
    policy |= {"TargetValue": -1.0, "ScaleInCooldown": "soon"}
    seed_payload["productionVariants"] += [another, "a third"]
    assert sorted(paths(seed_payload)) == [
        "$.productionVariants[0].InstanceType",
        "$.productionVariants[0].ModelName",
        "$.productionVariants[1].InitialInstanceCount",
        "$.productionVariants[1].InstanceType",
        "$.productionVariants[1].VariantName",
        "$.productionVariants[2]",
        "$.targetTrackingScalingPolicyConfiguration.ScaleInCooldown",
        "$.targetTrackingScalingPolicyConfiguration.TargetValue",
    ]


def test_a_field_with_a_fault_is_there_all_the_same(payload):
    payload |= {"image": 7, "environment": {"A": "b"}, "autoscalingMaxCapacity": "four", "historyTable": "my_table"}
    del payload["productionVariants"][0]["InitialInstanceCount"]
    payload["productionVariants"][0]["InstanceType"] = None
    assert sorted(paths(payload)) == ["$.autoscalingMaxCapacity", "$.image", "$.productionVariants[0].InstanceType"]


JUNK = [None, True, 7, -1, 1e9, "", "x" * 300, [], {}, [[]], [None], {"": None}, {"VariantName": {}}, [{}]]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_in_any_place_is_a_fault_and_never_a_crash(seed_payload, junk):
    for name in FIELDS:
        found = paths(seed_payload | {name: junk})
        assert all(path.startswith("$.") for path in found)
    for name in member(*FIELDS["productionVariants"]).member.members:
        variant = seed_payload["productionVariants"][0] | {name: junk}
        assert all(path.startswith("$.") for path in paths(seed_payload | {"productionVariants": [variant]}))


VARIANT = "$.productionVariants[0]"
BAD = {
    "minimum above maximum": ({"autoscalingMinCapacity": 5}, "$.autoscalingMinCapacity"),
    "a real-time endpoint at zero": ({"autoscalingMinCapacity": 0}, "$.autoscalingMinCapacity"),
    "a maximum alone": ({"autoscalingMinCapacity": None}, "$.autoscalingMinCapacity"),
    "a count outside the bounds": ({"autoscalingMinCapacity": 2}, f"{VARIANT}.InitialInstanceCount"),
    "a name that leaves no room": ({"endpointName": "a" * 53}, "$.endpointName"),
    "a name with a space": ({"endpointName": "a b"}, "$.endpointName"),
    "no endpoint": ({"endpointName": None}, "$.endpointName"),
    "no variants": ({"productionVariants": []}, "$.productionVariants"),
    "an environment without an image": ({"environment": {"A": "b"}}, "$.environment"),
    "a policy of no kind": ({"targetTrackingScalingPolicyConfiguration": {"TargetValue": 1}},
                            "$.targetTrackingScalingPolicyConfiguration"),
    "a target of nothing": ({"targetTrackingScalingPolicyConfiguration": DEFAULT_POLICY | {"TargetValue": -1.0}},
                            "$.targetTrackingScalingPolicyConfiguration.TargetValue"),
    "a metric that asynchronous endpoints lack": (
        {"asyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/out"}}},
        "$.targetTrackingScalingPolicyConfiguration.PredefinedMetricSpecification"),
    "a namespace with a space": ({"metricsNamespace": "my games", "image": "i"}, "$.metricsNamespace"),
    "a namespace of AWS": ({"metricsNamespace": "AWS/Games", "image": "i"}, "$.metricsNamespace"),
    "a namespace without an image": ({"metricsNamespace": "games"}, "$.metricsNamespace"),
    "a table with a bad name": ({"historyTable": "a table", "image": "i"}, "$.historyTable"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "path"), BAD.values(), ids=BAD.keys())
def test_a_rule_between_fields_names_the_field_to_mend(seed_payload, change, path):
    changed = {key: value for key, value in (seed_payload | change).items() if value is not None}
    assert path in paths(changed)


BAD_VARIANTS = {
    "nothing to run on": ({"InstanceType": None}, VARIANT),
    "serverless and instances": ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, VARIANT),
    "burstable": ({"InstanceType": "ml.t2.medium"}, f"{VARIANT}.InstanceType"),
    "no model": ({"ModelName": None}, f"{VARIANT}.ModelName"),
    "no instances": ({"InitialInstanceCount": 0}, f"{VARIANT}.InitialInstanceCount"),
    "a weight below nothing": ({"InitialVariantWeight": -1}, f"{VARIANT}.InitialVariantWeight"),
}


@pytest.mark.parametrize(("change", "path"), BAD_VARIANTS.values(), ids=BAD_VARIANTS.keys())
def test_a_bad_variant_is_named(seed_payload, change, path):
    variant = {
        key: value for key, value in (seed_payload["productionVariants"][0] | change).items() if value is not None
    }
    assert path in paths(seed_payload | {"productionVariants": [variant]})


def test_two_variants_of_one_name_are_refused(seed_payload):
    twice = seed_payload["productionVariants"] * 2
    assert "$.productionVariants[1].VariantName" in paths(seed_payload | {"productionVariants": twice})


def test_an_unknown_field_says_what_was_meant(seed_payload):
    with pytest.raises(PayloadError, match=r"\$\.endpointname: is not known; did you mean endpointName\?"):
        wanted_from(seed_payload | {"endpointname": "x"})


def test_scaling_may_be_left_out(seed_payload):
    for name in list(seed_payload):
        if name.startswith(("autoscaling", "targetTracking")):
            del seed_payload[name]
    assert wanted_from(seed_payload).scaling is None


def test_the_policy_may_be_left_out(seed_payload):
    del seed_payload["targetTrackingScalingPolicyConfiguration"]
    scaling = wanted_from(seed_payload).scaling
    assert scaling is not None
    assert scaling.policy == DEFAULT_POLICY


@pytest.mark.parametrize("tags", [{"aws:x": "1"}, {"a!": "1"}, {"a": 1}, {"a": "x" * 257}, {"": "1"}, ["a"]], ids=str)
def test_a_tag_that_aws_would_refuse_is_named(payload, tags):
    assert [path.split(".")[1] for path in paths(payload | {"tags": tags})] == ["tags"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', b'{"endpointName": "\xff"}', '{"x": NaN}'])
def test_what_is_no_payload_is_refused_before_any_call(cli, account, text):
    result = cli("deploy", "-", stdin=text)
    assert result.exit_code == 2
    assert account.made == []


def test_a_bad_payload_is_refused_before_any_call(cli, account, seed_payload):
    result = cli("deploy", "-", stdin=json.dumps(seed_payload | {"autoscalingMinCapacity": 9}))
    assert result.exit_code == 2
    assert "$.autoscalingMinCapacity: 9 is above autoscalingMaxCapacity 4" in result.stderr
    assert account.made == []
