"""What a file holds, judged by its first bytes: people give whatever their tools export."""

import re

HEAD_BYTES = 4096
"""Of a file, enough to tell what it is."""
IMPORT = "`autopilot import FILE --out demand.csv`"

_GZIP = b"\x1f\x8b"
_BINARY = (
    (b"PAR1", "a Parquet file: write it as CSV (pandas: `df.to_csv('demand.csv', index=False)`)"),
    (b"ARROW1", "an Arrow file: write it as CSV"),
    (b"ORC", "an ORC file: write it as CSV"),
    (b"Obj\x01", "an Avro file: write it as CSV"),
    (b"\x89HDF", "an HDF5 file: write it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls): save the sheet as `CSV UTF-8`"),
    (b"SQLite format 3\0", "an SQLite database: export the fleet with `autopilot history export`, or write it as CSV"),
    (b"BZh", "packed with bzip2: unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\0", "packed with xz: unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"%PDF", "a PDF document: export the data itself, as CSV"),
    (b"\x89PNG", "a picture: export the data itself, as CSV"),
    (b"\xff\xd8\xff", "a picture: export the data itself, as CSV"),
    (b"\xff\xfe", "UTF-16 text: save the file as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: save the file as UTF-8"),
)
_WORKBOOKS = (b"xl/", b"[Content_Types].xml", b"_rels/")


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins so is packed with gzip."""
    return head.startswith(_GZIP)


def is_json(head: bytes) -> bool:
    """Whether a file that begins so is JSON, an object or a list."""
    return _text(head)[:1] in ("{", "[")


def not_text(head: bytes) -> str | None:
    """What a file that begins so is instead of text, with the remedy; None where it may be text."""
    if head.startswith(b"PK\x03\x04"):
        if any(part in head for part in _WORKBOOKS):
            return "an Excel workbook (.xlsx): save the sheet as `CSV UTF-8`"
        return "a zip archive: unpack it"
    for magic, meaning in _BINARY:
        if head.startswith(magic):
            return meaning
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if b"\0" in head:
        return "not text (it holds zero bytes; UTF-16, perhaps): save the file as UTF-8 CSV"
    return None


def not_csv(head: bytes) -> str | None:
    """What a file that begins so is instead of CSV, with the remedy; None where it may be CSV."""
    text = _text(head)
    if is_json(head):
        return f"JSON, not CSV: if Prometheus or CloudWatch exported it, bring it in with {IMPORT}"
    if text.startswith("<"):
        return "HTML or XML, not CSV (a login page, perhaps): look at the file, and export the data again"
    if re.match(r"# (HELP|TYPE) ", text):
        return "a scrape of one moment, not CSV: export a range of time (Prometheus: `query_range`)"
    if text.startswith("sep="):
        return f"CSV made for Excel (`sep=`): bring a Grafana export in with {IMPORT}, or delete the first line"
    return None


def _text(head: bytes) -> str:
    return head.decode("utf-8-sig", "ignore").lstrip()
