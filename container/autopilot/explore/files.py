"""What somebody drops on the page: one fleet or several, of any format that `backtest` and `import` read."""

import gzip
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from autopilot.demand.content import IMPORT, is_gzip, is_json
from autopilot.demand.csv_file import fleet_of, read_fleets_csv
from autopilot.demand.export_file import read_export
from autopilot.demand.series import DemandCsvError, DemandSeries

LARGEST_UPLOAD = 32 * 1024 * 1024
"""Bytes as they come."""
LARGEST_FILE = 128 * 1024 * 1024
"""Bytes once unpacked: five million lines, nine years of minutes."""
_RAN_COLUMNS = ("size", "replicas", "ran")
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileFleet:
    """One fleet of a file: its demand and, where a second column says it, the servers that ran."""

    name: str
    demand: DemandSeries
    ran: DemandSeries | None = None


Fleets = Mapping[str, FileFleet]


class FileRefusedError(Exception):
    """A file cannot be played. The message says which, why, and what to do."""


def open_upload(name: str, content: IO[bytes]) -> Fleets:
    """The fleets of an upload that somebody calls `name`. Raises FileRefusedError."""
    called = re.sub(r"[/\\\0]", "_", name)[-100:].strip() or "upload.csv"
    with TemporaryDirectory(prefix="autopilot-explore-") as scratch:
        path = Path(scratch) / ("upload.csv" if called in (".", "..") else called)
        try:
            _unpack(content, path)
            return open_file(path)
        except OSError as error:
            raise FileRefusedError(f"{called}: cannot be read ({error.strerror or error})") from error
        except FileRefusedError as error:
            raise FileRefusedError(str(error).replace(f"{scratch}/", "")) from error


def _unpack(content: IO[bytes], path: Path) -> None:
    """Write what comes to a file, unpacked, as long as it is not too large. Raises FileRefusedError, OSError."""
    packed = is_gzip(head := content.read(2))
    content.seek(-len(head), 1)
    source = gzip.GzipFile(fileobj=content) if packed else content
    written = 0
    with path.open("wb") as file:
        try:
            while piece := source.read(_PIECE):
                written += len(piece)
                if written > LARGEST_FILE:
                    raise FileRefusedError(
                        f"{path.name}: more than {LARGEST_FILE >> 20} MB{' once unpacked' if packed else ''}: cut it "
                        "to a year, or to a fleet"
                    )
                file.write(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileRefusedError(f"{path.name}: damaged gzip file ({error}): compress it again") from error


def open_file(path: Path) -> Fleets:
    """The fleets of a file: demand as CSV, or what monitoring exported. Raises FileRefusedError."""
    try:
        demand = _demand(path)
    except DemandCsvError as error:
        raise FileRefusedError(str(error)) from error
    ran = _ran(path)
    return {name: FileFleet(name, series, ran.get(name)) for name, series in demand.items()}


def _demand(path: Path) -> dict[str, DemandSeries]:
    try:
        return read_fleets_csv(path)
    except DemandCsvError as error:
        if IMPORT not in error.message:  # neither JSON nor a header that may be Grafana's
            raise
        try:
            exported = read_export(path)[1]
        except DemandCsvError as other:
            raise other if _is_json(path) else error from other
        return {fleet_of(path): next(iter(exported.values()))} if len(exported) == 1 else exported


def _is_json(path: Path) -> bool:
    with path.open("rb") as file:
        return is_json(file.read(64))


def _ran(path: Path) -> dict[str, DemandSeries]:
    """The servers that ran, where a column says it."""
    for column in _RAN_COLUMNS:
        try:
            return read_fleets_csv(path, column)
        except DemandCsvError:
            continue
    return {}
