"""From a trained network to a model directory: SavedModel, LiteRT and metadata, all or nothing; and back."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf

from autopilot.policy.litert import LiteRTNetwork as LiteNetwork
from autopilot.policy.metadata import METADATA_FILE, MODEL_FILE, SAVED_MODEL_DIR, Metadata, read_metadata
from autopilot.ports import ModelError
from autopilot.training.actor_critic import distribution
from autopilot.training.job import write_atomically, written
from autopilot.training.network import (
    ExportedAction,
    FleetNetwork,
    Floats,
    Front,
    Network,
    PolicyNetwork,
    build_network,
    fleet_network_of,
    layer_sizes,
    set_weights,
)
from autopilot.training.ppo import Tensor

SIGNATURE = "serving_default"
TOLERANCE = 1e-5
"""Largest difference between the SavedModel and the LiteRT network, absolute and relative."""
_STAGE = ".new"


RATIO = ExportedAction(lambda observations, mean: tf.exp(mean))
"""Of fleets: the prediction relative to the reference demand."""


class Served(tf.Module):
    """What is exported: observations [N, width] to deterministic actions [N, A] and logits [N, 2A]."""

    def __init__(self, network: PolicyNetwork, action: ExportedAction) -> None:
        super().__init__()
        self.network = network
        self.all_weights = list(network.variables)
        self._decode = action.decode
        shape = tf.TensorSpec([None, network.width], tf.float32, name="observations")
        self.serve = tf.function(self._serve, input_signature=[shape])

    def _serve(self, observations: Tensor) -> dict[str, Tensor]:
        mean, log_std = distribution(self.network, observations)
        return {"actions": self._decode(observations, mean), "logits": tf.concat([mean, log_std], axis=1)}


def export(
    network: PolicyNetwork,
    metadata: Metadata,
    directory: Path,
    probe: Floats | None = None,
    action: ExportedAction = RATIO,
) -> Metadata:
    """Write a model directory; the metadata as written, with checksum and versions.

    `probe` [M, width]: observations on which the two networks must agree; without it, standard normal ones.

    Built and checked elsewhere first, then put in place, `metadata.json` last: a reader never sees a mixture that it
    would accept. Raises ModelError if the two networks disagree.
    """
    with tempfile.TemporaryDirectory() as built:
        place = Path(built)
        served = Served(network, action)
        tf.saved_model.save(served, str(place / SAVED_MODEL_DIR), signatures={SIGNATURE: served.serve})
        content = tf.lite.TFLiteConverter.from_saved_model(str(place / SAVED_MODEL_DIR)).convert()
        (place / MODEL_FILE).write_bytes(content)
        check_agreement(place / SAVED_MODEL_DIR, content, metadata, probe, action.unit)
        checksum = hashlib.sha256(content).hexdigest()
        metadata = replace(metadata, model_sha256=checksum, libraries=libraries())
        (place / METADATA_FILE).write_text(metadata.to_json(), "utf-8")
        install(place, directory)
    return metadata


def relabel(directory: Path, metadata: Metadata) -> Metadata:
    """Give the model in a directory other metadata, for it was exported before they were known; those as written.

    Its networks stay as they were checked. Raises JobError where there is no room for it: those before stay.
    """
    before = read_metadata(directory)
    metadata = replace(metadata, model_sha256=before.model_sha256, libraries=before.libraries)
    write_atomically(directory / METADATA_FILE, metadata.to_json().encode())
    return metadata


def check_agreement(
    saved_model: Path, content: bytes, metadata: Metadata, probe: Floats | None = None, unit: float = 1.0
) -> float:
    """The largest difference between SavedModel and LiteRT on the observations of `probe`.

    Raises ModelError if it is above TOLERANCE, relative to the value, or to `unit` where that is more.
    """
    observations = _normal(metadata.width) if probe is None else probe
    signature = tf.saved_model.load(str(saved_model)).signatures[SIGNATURE]
    theirs = signature(observations=tf.constant(observations))
    actions, logits = LiteNetwork(content, metadata.width, metadata.outputs).run(observations)
    pairs = ((theirs["actions"].numpy(), actions), (theirs["logits"].numpy(), logits))
    worst = max(float((np.abs(a - b) / np.maximum(np.abs(a), unit)).max()) for a, b in pairs)
    if not worst <= TOLERANCE:
        raise ModelError(f"SavedModel and LiteRT differ by {worst:.2g}, more than {TOLERANCE}: nothing was written.")
    return worst


def _normal(width: int) -> Floats:
    return np.random.default_rng(0).standard_normal((256, width), np.float32)


def install(built: Path, directory: Path) -> None:
    """Move a complete model into place. Between the steps the directory holds no `metadata.json`, so no model.

    Raises JobError where there is no room for it: what was there before stays.
    """
    with written(directory):
        _install(built, directory)


def _install(built: Path, directory: Path) -> None:
    stage = directory / _STAGE
    directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(stage, ignore_errors=True)
    try:
        shutil.copytree(built, stage)
    except BaseException:  # a full disk: what was there before stays, and nothing half-written beside it
        shutil.rmtree(stage, ignore_errors=True)
        raise
    (directory / METADATA_FILE).unlink(missing_ok=True)
    shutil.rmtree(directory / SAVED_MODEL_DIR, ignore_errors=True)
    for name in (SAVED_MODEL_DIR, MODEL_FILE, METADATA_FILE):
        os.replace(stage / name, directory / name)
    stage.rmdir()


def libraries() -> dict[str, str]:
    """Versions of what shapes a trained network."""
    return {"tensorflow": tf.__version__, "numpy": np.__version__, "ai-edge-litert": version("ai-edge-litert")}


def make_reproducible() -> None:
    """Let TensorFlow add in the same order every time: the same seed, the same network, to the last bit.

    And let it not warn that the functions of one network after the other are traced: they are different ones.
    """
    tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")


def load_network(directory: Path, front: Front | None = None) -> Network:
    """The plain network of a model directory, to train further. Raises ModelError if there is none that fits."""
    weights = read_weights(directory)
    inputs, *hidden, actions = layer_sizes(weights) or (1, 1)
    network = build_network(inputs, tuple(hidden), actions, front=front)
    with _of_our_kind(directory):
        set_weights(network, weights)
    return network


def load_fleet_network(directory: Path) -> FleetNetwork:
    """The fleets' network of a model directory, to train further. Raises ModelError if there is none that fits."""
    with _of_our_kind(directory):
        return fleet_network_of(read_weights(directory))


@contextmanager
def _of_our_kind(directory: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ModelError(f"The network in {directory} is of another kind: {error}") from error


def read_weights(directory: Path) -> dict[str, Floats]:
    """All weights of the SavedModel in a model directory, by name. Raises ModelError if it cannot be read."""
    try:
        loaded = tf.saved_model.load(str(directory / SAVED_MODEL_DIR))
        return {one.name.split(":")[0].split("/")[-1]: one.numpy() for one in loaded.all_weights}
    except (OSError, AttributeError) as error:
        raise ModelError(f"No SavedModel of ours in {directory / SAVED_MODEL_DIR}: {error}") from error
