"""The command line, and CloudWatch as boto3 really sends it."""

import socket
import subprocess
import sys

import boto3
import pytest
import yaml
from click.testing import CliRunner
from moto import mock_aws

from autopilot_client.commands.cli import main
from autopilot_client.commands.wiring import ClientContext, build
from autopilot_client.config.document import CloudWatch
from autopilot_client.config.parse import parse
from autopilot_client.status import cloudwatch
from testkit.client.api_server import ROOT
from testkit.client.standins import Cluster, Document, EndpointStandIn, serving


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A configuration and a kubeconfig for stand-ins."""
    for name in ("POD_NAMESPACE", "POD_NAME", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    cluster = Cluster()
    cluster.add("deployments", "a", 40)
    with serving(cluster) as c, serving(EndpointStandIn()) as e, serving(Document({"demand": 50})) as d:
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


def test_a_configuration_in_another_encoding_is_said(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfea")
    done = CliRunner().invoke(main, ["--config", str(tmp_path / "c.yaml"), "--check"])
    assert (done.exit_code, "c.yaml: not UTF-8" in done.stderr) == (1, True)


def test_a_kubeconfig_that_is_no_yaml_is_said(installed, tmp_path):
    (tmp_path / "broken").write_text("a: [")
    done = CliRunner().invoke(main, [*installed[1], "--once", "--kubeconfig", str(tmp_path / "broken")])
    assert (done.exit_code, "broken: while parsing" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"endpoint": {"sagemaker": "a"}}, "sagemaker-runtime: You must specify a region.", id="endpoint"),
        pytest.param({"cloudwatch": {}}, "cloudwatch: You must specify a region.", id="CloudWatch"),
    ],
)
def test_a_missing_region_is_said(installed, tmp_path, monkeypatch, change, message):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    done = CliRunner().invoke(main, [*installed[1], "--once"])
    assert (done.exit_code, message in done.stderr) == (1, True)
    assert "AWS_DEFAULT_REGION" in done.stderr


def test_a_port_that_is_taken_is_said(installed, tmp_path):
    path = tmp_path / "config.yaml"
    with socket.create_server(("127.0.0.1", 0)) as holder:
        server = {"server": {"host": "127.0.0.1", "port": holder.getsockname()[1]}}
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | server))
        command = [sys.executable, "-m", "autopilot_client", *installed[1], "--no-election"]  # it listens: a process
        done = subprocess.run(command, cwd=ROOT / "client", capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "server.port: " in done.stderr) == (1, True)
    assert "write another host and port" in done.stderr


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


def test_a_dry_run_beside_others_takes_no_part_in_their_election(installed):
    """It would hold the Lease, and nobody would act."""
    cluster, options = installed
    config, kubeconfig = options[1], options[3]
    with open(config, encoding="utf-8") as file:
        parsed = parse(file.read(), "test")
    client = build(parsed, ClientContext(kubeconfig, "games", "me", dry_run=True))
    client.election.start()
    client.loop.run_pass()
    client.election.stop()
    assert not client.election.leads()
    assert {call.split()[0] for call in cluster.calls} == {"GET"}
    assert not [call for call in cluster.calls if "lease" in call]
