"""The layout is the architecture: imports point inwards, and serving stays free of what only training needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "container" / "autopilot"
TRAINING_ONLY = {"tensorflow", "keras", "gymnasium", "matplotlib", "rich", "pandas"}

# What each part may import of the package, innermost first. Edges (everything else) may import all.
ALLOWED = {
    "core": {"core"},
    "ports": {"core"},
    "adapters": {"core", "ports", "adapters"},
    "policy": {"core", "ports", "policy"},
    "recent": {"core", "ports"},
    "service": {"core", "ports", "recent"},
    "sim": {"core", "sim"},
    "train": {"core", "ports", "policy", "sim", "train", "job", "demand_csv"},
}


def modules(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_inwards(part):
    for path in modules(part):
        inner = {name.split(".")[1] for name in imported(path) if name.startswith("autopilot.")}
        assert inner <= ALLOWED[part], f"{path.name} of {part} imports {sorted(inner - ALLOWED[part])}"


def test_the_core_needs_nothing_but_numpy():
    allowed = {*sys.stdlib_module_names, "numpy", "autopilot"}
    for path in modules("core"):
        outside = {name.split(".")[0] for name in imported(path)} - allowed
        assert not outside, f"{path.name} imports {outside}"


def test_tensorflow_is_imported_in_training_only():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in {"train", "training.py"}:
            assert "tensorflow" not in {name.split(".")[0] for name in imported(path)}, path.name


def test_serving_loads_nothing_that_only_training_or_reports_need():
    script = (
        "import sys; from autopilot.settings import Settings; from autopilot.serve.app import create_app;"
        "create_app(Settings.from_env({'AUTOPILOT_MODEL_DIR': '/nonexistent'}));"
        f"print(*sorted({TRAINING_ONLY | {'boto3', 'kubernetes'}!r} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert run.stdout.split() == []


def test_the_client_shares_no_code_with_the_container():
    for path in (PACKAGE.parent.parent / "client").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "autopilot"}, path.name
