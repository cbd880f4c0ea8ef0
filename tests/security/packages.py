"""What the requirement files ask for, and what comes with it: versions, bounds and licences, as installed here.

Run as a program it prints the packages of the images with their versions and licences.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "serve image": ["container/requirements-serve.txt"],
    "full image": [f"container/requirements-{part}.txt" for part in ("serve", "report", "train")],
    "client image": ["client/requirements.txt"],
}
"""By what is shipped: the files that it is installed from."""
FILES = sorted(
    {file for files in SHIPPED.values() for file in files}
    | {
        "deploy/requirements.txt",
        "docs/requirements.txt",
        "tests/requirements.txt",
        "container/requirements-explore.txt",
    }
)
FREE = ("MIT", "BSD", "APACHE", "PSF", "PYTHON SOFTWARE", "MPL", "MOZILLA", "ISC", "HPND", "UNLICENSE", "ZLIB", "CC0")
"""Families of licences that may be shipped without further duties than to name them."""
READ = {"python-dateutil": "Apache-2.0 OR BSD-3-Clause", "namex": "Apache-2.0"}
"""Licences of packages whose metadata do not say them, as read in the packages themselves or at their source."""


def asked(file: str) -> list[Requirement]:
    """The requirements of a file, without comments and without those for other machines."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def installed(name: str) -> Distribution | None:
    """The distribution of a name; None where it is not installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def closure(files: list[str]) -> dict[str, Distribution]:
    """Everything that some requirement files bring along, by name; what is not installed here is left out."""
    found: dict[str, Distribution] = {}
    waiting = [one for file in files for one in asked(file)]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        there = installed(one.name)
        if there is None or name in found:
            continue
        found[name] = there
        waiting += _needed(there, one.extras)
    return found


def _needed(there: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in there.requires or []:
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield needed


def licence(there: Distribution) -> str:
    """What a distribution says of its licence, in a line: the expression, else classifiers, else the first words."""
    said = there.metadata
    if expression := said.get("License-Expression"):
        return expression
    classified = [
        one.rpartition("::")[2].strip() for one in said.get_all("Classifier") or [] if one.startswith("License")
    ]
    plain = (said.get("License") or "").strip().splitlines()[:1]
    told = ", ".join(dict.fromkeys([*classified, *(line for line in plain if len(line) < 60)]))
    return READ.get(canonicalize_name(said["Name"])) or told or "unknown"


def main() -> None:
    """Print a table of what the images hold; with --pins that of serving and client as name==version."""
    if "--pins" in sys.argv:
        packages = closure(SHIPPED["serve image"] + SHIPPED["client image"])
        print("\n".join(f"{name}=={there.version}" for name, there in sorted(packages.items())))
        return
    for what, files in SHIPPED.items():
        print(f"{what}:")
        for name, there in sorted(closure(files).items()):
            print(f"  {name:28} {there.version:14} {licence(there)}")


if __name__ == "__main__":
    main()
