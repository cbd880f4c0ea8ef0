"""The client's layout is its architecture: every file is in a group, and imports point inwards."""

import sys
from pathlib import Path

import pytest

from testkit.client.api_server import ROOT
from testkit.imports import imported

PACKAGE = ROOT / "client" / "autopilot_client"
FLAT = {"__init__", "__main__", "cli", "config", "follow_up", "gather", "loop", "operator_cli", "ports", "wiring"}
ALLOWED = {
    "rules": {"rules"},
    "ports": {"rules"},
    "net": {"net", "ports"},
    "config": {"net", "rules", "ports"},
    "kube": {"kube", "net", "rules", "ports", "config"},
    "demand": {"demand", "kube", "net", "rules", "ports", "config"},
    "endpoint": {"endpoint", "net", "rules", "ports", "config"},
    "status": {"status", "net", "rules", "ports", "config"},
    "notify": {"notify", "net", "status", "rules", "config"},
    "gather": {"demand", "endpoint", "kube", "net", "status", "rules", "ports", "config"},
    "follow_up": {"gather", "kube", "status", "rules", "ports"},
    "loop": {"follow_up", "gather", "kube", "notify", "status", "rules", "ports", "config"},
    "operator_cli": {"kube", "rules", "ports"},
    "wiring": {"loop", "gather", "demand", "endpoint", "kube", "net", "notify", "status", "ports", "config"},
}
"""What each group, or flat file, may import of the package, innermost first."""
PURE = [*sorted((PACKAGE / "rules").glob("*.py")), PACKAGE / "ports.py", PACKAGE / "kube" / "election.py"]

PURE_IMPORTS = {
    "array", "collections", "cronsim", "dataclasses", "datetime", "enum", "itertools", "math", "re", "typing",
    "zoneinfo",
}  # fmt: skip


def files(group: str) -> list[Path]:
    folder = PACKAGE / group
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


@pytest.mark.parametrize("group", ALLOWED)
def test_imports_point_inwards(group):
    for path in files(group):
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("autopilot_client.")}
        assert ours - {"__version__"} <= ALLOWED[group], f"{path.name} imports {sorted(ours - ALLOWED[group])}"


def test_every_file_is_in_a_group():
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLAT
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} < ALLOWED.keys()


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_the_rules_know_nothing_of_the_outside(path):
    outside = {name.split(".")[0] for name in imported(path)} - {"autopilot_client"}
    assert outside <= PURE_IMPORTS


def test_pure_imports_are_the_standard_library_and_a_calendar_of_cron_lines():
    assert PURE_IMPORTS - sys.stdlib_module_names == {"cronsim"}


def test_the_client_shares_no_code_with_the_container():
    for path in PACKAGE.rglob("*.py"):
        assert not [name for name in imported(path) if name.split(".")[0] == "autopilot"], path.name
