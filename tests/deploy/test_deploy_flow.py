import json

import boto3
import pytest

from autopilot_deploy.core.account import PHASES
from autopilot_deploy.core.errors import aws_error
from autopilot_deploy.core.services import scaling
from autopilot_deploy.core.shapes import operation
from testkit.aws.account import REGION, Account

FAILURES = {
    "failed": "the endpoint is Failed",
    "out of service": "the endpoint is OutOfService",
    "a state of the future": "the endpoint is Hibernating",
}
UPDATE_FAILURES = FAILURES | {
    "rolled back": "was rolled back",
    "rolled back unseen": "was rolled back",
    "rollback failed": "the endpoint is UpdateRollbackFailed",
}


ONE, TWO = ({"modelDataUrl": f"s3://models/{name}/model.tar.gz"} for name in ("one", "two"))


def deployed(cli, payload, *options):
    return cli("deploy", "-", *options, stdin=json.dumps(payload))


def test_the_payload_of_old_deploys_unchanged(cli, account, seed_payload, seed_model):
    result = deployed(cli, seed_payload)
    assert result.exit_code == 0, result.output
    assert account.contents()["endpoints"] == ["test-endpoint"]
    assert account.targets() == {"endpoint/test-endpoint/variant/AllTraffic": (1, 4)}
    assert account.asked("PutScalingPolicy")[0]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 5000
    assert "Elastic Inference has ended" in result.output
    assert "roles" not in account.contents()


def test_a_second_run_changes_nothing(cli, account, payload):
    deployed(cli, payload)
    before = account.operations()
    result = deployed(cli, payload)
    assert result.exit_code == 0
    assert account.operations() == before


def test_an_image_gets_a_model_a_role_a_table_and_a_log_that_ends(cli, account, payload):
    assert deployed(cli, payload).exit_code == 0
    (model,) = account.asked("CreateModel")
    assert model["PrimaryContainer"]["Environment"]["AUTOPILOT_HISTORY"] == "dynamodb://latest_observations"
    assert account.asked("UpdateTimeToLive")[0]["TimeToLiveSpecification"]["AttributeName"] == "ttl"
    recovery = account.asked("UpdateContinuousBackups")[0]["PointInTimeRecoverySpecification"]
    assert recovery["PointInTimeRecoveryEnabled"] is True
    assert account.asked("PutRetentionPolicy")[0]["retentionInDays"] == 30


