"""A `model.tar.gz` in place of a model directory: unpacked only where every entry is a plain file within bounds.

The platform unpacks archives for an endpoint, but hands them to a training job's `model` channel as they are, and so
may people who mount one. An archive comes from outside: it must not write beside its place, and not fill the disk.
"""

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from autopilot.policy.model_place import ARCHIVE_FILE
from autopilot.ports import ModelError

MOST_ENTRIES = 2_000
MOST_BYTES = 512 * 1024 * 1024
"""Of all files together, unpacked: some ten times the largest network that `train` makes."""
_MOST_HEADER = 1024 * 1024
"""Of what a tar reader takes into memory at once: a name, or extended headers."""
_LONGEST_NAME = 512


class ArchiveError(ModelError):
    """An archive of a model that cannot be used, or must not be unpacked."""


def unpack(archive: Path, place: Path) -> None:
    """Unpack an archive into an empty directory. Raises ArchiveError; what was written until then stays."""
    try:
        with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            _unpack(tar, place)
    except ArchiveError as error:
        raise ArchiveError(f"{archive}: {error}. Make it with: tar -czf {ARCHIVE_FILE} -C MODEL_DIR .") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        raise ArchiveError(f"{archive} cannot be unpacked ({error}). Copy it again.") from error


def pack(directory: Path) -> bytes:
    """An archive of a model directory: the same bytes for the same content."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(directory.rglob("*")):
            entry = tarfile.TarInfo(str(path.relative_to(directory)))
            if path.is_file():
                content = path.read_bytes()
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _unpack(tar: tarfile.TarFile, place: Path) -> None:
    seen: set[PurePosixPath] = set()
    room = MOST_BYTES
    for entry in tar:
        path = _checked(entry)
        room -= entry.size
        if len(seen) >= MOST_ENTRIES or room < 0:
            raise ArchiveError(f"it holds more than {MOST_ENTRIES} entries, or {MOST_BYTES >> 20} MB")
        if entry.isfile() and path in seen:
            raise ArchiveError(f"it holds {entry.name!r:.100} twice")
        seen.add(path)
        _write(tar, entry, place / path)


def _checked(entry: tarfile.TarInfo) -> PurePosixPath:
    """The entry's path below the place. Raises ArchiveError for all but a plain file or a directory, within."""
    if not (entry.isfile() or entry.isdir()) or entry.issparse():
        raise ArchiveError(f"{entry.name!r:.100} is a link, a device or another special file")
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.name or "\0" in entry.name:
        raise ArchiveError(f"{entry.name!r:.100} leads out of the directory")
    if len(entry.name) > _LONGEST_NAME:
        raise ArchiveError(f"{entry.name!r:.100} is too long a name")
    return path


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    """Write one entry with rights of our own: those of the archive, its owners and times mean nothing here."""
    if entry.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(entry)
    if content is None:
        raise ArchiveError(f"{entry.name!r:.100} has no content")
    with content, path.open("xb") as file:
        left = entry.size
        while chunk := content.read(min(_MOST_HEADER, left)):
            file.write(chunk)
            left -= len(chunk)
    if left:
        raise ArchiveError(f"{entry.name!r:.100} ends too early")


class _Bounded(gzip.GzipFile):
    """The unpacked stream as tar's reader sees it: no read takes much memory, and nothing lies beyond the bound."""

    def read(self, size: int | None = -1) -> bytes:
        """Up to so many bytes."""
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise ArchiveError("it has a header of more than a megabyte")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Read from there next."""
        if offset > MOST_BYTES + MOST_ENTRIES * 4096:
            raise ArchiveError(f"it holds more than {MOST_BYTES >> 20} MB")
        return super().seek(offset, whence)
