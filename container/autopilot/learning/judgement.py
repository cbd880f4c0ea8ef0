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
from autopilot.learning.drift import look_for_drift
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
    drift, unlike = _new_lead(lead_before, context.lead), _unknown_lead(context.lead, config.trained_on)
    try:
        played = play_fleet(stored, replay, config.candidate)
        found, by_rule = standings(played), config.earns and _serves_rule(played, context)
        seen = look_for_drift(played, config.trained_on)
        drift, unlike = drift or str(seen.drift or ""), unlike or str(seen.beyond_training or "")
    except ValueError as error:  # too little is stored, or too rarely observed, to play anything
        note = str(error)
    told = _told(stored.fleet, context.now.observed_at, by_rule, note)
    told |= {"drift": drift, "beyond_training": unlike}
    told["standings"] = [_rounded(entry(one, config.server_hour)) for one in found]
    sums = [_sums(one.days, player, score) for one in found for player, score in one.scores.items()]
    content = json.dumps(told, allow_nan=False).encode()
    return BoardEntry(stored.fleet, *when, by_rule, content, sums, bool(drift), bool(unlike))


def _serves_rule(played: PlayedFleet, context: FleetContext) -> bool:
    trial = trial_of(played.scenario, played.sizes[POLICY], played.sizes[RULE])
    return bool(trial.serves_rule(np.array([context.now.observed_at // PART_SECONDS], np.int64))[0])


def _new_lead(before: Lead | None, now: Lead) -> str:
    """What to say of a lead that is another than it was: every forecast has a new task."""
    if before is None or before == now:
        return ""
    return f"the lead is {now.shortest:g} to {now.longest:g} minutes, and was {before.shortest:g} to {before.longest:g}"


def _unknown_lead(now: Lead, training: TrainedOn | None) -> str:
    """What to say of a lead that the policy did not learn."""
    if training is None or training.covers(now):
        return ""
    least, most = training.lead_minutes
    return f"the lead ends after {now.longest:g} minutes; in training leads ended after {least:g} to {most:g}"


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