def test_the_role_may_touch_its_own_table_image_and_log_only(cli, account, payload):
    deployed(cli, payload)
    (policy,) = account.asked("PutRolePolicy")
    statements = {one["Sid"]: one for one in json.loads(policy["PolicyDocument"])["Statement"]}
    assert statements["History"]["Resource"] == "arn:aws:dynamodb:us-west-2:123456789012:table/latest_observations"
    assert set(statements["History"]["Action"]) == {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"}
    for sid, one in statements.items():
        actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
        assert not any("*" in action for action in actions), sid
        assert one["Resource"] != "*" or sid in {"Metrics", "ImageLogin"}, sid


@pytest.mark.parametrize(("script", "message"), FAILURES.items())
def test_an_endpoint_that_does_not_start_is_a_failure(cli, account, payload, script, message):
    account.script = script
    result = deployed(cli, payload)
    assert result.exit_code == 1
    assert message in result.stderr
    assert account.reason in result.stderr
    assert account.targets() == {}


@pytest.mark.parametrize(("script", "message"), UPDATE_FAILURES.items())
def test_an_update_that_does_not_end_in_the_new_config_is_a_failure(cli, account, payload, script, message):
    deployed(cli, payload)
    before = account.targets()
    account.script = script
    result = deployed(cli, payload | {"environment": {"AUTOPILOT_LOG_LEVEL": "DEBUG"}})
    assert result.exit_code == 1
    assert message in result.stderr
    assert account.targets() == before


def test_an_update_that_shows_late_is_no_rollback(cli, account, payload):
    deployed(cli, payload)
    account.script = "late"
    assert deployed(cli, payload | {"environment": {"AUTOPILOT_LOG_LEVEL": "DEBUG"}}).exit_code == 0


def test_what_never_ends_meets_the_deadline_and_a_second_run_waits_on(cli, account, payload, clock):
    account.script = "never ends"
    result = cli("--timeout", "5", "deploy", "-", stdin=json.dumps(payload))
    assert result.exit_code == 3
    assert clock.time == 300
    assert "run the same command again" in result.stderr
    account._endpoints["autopilot"].looks = ["busy", "InService"]
    assert deployed(cli, payload).exit_code == 0
    assert account.asked("CreateEndpoint") == account.asked("CreateEndpoint")[:1]
    assert account.targets()


@pytest.mark.parametrize("code", ["EndpointConnectionError", "ThrottlingException", "ServiceUnavailable"])
def test_a_line_that_drops_while_waiting_ends_nothing(cli, account, payload, code):
    deployed(cli, payload)
    update = payload | {"productionVariants": [payload["productionVariants"][0] | {"InstanceType": "ml.c5.xlarge"}]}
    begin = account._update_endpoint

    def update_and_drop(call):
        account.failing["DescribeEndpoint"] = [(code, "no line")] * 3
        return begin(call)

    account._update_endpoint = update_and_drop
    result = deployed(cli, update)
    assert result.exit_code == 0, result.stderr
    assert f"no answer from AWS ({code})" in result.stdout
    assert account.operations().count("DeregisterScalableTarget") == 1
    assert "putting auto scaling back" not in result.stdout


def test_a_line_that_stays_down_meets_the_deadline(cli, account, payload):
    account.failing["DescribeEndpoint"] = [("ValidationException", "Could not find endpoint")] * 2
    account.failing["DescribeEndpoint"] += [("ReadTimeoutError", "no line")] * 100
    result = cli("--timeout", "5", "deploy", "-", stdin=json.dumps(payload))
    assert result.exit_code == 3
    assert "last seen: no answer from AWS" in result.stderr


def test_a_permission_that_goes_while_waiting_is_told_at_once(cli, account, payload):
    account.failing["DescribeEndpoint"] = [("ValidationException", "Could not find endpoint")] * 2
    account.failing["DescribeEndpoint"] += [("AccessDeniedException", "no policy allows it")]
    assert deployed(cli, payload).exit_code == 4


def test_a_failed_creation_is_taken_away_by_the_next_run(cli, account, payload):
    account.script = "failed"
    deployed(cli, payload)
    account.script = "fine"
    assert deployed(cli, payload).exit_code == 0
    assert account.operations().count("CreateEndpoint") == 2


def test_the_autoscaled_count_survives_a_new_model(cli, account, payload):
    deployed(cli, payload)
    account.autoscale("autopilot", "AllTraffic", 3)
    deployed(cli, payload | {"environment": {"AUTOPILOT_LOG_LEVEL": "DEBUG"}})
    assert account._endpoints["autopilot"].counts == {"AllTraffic": 3}
    (update,) = account.asked("UpdateEndpoint")
    assert update["RetainAllVariantProperties"] is True
    assert "DeregisterScalableTarget" not in account.operations()


def test_a_new_instance_type_frees_the_target_keeps_the_count_and_scales_again(cli, account, payload):
    deployed(cli, payload)
    account.autoscale("autopilot", "AllTraffic", 3)
    payload["productionVariants"][0]["InstanceType"] = "ml.c5.xlarge"
    assert deployed(cli, payload).exit_code == 0
    operations = account.operations()
    assert operations.index("DeregisterScalableTarget") < operations.index("UpdateEndpoint")
    assert account._endpoints["autopilot"].counts == {"AllTraffic": 3}
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}


