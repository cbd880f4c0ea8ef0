"""The same promises, kept by the image that AUTOPILOT_IMAGE_SERVE names, on a real engine."""

import pytest

from testkit import emulators
from testkit.engine import image_named
from testkit.faults.scenarios import IN_CONTAINERS, FaultCase, run

pytestmark = pytest.mark.engine


@pytest.fixture(scope="session")
def slim() -> str:
    return image_named("AUTOPILOT_IMAGE_SERVE")


@pytest.mark.parametrize("fault", IN_CONTAINERS, ids=lambda fault: fault.name)
def test_the_promises_are_kept_under(fault: FaultCase, slim: str) -> None:
    if fault.store == "dynamodb" and (missing := emulators.why_no_dynalite()):
        pytest.skip(missing)
    row = run(fault, image=slim)
    assert row.broken(slowest=30) == [], row.log[-5000:]
