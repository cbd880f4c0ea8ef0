"""A demand source that lies: no lie shrinks a fleet, none is believed that is no number of servers."""

import shutil
from functools import cache

import pytest

from testkit.faults.lies import LIES, LieOutcome, tell_all

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


@cache
def told() -> list[LieOutcome]:
    return tell_all()


@pytest.mark.parametrize("lie", LIES)
def test_no_fleet_shrinks_because_of(lie: str) -> None:
    assert [one.broken() for one in told() if one.lie == lie] == [[], []]
