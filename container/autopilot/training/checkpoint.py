"""A checkpoint: named arrays and a few facts in one file, replaced atomically; ignored if of another run."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autopilot.training.job import write_atomically

Arrays = Mapping[str, npt.NDArray[Any]]
_FACTS = "facts"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a training run: arrays by name, and facts that JSON can hold."""

    arrays: Arrays
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Where the checkpoints of one run are kept; `run` tells runs apart (hyperparameters and data)."""

    path: Path
    run: str

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint."""
        facts = json.dumps({"run": self.run, **checkpoint.facts})
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{_FACTS: np.array(facts)}, **checkpoint.arrays)
        write_atomically(self.path, buffer.getvalue())

    def load(self) -> Checkpoint | None:
        """The checkpoint of this very run; None if there is none, or only another run's, or a damaged one."""
        try:
            with np.load(io.BytesIO(self.path.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None
        facts = json.loads(str(arrays.pop(_FACTS, "{}")))
        return Checkpoint(arrays, facts) if facts.get("run") == self.run else None
