"""The client's layout is its architecture: every file is in a group, and imports point inwards."""

import sys
from pathlib import Path

import pytest

from testkit.client.api_server import ROOT
from testkit.imports import imported

PACKAGE = ROOT / "client" / "autopilot_client"
FLAT = {"__init__", "__main__", "ports"}
ALLOWED = {
    "rules": set(),
    "ports": {"rules"},
    "net": {"ports"},
    "config": {"net", "rules", "ports"},
    "kube": {"net", "rules", "ports", "config"},
    "demand": {"kube", "net", "rules", "ports", "config"},
    "endpoint": {"net", "rules", "ports", "config"},
    "status": {"net", "rules", "ports", "config"},
    "notify": {"net", "status", "rules", "config"},
    "reconcile": {"demand", "endpoint", "kube", "net", "notify", "status", "rules", "ports", "config"},
    "commands": {"reconcile", "endpoint", "kube", "net", "notify", "status", "rules", "ports", "config"},
    "__main__": {"commands"},
}
"""What each room may import of the package beside itself, innermost first."""
MOST_ARROWS = 45
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
        outside = ours - {"__version__", group}
        assert outside <= ALLOWED[group], f"{path.name} imports {sorted(outside - ALLOWED[group])}"


def test_rooms_stand_in_an_order_and_have_few_arrows_between_them():
    before: set[str] = set()
    for group, allowed in ALLOWED.items():
        assert allowed <= before, group
        before.add(group)
    assert sum(map(len, ALLOWED.values())) <= MOST_ARROWS


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
