"""What can be said of the packages without a network: bounded, within their bounds, used, and free to be shipped."""

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.security.packages import FILES, FREE, ROOT, SHIPPED, asked, closure, installed, licence

USERS = {
    "container/requirements-serve.txt": ["container"],
    "container/requirements-report.txt": ["container"],
    "container/requirements-train.txt": ["container"],
    "container/requirements-explore.txt": ["container"],
    "client/requirements.txt": ["client"],
    "deploy/requirements.txt": ["deploy"],
}
"""By file of what is shipped: the code that must have a use for each of its packages."""
STARTED = {
    "gunicorn": "autopilot.serve.supervisor starts it as a program",
    "plotly": "its script is sent to the browser",
    "botocore": "comes with boto3",
    "tzdata": "zoneinfo reads it",
}
"""Packages that are used without an import, and how."""


@pytest.mark.parametrize("file", [*FILES, "container/requirements-ray.txt", "container/requirements-tune.txt"])
def test_every_requirement_is_bounded_on_both_sides_and_comes_from_the_index(file):
    for one in asked(file):
        operators = {bound.operator for bound in one.specifier}
        assert operators in ({">=", "<"}, {">", "<"}), f"{one}: write it as >=x,<y"
        assert one.url is None


@pytest.mark.parametrize("file", FILES)
def test_what_is_installed_here_is_what_was_asked_for(file):
    for one in asked(file):
        there = installed(one.name)
        assert there is not None, f"{one.name} is not installed: scripts/setup-venv.sh all"
        assert one.specifier.contains(there.version, prereleases=True), f"{one}: {there.version} is installed"


@pytest.mark.parametrize("file", FILES)
def test_no_package_is_asked_for_twice_in_a_file(file):
    names = [canonicalize_name(one.name) for one in asked(file)]
    assert len(names) == len(set(names))


def imported(folder: str) -> set[str]:
    """Distributions that the code of a folder imports, by name."""
    modules = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    places = packages_distributions()
    return {canonicalize_name(name) for module in modules for name in places.get(module, [])}


@pytest.mark.parametrize("file", USERS)
def test_every_package_that_is_shipped_has_a_use(file):
    used = set().union(*map(imported, USERS[file])) | STARTED.keys()
    wanted = {canonicalize_name(one.name) for one in asked(file)}
    assert not {name for name in wanted - used if name != "boto3" or "botocore" not in used}


@pytest.mark.parametrize("what", SHIPPED)
def test_all_that_an_image_holds_may_be_shipped(what):
    packages = closure(SHIPPED[what])
    assert len(packages) > 5
    told = {name: licence(there) for name, there in packages.items()}
    assert {name: text for name, text in told.items() if not any(one in text.upper() for one in FREE)} == {}


def test_the_serving_image_needs_nothing_that_trains_or_draws():
    names = closure(SHIPPED["serve image"]).keys()
    assert not names & {"tensorflow", "tensorflow-cpu", "keras", "matplotlib", "gymnasium", "pandas", "kubernetes"}


def test_requirements_of_the_whole_name_every_file():
    listed = Path(ROOT / "requirements.txt").read_text()
    assert all(f"-r {file}" in listed for file in FILES)
