"""What holds for all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("testkit")

# The same examples in every run, and as long for each as a busy machine takes: `make fuzz` is there for new ones.
settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """A model directory: the built-in model under another name and checksum."""
    from testkit.models import renamed_model  # noqa: PLC0415 - not every test has the container at hand

    return renamed_model(tmp_path / "candidate")
