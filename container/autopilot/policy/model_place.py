"""Where a model lies: in a directory, or in an archive in its place."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autopilot.policy.metadata import METADATA_FILE

ARCHIVE_FILE = "model.tar.gz"


@contextmanager
def unpacked(directory: Path) -> Iterator[Path]:
    """The model directory itself or, where it is or holds an archive instead, a place where that is unpacked meanwhile.

    Raises ArchiveError.
    """
    archive = directory if directory.is_file() else directory / ARCHIVE_FILE
    if not archive.is_file() or (directory / METADATA_FILE).exists():
        yield directory
        return
    from autopilot.policy.model_archive import unpack  # noqa: PLC0415 - what reads archives, only where there is one

    with tempfile.TemporaryDirectory(prefix="autopilot-model-") as place:
        unpack(archive, Path(place))
        yield Path(place)