def test_a_rolled_back_change_of_type_scales_as_before(cli, account, payload):
    deployed(cli, payload)
    account.script = "rolled back"
    payload["productionVariants"][0]["InstanceType"] = "ml.c5.xlarge"
    result = deployed(cli, payload | {"autoscalingMaxCapacity": 9})
    assert result.exit_code == 1
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}
    assert account.operations()[-1] == "PutScalingPolicy"


def test_a_rollback_leaves_bounds_that_another_deployment_has_set_meanwhile(cli, account, payload):
    deployed(cli, payload)
    resource = "endpoint/autopilot/variant/AllTraffic"
    account.script = "rolled back"
    begin = account._update_endpoint

    def another_deployment_meanwhile(call):
        account._moto.make(scaling.register(resource, 2, 8))
        return begin(call)

    account._refuse_scaled = lambda *_: None
    account._update_endpoint = another_deployment_meanwhile
    payload["productionVariants"][0]["InstanceType"] = "ml.c5.xlarge"
    result = deployed(cli, payload)
    assert result.exit_code == 1
    assert account.targets() == {resource: (2, 8)}
    assert "of another deployment: they stay" in result.stdout


def test_variants_are_matched_by_name_not_by_place(cli, account, payload):
    second = {"VariantName": "Second", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    payload["productionVariants"].append(second)
    deployed(cli, payload)
    account.autoscale("autopilot", "Second", 4)
    payload["productionVariants"].reverse()
    payload["productionVariants"][1]["InstanceType"] = "ml.c5.xlarge"
    assert deployed(cli, payload).exit_code == 0
    assert account._endpoints["autopilot"].counts == {"AllTraffic": 1, "Second": 4}
    assert len(account.targets()) == 2


def test_a_variant_that_goes_loses_its_target(cli, account, payload):
    second = {"VariantName": "Second", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    deployed(cli, payload | {"productionVariants": [*payload["productionVariants"], second]})
    assert deployed(cli, payload).exit_code == 0
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}


def test_old_configs_and_models_are_cleaned_up_and_strangers_stay(cli, account, payload, seed_model):
    deployed(cli, payload)
    deployed(cli, payload | {"environment": {"AUTOPILOT_LOG_LEVEL": "DEBUG"}})
    contents = account.contents()
    assert len(contents["configs"]) == 1
    assert len(contents["models"]) == 2
    assert seed_model in contents["models"]


def test_a_failure_on_the_way_is_mended_by_the_next_run(cli, account, payload):
    account.failing["PutScalingPolicy"] = [("ThrottlingException", "Rate exceeded")]
    assert deployed(cli, payload).exit_code == 1
    assert deployed(cli, payload).exit_code == 0
    assert account.operations().count("CreateEndpoint") == 1
    assert account.operations()[-1] == "PutScalingPolicy"


CREATION = (
    "CreateRole", "PutRolePolicy", "CreateTable", "UpdateTimeToLive", "UpdateContinuousBackups", "CreateLogGroup",
    "PutRetentionPolicy", "CreateModel", "CreateEndpointConfig", "CreateEndpoint", "RegisterScalableTarget",
)  # fmt: skip


@pytest.mark.parametrize("operation", CREATION)
def test_a_second_run_finishes_a_creation_that_stopped_at(cli, account, payload, operation):
    account.failing[operation] = [("InternalFailure", "try again")]
    assert deployed(cli, payload).exit_code == 1
    assert deployed(cli, payload).exit_code == 0
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}
    done = account.operations()
    assert deployed(cli, payload).exit_code == 0
    assert account.operations() == done


UPDATE = (
    "PutRolePolicy", "CreateModel", "CreateEndpointConfig", "DeregisterScalableTarget", "UpdateEndpoint",
    "RegisterScalableTarget", "PutScalingPolicy", "DeleteEndpointConfig", "DeleteModel", "DeleteRolePolicy",
)  # fmt: skip


