"""Answers as callers get them: the fields, and how they come from what was decided."""

from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from autopilot.core.history import rfc3339
from autopilot.serve.wire.errors import RequestError
from autopilot.service import Answer, Refusal


class RawResult(msgspec.Struct):
    """What the network said, as TensorFlow Serving answers."""

    actions: list[float]
    logits: list[float]


class RawResults(msgspec.Struct):
    """One result for each observation vector."""

    predictions: list[RawResult]


class PredictionOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The decision for one fleet. The first seven fields are the original's wire format, with its types.

    What is not known is left out: `curr_demand` where demand could not be read, `action` where there is no prediction.
    """

    num_of_gameservers: int
    new_alloc: str
    action: str | UnsetType = UNSET
    curr_demand: str | UnsetType = UNSET
    is_false_positive: Literal[0, 1]
    observations: str
    raw_results: RawResults
    fleet: str
    observed_at: str
    reason: str
    forecast: int
    horizon_minutes: int
    policy: str
    history: str
    why: str = ""
    warnings: list[str] = []


class ErrorOut(msgspec.Struct):
    """Why there is no answer: a code to act on, a message to read, and the field to fix."""

    code: str
    message: str
    field: str | None = None


class AnswerOut(msgspec.Struct):
    """One fleet's answer."""

    Prediction: PredictionOut


class ErrorAnswer(msgspec.Struct, omit_defaults=True):
    """An error in place of an answer; `fleet` as far as its name could be read."""

    error: ErrorOut
    fleet: str = ""


def refusal_error(refusal: Refusal, fleet: str) -> ErrorAnswer:
    """A refusal as it stands in the place of an answer."""
    return ErrorAnswer(ErrorOut(refusal.code, refusal.message, refusal.field), fleet)


def request_error(error: RequestError) -> ErrorAnswer:
    """A request error as it stands in the place of an answer."""
    return ErrorAnswer(ErrorOut(error.code, error.message, error.field), error.fleet)


def raw_results(actions: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> RawResults:
    """Raw results for [N, A] actions and [N, 2] logits."""
    return RawResults([RawResult(a, b) for a, b in zip(actions.tolist(), logits.tolist(), strict=True)])


def prediction_out(answer: Answer, warnings: tuple[str, ...] = ()) -> PredictionOut:
    """One answer in the original's wire format, with warnings about what was asked."""
    decision, now = answer.decision, answer.now
    return PredictionOut(
        num_of_gameservers=decision.allocation,
        new_alloc=str(decision.allocation),
        action=UNSET if answer.prediction != answer.prediction else f"{answer.prediction:.10g}",
        curr_demand=_number(now.demand) if answer.demand_known else UNSET,
        is_false_positive=1 if decision.under_provisioned else 0,
        observations="[" + " ".join(map(_numpy_style, answer.recent)) + "]",
        raw_results=RawResults([RawResult(answer.actions, answer.logits)]),
        fleet=now.fleet,
        observed_at=_time(now.observed_at),
        reason=decision.reason.value,
        forecast=decision.forecast,
        horizon_minutes=answer.horizon_minutes,
        policy=answer.policy,
        history=answer.history.value,
        why=answer.why,
        warnings=[*warnings, *answer.warnings],
    )


# Numbers of servers are small and whole, and the fleets of one call share their time: most were written before.
_time = lru_cache(maxsize=256)(rfc3339)


@lru_cache(maxsize=4096)
def _number(value: float) -> str:
    return f"{value + 0.0:.10g}"  # not -0


@lru_cache(maxsize=4096)
def _numpy_style(value: float) -> str:
    text = f"{value + 0.0:.8g}"
    return text if "." in text or "e" in text else text + "."
