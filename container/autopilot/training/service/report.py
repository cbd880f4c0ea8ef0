"""What a run of the web service shows: the policy beside the simple rules, and how an episode went."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from autopilot.policy.metadata import Metadata
from autopilot.training.report import curves, settings_of
from autopilot.training.report_page import Heading, PageTable, Paragraph, Part, Picture, png_of, write_page
from autopilot.training.service.plots import episode_plot, learning_plot, load_plot, standings_plot
from autopilot.training.service.ppo import REFERENCE, near_rules
from autopilot.webservice.evaluation import FEWEST_EPISODES, Episode, Estimate, Standing, compare, record
from autopilot.webservice.load import MINUTES_PER_DAY
from autopilot.webservice.observation import Array
from autopilot.webservice.rules import Act, Rule, agent, constant, do_nothing, peak
from autopilot.webservice.simulator import ServiceConfig, ServiceEnvironment

History = Sequence[Mapping[str, float]]

LEARNED = "learned"
_EVALUATION_SEED = 2**31 - 5


@dataclass(frozen=True)
class Shown:
    """What an evaluation found.

    standings           the policy and the rules on the same episodes
    episode, reference  one episode of the policy, and the same of the rule that it has to beat
    load                of five services, [three days of minutes, 5]
    """

    standings: tuple[Standing, ...]
    episode: Episode
    reference: Episode
    load: Array


def show(act: Act, config: ServiceConfig, episodes: int) -> Shown:
    """Let the learned policy and the rules play the same episodes, none of which it was trained or chosen on."""
    environment = ServiceEnvironment(episodes, config)
    standings = compare(rules(act, config), REFERENCE, environment, [_EVALUATION_SEED])
    one = ServiceEnvironment(1, config)
    episode, reference = (record(one, rule, _EVALUATION_SEED) for rule in (agent(act), peak(30, 1.5)))
    few = ServiceEnvironment(5, config)
    few.reset(_EVALUATION_SEED)
    return Shown(standings, episode, reference, few.ahead[: 3 * MINUTES_PER_DAY])


def rules(act: Act, config: ServiceConfig) -> dict[str, Rule]:
    """The learned policy, and what it is compared with."""
    return {
        LEARNED: agent(act),
        **near_rules(config),
        "constant, 40 machines": constant(40),
        "do nothing": do_nothing,
    }


def verdict(standings: Sequence[Standing]) -> str:
    """Whether the learned policy beats the rule that it has to, as a sentence."""
    learned = next(one for one in standings if one.name == LEARNED)
    gain = learned.difference
    what = "earns more than" if gain.low > 0 else "earns less than" if gain.high < 0 else "cannot be told from"
    few = "" if gain.bounded else f" Fewer than {FEWEST_EPISODES} episodes are few: they tell no interval."
    return f"The learned policy {what} the {REFERENCE} rule: {_dollars(gain)} an episode, on the same episodes.{few}"


def write_service_report(
    path: Path, metadata: Metadata, shown: Shown, history: History = (), levels: Mapping[str, float] | None = None
) -> None:
    """Write the report of a run, or of an evaluation (no history). `levels`: what rules earn on validation episodes."""
    standings = shown.standings
    title = metadata.version if history else f"{metadata.name}, evaluated"
    reference = (REFERENCE, shown.reference)
    parts: list[Part] = [
        Paragraph(verdict(standings), verdict=True),
        _standings_table(standings),
        Picture(png_of(standings_plot(standings, REFERENCE)), "profit of each player", "Profit, with 95 % intervals."),
        *([_learning(history, levels or {})] if any("validation_profit" in entry for entry in history) else []),
        Picture(png_of(episode_plot(shown.episode, reference)), "one episode, minute by minute", "One episode."),
        Picture(
            png_of(load_plot(shown.load)), "load of five services over three days", "What the services have to serve."
        ),
        *([Heading("Learning curves"), *curves(history)] if history else []),
        *settings_of(metadata),
    ]
    write_page(path, title, parts)


def _learning(history: History, levels: Mapping[str, float]) -> Picture:
    """Profit over training, beside what the rules earn on the same validation episodes."""
    steps = accumulate(entry["steps"] for entry in history)
    entries = [{**entry, "steps": done} for entry, done in zip(history, steps, strict=True)]
    caption = "Expected profit of the deterministic policy on the validation episodes, and of rules on the same."
    return Picture(png_of(learning_plot(entries, levels)), "profit over training", caption)


def _standings_table(standings: Sequence[Standing]) -> PageTable:
    ordered = sorted(standings, key=lambda one: -one.profit.mean)
    head = "player", "$ an episode", f"to the {REFERENCE}", "downtime %", "machines"
    rows = [
        (one.name, _dollars(one.profit), _dollars(one.difference), f"{one.downtime:.3f}", f"{one.machines:.1f}")
        for one in ordered
    ]
    own = [one.name for one in ordered].index(LEARNED)
    return PageTable("What each player earns", head, rows, own)


def _dollars(value: Estimate) -> str:
    return f"{value.mean:,.0f}{interval(value, ',.0f')}"


def interval(value: Estimate, form: str) -> str:
    """The interval of an estimate behind its mean, each bound in that form; nothing where there is none."""
    return f" [{value.low:{form}}, {value.high:{form}}]" if value.bounded else ""


def rewards_csv(history: History, episode_minutes: int) -> str:
    """The reward in the course of training as CSV, a row for each iteration, under the example's names of columns.

    `Training Reward` is what the iteration's minutes earned while exploring, in dollars an episode; `Evaluation Reward`
    is the expected profit of the deterministic policy, where it was validated. Episodes are those of all services.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("Episode #", "Total steps", "Training Reward", "Evaluation Reward"))
    for steps, entry in zip(accumulate(entry["steps"] for entry in history), history, strict=True):
        judged = f"{entry['validation_profit']:.2f}" if "validation_profit" in entry else ""
        earned = entry["reward"] * episode_minutes
        writer.writerow((f"{steps / episode_minutes:.2f}", int(steps), f"{earned:.2f}", judged))
    return out.getvalue()