@pytest.mark.parametrize("operation", UPDATE)
def test_a_second_run_finishes_an_update_that_stopped_at(cli, account, payload, operation):
    deployed(cli, payload | ONE)
    account.autoscale("autopilot", "AllTraffic", 3)
    variant = payload["productionVariants"][0] | {"InstanceType": "ml.c5.xlarge"}
    update = payload | TWO | {"productionVariants": [variant]}
    account.failing[operation] = [("InternalFailure", "try again")]
    assert deployed(cli, update).exit_code == 1
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}
    assert deployed(cli, update).exit_code == 0
    assert account._endpoints["autopilot"].counts == {"AllTraffic": 3}
    assert (len(account.contents()["configs"]), len(account.contents()["models"])) == (1, 1)
    assert list(policies_of_the_role()) == ["serve"]


ROLE = "arn:aws:iam::123456789012:role/autopilot-autopilot"
NOT_SPREAD = [
    f"Could not assume role {ROLE}",
    f'Could not access model data at s3://models/one/model.tar.gz. Please ensure that the role "{ROLE}" exists and '
    'that its trust relationship policy allows the action "sts:AssumeRole" for "sagemaker.amazonaws.com".',
]


@pytest.mark.parametrize("words", NOT_SPREAD, ids=["the role", "its trust"])
def test_a_role_that_iam_has_not_spread_yet_is_waited_for(cli, account, payload, words):
    account.failing["CreateModel"] = [("ValidationException", words)] * 3
    assert deployed(cli, payload).exit_code == 0


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "PutScalingPolicy", "CreateRole"])
def test_a_missing_permission_names_the_action_and_the_statement_that_grants_it(cli, account, payload, operation):
    account.failing[operation] = [("AccessDeniedException", "no identity-based policy allows it")]
    result = deployed(cli, payload)
    assert result.exit_code == 4
    assert f":{operation}" in result.stderr
    assert '"Effect": "Allow"' in result.stderr


def test_the_permission_that_aws_names_is_the_one_that_is_reported(cli, account, payload):
    said = "User: x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r because no policy"
    account.failing["CreateModel"] = [("AccessDeniedException", said)]
    result = deployed(cli, payload)
    assert '"Action": "iam:PassRole"' in result.stderr
    assert '"Resource": "arn:aws:iam::1:role/r"' in result.stderr


def test_a_dry_run_prints_the_calls_and_makes_none(cli, account, payload):
    result = deployed(cli, payload, "--dry-run")
    assert result.exit_code == 0
    assert account.operations() == []
    assert account.contents() == {}
    assert "aws sagemaker create-endpoint-config --cli-input-json" in result.stdout
    assert "# wait until the endpoint is in service" in result.stdout


def test_a_dry_run_prints_what_the_real_run_then_does(cli, account, payload):
    printed = [line.split()[2] for line in deployed(cli, payload, "--dry-run").stdout.splitlines() if line[0] != "#"]
    deployed(cli, payload)
    assert [call.as_command().split()[2] for call in account.made if call.writes] == printed


def test_a_serverless_endpoint_has_no_scaling(cli, account, payload):
    serverless = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    result = deployed(cli, {"endpointName": "s", "image": payload["image"], "productionVariants": [serverless]})
    assert result.exit_code == 0, result.stderr
    assert account.targets() == {}


def test_an_asynchronous_endpoint_scales_on_its_backlog_and_may_write_its_answers(cli, account, payload):
    output = {"OutputConfig": {"S3OutputPath": "s3://results/answers/"}}
    result = deployed(cli, payload | {"asyncInferenceConfig": output, "autoscalingMinCapacity": 0})
    assert result.exit_code == 0, result.stderr
    policy = account.asked("PutScalingPolicy")[0]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert "arn:aws:s3:::results/answers/*" in account.asked("PutRolePolicy")[0]["PolicyDocument"]


