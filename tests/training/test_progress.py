"""What a run says of how far it is, where nobody watches a terminal."""

import io

import pytest
from rich.console import Console

from autopilot.training.progress import ProgressReporter


@pytest.mark.parametrize(
    ("total", "said"),
    [(2, ["fleets 1/2", "fleets 2/2"]), (1000, [f"fleets {count}/1000" for count in range(10, 1001, 10)]), (0, [])],
)
def test_without_a_terminal_each_hundredth_of_many_parts_is_a_line(total, said):
    out = io.StringIO()
    with ProgressReporter(Console(file=out)).milestones("fleets", total) as advance:
        for _ in range(total):
            advance(1)
    assert out.getvalue().splitlines() == said


def test_on_a_terminal_there_is_a_bar_instead():
    out = io.StringIO()
    with ProgressReporter(Console(file=out, force_terminal=True)).milestones("fleets", 2) as advance:
        advance(2)
    assert "fleets 2/2\n" not in out.getvalue()
    assert "2/2" in out.getvalue()
