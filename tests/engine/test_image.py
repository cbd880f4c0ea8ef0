"""The images on a real engine, under the hardest conditions that the platform and careful operators set.

Builds nothing: AUTOPILOT_IMAGE names the full image, AUTOPILOT_IMAGE_SERVE the slim one.
"""

import http.client
import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testkit.engine import ONE, docker, image_named, serving, started, until

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--memory=512m", "--security-opt=no-new-privileges")
MEGABYTES = 1_000_000


@pytest.fixture(scope="session")
def slim():
    return image_named("AUTOPILOT_IMAGE_SERVE")


@pytest.fixture(scope="session")
def full():
    return image_named("AUTOPILOT_IMAGE")


@pytest.fixture(scope="module")
def hardened(slim, tmp_path_factory):
    empty = tmp_path_factory.mktemp("model")
    empty.chmod(0o755)
    with serving(slim, *HARDENED, f"--volume={empty}:/opt/ml/model:ro") as container:
        yield container


def test_the_slim_image_is_small(slim):
    assert int(docker("image", "inspect", "--format", "{{.Size}}", slim).stdout) <= 350 * MEGABYTES


def test_images_carry_the_label_for_another_port_and_no_build_settings(slim, full):
    for image in (slim, full):
        config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)
        assert config["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
        assert config["Entrypoint"] == ["/opt/program/entrypoint"]
        assert config.get("User", "") == ""
        assert not [one for one in config["Env"] if one.startswith("PIP_")]
        assert "PIP_INDEX" not in docker("history", "--no-trunc", image).stdout


def test_everything_may_be_read_by_others(slim):
    found = docker("run", "--rm", "--entrypoint=find", slim, "/opt", "!", "-type", "l", "!", "-perm", "-o+r").stdout
    assert found == ""


def test_the_hardened_container_decides(hardened):
    servers, history = hardened.servers()
    assert servers >= 92
    assert history in {"cold", "ok"}


def test_the_hardened_container_answers_batch_lines_in_order(hardened):
    lines = b"\n".join(b'{"fleet": "batch/%d", "demand": %d}' % (n, n) for n in range(1, 51))
    status, text = hardened.ask("/invocations", lines, "application/jsonlines")
    assert status == 200
    assert [json.loads(line)["Prediction"]["fleet"] for line in text.splitlines()] == [
        f"batch/{n}" for n in range(1, 51)
    ]
    status, text = hardened.ask("/invocations", b"batch/a,12\nbatch/b,7\n", "text/csv")
    assert (status, len(text.splitlines())) == (200, 2)


def test_the_other_routes_and_no_more(hardened):
    assert json.loads(hardened.ask("/execution-parameters")[1])["BatchStrategy"] == "MULTI_RECORD"
    assert "autopilot_decisions_total" in hardened.ask("/metrics")[1]
    assert hardened.ask("/other")[0] == 404


def test_nothing_is_written_outside_tmp(slim):
    with serving(slim) as container:
        container.servers()
        docker("stop", "--time=30", container.name)
        changed = [line.split(maxsplit=1) for line in docker("diff", container.name).stdout.splitlines()]
    assert [path for _, path in changed if path != "/tmp" and not path.startswith("/tmp/")] == []


def test_without_a_network_it_is_ready_and_decides(slim):
    ask = (
        "import urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:8080/invocations', "
        f"{ONE!r}, {{'Content-Type': 'application/json'}})).read().decode())"
    )
    with started(slim, *HARDENED, "--network=none", published=False) as container:

        def answer():
            return docker("exec", container.name, "python3", "-c", ask, check=False).stdout

        assert json.loads(until(answer, "an answer"))["Prediction"]["num_of_gameservers"] >= 92


def test_the_platform_may_choose_the_port(slim):
    with started(slim, "--env=SAGEMAKER_BIND_TO_PORT=9999", "--publish=127.0.0.1::9999") as container:
        container.port = int(docker("port", container.name, "9999/tcp").stdout.splitlines()[0].rpartition(":")[2])
        until(lambda: container.status_of_ping() == 200, "ready on the other port")


def test_without_an_argument_it_serves(slim):
    with started(slim, command=()) as container:
        until(lambda: container.status_of_ping() == 200, "ready")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "frobnicate"), "usage:"),
        (("run", "train"), "full image"),
        (("--env=MODEL_SERVER_WORKERS=none", "serve"), "MODEL_SERVER_WORKERS"),
    ],
)
def test_a_wrong_start_is_told_in_words_and_ends_with_2(slim, arguments, words):
    options = [one for one in arguments if one.startswith("--")]
    command = [one for one in arguments if not one.startswith("--") and one != "run"]
    ran = docker("run", "--rm", *options, slim, *command, check=False)
    assert ran.returncode == 2
    assert words in ran.stderr


@pytest.mark.parametrize("command", ["learn", "trial", "scoreboard", "promote", "rollback", "models", "history"])
def test_the_commands_that_learn_are_in_the_image(slim, command):
    ran = docker("run", "--rm", slim, command, "--help")
    assert "Usage:" in ran.stdout


