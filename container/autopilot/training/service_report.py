"""What a run of the web service shows: the policy beside the simple rules, and how an episode went."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from autopilot.policy.metadata import Metadata
from autopilot.sim.service import ServiceEnvironment
from autopilot.sim.service_evaluation import Estimate, Standing, compare
from autopilot.sim.service_rules import Act, agent, constant, do_nothing, foresight, peak, planned
from autopilot.training.report import curves, paragraph, settings_of, table, write_page

LEARNED, REFERENCE = "learned", "peak of 30 minutes x 1.5"
_EVALUATION_SEED = 2**31 - 5


def standings(act: Act, environment: ServiceEnvironment) -> tuple[Standing, ...]:
    """The learned policy and the rules on the same episodes, as many as the environment has services."""
    config = environment.config
    rules = {
        LEARNED: agent(act),
        "planned, our model-predictive rule": planned(config),
        REFERENCE: peak(30, 1.5),
        "constant, 40 machines": constant(40),
        "do nothing": do_nothing,
        "foresight x 1.5 (sees the load)": foresight(1.5, config),
    }
    return compare(rules, REFERENCE, environment, [_EVALUATION_SEED])


def verdict(found: Sequence[Standing]) -> str:
    """Whether the learned policy beats the rule that it has to, as a sentence."""
    learned = next(one for one in found if one.name == LEARNED)
    gain = learned.difference
    what = "earns more than" if gain.low > 0 else "earns less than" if gain.high < 0 else "cannot be told from"
    return f"The learned policy {what} the {REFERENCE} rule: {_dollars(gain)} an episode, on the same episodes."


def write_service_report(
    path: Path, metadata: Metadata, found: Sequence[Standing], history: Sequence[Mapping[str, float]]
) -> None:
    """Write the report of a run, or of an evaluation (no history)."""
    parts = [paragraph(verdict(found)), _standings_table(found), *curves(history), *settings_of(metadata)]
    write_page(path, metadata.version if history else f"{metadata.name}, evaluated", parts)


def _standings_table(found: Sequence[Standing]) -> str:
    head = "player", "$ an episode", f"to the {REFERENCE}", "downtime %", "machines"
    rows = [
        (one.name, _dollars(one.profit), _dollars(one.difference), f"{one.downtime:.3f}", f"{one.machines:.1f}")
        for one in sorted(found, key=lambda one: -one.profit.mean)
    ]
    return table(head, rows)


def _dollars(value: Estimate) -> str:
    return f"{value.mean:,.0f} [{value.low:,.0f}, {value.high:,.0f}]"
