"""build.sh against stand-ins for `docker` and `aws` that write down what they were asked."""

import os
import subprocess
from pathlib import Path

import pytest

from autopilot import __version__

ROOT = Path(__file__).parents[2]

DOCKER = """#!/bin/sh
echo "docker $*" >>"$ASKED"
case "$1" in
    login) printf 'password %s\\n' "$(cat)" >>"$ASKED" ;;
    image) echo "$REGISTRY_NAME/autopilot@sha256:5eed" ;;
esac
"""
AWS = """#!/bin/sh
echo "aws $*" >>"$ASKED"
case "$*" in
    *get-caller-identity*) [ -z "$LOGGED_OUT" ] || { echo "Unable to locate credentials" >&2; exit 253; }
        echo 123456789012 ;;
    *get-login-password*) echo s3cret ;;
    "configure get region") exit 255 ;;
    *describe-repositories*) exit "$REPOSITORY_MISSING" ;;
esac
"""
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.fixture
def build(tmp_path):
    """Runs build.sh; gives its result and the lines that its programs were asked."""
    for name, script in (("docker", DOCKER), ("aws", AWS)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    asked = tmp_path / "asked"

    def run(*arguments, **environ):
        asked.write_text("")
        own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(asked), "AWS_REGION": "eu-west-1"}
        known = {"REPOSITORY_MISSING": "0", "REGISTRY_NAME": ECR, "LOGGED_OUT": ""}
        clean = {name: value for name, value in os.environ.items() if name not in ("REGISTRY", "BASE_IMAGE")}
        command = [ROOT / "build.sh", *arguments]
        ran = subprocess.run(
            command, env={**clean, **known, **own, **environ}, capture_output=True, text=True, check=False
        )
        return ran, asked.read_text().splitlines()

    return run


def revision():
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return commit.stdout.strip()


def test_it_pushes_by_commit_version_and_latest_and_tells_uri_and_digest(build):
    ran, asked = build()
    assert ran.returncode == 0, ran.stderr
    pushed = [line.split()[-1] for line in asked if line.startswith("docker push")]
    assert pushed[0].startswith(f"{ECR}/autopilot:{revision()}")
    assert pushed[1:] == [f"{ECR}/autopilot:{__version__}", f"{ECR}/autopilot:latest"]
    assert f"uri     {pushed[0]}" in ran.stdout
    assert f"digest  {ECR}/autopilot@sha256:5eed" in ran.stdout


def test_the_password_goes_in_by_standard_input_only(build):
    _, asked = build()
    assert "password s3cret" in asked
    assert not [line for line in asked if line.startswith("docker") and "s3cret" in line]


@pytest.mark.parametrize(("region", "registry"), [
    ("eu-north-1", "123456789012.dkr.ecr.eu-north-1.amazonaws.com"),
    ("cn-north-1", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
])  # fmt: skip
def test_the_default_region_of_the_environment_is_the_registrys(build, region, registry):
    ran, _ = build(AWS_REGION="", AWS_DEFAULT_REGION=region, REGISTRY_NAME=registry)
    assert ran.returncode == 0, ran.stderr
    assert f"digest  {registry}/autopilot@sha256:5eed" in ran.stdout


def test_without_a_region_it_says_what_to_set_before_it_builds(build):
    ran, asked = build(AWS_REGION="", AWS_DEFAULT_REGION="")
    assert ran.returncode == 2
    assert "set AWS_REGION or AWS_DEFAULT_REGION" in ran.stderr
    assert asked == ["aws configure get region"]


def test_who_is_not_logged_in_hears_it_before_it_builds(build):
    ran, asked = build(LOGGED_OUT="yes")
    assert ran.returncode == 2
    assert "log in, or use --local" in ran.stderr
    assert not [line for line in asked if line.startswith("docker")]


@pytest.mark.parametrize(("missing", "created"), [("1", True), ("0", False)])
def test_the_repository_is_created_only_if_it_is_missing(build, missing, created):
    _, asked = build(REPOSITORY_MISSING=missing)
    assert any("create-repository" in line and "--repository-name autopilot " in line for line in asked) is created


def test_local_builds_and_does_nothing_else(build):
    ran, asked = build("--local", "--target", "serve")
    assert ran.returncode == 0
    assert [line.split()[1] for line in asked] == ["build"]
    assert "--target serve" in asked[0]


def test_another_registry_needs_no_aws(build):
    _, asked = build(REGISTRY="127.0.0.1:5000", REGISTRY_NAME="127.0.0.1:5000")
    assert not [line for line in asked if line.startswith("aws")]
    assert any(line.endswith("127.0.0.1:5000/autopilot:latest") for line in asked)


def test_the_callers_package_index_is_passed_to_the_build(build):
    _, asked = build("--local", PIP_INDEX_URL="https://index.example/simple")
    assert "--build-arg PIP_INDEX_URL=https://index.example/simple" in asked[0]


@pytest.mark.parametrize("arguments", [("--frob",), ("--target",), ("--target", "nose"), ("a", "b")])
def test_a_wrong_call_is_refused_before_anything_is_built(build, arguments):
    ran, asked = build(*arguments)
    assert (ran.returncode, asked) == (2, [])
    assert ran.stderr.startswith("build: ")