def test_a_stop_under_load_fails_no_request(slim):
    with serving(slim, *HARDENED) as container, ThreadPoolExecutor(16) as pool:
        stopping = time.monotonic() + 2

        def ask_on():
            statuses = []
            while True:
                try:
                    statuses.append(container.ask("/invocations", ONE)[0])
                except (OSError, http.client.HTTPException):
                    if time.monotonic() > stopping:
                        return statuses
                    raise

        asked = [pool.submit(ask_on) for _ in range(16)]
        time.sleep(max(0.0, stopping - time.monotonic()))
        started_at = time.monotonic()
        docker("stop", "--time=30", container.name)
        assert time.monotonic() - started_at < 30
        statuses = [status for one in asked for status in one.result()]
        assert len(statuses) > 100
        assert set(statuses) == {200}
        assert container.state()["ExitCode"] == 0


@pytest.mark.parametrize("words", ["[n]ginx: master", "[g]unicorn"])
def test_when_nginx_or_gunicorn_dies_the_container_ends_with_an_error(slim, words):
    with serving(slim, *HARDENED) as container:
        container.kill(words)
        assert container.ended() == 1


def test_a_killed_worker_is_replaced_and_nothing_is_left_over(slim):
    with serving(slim, *HARDENED, "--env=MODEL_SERVER_WORKERS=2") as container:
        listed = "grep -l '[g]unicorn' /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | sort -n"
        until(lambda: len(container.inside(listed).split()) == 3, "the master and both workers run")
        before = container.inside(listed).split()
        container.inside(f"kill -9 {before[-1]}")
        statuses = {container.ask("/invocations", ONE)[0] for _ in range(50)}
        assert statuses == {200}
        until(lambda: len(container.inside(listed).split()) == len(before), "replaced")
        zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true"
        until(lambda: container.inside(zombies) == "", "reaped")


def test_orphans_are_reaped(slim):
    with serving(slim) as container:
        docker("exec", "--detach", container.name, "sh", "-c", "(sleep 0.1 &)")
        zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true"
        until(lambda: container.inside(zombies) == "", "reaped")


@pytest.mark.parametrize("place", ["/tmp/autopilot", "/tmp"])
def test_a_full_disk_costs_the_history_and_nothing_else(slim, place):
    with serving(slim, f"--tmpfs={place}:size=2m") as container:
        assert container.servers()[0] >= 92
        container.inside(f"head -c 4000000 /dev/zero >{place}/filler 2>/dev/null || true")
        answers = [container.servers(fleet=f"full/{n}") for n in range(30)]
        assert min(servers for servers, _ in answers) >= 92
        assert answers[-1][1] == "unavailable"
        until(lambda: container.status_of_ping() == 200, "a ping")
        container.inside(f"rm {place}/filler")
        until(lambda: container.servers()[1] in {"cold", "ok"}, "the history is back")


def test_a_corrupt_model_is_not_ready_says_why_and_stays_up(slim, tmp_path):
    tmp_path.chmod(0o755)  # without capabilities, root reads only what others may read
    (tmp_path / "policy.tflite").write_bytes(b"not a model")
    (tmp_path / "metadata.json").write_text("{")
    with started(slim, *HARDENED, f"--volume={tmp_path}:/opt/ml/model:ro") as container:
        until(lambda: container.status_of_ping() == 503, "503")
        assert container.ask("/invocations", ONE)[0] == 503
        time.sleep(2)  # a crash loop would show by now
        state = container.state()
        assert state["Running"]
        until(lambda: container.status_of_ping() == 503, "still 503")
        assert "metadata.json is not JSON" in container.log()


def test_train_serve_and_batch_without_a_network(full, tmp_path):
    opt_ml = tmp_path / "ml"
    shutil.copytree(ROOT / "local-test/test-dir/input", opt_ml / "input")
    quick = ROOT / "tests/engine/hyperparameters.json"
    shutil.copy(quick, opt_ml / "input/config/hyperparameters.json")
    docker("run", "--rm", "--network=none", f"--volume={opt_ml}:/opt/ml", full, "train")
    assert any((opt_ml / "model").iterdir())
    ask = (
        "import sys, urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:8080/invocations', "
        "sys.stdin.buffer.read(), {'Content-Type': 'text/csv'})).read().decode(), end='')"
    )
    options = ("--network=none", "--env=SAGEMAKER_BATCH=true", f"--volume={opt_ml / 'model'}:/opt/ml/model:ro")
    with started(full, "--read-only", "--tmpfs=/tmp", *options, published=False) as container:

        def batch():
            command = ["docker", "exec", "--interactive", container.name, "python3", "-c", ask]
            payload = (ROOT / "local-test/payload.csv").read_bytes()
            return subprocess.run(command, input=payload, capture_output=True, check=False).stdout.decode()

        lines = until(batch, f"an answer: {container.log()}").splitlines()
        assert len(lines) == len((ROOT / "local-test/payload.csv").read_text().splitlines())
