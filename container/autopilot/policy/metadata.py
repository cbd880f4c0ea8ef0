"""The model directory: what stands in it, and `metadata.json`, which says what the model is and how to use it.

    1/               TensorFlow SavedModel: input `observations` [N, width]; outputs `actions` [N, A], `logits` [N, 2A]
    model.tflite     the same network for LiteRT; `serve` reads this one alone
    metadata.json    this module

`actions` is deterministic. `logits` holds the means, then the log standard deviations, of the action's distribution.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from autopilot.core.trained_on import FEATURES, TrainedOn
from autopilot.ports import ModelError

FORMAT = 1
"""Version of this directory's format. A reader refuses any other."""
MODEL_FILE = "model.tflite"
METADATA_FILE = "metadata.json"
SAVED_MODEL_DIR = "1"
FLEET, SERVICE = "fleet", "service"
"""Environments: a fleet of game servers (predictions in servers), or a web service (raw actions only)."""
MODEL, CALIBRATED = "model", "calibrated"
"""What is served: the network, or the calibrated rule because the network did not beat it."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What `metadata.json` says of a model.

    name              what answers call it, before the `@`
    environment       FLEET or SERVICE
    features_version  version of the observation that the network was trained on
    width             length of the observation vector
    outputs           number of actions, A
    action            what an action means: `ratio` of the allocation to the reference demand, or `machines` to add and
                      to remove (`raw_machines`: the same, learned as such)
    horizon_minutes   how far ahead a prediction looks
    serve             MODEL or CALIBRATED
    algorithm         `forecast`, `ppo` or `linear`
    seed              of the training run
    model_sha256      of `model.tflite`, in hexadecimal
    weights           cost of one missing and of one idle server-minute
    scores            what was measured at the end of training, by name
    hyperparameters   those of the training run
    libraries         versions that trained it
    trained_on        which leads, and between which values the days of its training fleets lay; empty:
                      not known
    learned_until     the last observation of recorded fleets that it was trained or judged on (RFC 3339); empty: none
    """

    name: str
    environment: str
    features_version: int
    width: int
    model_sha256: str
    horizon_minutes: int
    outputs: int = 1
    action: str = "ratio"
    serve: str = MODEL
    algorithm: str = "forecast"
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT
    learned_until: str = ""
    trained_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name and the first digits of the model's checksum: `default@1f3c0a9b`."""
        return f"{self.name}@{self.model_sha256[:8]}"

    def to_json(self) -> str:
        """The text of `metadata.json`: the same bytes for the same model."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


REQUIRED = ("name", "environment", "features_version", "width", "model_sha256", "horizon_minutes", "format")
KINDS = {"environment": (FLEET, SERVICE), "serve": (MODEL, CALIBRATED), "format": (FORMAT,)}
WHOLE = {
    "features_version": (0, 10**6), "width": (1, 4096), "outputs": (1, 256), "horizon_minutes": (1, 1440),
    "seed": (0, 2**63), "format": (0, 10**6),
}  # fmt: skip
"""Whole numbers, and the least and the most of each: a damaged width must not ask for all memory."""
TEXTS = ("name", "model_sha256", "action", "algorithm", "learned_until")


def parse_metadata(text: str) -> Metadata:
    """The metadata in the text of `metadata.json`. Unknown names are ignored. Raises ModelError."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{METADATA_FILE} is not JSON: {error}. Train again, or restore the file.") from error
    if not isinstance(given, dict):
        raise ModelError(f"{METADATA_FILE} must be a JSON object. Train again, or restore the file.")
    _check(given)
    known = {entry.name for entry in fields(Metadata)}
    return Metadata(**{name: value for name, value in given.items() if name in known})


def _check(given: Mapping[str, Any]) -> None:
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        raise ModelError(f"{METADATA_FILE} lacks {', '.join(missing)}. Train again, or restore the file.")
    for name, allowed in KINDS.items():
        if name in given and given[name] not in allowed:
            expected = " or ".join(map(repr, allowed))
            raise ModelError(f"{METADATA_FILE}: {name} is {given[name]!r}, this version reads {expected}. Train again.")
    for name, (least, most) in WHOLE.items():
        if name in given and not _is_whole(given[name], least, most):
            raise ModelError(
                f"{METADATA_FILE}: {name} must be a whole number, {least} to {most}, not {given[name]!r:.60}."
            )
    if given.get("trained_on"):
        _trained_on(given["trained_on"])
    for name in TEXTS:
        if not isinstance(given.get(name, ""), str):
            raise ModelError(f"{METADATA_FILE}: {name} must be a text, not {given[name]!r:.60}.")


def read_trained_on(metadata: Metadata) -> TrainedOn | None:
    """What a model learned from, as far as its metadata say. Raises ModelError where they cannot be read."""
    return _trained_on(metadata.trained_on) if metadata.trained_on else None


def _trained_on(given: object) -> TrainedOn:
    try:
        found = msgspec.convert(given, TrainedOn)
    except msgspec.ValidationError as error:
        raise ModelError(f"{METADATA_FILE}: trained_on: {error}. Train again, or leave trained_on out.") from error
    if not found.days or any(one.features.keys() != set(FEATURES) for one in found.days):
        raise ModelError(
            f"{METADATA_FILE}: trained_on must say of at least one lead what days were like, in {', '.join(FEATURES)}."
        )
    return found


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def read_metadata(directory: Path) -> Metadata:
    """The metadata of a model directory. Raises ModelError if it is absent or unusable."""
    try:
        text = (directory / METADATA_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"No readable {METADATA_FILE} in {directory} ({error}). Mount a trained model there."
        ) from error
    return parse_metadata(text)


def read_model(directory: Path, metadata: Metadata) -> bytes:
    """The bytes of `model.tflite`, checked against the metadata. Raises ModelError if absent or another file."""
    try:
        content = (directory / MODEL_FILE).read_bytes()
    except OSError as error:
        raise ModelError(f"No readable {MODEL_FILE} in {directory} ({error}). Mount a model there.") from error
    if hashlib.sha256(content).hexdigest() != metadata.model_sha256:
        raise ModelError(
            f"{MODEL_FILE} in {directory} is not the file that {METADATA_FILE} describes (another checksum). "
            "Copy both from the same training run."
        )
    return content
