"""What a training run says: lines for people, `name=value;` for regular expressions, a bar on a terminal."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Advance = Callable[[int], None]
_WIDEST = 240
"""Characters of a table's line."""


class ProgressReporter:
    """Writes to standard output, unbuffered; progress bars only where a person watches."""

    def __init__(self, console: Console | None = None) -> None:
        # Also where a notebook's kernel wants colours (FORCE_COLOR): a pipe shows no bar, it would repeat every line.
        watched = sys.stdout.isatty()
        self._console = console or Console(
            file=sys.stdout, force_terminal=watched, highlight=False, markup=False, emoji=False, soft_wrap=True
        )

    def say(self, text: str) -> None:
        """A line for people."""
        self._console.print(text)
        self._console.file.flush()

    def metrics(self, prefix: str, numbers: Mapping[str, float]) -> None:
        """One line of metrics; plain decimals, because regular expressions trip over exponents."""
        metrics = " ".join(f"{name}={value:.6f};" for name, value in numbers.items())
        self.say(f"{prefix} {metrics}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people, one line a row."""
        table = Table(*head, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        self._console.print(table, no_wrap=True, crop=False, overflow="ignore", width=_WIDEST)
        self._console.file.flush()

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """A progress bar; `advance(n)` moves it on. Without a terminal: silence, the metric lines tell."""
        if not self._console.is_terminal:
            yield lambda _: None
            return
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda count: progress.advance(task, count)

    @contextmanager
    def milestones(self, title: str, total: int) -> Iterator[Advance]:
        """A progress bar; without a terminal a line at each hundredth: for parts that say nothing themselves."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            if 100 * done // total > 100 * before // total:
                self.say(f"{title} {done}/{total}")

        if not self._console.is_terminal:
            yield advance
            return
        with self.bar(title, total) as moved:
            yield moved


def silent_reporter() -> ProgressReporter:
    """One that says nothing: of many runs at once, whoever has begun them tells."""
    return ProgressReporter(Console(quiet=True))
