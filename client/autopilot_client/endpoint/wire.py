"""The endpoint's wire format, as the client speaks it: instances out, predictions in."""

import math
from datetime import UTC, datetime
from typing import Any

from autopilot_client.rules.domain import MOST_SERVERS, Answer, Bounds, Reading, Refused
from autopilot_client.rules.lead import Lead

SHORTEST, LONGEST = 1.0, 120.0
"""Bounds of a horizon that is believed, in minutes."""


def instance(
    name: str, reading: Reading, replicas: int | None, bounds: Bounds, lead: Lead | None = None
) -> dict[str, Any]:
    """One fleet's part of the request. What is unknown is left out, never zero."""
    optional = {
        "sessions": reading.sessions,
        "queue": reading.queue,
        "replicas": None if replicas is None else min(replicas, MOST_SERVERS),
        "arrivals": reading.arrivals,
    }
    return (
        {
            "fleet": name,
            "demand": _plain(reading.demand),
            "observed_at": datetime.fromtimestamp(reading.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "limits": {"min": min(bounds.minimum, MOST_SERVERS), "max": min(bounds.maximum, MOST_SERVERS)},
        }
        | {key: _plain(value) for key, value in optional.items() if value is not None}
        | ({"lead_minutes": [_plain(lead.shortest), _plain(lead.longest)]} if lead else {})
    )


def answer(name: str, element: object, now: float) -> Answer | Refused:
    """One element of the reply's `predictions`, bare or wrapped in `Prediction`."""
    if not isinstance(element, dict):
        return Refused("unusable", "the element is not an object")
    if "error" in element:
        return Refused("endpoint_error", str(element["error"])[:300])
    prediction = element.get("Prediction", element)
    if not isinstance(prediction, dict):
        return Refused("unusable", "Prediction is not an object")
    if prediction.get("fleet", name) != name:
        return Refused("unusable", f"an answer for {str(prediction['fleet'])[:100]!r}")
    return _answer(prediction, now)


def _answer(prediction: dict[str, Any], now: float) -> Answer | Refused:
    size = _finite(prediction.get("num_of_gameservers"))
    if size is None or size < 0:
        return Refused("unusable", f"num_of_gameservers is {str(prediction.get('num_of_gameservers'))[:60]}")
    forecast = _finite(prediction.get("forecast"))
    if "forecast" in prediction and (forecast is None or forecast < 0):
        return Refused("unusable", f"forecast is {str(prediction['forecast'])[:60]}")
    horizon = _finite(prediction.get("horizon_minutes"))
    return Answer(
        allocation=math.ceil(size),
        at=now,
        horizon_minutes=min(LONGEST, max(SHORTEST, 15.0 if horizon is None else horizon)),
        reason=_word(prediction.get("reason")),
        policy=str(prediction.get("policy") or "")[:100],
        prediction=_finite(prediction.get("action")),
        false_positive=prediction.get("is_false_positive") in (1, True),
        history_missing=prediction.get("history") == "unavailable",
        forecast=None if forecast is None else math.ceil(forecast),
        why=_text(prediction.get("why")),
    )


def _finite(value: object) -> float | None:
    """A finite number, also one in a string (the original's types); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _word(value: object) -> str:
    """A reason that is fit for a label: short, lower case letters and `_`."""
    text = value if isinstance(value, str) else ""
    return text if text.replace("_", "").isalpha() and text.islower() and len(text) <= 40 else "policy"


def _text(value: object) -> str:
    """Evidence in words, one or several; anything else says nothing."""
    words = value if isinstance(value, list) else [value]
    return "; ".join(word for word in words if isinstance(word, str))[:500]


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
