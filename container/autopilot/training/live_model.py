"""The model of a live phase that the last verdict let serve, kept where an interruption does not reach it."""

from pathlib import Path

from autopilot.policy.learned import load_policy
from autopilot.policy.metadata import METADATA_FILE, MODEL, read_metadata
from autopilot.ports import ModelError
from autopilot.training.export import install


class KeptModel:
    """A copy of the job's model directory, which a job that is started again finds and leaves as its own.

    One that is damaged, or of other features, counts as none.
    """

    def __init__(self, directory: Path, model: Path) -> None:
        self.directory = directory
        self._model = model
        self.there = _usable(directory)
        if self.there:
            install(directory, model)

    @property
    def start(self) -> Path | None:
        """What the next round learns on from; None where the rule serves, for whose network nothing speaks."""
        return self.directory if self.there and read_metadata(self.directory).serve == MODEL else None

    def keep(self) -> None:
        """Keep the job's model as it is now."""
        install(self._model, self.directory)
        self.there = True


def _usable(directory: Path) -> bool:
    if not (directory / METADATA_FILE).exists():
        return False
    try:
        load_policy(directory)
    except ModelError:
        return False
    return True
