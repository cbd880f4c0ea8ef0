"""Policies from a model directory: the learned mapping, and the calibrated rule where learning did not beat it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autopilot.core import features
from autopilot.core.history import Windows
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.litert import Network
from autopilot.policy.metadata import CALIBRATED, FLEET, Metadata, read_metadata, read_model
from autopilot.ports import ModelError, Policy, Predictions

BUILT_IN_MODEL = Path(__file__).parents[1] / "models" / "default"
"""The default policy: a part of the package, so of the images too."""

Floats = npt.NDArray[np.float32]


class LearnedPolicy:
    """Features, then the network, then the action times the reference demand. See ports.Policy."""

    def __init__(self, metadata: Metadata, network: Network) -> None:
        self._metadata = metadata
        self._network = network

    @property
    def name(self) -> str:
        """Name and version, as answers carry it."""
        return self._metadata.version

    @property
    def width(self) -> int:
        """Length of the observation vector."""
        return self._metadata.width

    @property
    def horizon_minutes(self) -> int:
        """How far ahead a prediction looks."""
        return self._metadata.horizon_minutes

    def predict(self, windows: Windows) -> Predictions:
        """Predictions for N fleets, in servers. Raises ModelError if the model is not for fleets."""
        if self._metadata.environment != FLEET:
            raise ModelError(f"{self.name} answers raw observations only: environment {self._metadata.environment}.")
        actions, logits = self._network.run(features.observe(windows, self._metadata.horizon_minutes))
        return Predictions(actions[:, 0].astype(np.float64) * features.reference(windows), actions, logits)

    def act(self, observations: Floats) -> Predictions:
        """Raw answer to observation vectors [N, width]. Raises ValueError for another width."""
        actions, logits = self._network.run(np.asarray(observations, np.float32))
        return Predictions(np.full(len(actions), np.nan), actions, logits)


class RulePreferred:
    """The calibrated rule, served because the network did not beat it; raw observations still get the network."""

    def __init__(self, learned: LearnedPolicy) -> None:
        self._learned = learned
        self._rule = CalibratedPolicy(learned.horizon_minutes)

    @property
    def name(self) -> str:
        """The rule, and the checksum of the model that it was preferred to."""
        return f"{self._rule.name}@{self._learned.name.rpartition('@')[2]}"

    @property
    def width(self) -> int:
        """Length of the observation vector."""
        return self._learned.width

    @property
    def horizon_minutes(self) -> int:
        """How far ahead a prediction looks."""
        return self._rule.horizon_minutes

    def predict(self, windows: Windows) -> Predictions:
        """The rule's servers."""
        return self._rule.predict(windows)

    def act(self, observations: Floats) -> Predictions:
        """The network's raw answer: its width is the one that callers know. Raises ValueError for another width."""
        return self._learned.act(observations)


def load_policy(directory: Path) -> Policy:
    """The policy of a model directory, checked and tried on a canned observation.

    Raises ModelError, with what to mend, if a file is missing or damaged, or if the model was trained on other
    features than this version computes.
    """
    metadata = read_metadata(Path(directory))
    _check_features(metadata)
    content = read_model(Path(directory), metadata)
    learned = LearnedPolicy(metadata, Network(content, metadata.width, metadata.outputs))
    return RulePreferred(learned) if metadata.serve == CALIBRATED else learned


def _check_features(metadata: Metadata) -> None:
    if metadata.environment != FLEET:
        return
    ours = features.FEATURES_VERSION, features.WIDTH
    theirs = metadata.features_version, metadata.width
    if theirs != ours:
        raise ModelError(
            f"{metadata.name} was trained on observations of version {theirs[0]} ({theirs[1]} wide), "
            f"this version computes {ours[0]} ({ours[1]} wide). Train again with this version."
        )
    if metadata.horizon_minutes not in features.HORIZONS:
        raise ModelError(f"metadata.json: horizon_minutes must be one of {features.HORIZONS}. Train again.")
