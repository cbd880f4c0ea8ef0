"""A training job of several hosts: real containers on a network of the engine's, some of them killed.

Needs AUTOPILOT_IMAGE_RAY, the image with Ray.
"""

import json
import os
import shutil
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from testkit.engine import Container, docker, image_named
from testkit.server import until

pytestmark = pytest.mark.engine

TOKEN = "a secret of more than sixteen characters"
QUICK = {
    "models": "each", "recorded_weight": "1", "epochs": "1", "hidden": "8", "head_hidden": "8", "warm_start": "none",
    "fleets": "6", "validation_fleets": "6", "decisions": "24", "forecast_epochs": "1", "workers": "1",
    "join_minutes": "2",
}  # fmt: skip
FLEETS = 4
PATIENCE = 580


@pytest.fixture(scope="module")
def image():
    return image_named("AUTOPILOT_IMAGE_RAY")


@pytest.fixture
def network():
    name = f"autopilot-{uuid.uuid4().hex[:8]}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


def demand(place, number):
    rng = np.random.default_rng(number)
    at = np.arange(0, 3 * 86400, 300)
    servers = rng.poisson(60 + 30 * np.sin(2 * np.pi * at / 86400 + number))
    rows = (f"{1_790_000_000 + int(t)},{int(d)}" for t, d in zip(at, servers, strict=True))
    (place / f"f{number}.csv").write_text("timestamp,demand\n" + "\n".join(rows) + "\n")


def opt_ml(root, hosts, current, fleets, **hparams):
    """A host's /opt/ml; its channel has these fleets."""
    config, channel = root / "input" / "config", root / "input" / "data" / "training"
    config.mkdir(parents=True)
    channel.mkdir(parents=True)
    for number in fleets:
        demand(channel, number)
    sharded = {"training": {"S3DistributionType": "ShardedByS3Key"}} if len(fleets) < FLEETS else {}
    files = {
        "hyperparameters.json": QUICK | hparams,
        "resourceConfig.json": {"current_host": current, "hosts": hosts, "network_interface_name": "eth0"},
        "inputdataconfig.json": sharded,
    }
    for name, content in files.items():
        (config / name).write_text(json.dumps(content))
    return root


@dataclass
class Cluster:
    """Containers of one job."""

    image: str
    network: str
    stack: ExitStack
    running: dict = field(default_factory=dict)

    def start(self, host, root, token=TOKEN):
        options = (f"--network={self.network}", f"--hostname={host}", f"--network-alias={host}", "--shm-size=256m")
        environment = (f"--env=RAY_AUTH_TOKEN={token}",)
        run = docker("run", "--detach", *options, *environment, f"--volume={root}:/opt/ml", self.image, "train")
        container = Container(run.stdout.strip())
        self.stack.callback(docker, "rm", "--force", "--volumes", container.name)
        self.running[host] = container
        return container

    def start_all(self, roots):
        for host, root in roots.items():
            self.start(host, root)

    def ended(self, host):
        """The exit status; waits for the end."""
        return int(docker("wait", self.running[host].name, timeout=PATIENCE).stdout)

    def finished_at(self, host):
        return self.running[host].state()["FinishedAt"]


@contextmanager
def cluster(image, network):
    with ExitStack() as stack:
        yield Cluster(image, network, stack)


def results(root):
    """All that is promised to be the same: a SavedModel holds a random number of TensorFlow's own."""
    model = Path(root) / "model"
    files = [*model.rglob("metadata.json"), *model.rglob("model.tflite"), model / "fleets.json"]
    return {str(path.relative_to(root)): path.read_bytes() for path in [*files, Path(root) / "output/data/report.html"]}


