import io
from itertools import pairwise

import numpy as np
import pytest

from autopilot.training.service.plots import episode_plot, learning_plot, load_plot, standings_plot
from autopilot.webservice.evaluation import compare, record
from autopilot.webservice.rules import constant, do_nothing, peak
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

SHORT = ServiceConfig(faithful=True, minutes=300)
HISTORY = [{"loss": 1.0, "validation_profit": -50_000.0}] + [
    {"loss": 1.0, "validation_profit": 20_000.0 + 400 * at} if at % 5 == 0 else {"loss": 1.0} for at in range(100)
]


def drawn(figure):
    """The figure as PNG; warnings of missing glyphs and the like are errors."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    assert out.getvalue().startswith(b"\x89PNG")
    return figure


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_service_has_its_load_in_days():
    load = np.random.default_rng(1).uniform(0, 5000, (2880, 5))
    figure = drawn(load_plot(load))
    assert len(figure.axes) == 5
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), load[:, 2])
    assert figure.axes[-1].lines[0].get_xdata()[1440] == 1.0


def test_learning_is_beside_the_rules_the_best_first():
    figure = drawn(learning_plot(HISTORY, {"do nothing": 16_000.0, "planned": 28_700.0}))
    assert legend(figure) == ["learned", "planned", "do nothing"]
    learned = figure.axes[0].lines[0]
    assert list(learned.get_xdata()[:3]) == [1, 2, 7]
    low, high = figure.axes[0].get_ylim()
    assert -50_000 < low < 16_000, "a first attempt far below does not hide the rest"
    assert high > 59_000


def test_steps_are_the_axis_where_they_are_told():
    history = [{"steps": 1000.0 * at, "validation_profit": 1.0 * at} for at in range(1, 4)]
    axes = drawn(learning_plot(history, {})).axes[0]
    assert list(axes.lines[0].get_xdata()) == [1000, 2000, 3000]
    assert "minutes" in axes.get_xlabel()


def test_a_run_without_validation_can_still_be_drawn():
    drawn(learning_plot([{"loss": 1.0}], {"planned": 28_700.0}))


@pytest.mark.parametrize("machines", [50, 10], ids=["calm", "down"])
def test_an_episode_shows_load_machines_failures_and_profit(machines):
    environment = ServiceEnvironment(2, SHORT)
    episode, other = (record(environment, rule, 1) for rule in (constant(machines), peak(30, 1.5)))
    figure = drawn(episode_plot(episode, ("peak", other)))
    labels = [text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()]
    assert f"downtime: {int(episode.down.sum())} of 300 minutes" in labels
    assert f"profit so far: {episode.profit.sum():,.0f} $ in the end" in labels
    assert f"peak: {other.profit.sum():,.0f} $" in labels


@pytest.mark.parametrize("machines", [50, 10], ids=["calm", "down"])
def test_an_episodes_panels_lie_close_together(machines):
    environment = ServiceEnvironment(1, SHORT)
    episode = record(environment, constant(machines), 1)
    figure = drawn(episode_plot(episode))
    places = [axes.get_position() for axes in figure.axes]
    assert all(0 < upper.y0 - lower.y1 < 0.1 for upper, lower in pairwise(places))


def test_who_earned_what_is_sorted_and_the_far_below_is_told_in_words():
    environment = ServiceEnvironment(12, ServiceConfig(faithful=True, minutes=1500))
    rules = {"do nothing": do_nothing, "two machines": constant(2), "peak": peak(30, 1.5), "less": peak(15, 1.5)}
    standings = compare(rules, "peak", environment, [1])
    figure = drawn(standings_plot(standings, "peak"))
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [one.name for one in sorted(standings, key=lambda one: one.profit.mean)]
    assert any("\N{MINUS SIGN}" in text.get_text() for text in figure.axes[1].texts)
