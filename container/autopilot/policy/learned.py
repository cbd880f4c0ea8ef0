"""Policies from a model directory: the learned mapping, and the calibrated rule where learning did not beat it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autopilot.core import features
from autopilot.core.decide import Doubles, Predictions
from autopilot.core.history import Windows
from autopilot.core.trained_on import TrainedOn
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.litert import LiteRTNetwork
from autopilot.policy.metadata import CALIBRATED, FLEET, Metadata, read_metadata, read_model, read_trained_on
from autopilot.ports import ModelError, Policy

BUILT_IN_MODEL = Path(__file__).parents[1] / "models" / "default"
"""The default policy: a part of the package, so of the images too."""

Floats = npt.NDArray[np.float32]


class LearnedPolicy:
    """Features, then the network, then the action times the reference demand. See ports.Policy."""

    def __init__(self, metadata: Metadata, network: LiteRTNetwork) -> None:
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
    def trained_on(self) -> TrainedOn | None:
        """What it learned from; None: its metadata do not say."""
        return read_trained_on(self._metadata)

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        """What the coming lead needs, in servers. See ports.Policy.

        Raises ModelError if the model is not for fleets.
        """
        if self._metadata.environment != FLEET:
            raise ModelError(f"{self.name} answers raw observations only: environment {self._metadata.environment}.")
        actions, logits = self._network.run(features.observe(windows, lead, missing_price))
        return Predictions(actions[:, 0].astype(np.float64) * features.reference(windows), actions, logits)

    def act(self, observations: Floats) -> Predictions:
        """Raw answer to observation vectors [N, width]. Raises ValueError for another width."""
        actions, logits = self._network.run(np.asarray(observations, np.float32))
        return Predictions(np.full(len(actions), np.nan), actions, logits)


class RulePreferred:
    """The calibrated rule, served because the network did not beat it; raw observations still get the network."""

    def __init__(self, learned: LearnedPolicy) -> None:
        self._learned = learned
        self._rule = CalibratedPolicy()

    @property
    def name(self) -> str:
        """The rule, and the checksum of the model that it was preferred to."""
        return f"{self._rule.name}@{self._learned.name.rpartition('@')[2]}"

    @property
    def width(self) -> int:
        """Length of the observation vector."""
        return self._learned.width

    def predict(self, windows: Windows, lead: Doubles, missing_price: Doubles) -> Predictions:
        """The rule's servers."""
        return self._rule.predict(windows, lead, missing_price)

    def act(self, observations: Floats) -> Predictions:
        """The network's raw answer: its width is the one that callers know. Raises ValueError for another width."""
        return self._learned.act(observations)


def load_policy(directory: Path) -> Policy:
    """The policy of a model directory, checked and tried on a canned observation.

    Raises ModelError, with what to fix, if a file is missing or damaged, or if the model was trained on other
    features than this version computes.
    """
    metadata = read_metadata(Path(directory))
    _check_features(metadata)
    content = read_model(Path(directory), metadata)
    learned = LearnedPolicy(metadata, LiteRTNetwork(content, metadata.width, metadata.outputs))
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
