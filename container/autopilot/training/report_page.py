"""A training report as a page: one HTML file without any outside reference, readable on a phone and on paper."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import jinja2
from matplotlib.figure import Figure

from autopilot.training.job import write_atomically


@dataclass(frozen=True)
class Heading:
    """A heading below the title's."""

    text: str
    level: int = 2
    kind: ClassVar = "heading"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; a verdict stands out."""

    text: str
    verdict: bool = False
    kind: ClassVar = "paragraph"


@dataclass(frozen=True)
class CommandLine:
    """Something to type; `what` says what for."""

    text: str
    what: str
    kind: ClassVar = "command"


@dataclass(frozen=True)
class PageTable:
    """A table of plain text; `what` names it for who does not see it, `own` is the row that stands out."""

    what: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    own: int | None = None
    kind: ClassVar = "table"


@dataclass(frozen=True)
class Picture:
    """A PNG picture with its caption; `described` is for who does not see it."""

    png: bytes
    described: str
    caption: str
    kind: ClassVar = "picture"

    @property
    def source(self) -> str:
        """The picture itself, as a reference."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Details:
    """What is shown only when it is opened."""

    summary: str
    parts: Sequence["Part"]
    kind: ClassVar = "details"


Part = Heading | Paragraph | CommandLine | PageTable | Picture | Details


def write_page(path: Path, title: str, parts: Sequence[Part]) -> None:
    """Write one HTML file under a title."""
    write_atomically(path, _template().render(title=title, parts=parts).encode())


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autopilot.training"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html")


def png_of(figure: Figure) -> bytes:
    """A figure as a PNG: the same figure is the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    return buffer.getvalue()
