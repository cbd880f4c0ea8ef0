import io
import json

import pytest
from click.testing import CliRunner

from autopilot_deploy.cli import main
from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.errors import aws_error
from tests.deploy.test_deploy_flow import deployed


def test_status_of_nothing_is_a_failure(cli):
    result = cli("status", "nobody")
    assert result.exit_code == 1
    assert result.stdout.startswith("nobody: none")


def test_status_tells_what_serves_and_between_which_bounds(cli, account, payload):
    deployed(cli, payload)
    account.autoscale("autopilot", "AllTraffic", 3)
    result = cli("status", "autopilot", "--json")
    seen = json.loads(result.stdout)
    assert result.exit_code == 0
    assert seen["instances"] == {"AllTraffic": 3}
    assert (seen["scaling"][0]["min"], seen["scaling"][0]["max"]) == (1, 4)
    assert seen["history"] == {"table": "latest_observations", "status": "ACTIVE"}


def test_status_of_a_failed_endpoint_gives_the_reason(cli, account, payload):
    account.script = "failed"
    deployed(cli, payload)
    result = cli("status", "autopilot")
    assert result.exit_code == 1
    assert account.reason in result.stdout


def test_the_dashboard_has_the_three_graphs_of_old_over_five_minutes(cli, account, payload):
    deployed(cli, payload)
    assert cli("dashboard", "autopilot").exit_code == 0
    body = json.loads(account.asked("PutDashboard")[0]["DashboardBody"])
    graphs = [one["properties"] for one in body["widgets"] if one["type"] == "metric"]
    shown = [({metric[1] for metric in one["metrics"]}, one["stat"], one["period"]) for one in graphs]
    assert ({"num_of_gs", "current_gs_demand"}, "Average", 300) in shown
    assert ({"num_of_gs", "num_of_nodes"}, "Average", 300) in shown
    assert ({"false-positive"}, "Sum", 300) in shown


def test_widgets_do_not_overlap_and_fit_the_grid(cli, account, payload):
    deployed(cli, payload)
    cli("dashboard", "autopilot", "--variant", "A", "--variant", "B", "--fleet", "us/shooter")
    taken = set()
    for one in json.loads(account.asked("PutDashboard")[0]["DashboardBody"])["widgets"]:
        assert one["x"] + one["width"] <= 24
        cells = {(one["x"] + i, one["y"] + j) for i in range(one["width"]) for j in range(one["height"])}
        assert not cells & taken
        taken |= cells


def test_alarms_tell_the_topic_and_say_what_to_do(cli, account, payload):
    deployed(cli, payload)
    topic = "arn:aws:sns:us-west-2:123456789012:alarms"
    cli("dashboard", "autopilot", "--topic", topic)
    alarms = account.asked("PutMetricAlarm")
    assert len(alarms) == 6
    assert all(one["AlarmActions"] == [topic] and one["AlarmDescription"] for one in alarms)


def test_a_fleet_dimension_reaches_graphs_and_alarms(cli, account, payload):
    deployed(cli, payload)
    cli("dashboard", "autopilot", "--fleet", "us/shooter")
    assert '"curr_demand","fleet","us/shooter"' in account.asked("PutDashboard")[0]["DashboardBody"]
    low = next(one for one in account.asked("PutMetricAlarm") if one["AlarmName"].endswith("policy-low"))
    assert low["Dimensions"] == [{"Name": "fleet", "Value": "us/shooter"}]


def test_errors_of_every_variant_ring(cli, account, payload):
    deployed(cli, payload)
    assert cli("dashboard", "autopilot", "--variant", "A", "--variant", "B").exit_code == 0
    errors = next(one for one in account.asked("PutMetricAlarm") if one["AlarmName"].endswith("-errors"))
    watched = [one["MetricStat"]["Metric"]["Dimensions"][1]["Value"] for one in errors["Metrics"][:-1]]
    assert watched == ["A", "B"]
    assert errors["Metrics"][-1]["Expression"] == "SUM(METRICS())"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_says_what_it_is_for(name):
    assert all(one.help for one in main.commands[name].params if one.param_type_name == "option")


