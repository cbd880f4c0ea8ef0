"""What the images hold: the program and what it needs, and nothing that a thief or a builder left.

Builds nothing: AUTOPILOT_IMAGE, AUTOPILOT_IMAGE_SERVE and AUTOPILOT_IMAGE_CLIENT name the images.
"""

import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

import pytest

from testkit.engine import docker, image_named

pytestmark = pytest.mark.engine

IMAGES = ("AUTOPILOT_IMAGE", "AUTOPILOT_IMAGE_SERVE", "AUTOPILOT_IMAGE_CLIENT")
OURS = ("/opt/program/", "/opt/client/", "/opt/venv/")
DEBIANS = {
    *("chage", "chfn", "chsh", "expiry", "gpasswd", "mount", "newgrp", "passwd", "su", "umount", "unix_chkpwd"),
    *("ssh-agent", "wall", "write"),
}
"""Programs of Debian's own that run with another's rights."""
BUILDERS = {
    *("gcc", "cc", "g++", "c++", "cpp", "clang", "ld", "as", "make", "cmake", "go", "rustc", "tcc", "node", "npm"),
    *("git", "pip", "pip3", "curl", "wget", "ssh", "scp", "nc", "strace", "gdb", "docker", "aws"),
}
LEFT_BEHIND = {
    *(".git", ".gitignore", ".github", ".pytest_cache", ".mypy_cache", ".hypothesis", "node_modules", ".venv", ".ci"),
    *(
        ".netrc",
        ".pypirc",
        "pip.conf",
        ".aws",
        ".docker",
        ".ssh",
        ".kube",
        "credentials",
        ".env",
        ".npmrc",
        ".bash_history",
    ),
}
SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/]|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    rb"|aws_secret_access_key\s*=\s*[A-Za-z0-9/+]{40}\b"
    rb"|://[^/\s:@'\"{}<>$]{1,64}:[^/\s:@'\"{}<>$]{4,64}@[a-z0-9.-]+\.[a-z]{2,}"
)
EXAMPLE = re.compile(rb"EXAMPLE|user(?:name)?:pass|example\.(?:com|org)|foo:bar", re.IGNORECASE)
LARGEST_SEARCHED = 2_000_000


@dataclass(frozen=True)
class Content:
    """Everything in an image: entries by path, and the paths of files that hold something like a secret."""

    entries: dict[str, tarfile.TarInfo]
    suspicious: dict[str, bytes]

    def under(self, *places: str) -> dict[str, tarfile.TarInfo]:
        return {path: entry for path, entry in self.entries.items() if path.startswith(places)}


@cache
def content_of(image: str) -> Content:
    name = docker("create", image).stdout.strip()
    entries, suspicious = {}, {}
    export = subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE)
    try:
        with export, tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            for entry in tar:
                path = "/" + entry.name.strip("/")
                entries[path] = entry
                if (
                    entry.isfile()
                    and entry.size <= LARGEST_SEARCHED
                    and not path.startswith(("/usr/", "/var/lib/dpkg"))
                ):
                    found = SECRET.search(tar.extractfile(entry).read())
                    if found and not EXAMPLE.search(found.group()):
                        suspicious[path] = found.group()
    finally:
        docker("rm", "--force", name)
    return Content(entries, suspicious)


@pytest.fixture(params=IMAGES)
def image(request) -> str:
    return image_named(request.param)


@pytest.fixture
def content(image) -> Content:
    found = content_of(image)
    assert found.under(*OURS)
    return found


def names(paths) -> set[str]:
    return {PurePosixPath(path).name for path in paths}


def test_nothing_was_left_behind(content):
    found = {path for path in content.entries if PurePosixPath(path).name in LEFT_BEHIND}
    assert found <= {"/opt/venv/.gitignore"}, "but for the one that Python makes with every environment"


def test_there_are_no_tests(content):
    ours = content.under(*OURS)
    named = {path for path, entry in ours.items() if entry.isdir() and PurePosixPath(path).name in ("tests", "test")}
    assert {path for path in named if "/tensorflow/" not in path} == set(), "TensorFlow calls a part of its API so"
    assert {path for path in content.under("/opt/program/", "/opt/client/") if "test_" in path} == set()


def test_nothing_builds_and_nothing_fetches(content):
    programs = {path for path in content.entries if "/bin/" in path or "/sbin/" in path}
    assert names(programs) & BUILDERS == set()
    assert content.under("/usr/lib/gcc", "/usr/include/python", "/usr/include/c++") == {}


def test_no_file_holds_a_key_or_a_password(content):
    assert content.suspicious == {}


def test_no_program_but_debians_runs_with_anothers_rights(content):
    raised = {path for path, entry in content.entries.items() if entry.isfile() and entry.mode & 0o6000}
    assert names(raised) <= DEBIANS
    assert {path for path in raised if path.startswith(OURS)} == set()


def test_nobody_may_write_what_others_read(content):
    shared = {"/tmp", "/var/tmp", "/run/lock", "/dev/shm", "/dev/mqueue"}
    open_ones = {
        path
        for path, entry in content.entries.items()
        if entry.mode & 0o002 and (entry.isfile() or entry.isdir()) and not path.startswith("/dev/")
    }
    assert open_ones <= shared
    assert all(content.entries[path].mode & 0o1000 for path in open_ones)


def test_the_program_belongs_to_root_and_others_only_read_it(content):
    ours = content.under(*OURS)
    assert {path for path, entry in ours.items() if entry.uid != 0} == set()
    assert {path for path, entry in ours.items() if not entry.issym() and entry.mode & 0o022} == set()


def test_no_cache_of_packages_is_kept(content):
    caches = content.under("/var/cache/apt/", "/var/lib/apt/lists/", "/root/.cache", "/home/", "/tmp/", "/var/tmp/")
    assert {
        path for path, entry in caches.items() if entry.isfile() and entry.size and not path.endswith("/lock")
    } == set()
    assert {path for path in content.under("/opt/") if path.endswith((".whl", ".pip"))} == set()


def test_the_image_says_nothing_of_where_it_was_built(image):
    told = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    variables = {one.partition("=")[0] for one in told["Env"]}
    assert not {one for one in variables if re.search(r"PIP_|PROXY|TOKEN|SECRET|PASSWORD|AWS_|KEY", one, re.IGNORECASE)}
    assert not re.search(r"PIP_[A-Z_]*URL=\S|_proxy=\S|AKIA|://\S+:\S+@", history, re.IGNORECASE)


def test_the_serving_image_cannot_train():
    packages = content_of(image_named("AUTOPILOT_IMAGE_SERVE")).under("/opt/venv/lib/")
    found = {PurePosixPath(path).parts[6] for path in packages if len(PurePosixPath(path).parts) > 6}
    assert "numpy" in found
    assert not {
        one for one in found if one.split("-")[0].lower() in {"tensorflow", "keras", "matplotlib", "pip", "h5py"}
    }
    program = content_of(image_named("AUTOPILOT_IMAGE_SERVE")).under("/opt/program/")
    assert {"train", "backtest"} & {PurePosixPath(path).name for path in program if path.count("/") == 3} == set()


def test_the_client_is_nobody_and_the_server_is_who_the_platform_asks_for():
    users = {
        variable: json.loads(
            docker("image", "inspect", "--format", "{{json .Config}}", image_named(variable)).stdout
        ).get("User")
        for variable in IMAGES
    }
    assert users["AUTOPILOT_IMAGE_CLIENT"] == "10001:10001"
    assert not users["AUTOPILOT_IMAGE"], "the platform asks for root"
    assert not users["AUTOPILOT_IMAGE_SERVE"], "the platform asks for root"
