"""One version for all parts. It is raised in container/autopilot/__init__.py; these parts cannot read it there."""

import re

import pytest
import yaml

from autopilot import __version__
from testkit.server import ROOT

PLACES = {
    "changelog": ("CHANGELOG.md", r"## \[(\d\S*)\] - \d{4}-\d\d-\d\d"),
    "client": ("client/autopilot_client/__init__.py", r'__version__ = "(.+)"'),
    "client's Deployment": ("client/specs/base/deployment.yaml", r"image: autopilot-client:(\S+)"),
    "client's overlay for Deployments": ("client/specs/deployment/kustomization.yaml", r"newTag: (\S+)"),
    "client's overlay for Agones": ("client/specs/agones/kustomization.yaml", r"newTag: (\S+)"),
    "OpenAPI document": ("docs/openapi.json", r'"version": "(.+)"'),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_part_is_of_the_same_version(place):
    file, pattern = PLACES[place]
    found = re.findall(pattern, (ROOT / file).read_text())
    assert found[:1] == [__version__], f"write {__version__} into {file}"


def test_the_chart_installs_this_version():
    chart = yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