def test_a_client_of_several_fleets_is_shown_by_fleet_beside_a_container_that_is_not(cli, account, payload):
    deployed(cli, payload)
    assert cli("dashboard", "autopilot", "--client-fleet", "us/shooter").exit_code == 0
    body = account.asked("PutDashboard")[0]["DashboardBody"]
    assert '["multiplayersample","current_gs_demand","fleet","us/shooter"]' in body
    assert '["autopilot","curr_demand"]' in body
    low, silent = (
        next(one for one in account.asked("PutMetricAlarm") if one["AlarmName"].endswith(end))
        for end in ("under-provisioned", "silent")
    )
    assert low["Metrics"][0]["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "fleet", "Value": "us/shooter"}]
    assert silent["Dimensions"] == []


def test_a_batch_job_keeps_lines_as_lines_and_waits_for_its_end(cli, account, payload):
    deployed(cli, payload)
    result = cli("transform", "autopilot", "s3://data/in/", "s3://data/out/", "--format", "jsonl", "--job", "one")
    assert result.exit_code == 0, result.stderr
    (job,) = account.asked("CreateTransformJob")
    assert job["TransformInput"]["SplitType"] == job["TransformOutput"]["AssembleWith"] == "Line"
    assert job["TransformInput"]["ContentType"] == job["TransformOutput"]["Accept"] == "application/jsonlines"
    assert job["Environment"] == {"SAGEMAKER_BATCH": "true", "MODEL_SERVER_WORKERS": "1"}
    assert job["MaxConcurrentTransforms"] == 1  # the rows before are the history of those after them
    assert not {"BatchStrategy", "MaxPayloadInMB"} & set(job)  # what the container advises holds
    rights = account.asked("PutRolePolicy")[-1]
    assert "arn:aws:s3:::data/out/*" in rights["PolicyDocument"]
    assert account.asked("DeleteRolePolicy") == [{"RoleName": rights["RoleName"], "PolicyName": rights["PolicyName"]}]


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_batch_job_that_ends_otherwise_is_a_failure(cli, account, payload, status):
    deployed(cli, payload)
    answer = {"TransformJobStatus": status, "FailureReason": "ClientError: 415"}
    account._describe_transform_job = lambda _call: answer
    result = cli("transform", "autopilot", "s3://data/in/", "s3://data/out/", "--job", "one")
    assert result.exit_code == 1
    assert f"one {status.lower()}: ClientError: 415" in result.stderr
    assert account.operations()[-1] == "DeleteRolePolicy"


def test_a_batch_job_that_does_not_end_meets_the_deadline(cli, account, payload, clock):
    deployed(cli, payload)
    account._describe_transform_job = lambda _call: {"TransformJobStatus": "InProgress"}
    assert cli("--timeout", "2", "transform", "autopilot", "s3://d/in", "s3://d/out").exit_code == 3
    assert "DeleteRolePolicy" not in account.operations()


def test_invoke_prints_the_answer_alone(cli, account, payload):
    deployed(cli, payload)
    account._invoke_endpoint = lambda call: {"Body": io.BytesIO(call.parameters["Body"])}
    result = cli("invoke", "autopilot", "--fleet", "us/shooter", "--demand", "86")
    assert json.loads(result.stdout) == {"fleet": "us/shooter", "demand": 86}


def test_what_the_container_refused_is_told(cli, account, payload):
    deployed(cli, payload)

    def refuse(call: AwsCall):
        raise aws_error(call, "ModelError", "the container answered 400: demand is missing")

    account._invoke_endpoint = refuse
    result = cli("invoke", "autopilot", "--fleet", "us/shooter")
    assert result.exit_code == 1
    assert "demand is missing" in result.stderr


def test_an_asynchronous_endpoint_answers_with_a_place(cli, account, payload):
    output = {"OutputConfig": {"S3OutputPath": "s3://results/answers/"}}
    deployed(cli, payload | {"asyncInferenceConfig": output})
    account._invoke_endpoint_async = lambda _call: {"OutputLocation": "s3://results/answers/1.out"}
    assert cli("invoke", "autopilot", "--fleet", "x", "--demand", "1").stdout.strip() == "s3://results/answers/1.out"


@pytest.mark.parametrize("arguments", [["invoke", "a"], ["transform", "a", "in.csv", "s3://out"], ["deploy"]])
def test_wrong_usage_ends_with_two(cli, arguments):
    assert cli(*arguments).exit_code == 2


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", *REGIONS):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_rehearsal_without_credentials_shows_the_plan_for_an_empty_account(no_credentials, payload):
    result = CliRunner().invoke(main, ["deploy", "--dry-run", "-"], input=json.dumps(payload))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("# note: there are no AWS credentials: this is the plan for an empty account")
    assert "aws sagemaker create-endpoint --cli-input-json" in result.stdout
    assert "arn:aws:iam::ACCOUNT:role/autopilot-autopilot" in result.stdout


@pytest.mark.parametrize("arguments", [["dashboard", "a"], ["destroy", "a"], ["transform", "a", "s3://i", "s3://o"]])
def test_other_rehearsals_need_no_credentials_either(no_credentials, arguments):
    result = CliRunner().invoke(main, [*arguments, "--dry-run", *["--model=m"] * (arguments[0] == "transform")])
    assert result.exit_code == 0, result.stderr
    assert "an empty account" in result.stdout


def test_without_credentials_nothing_but_a_rehearsal_is_done(no_credentials, payload):
    result = CliRunner().invoke(main, ["--region=us-west-2", "deploy", "-"], input=json.dumps(payload))
    assert result.exit_code == 1
    assert "NoCredentialsError" in result.stderr


REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.mark.parametrize("name", REGIONS)
def test_the_region_is_read_from_either_variable(no_credentials, monkeypatch, payload, name):
    monkeypatch.setenv(name, "cn-north-1")
    result = CliRunner().invoke(main, ["deploy", "--dry-run", "-"], input=json.dumps(payload))
    assert "arn:aws-cn:dynamodb:cn-north-1:" in result.stdout


def test_no_region_says_what_to_set(no_credentials, payload):
    result = CliRunner().invoke(main, ["deploy", "-"], input=json.dumps(payload))
    assert result.exit_code == 1
    assert all(name in result.stderr for name in REGIONS)


def test_a_profile_that_is_not_there_is_told_in_words(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    result = CliRunner().invoke(main, ["status", "autopilot"])
    assert result.exit_code == 1
    assert "AWS_PROFILE" in result.stderr