def test_a_shadow_only_reads_history(cli, account, payload):
    shadow = {"VariantName": "Next", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    assert deployed(cli, payload | {"shadowProductionVariants": [shadow]}).exit_code == 0
    modes = [
        one["PrimaryContainer"]["Environment"].get("AUTOPILOT_HISTORY_MODE") for one in account.asked("CreateModel")
    ]
    assert modes == [None, "read-only"]


def test_a_shadows_metrics_are_not_among_those_of_the_variant_that_serves(cli, account, payload):
    shadow = {"VariantName": "Next", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    deployed(cli, payload | {"shadowProductionVariants": [shadow], "metricsNamespace": "games"})
    models = account.asked("CreateModel")
    namespaces = [one["PrimaryContainer"]["Environment"]["AUTOPILOT_METRICS_EMF"] for one in models]
    assert namespaces == ["games", "games-shadow"]


def test_a_shadow_whose_model_would_write_is_refused(cli, account, seed_payload, seed_model):
    shadow = {"VariantName": "N", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1, "ModelName": seed_model}
    result = deployed(cli, seed_payload | {"shadowProductionVariants": [shadow]})
    assert result.exit_code == 2
    assert "AUTOPILOT_HISTORY_MODE=read-only" in result.stderr
    assert account.operations() == []


def test_an_isolated_container_has_no_history(cli, account, payload):
    assert deployed(cli, payload | {"enableNetworkIsolation": True}).exit_code == 0
    assert account.asked("CreateModel")[0]["PrimaryContainer"]["Environment"]["AUTOPILOT_HISTORY"] == "off"
    assert "tables" not in account.contents()


def test_blue_green_with_alarms_goes_to_aws_as_it_is(cli, account, payload):
    canary = {"Type": "CANARY", "WaitIntervalInSeconds": 300, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}}
    deployment = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": canary},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "autopilot-autopilot-errors"}]},
    }
    deployed(cli, payload)
    changed = payload | {"environment": {"AUTOPILOT_LOG_LEVEL": "DEBUG"}, "deploymentConfig": deployment}
    assert deployed(cli, changed).exit_code == 0
    assert account.asked("UpdateEndpoint")[0]["DeploymentConfig"] == deployment
    (rights,) = policies_of_the_role().values()
    assert "arn:aws:cloudwatch:us-west-2:123456789012:alarm:autopilot-autopilot-errors" in rights


def policies_of_the_role():
    client = boto3.client("iam", region_name=REGION)
    listed = client.list_role_policies(RoleName="autopilot-autopilot")["PolicyNames"]
    got = (client.get_role_policy(RoleName="autopilot-autopilot", PolicyName=name) for name in listed)
    return {one["PolicyName"]: json.dumps(one["PolicyDocument"]) for one in got}


def test_an_update_that_is_rolled_back_leaves_the_old_config_the_rights_that_it_needs(cli, account, payload):
    deployed(cli, payload | ONE)
    account.script = "rolled back"
    assert deployed(cli, payload | TWO).exit_code == 1
    rights = policies_of_the_role()
    assert "models/one/model.tar.gz" in rights["serve"]
    account.script = "fine"
    assert deployed(cli, payload | TWO).exit_code == 0
    (rights,) = policies_of_the_role().values()
    assert "models/two/model.tar.gz" in rights
    assert "models/one/model.tar.gz" not in rights


def test_going_back_after_a_rollback_drops_the_rights_of_the_try(cli, account, payload):
    deployed(cli, payload | ONE)
    account.script = "rolled back"
    deployed(cli, payload | TWO)
    account.script = "fine"
    assert deployed(cli, payload | ONE).exit_code == 0
    assert list(policies_of_the_role()) == ["serve"]


def test_rights_of_an_update_come_before_it(cli, account, payload):
    deployed(cli, payload | ONE)
    deployed(cli, payload | TWO)
    operations = account.operations()[account.operations().index("PutScalingPolicy") + 1 :]
    assert operations.index("PutRolePolicy") < operations.index("CreateModel")
    assert operations[-2:] == ["PutRolePolicy", "DeleteRolePolicy"]


