"""What is promised under each fault, on the real server. `bench/faults.py` prints what was seen.

The trials wait most of their time, so several run at once; each has its own servers, store and callers.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from testkit import emulators
from testkit.faults.scenarios import FAULTS, FaultCase, FaultRow, run

AT_ONCE = 4
PAUSE = 0.1
SLOWEST = 60
"""Seconds, not a measurement: that nothing hangs, on the slowest machine."""

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")


def why_not(fault: FaultCase) -> str:
    return emulators.why_no_dynalite() if fault.store == "dynamodb" else ""


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[FaultRow]"]]:
    """The trials of this run's tests, under way."""
    of_tests = [item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")]
    wanted = [fault for fault in of_tests if isinstance(fault, FaultCase) and not why_not(fault)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {fault.name: pool.submit(run, fault, PAUSE) for fault in wanted}


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.tested], ids=lambda fault: fault.name)
def test_the_promises_are_kept_under(fault: FaultCase, rows: dict[str, "Future[FaultRow]"]) -> None:
    if missing := why_not(fault):
        pytest.skip(missing)
    row = rows[fault.name].result()
    assert row.broken(SLOWEST) == [], row.log[-5000:]
