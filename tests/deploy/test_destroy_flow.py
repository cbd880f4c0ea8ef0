import json

import boto3
import pytest

from autopilot_deploy.core.names import TAG
from testkit.aws.account import REGION
from tests.deploy.test_deploy_flow import deployed


def test_destroy_leaves_the_account_as_empty_as_it_was(cli, account, payload):
    deployed(cli, payload)
    cli("dashboard", "autopilot", "--topic", "arn:aws:sns:us-west-2:123456789012:alarms")
    assert set(account.contents()) == {
        "models", "configs", "roles", "tables", "log groups", "alarms", "dashboards", "endpoints", "targets",
    }  # fmt: skip
    result = cli("destroy", "autopilot", "--yes")
    assert result.exit_code == 0, result.stderr
    assert account.contents() == {}


def test_destroy_touches_nothing_that_it_did_not_make(cli, account, seed_payload, seed_model):
    deployed(cli, seed_payload)
    cli("destroy", "test-endpoint", "--yes")
    assert account.contents() == {"models": [seed_model]}


def test_an_endpoint_whose_name_goes_on_is_another_endpoint(cli, account, payload):
    deployed(cli, payload)
    deployed(cli, payload | {"endpointName": "autopilot-eu"})
    cli("dashboard", "autopilot-eu")
    before = account.contents()
    cli("destroy", "autopilot", "--yes")
    after = account.contents()
    assert after["endpoints"] == ["autopilot-eu"]
    assert after["tables"] == ["latest_observations"]
    assert after["alarms"] == before["alarms"]
    assert len(after["configs"]) == len(after["models"]) == len(after["roles"]) == 1
    cli("destroy", "autopilot-eu", "--yes")
    assert account.contents() == {}


def test_the_table_stays_where_history_is_to_be_kept(cli, account, payload):
    deployed(cli, payload)
    cli("destroy", "autopilot", "--yes", "--keep-history")
    assert account.contents() == {"tables": ["latest_observations"]}


def test_a_table_of_another_name_goes_too(cli, account, payload):
    deployed(cli, payload | {"historyTable": "own-table"})
    cli("destroy", "autopilot", "--yes")
    assert account.contents() == {}


def named(payload, model):
    return payload | {"productionVariants": [payload["productionVariants"][0] | {"ModelName": model}]}


def test_a_model_under_a_name_of_the_payload_goes_too_and_its_table(cli, account, payload):
    deployed(cli, named(payload, "shooter-v1") | {"historyTable": "own-table"})
    deployed(cli, named(payload, "shooter-v2") | {"historyTable": "own-table"})
    assert account.contents()["models"] == ["shooter-v2"]
    cli("destroy", "autopilot", "--yes")
    assert account.contents() == {}


@pytest.mark.parametrize("operation", ["DeleteTable", "DeleteModel", "DeleteEndpointConfig", "DeleteRole"])
def test_a_stop_on_the_way_leaves_what_leads_to_the_rest(cli, account, payload, operation):
    deployed(cli, named(payload, "shooter-v1") | {"historyTable": "own-table"})
    account.failing[operation] = [("InternalFailure", "try again")]
    assert cli("destroy", "autopilot", "--yes").exit_code == 1
    assert cli("destroy", "autopilot", "--yes").exit_code == 0
    assert account.contents() == {}


def test_what_the_stack_made_for_the_same_endpoint_stays(cli, account, payload):
    deployed(cli, payload)
    boto3.client("logs", region_name=REGION).untag_log_group(
        logGroupName="/aws/sagemaker/Endpoints/autopilot", tags=[TAG]
    )
    cloudwatch = boto3.client("cloudwatch", region_name=REGION)
    cloudwatch.put_dashboard(DashboardName="autopilot-autopilot", DashboardBody="{}")
    cloudwatch.put_metric_alarm(
        AlarmName="autopilot-autopilot-errors", MetricName="x", Namespace="y", Statistic="Sum", Period=60, Threshold=1,
        EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "gameserver-autopilot:stack", "Value": "games"}],
    )  # fmt: skip
    cli("destroy", "autopilot", "--yes")
    assert set(account.contents()) == {"log groups", "dashboards", "alarms"}


def test_targets_of_an_endpoint_that_someone_deleted_go_too(cli, account, payload):
    deployed(cli, payload)
    account._endpoints.clear()
    cli("destroy", "autopilot", "--yes")
    assert account.contents() == {}


def test_what_a_failed_deployment_left_goes_too(cli, account, payload):
    account.script = "failed"
    deployed(cli, payload)
    assert cli("destroy", "autopilot", "--yes").exit_code == 0
    assert account.contents() == {}


def test_a_second_run_finishes_what_a_first_one_could_not(cli, account, payload):
    deployed(cli, payload)
    account.failing["DeleteEndpoint"] = [("InternalFailure", "try again")]
    assert cli("destroy", "autopilot", "--yes").exit_code == 1
    assert cli("destroy", "autopilot", "--yes").exit_code == 0
    assert account.contents() == {}


def test_transforms_leave_no_rights_behind(cli, account, payload):
    deployed(cli, payload)
    cli("transform", "autopilot", "s3://data/in.csv", "s3://data/out/")
    cli("destroy", "autopilot", "--yes")
    assert account.contents() == {}


def test_nothing_happens_without_a_yes(cli, account, payload):
    deployed(cli, payload)
    before = account.contents()
    result = cli("destroy", "autopilot", stdin="n\n")
    assert result.exit_code == 1
    assert "aws dynamodb delete-table" in result.stdout
    assert account.contents() == before


def test_a_dry_run_of_destroy_prints_and_touches_nothing(cli, account, payload):
    deployed(cli, payload)
    before = account.contents()
    result = cli("destroy", "autopilot", "--dry-run")
    assert "aws sagemaker delete-endpoint --cli-input-json" in result.stdout
    assert account.contents() == before


def test_destroying_nothing_says_so(cli):
    assert "nothing of nobody is left" in cli("destroy", "nobody", "--yes").stdout


def test_an_endpoint_in_change_is_waited_for(cli, account, payload):
    account.script = "never ends"
    cli("--timeout", "1", "deploy", "-", stdin=json.dumps(payload))
    account._endpoints["autopilot"].looks = ["busy", "busy", "InService"]
    assert cli("destroy", "autopilot", "--yes").exit_code == 0
    assert account.contents() == {}
