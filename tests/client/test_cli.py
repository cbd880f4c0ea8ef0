"""The command line, and CloudWatch as boto3 really sends it."""

import boto3
import pytest
import yaml
from click.testing import CliRunner
from moto import mock_aws

from autopilot_client import cloudwatch
from autopilot_client.cli import main
from autopilot_client.config import CloudWatch
from tests.client.standins import Cluster, Document, Endpoint, serving


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A configuration and a kubeconfig for stand-ins."""
    for name in ("POD_NAMESPACE", "POD_NAME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    cluster = Cluster()
    cluster.add("deployments", "a", 40)
    with serving(cluster) as c, serving(Endpoint()) as e, serving(Document({"demand": 50})) as d:
        demand = {"source": "http", "url": d}
        fleet = {"name": "eu/a", "target": "deployment/a", "demand": demand, "maximum": 500, "apply": "scale"}
        config, kubeconfig = tmp_path / "config.yaml", tmp_path / "kubeconfig"
        config.write_text(yaml.safe_dump({"namespace": "games", "endpoint": {"url": e}, "fleets": [fleet]}))
        context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
        document = {"clusters": [{"name": "x", "cluster": {"server": c}}], "users": [{"name": "x", "user": {}}]}
        kubeconfig.write_text(yaml.safe_dump(document | {"contexts": [context], "current-context": "x"}))
        yield cluster, ["--config", str(config), "--kubeconfig", str(kubeconfig)]


def test_once_makes_one_pass_and_prints_it(installed):
    cluster, options = installed
    done = CliRunner().invoke(main, [*options, "--once"])
    assert (done.exit_code, done.stdout) == (0, "eu/a: demand 50.0, size 60, decided 60 (policy), scaled\n")
    assert cluster.size("deployments/a") == 60


def test_once_with_dry_run_changes_nothing(installed):
    cluster, options = installed
    done = CliRunner().invoke(main, [*options, "--once", "--dry-run"])
    assert "size 40, decided 60 (policy), observed" in done.stdout
    assert cluster.size("deployments/a") == 40


def test_once_without_a_fresh_answer_ends_with_one(installed):
    cluster, options = installed
    cluster.refuse = {"GET": 503}
    done = CliRunner().invoke(main, [*options, "--once"])
    assert (done.exit_code, cluster.size("deployments/a")) == (1, 40)
    assert "decided nothing (cluster_unknown)" in done.stdout


def test_check_reads_the_configuration_only(installed):
    cluster, options = installed
    done = CliRunner().invoke(main, [*options, "--check"])
    assert (done.exit_code, cluster.calls) == (0, [])
    assert done.stdout.endswith("config.yaml: right; 1 fleets\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "/none.yaml"], "/none.yaml: No such file or directory; write it, or give --config"),
        (["--interval", "0.1"], "--interval: write seconds between passes, 1 to 3600"),
        (["--kubeconfig", "/none"], "run in a pod, or give --kubeconfig"),
        (["--kubeconfig", ""], "this is not a pod with a service account; give --kubeconfig"),
    ],
)
def test_a_start_that_cannot_succeed_says_what_to_do(installed, options, message):
    done = CliRunner().invoke(main, [*installed[1], "--once", *options])
    assert done.exit_code == 1
    assert message in done.stderr


@mock_aws
def test_cloudwatch_takes_a_pass_of_many_fleets(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    settings = CloudWatch(region="us-west-2")
    samples = [cloudwatch.Sample(f"eu/f{i}", 90 + i, 80.0, 91 + i, i % 2 == 0) for i in range(300)]
    cloudwatch.put(cloudwatch.connect(settings), settings, cloudwatch.metric_data(samples, 7, settings))
    reader = boto3.client("cloudwatch", region_name="us-west-2")
    pages = reader.get_paginator("list_metrics").paginate(Namespace="multiplayersample")
    metrics = [metric for page in pages for metric in page["Metrics"]]
    assert {metric["MetricName"] for metric in metrics} == {
        "num_of_gs", "current_gs_demand", "new_size", "false-positive", "num_of_nodes",
    }  # fmt: skip
    assert len(metrics) == 4 * 300 + 1


def test_a_cloudwatch_that_is_away_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    settings = CloudWatch(region="us-west-2", url="http://127.0.0.1:9")
    data = cloudwatch.metric_data([cloudwatch.Sample("a", 1, 1.0, 1, False)], None, settings)
    with pytest.raises(cloudwatch.CloudWatchError):
        cloudwatch.put(cloudwatch.connect(settings), settings, data)
