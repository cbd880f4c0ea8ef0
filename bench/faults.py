"""Faults injected during traffic: what callers saw, and what the history holds afterwards. Prints, and judges nothing
by time; the verdict names promises that were not kept.

PYTHONPATH=container:. python bench/faults.py [--only WORDS] [--markdown]

Eight callers ask for slot after slot of fleets of their own and of a shared one, each slot with a value of its own; who
gets no answer, or 503, asks again. Afterwards the store is read without the product's code: every acknowledged slot
(200 with history `ok` or `cold`) must hold its value, and no other slot may hold any. In containers too where an
engine answers and AUTOPILOT_IMAGE_SERVE names the image. The trials are those of testkit/faults.
"""

import argparse
import os
import shutil
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence

from testkit import emulators
from testkit.engine import engine_answers
from testkit.faults.lies import REPLICAS, TRUTH, LieOutcome, tell_all
from testkit.faults.scenarios import FAULTS, IN_CONTAINERS, FaultCase, FaultRow, run

COLUMNS = (
    ("fault", 58), ("requests", 8), ("answers", 34), ("reason", 44), ("history", 36), ("typical ms", 8),
    ("slowest ms", 10), ("well after s", 12), ("lost", 4), ("doubled", 7), ("gone with the file", 18), ("verdict", 0),
)  # fmt: skip
LIES = (
    ("the demand source says", 24), ("sessions", 8), ("answers", 12), ("reason", 24), ("servers before", 14),
    ("lowest", 6), ("highest", 7), ("slowest ms", 10), ("afterwards", 16), ("verdict", 0),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only faults whose name has these words")
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    args = parser.parse_args()
    if not shutil.which("nginx"):
        raise SystemExit("nginx is not installed (apt-get install nginx-light)")
    trials = [(fault, "") for fault in FAULTS] + [(fault, _image()) for fault in IN_CONTAINERS if _image()]
    _line([name for name, _ in COLUMNS], COLUMNS, args.markdown, head=True)
    for fault, image in trials:
        if args.only in fault.name:
            _line(_tried(fault, image), COLUMNS, args.markdown)
    if not _image():
        print("left out: containers (no Docker engine answers, or AUTOPILOT_IMAGE_SERVE names no image)")
    if args.only in "demand source lies":
        print(f"\nThe true demand is {TRUTH}, {REPLICAS} servers run, the cap is 500, the source has 0.5 s:")
        _line([name for name, _ in LIES], LIES, args.markdown, head=True)
        for told in tell_all():
            _line(_told(told), LIES, args.markdown)


def _image() -> str:
    return os.environ.get("AUTOPILOT_IMAGE_SERVE", "") if engine_answers() else ""


def _tried(fault: FaultCase, image: str) -> list[str]:
    if fault.store == "dynamodb" and (missing := emulators.why_no_dynalite()):
        return [fault.name, f"left out: {missing}"]
    try:
        return _seen(run(fault, image=image))
    except Exception:  # noqa: BLE001  (a loop: the other faults are still to come)
        traceback.print_exc()
        return [fault.name, "the trial failed: see above"]


def _seen(row: FaultRow) -> list[str]:
    return [
        row.fault.name,
        str(len(row.calls)),
        _counted(row.statuses),
        _counted(row.reasons),
        _counted(row.histories),
        f"{1000 * row.typical_seconds:.0f}",
        f"{1000 * row.slowest:.0f}",
        "never" if row.recovered is None else f"{row.recovered:.1f}",
        str(len(row.books.lost)),
        str(len(row.books.doubled)),
        str(len(row.books.gone)),
        "; ".join(row.broken()) or "kept",
    ]


def _told(told: LieOutcome) -> list[str]:
    lie = told.sizes("during")
    return [
        told.lie,
        str(told.sessions),
        _counted(Counter(status for status, _, _ in told.during)),
        ", ".join(sorted({prediction["reason"] for _, _, prediction in told.during if prediction})),
        str(told.sizes("before")[-1]),
        str(min(lie, default="-")),
        str(max(lie, default="-")),
        f"{1000 * told.slowest:.0f}",
        "-".join(str(size) for size in sorted({min(told.sizes("after")), max(told.sizes("after"))})),
        "; ".join(told.broken()) or "kept",
    ]


def _counted(numbers: Counter) -> str:
    return ", ".join(f"{word} {number}" for word, number in numbers.most_common())


def _line(cells: Iterable[str], columns: Sequence[tuple[str, int]], markdown: bool, head: bool = False) -> None:
    if markdown:
        print("| " + " | ".join(cells) + " |" + ("\n" + "|---" * len(columns) + "|" if head else ""), flush=True)
    else:
        print(*(f"{cell:<{width}}" for cell, (_, width) in zip(cells, columns, strict=False)), sep="  ", flush=True)


if __name__ == "__main__":
    main()
