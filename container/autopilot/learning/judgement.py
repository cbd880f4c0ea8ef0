"""One fleet's judgement: everybody plays its stored days, and what came of it is written down."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from autopilot.backtest.earning import trial_of
from autopilot.backtest.replay import PART_SECONDS
from autopilot.core.cost import Score
from autopilot.core.decide import FleetContext
from autopilot.core.fleet import Lead
from autopilot.core.history import rfc3339
from autopilot.core.trained_on import TrainedOn
from autopilot.learning.board import BoardEntry, PlayerSums
from autopilot.learning.drift import fleet_drift
from autopilot.learning.judge import JudgeConfig
from autopilot.learning.scoreboard import POLICY, RULE, FleetStanding, PlayedFleet, play_fleet, standings
from autopilot.learning.stored import StoredFleet
from autopilot.learning.words import entry

_DIGITS = 6


def judged(
    stored: StoredFleet,
    context: FleetContext,
    config: JudgeConfig,
    when: tuple[float, str],
    lead_before: Lead | None = None,
) -> BoardEntry:
    """Let everybody play a fleet as it is asked for.

    when         until when it stands (epoch seconds), and what else it depends on
    lead_before  the lead of the judgement before, as far as that is known
    """
    replay = replace(config.replay, lead=context.lead, missing_price=context.missing_price, limits=context.now.limits)
    found, by_rule, note = list[FleetStanding](), False, ""
    drift = _new_lead(lead_before, context.lead, config.trained_on)
    try:
        played = play_fleet(stored, replay, config.candidate)
        found, by_rule = standings(played), config.earns and _serves_rule(played, context)
        drift = drift or str(fleet_drift(played, config.trained_on) or "")
    except ValueError as error:  # too little is stored, or too rarely observed, to play anything
        note = str(error)
    told = _told(stored.fleet, context.now.observed_at, by_rule, note) | {"drift": drift}
    told["standings"] = [_rounded(entry(one, config.server_hour)) for one in found]
    sums = [_sums(one.days, player, score) for one in found for player, score in one.scores.items()]
    return BoardEntry(stored.fleet, *when, by_rule, json.dumps(told, allow_nan=False).encode(), sums, bool(drift))


def _serves_rule(played: PlayedFleet, context: FleetContext) -> bool:
    trial = trial_of(played.scenario, played.sizes[POLICY], played.sizes[RULE])
    return bool(trial.serves_rule(np.array([context.now.observed_at // PART_SECONDS], np.int64))[0])


def _new_lead(before: Lead | None, now: Lead, training: TrainedOn | None) -> str:
    """What to say of a lead that is another than it was, for every forecast has a new task, or than training had."""
    said = []
    if before is not None and before != now:
        said.append(f"was {before.shortest:g} to {before.longest:g}")
    if training is not None and not training.covers(now):
        said.append("training knew none that ends after {:g} to {:g}".format(*training.lead_minutes))
    return f"the lead is {now.shortest:g} to {now.longest:g} minutes, and {', and '.join(said)}" if said else ""


def _told(fleet: str, at: float, by_rule: bool, note: str) -> dict[str, Any]:
    served_by = "calibrated rule" if by_rule else "policy"
    return {"fleet": fleet, "judged_at": rfc3339(at), "served_by": served_by, "note": note}


def _sums(days: float, player: str, score: Score) -> PlayerSums:
    cost = score.missing_price * score.missing_server_hours + score.idle_server_hours
    return PlayerSums(days, player, score.missing_server_hours, score.idle_server_hours, score.paid_server_hours, cost)


def _rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The same with six digits of every figure: a table of thousands of fleets has no room for noise."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
