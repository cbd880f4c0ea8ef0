"""Read what monitoring exported, whatever its format, and write it as a demand file."""

import csv
import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from autopilot.core.history import rfc3339
from autopilot.demand.content import HEAD_BYTES, is_gzip, is_json, not_csv, not_text
from autopilot.demand.exports import cloudwatch_json, grafana_csv, prometheus_json
from autopilot.demand.exports.common import ExportError
from autopilot.demand.series import DemandCsvError, DemandSeries, echo

_JSON_FORMATS = (prometheus_json, cloudwatch_json)
"""Each recognises its own documents."""


def read_export(path: Path) -> tuple[str, dict[str, DemandSeries]]:
    """The name of a file's format, and the demand of each of its series by name. Raises DemandCsvError."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if is_gzip(content) else content
        return _read(content)
    except ExportError as error:
        raise DemandCsvError(path, error.line, error.message) from error
    except UnicodeDecodeError as error:
        raise DemandCsvError(path, None, f"not UTF-8 text ({error.reason}): save the file as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DemandCsvError(path, None, f"damaged gzip file ({error}): compress it again") from error
    except OSError as error:
        raise DemandCsvError(path, None, f"cannot be read: {error.strerror or error}") from error


def _read(content: bytes) -> tuple[str, dict[str, DemandSeries]]:
    head = content[:HEAD_BYTES]
    if (other := not_text(head)) is not None:
        raise ExportError(f"this is {other}")
    if is_json(head):
        return _read_json(content)
    if not head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"sep=") and (other := not_csv(head)) is not None:
        raise ExportError(f"this is {other}")
    return grafana_csv.NAME, grafana_csv.fleets(content.decode("utf-8-sig"))


def _read_json(content: bytes) -> tuple[str, dict[str, DemandSeries]]:
    try:
        document = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ExportError(f"damaged JSON ({error}): export it again") from error
    for one in _JSON_FORMATS:
        if one.recognises(document):
            return one.NAME, one.fleets(document)
    what = f"an object with {echo(', '.join(map(str, document)))}" if isinstance(document, dict) else "a list"
    known = ", ".join(one.NAME for one in _JSON_FORMATS)
    raise ExportError(f"JSON of a kind that is not known here ({what}). Known: {known}; or write timestamp,demand")


def write_demand_csv(path: Path, fleets: Mapping[str, DemandSeries], *, named: bool = False) -> None:
    """Write `timestamp,demand` lines, or `timestamp,fleet,demand` for several fleets (or `named` ones), in order."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        alone = len(fleets) == 1 and not named
        writer.writerow(("timestamp", "demand") if alone else ("timestamp", "fleet", "demand"))
        for name, one in fleets.items():
            for at, servers in zip(one.times.tolist(), one.demand.tolist(), strict=True):
                writer.writerow((rfc3339(at), *(() if alone else (name,)), f"{servers:.10g}"))
