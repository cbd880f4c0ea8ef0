"""The layout is the architecture: imports point inwards, and serving stays free of what only training needs."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from testkit.imports import imported

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "container" / "autopilot"
TRAINING_ONLY = {"tensorflow", "keras", "gymnasium", "matplotlib", "rich", "pandas"}

# Of each package: every group of files, innermost first, and which other groups it may import. A group is a folder or a
# file of the package; a file belongs to the most precise group that names it, and may always import its own group.
LAYERS: dict[str, dict[str, set[str]]] = {
    "container/autopilot": {
        "core": set(),
        "ports": {"core"},
        "settings": {"core"},
        "engines": {"ports"},
        "history": {"core", "ports"},
        "history/cache": {"core", "ports"},
        "demand": {"core", "ports"},
        "policy": {"core", "ports"},
        "sim": {"core"},
        "backtest": {"core", "ports", "demand", "sim"},
        "learning": {"core", "ports", "demand", "policy", "backtest"},
        "service": {"core", "ports", "history/cache"},
        "webservice": {"ports"},
        "wiring": {"core", "ports", "settings", "history", "history/cache", "demand", "policy", "service",
                   "webservice"},
        "backtest/as_served": {"core", "ports", "settings", "backtest"},
        "serve": {"core", "ports", "settings", "engines", "service", "wiring", "webservice", "backtest",
                  "backtest/as_served", "learning"},
        "backtest/command": {"core", "ports", "settings", "engines", "demand", "wiring", "backtest",
                             "backtest/as_served"},
        "learning/commands": {"core", "ports", "settings", "demand", "policy", "wiring", "backtest",
                              "backtest/as_served", "backtest/command", "learning"},
        "demo": {"core", "demand", "sim", "backtest"},
        "explore": {"core", "ports", "demand", "backtest"},
        "explore/command": {"core", "ports", "settings", "wiring", "demo", "explore"},
        "training/network": {"core"},
        "training/service/head": {"training/network", "webservice"},
        "training": {"core", "ports", "engines", "demand", "policy", "sim", "backtest", "training/network"},
        "training/live_act": {"core", "ports", "history", "history/cache", "service", "training"},
        "training/live_http": {"serve", "training", "training/live_act"},
        "training/report_story": {"core", "ports", "sim", "backtest", "training", "training/live_act"},
        "training/run": {"core", "ports", "policy", "training", "training/network", "training/live_act",
                         "training/live_http", "training/report_story"},
        "training/each": {"ports", "demand", "policy", "training", "training/run"},
        "training/trials": {"ports", "engines", "policy", "training", "training/network", "training/report_story",
                            "training/run"},
        "training/service": {"ports", "policy", "webservice", "training", "training/network", "training/service/head"},
        "training/command": {"ports", "engines", "demand", "policy", "training", "training/run", "training/each",
                             "training/trials", "training/service"},
        "training/__main__": {"training/command"},
        "training/service/evaluate": {"ports", "policy", "webservice", "training", "training/service",
                                      "training/command"},
        "environments": {"core", "sim", "webservice"},
        "cli": set(),
    },
}  # fmt: skip


PACKAGES = (*LAYERS, "client/autopilot_client", "deploy/autopilot_deploy", "testkit", "bench")
TWINS = {"Answer", "Ask", "Decision", "Event", "Lead", "Review"}
"""Both ends of one wire: the client has the container's form and meaning, and none of its code."""


def group_of(parts: tuple[str, ...], groups: dict[str, set[str]]) -> str | None:
    """The most precise group of a file, from the parts of its path (or of its module's name) within the package."""
    names = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in groups), None)


def files_by_group(package: str) -> dict[str | None, list[Path]]:
    """Every file of a package but its own `__init__`, by the group that it is in."""
    found: dict[str | None, list[Path]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        if parts != ("__init__",):
            found.setdefault(group_of(parts, LAYERS[package]), []).append(path)
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_every_file_is_in_a_group_and_every_group_has_files(package):
    found = files_by_group(package)
    assert found.pop(None, []) == []
    assert found.keys() == LAYERS[package].keys()


@pytest.mark.parametrize("package", LAYERS)
def test_groups_may_import_only_what_stands_before_them(package):
    before: set[str] = set()
    for group, allowed in LAYERS[package].items():
        assert allowed <= before, group
        before.add(group)


@pytest.mark.parametrize(("package", "group"), [(package, group) for package in LAYERS for group in LAYERS[package]])
def test_imports_point_inwards(package, group):
    groups, name = LAYERS[package], Path(package).name
    for path in files_by_group(package)[group]:
        inner = [tuple(one.split(".")[1:]) for one in imported(path) if one.startswith(f"{name}.")]
        outwards = {group_of(one, groups) for one in inner if one != ("__version__",)} - groups[group] - {group}
        assert not outwards, f"{path.relative_to(ROOT)} imports {outwards}"


@pytest.mark.parametrize("package", ["container/autopilot", "client/autopilot_client", "deploy/autopilot_deploy"])
def test_between_two_rooms_imports_point_one_way(package):
    arrows: dict[str, set[str]] = {}
    for path in (ROOT / package).rglob("*.py"):
        room = path.relative_to(ROOT / package).with_suffix("").parts[0]
        names = (one.split(".") for one in imported(path))
        arrows.setdefault(room, set()).update(name[1] for name in names if name[0] == Path(package).name and name[1:])
    TopologicalSorter({room: others - {room} for room, others in arrows.items()}).prepare()  # raises on a cycle


def test_the_core_needs_nothing_but_numpy():
    allowed = {*sys.stdlib_module_names, "numpy", "autopilot"}
    for path in [*(CONTAINER / "core").rglob("*.py"), CONTAINER / "webservice" / "observation.py"]:
        outside = {name.split(".")[0] for name in imported(path)} - allowed
        assert not outside, f"{path.name} imports {outside}"


def test_tensorflow_is_imported_in_training_only():
    for path in CONTAINER.rglob("*.py"):
        if path.relative_to(CONTAINER).parts[0] != "training":
            assert "tensorflow" not in {name.split(".")[0] for name in imported(path)}, path.name


def test_serving_loads_nothing_that_only_training_or_reports_need():
    script = (
        "import sys; from autopilot.settings import Settings; from autopilot.serve.app import create_app;"
        "create_app(Settings.from_env({}));"
        f"print(*sorted({TRAINING_ONLY | {'boto3', 'kubernetes'}!r} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CONTAINER.parent
    )
    assert run.stdout.split() == []


def test_the_client_shares_no_code_with_the_container():
    for path in (ROOT / "client").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "autopilot"}, path.name


def test_a_class_name_has_one_meaning():
    classes = Counter(
        node.name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in classes.items() if count > 1} == TWINS
    assert {classes[name] for name in TWINS} == {2}