def kept(root):
    return [path for path in (root / "checkpoints").rglob("*.tar.gz") if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def alone(image, tmp_path_factory):
    """What one host makes of all fleets."""
    root = opt_ml(tmp_path_factory.mktemp("alone"), ["algo-1"], "algo-1", range(FLEETS))
    docker("run", "--rm", "--network=none", f"--volume={root}:/opt/ml", image, "train")
    assert len(json.loads((root / "model" / "fleets.json").read_text())["fleets"]) == FLEETS
    return results(root)


def test_three_hosts_each_with_a_part_of_the_fleets_and_one_killed_give_what_one_gives(image, network, tmp_path, alone):
    hosts = ["algo-1", "algo-2", "algo-3"]
    roots = {host: opt_ml(tmp_path / host, hosts, host, range(at, FLEETS, 3)) for at, host in enumerate(hosts)}
    with cluster(image, network) as job:
        job.start_all(dict(reversed(roots.items())))  # the head comes last
        until(lambda: kept(roots["algo-1"]), "a first fleet is done", PATIENCE)
        docker("kill", "--signal=KILL", job.running["algo-3"].name)
        assert job.ended("algo-1") == 0, job.running["algo-1"].log()
        assert job.ended("algo-2") == 0, job.running["algo-2"].log()
        assert job.finished_at("algo-2") >= job.finished_at("algo-1"), "a follower ends after the head"
        assert "algo-1 is done" in job.running["algo-2"].log()
    assert results(roots["algo-1"]) == alone
    assert not (roots["algo-2"] / "model").exists(), "one writer"


def test_a_head_that_is_killed_fails_its_followers_and_goes_on_where_it_was(image, network, tmp_path, alone):
    hosts = ["algo-1", "algo-2"]
    roots = {host: opt_ml(tmp_path / host, hosts, host, range(FLEETS)) for host in hosts}
    with cluster(image, network) as job:
        job.start_all(roots)
        until(lambda: kept(roots["algo-1"]), "a first fleet is done", PATIENCE)
        docker("kill", "--signal=KILL", job.running["algo-1"].name)
        assert job.ended("algo-2") == 1
        assert "the head algo-1 was lost before it was done" in (roots["algo-2"] / "output" / "failure").read_text()
    assert not (roots["algo-1"] / "model").exists()
    done = len(kept(roots["algo-1"]))
    with cluster(image, network) as job:
        job.start_all(roots)
        assert job.ended("algo-1") == 0, job.running["algo-1"].log()
        assert job.ended("algo-2") == 0, job.running["algo-2"].log()
        assert f"{FLEETS} recorded fleets, {done} of them done before" in job.running["algo-1"].log()
    assert results(roots["algo-1"]) == alone
    assert not (roots["algo-2"] / "output" / "failure").exists()


@pytest.mark.skipif("AUTOPILOT_ALL_HOSTS" not in os.environ, reason="a minute more: set AUTOPILOT_ALL_HOSTS=1")
def test_a_follower_that_is_told_to_stop_stops_the_job_in_good_order(image, network, tmp_path):
    hosts = ["algo-1", "algo-2"]
    roots = {host: opt_ml(tmp_path / host, hosts, host, range(FLEETS)) for host in hosts}
    with cluster(image, network) as job:
        job.start_all(roots)
        until(lambda: kept(roots["algo-1"]), "a first fleet is done", PATIENCE)
        docker("kill", "--signal=TERM", job.running["algo-2"].name)
        assert job.ended("algo-1") == 0, job.running["algo-1"].log()
        assert job.ended("algo-2") == 0, job.running["algo-2"].log()
        assert "told to stop" in job.running["algo-1"].log()
    assert len(json.loads((roots["algo-1"] / "model" / "fleets.json").read_text())["fleets"]) >= 1


def test_a_host_with_another_token_and_one_that_does_not_come_are_named(image, network, tmp_path):
    hosts = ["algo-1", "algo-2", "algo-3"]
    roots = {host: opt_ml(tmp_path / host, hosts, host, range(FLEETS), join_minutes="0.3") for host in hosts}
    with cluster(image, network) as job:
        job.start("algo-1", roots["algo-1"])
        job.start("algo-2", roots["algo-2"], "another secret of sixteen characters")
        assert job.ended("algo-2") == 1
        assert job.ended("algo-1") == 1
    assert "RAY_AUTH_TOKEN is not the one of the head algo-1" in (roots["algo-2"] / "output/failure").read_text()
    why = (roots["algo-1"] / "output/failure").read_text()
    assert why.startswith("algo-2, algo-3 did not come within 0.3 minutes; a host with another RAY_AUTH_TOKEN")


def test_without_a_secret_several_hosts_are_refused(image, tmp_path):
    root = opt_ml(tmp_path / "ml", ["algo-1", "algo-2"], "algo-1", [])
    ran = docker("run", "--rm", "--network=none", f"--volume={root}:/opt/ml", image, "train", check=False)
    assert ran.returncode == 1
    assert "needs RAY_AUTH_TOKEN in its environment" in ran.stderr
    shutil.rmtree(root)
