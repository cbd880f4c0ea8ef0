"""A checkpoint: named arrays and a few facts in one file, replaced atomically; ignored if damaged or of another run."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autopilot.training.job import write_atomically

Arrays = Mapping[str, npt.NDArray[Any]]
_FACTS = "facts"
_DIGEST = hashlib.sha256().digest_size
_NO_CHECKPOINT = (
    OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError, MemoryError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What reading an archive raises that somebody made with the right digest and the wrong content."""


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
        """Replace the checkpoint. Raises JobError if it cannot be written: a long run without any is worth nothing."""
        facts = json.dumps({"run": self.run, **checkpoint.facts})
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{_FACTS: np.array(facts)}, **checkpoint.arrays)
        content = buffer.getvalue()
        write_atomically(self.path, hashlib.sha256(content).digest() + content)

    def load(self) -> Checkpoint | None:
        """The checkpoint of this very run; None if there is none, or only another run's, or a damaged one."""
        checkpoint = read_checkpoint(self.path)
        return checkpoint if checkpoint is not None and checkpoint.facts["run"] == self.run else None


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a file, of whatever run; None if there is none, or a damaged one."""
    try:
        digest, content = _parts(path.read_bytes())
    except OSError:
        return None
    # Damage is told by the digest: the reader of the archive fails in many ways, and believes any size it reads.
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop(_FACTS)))
    except _NO_CHECKPOINT:
        return None
    return Checkpoint(arrays, facts) if isinstance(facts, dict) and "run" in facts else None


def _parts(file: bytes) -> tuple[bytes, bytes]:
    return file[:_DIGEST], file[_DIGEST:]
