"""Somebody else who sets sizes: Argo CD's self-heal or an HPA, before each pass; and the operator who then lets go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autopilot_client.rules.overrides import PREFIX
from bench.soak.cluster import SoakCluster

PAUSED = f"{PREFIX}paused"


@dataclass(slots=True)
class Rival:
    """Wants a third of the Fleets to have the size that they had when it came.

    A client that is undone three times leaves a fleet alone until an operator has paused it and let it go. So that is
    done once the rival has gone, in two passes; what the API server does not take is done in the next one.
    """

    cluster: SoakCluster
    sizes: dict[int, int] = field(default_factory=dict)
    _to_pause: set[int] = field(default_factory=set)
    _paused: set[int] = field(default_factory=set)

    def begin(self) -> None:
        """It comes. Where sizes cannot be read there is nothing to keep."""
        present = self.cluster.read_sizes()
        fleets = np.flatnonzero(~self.cluster.cast.pods)[::3].tolist()
        self.sizes = {} if present is None else {i: int(present[i]) for i in fleets}

    def end(self) -> None:
        """It goes."""
        self._to_pause |= self.sizes.keys()
        self.sizes = {}

    def act(self) -> None:
        """Before a pass: sizes are set back, and fleets are paused and let go."""
        self.cluster.each(self.sizes, lambda i: self._patch(i, {"spec": {"replicas": self.sizes[i]}}))
        self.cluster.each(list(self._paused), self._let_go)
        self.cluster.each(list(self._to_pause), self._pause)

    def _pause(self, i: int) -> None:
        self._patch(i, {"metadata": {"annotations": {PAUSED: "true"}}})
        self._to_pause.discard(i)
        self._paused.add(i)

    def _let_go(self, i: int) -> None:
        self._patch(i, {"metadata": {"annotations": {PAUSED: None}}})
        self._paused.discard(i)

    def _patch(self, i: int, change: Mapping[str, Any]) -> None:
        self.cluster.admin.patch(self.cluster.path(i), change)