def test_a_bucket_without_a_folder_is_no_right_on_buckets_named_alike(cli, account, payload):
    capture = {"EnableCapture": True, "InitialSamplingPercentage": 5, "DestinationS3Uri": "s3://games",
               "CaptureOptions": [{"CaptureMode": "Input"}]}  # fmt: skip
    assert deployed(cli, payload | {"dataCaptureConfig": capture}).exit_code == 0
    rights = account.asked("PutRolePolicy")[0]["PolicyDocument"]
    assert '"arn:aws:s3:::games/*"' in rights
    assert "games*" not in rights


def test_the_role_may_tell_an_asynchronous_endpoints_topics(cli, account, payload):
    done, bad = (f"arn:aws:sns:us-west-2:123456789012:{name}" for name in ("done", "bad"))
    output = {"S3OutputPath": "s3://results/", "NotificationConfig": {"SuccessTopic": done, "ErrorTopic": bad}}
    assert deployed(cli, payload | {"asyncInferenceConfig": {"OutputConfig": output}}).exit_code == 0
    (rights,) = policies_of_the_role().values()
    assert all(words in rights for words in ("sns:Publish", done, bad))


def test_what_fails_after_the_new_config_serves_puts_no_old_bounds_back(cli, account, payload):
    second = {"VariantName": "Second", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    deployed(cli, payload | {"productionVariants": [*payload["productionVariants"], second]})
    account.failing["DeleteEndpointConfig"] = [("ThrottlingException", "Rate exceeded")]
    assert deployed(cli, payload).exit_code == 1
    assert account.targets() == {"endpoint/autopilot/variant/AllTraffic": (1, 4)}
    assert deployed(cli, payload).exit_code == 0
    assert len(account.contents()["configs"]) == 1


def test_a_table_that_is_still_going_is_made_anew(cli, account, payload):
    deployed(cli, payload)
    states = ["DELETING"] * 3
    describe = account._moto.make

    def going(call):
        if not states:
            raise aws_error(call, "ResourceNotFoundException", "Requested resource not found")
        answer = dict(describe(call))
        return answer | {"Table": answer["Table"] | {"TableStatus": states.pop()}}

    account._describe_table = going
    account._create_table = lambda _call: setattr(account, "_describe_table", describe)
    assert deployed(cli, payload).exit_code == 0
    assert len(account.asked("CreateTable")) == 2


def make_table(key, ttl=None):
    client = boto3.client("dynamodb", region_name=REGION)
    client.create_table(
        TableName="latest_observations",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind, _ in key],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": of} for name, _, of in key],
        BillingMode="PAY_PER_REQUEST",
    )
    if ttl:
        expiry = {"Enabled": True, "AttributeName": ttl}
        client.update_time_to_live(TableName="latest_observations", TimeToLiveSpecification=expiry)


FLEET, DAY = ("fleet", "HASH", "S"), ("day", "RANGE", "S")
OTHER_TABLES = {
    "another key": ([("id", "HASH", "S")], None, "with the key id (HASH, S), not fleet (HASH, S) + day (RANGE, S)"),
    "no day": ([FLEET], None, "with the key fleet (HASH, S), not"),
    "days as numbers": ([FLEET, ("day", "RANGE", "N")], None, "fleet (HASH, S) + day (RANGE, N), not"),
    "another expiry": ([FLEET, DAY], "expires", "its items expire by expires, not ttl"),
}


@pytest.mark.parametrize(("key", "ttl", "said"), OTHER_TABLES.values(), ids=OTHER_TABLES.keys())
def test_a_table_that_is_no_history_is_told_before_anything_is_made(cli, account, payload, key, ttl, said):
    make_table(key, ttl)
    result = deployed(cli, payload)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "historyTable" in result.stderr
    assert account.operations() == []


def test_a_table_of_ones_own_with_the_right_key_is_taken(cli, account, payload):
    make_table([FLEET, DAY], "ttl")
    assert deployed(cli, payload).exit_code == 0
    assert "CreateTable" not in account.operations()


KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
KEYS = {
    "an ARN": (KEY, KEY, None),
    "an id": (KEY.rpartition("/")[2], KEY, None),
    "an alias": ("alias/games", KEY.rpartition("/")[0] + "/*", "alias/games"),
    "an alias of another account": (
        "arn:aws:kms:us-west-2:999999999999:alias/games", "arn:aws:kms:us-west-2:999999999999:key/*", "alias/games"
    ),
}  # fmt: skip
CAPTURE = {
    "EnableCapture": True, "InitialSamplingPercentage": 5, "DestinationS3Uri": "s3://games/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}  # fmt: skip


def rights_by_sid():
    (document,) = policies_of_the_role().values()
    return {one["Sid"]: one for one in json.loads(document)["Statement"]}


@pytest.mark.parametrize(("key", "resource", "alias"), KEYS.values(), ids=KEYS.keys())
def test_the_role_may_use_the_key_that_disks_are_encrypted_with(cli, payload, key, resource, alias):
    assert deployed(cli, payload | {"kmsKeyId": key}).exit_code == 0
    right = rights_by_sid()["DiskKey"]
    assert (right["Action"], right["Resource"]) == (["kms:CreateGrant", "kms:DescribeKey"], resource)
    assert right["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert right["Condition"].get("ForAnyValue:StringEquals", {}).get("kms:ResourceAliases") == alias


OBJECT_KEYS = {
    "captured requests": {"dataCaptureConfig": CAPTURE | {"KmsKeyId": KEY}},
    "asynchronous answers": {"asyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://o/", "KmsKeyId": KEY}}},
}


@pytest.mark.parametrize("fields", OBJECT_KEYS.values(), ids=OBJECT_KEYS.keys())
def test_the_role_may_use_the_key_that_objects_are_encrypted_with(cli, payload, fields):
    assert deployed(cli, payload | fields).exit_code == 0
    right = rights_by_sid()["ObjectKey1"]
    assert (set(right["Action"]), right["Resource"]) == (
        {"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"},
        KEY,
    )


def test_no_key_named_is_no_right_on_keys(cli, payload):
    assert deployed(cli, payload).exit_code == 0
    assert "kms:" not in json.dumps(rights_by_sid())


def test_tags_may_be_named_as_aws_allows(cli, account, payload):
    tags = {"cost-center": "games 7", "team:owner": "über"}
    assert deployed(cli, payload | {"tags": tags}).exit_code == 0
    assert {"Key": "cost-center", "Value": "games 7"} in account.asked("CreateEndpoint")[0]["Tags"]


def test_days_that_no_log_is_kept_are_refused_before_any_call(cli, account, payload):
    result = deployed(cli, payload, "--log-days", "10")
    assert result.exit_code == 2
    assert account.made == []


def test_another_number_of_days_reaches_the_log(cli, account, payload):
    assert deployed(cli, payload, "--log-days", "90").exit_code == 0
    assert account.asked("PutRetentionPolicy")[0]["retentionInDays"] == 90


def test_a_model_that_does_not_exist_is_told_before_anything_is_made(cli, account, seed_payload):
    result = deployed(cli, seed_payload)
    assert result.exit_code == 2
    assert "h2o3-gbm-2019-10-22-17-57-58 does not exist" in result.stderr
    assert account.operations() == []


def test_every_status_of_sagemakers_model_has_a_meaning():
    shape = operation("sagemaker", "DescribeEndpoint").output_shape.members["EndpointStatus"]
    assert set(PHASES) == set(shape.metadata["enum"])


def test_accounts_start_empty(account: Account):
    assert account.contents() == {}
