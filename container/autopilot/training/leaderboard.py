"""The trials of a search, ranked: what each cost on validation fleets, which was chosen, which were not done."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

State = Literal["done", "given up", "failed", "not begun"]
_ORDER: tuple[State, ...] = ("done", "given up", "failed", "not begun")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial.

    number  from 1
    values  the hyperparameters in which trials differ, by name
    cost    on the validation fleets, relative to the best simple rule in hindsight; None where it is not known
    why     why it is not done
    """

    number: int
    values: Mapping[str, Any]
    state: State
    cost: float | None = None
    why: str = ""

    @property
    def rank(self) -> tuple[int, float, int]:
        """Done ones first, then by cost; of two that cost the same, the earlier one."""
        return _ORDER.index(self.state), float("inf") if self.cost is None else self.cost, self.number


@dataclass(frozen=True)
class Leaderboard:
    """The trials of a search.

    compared_on  the fleets that they were compared on, in words
    shared       the hyperparameters that were given for all of them, by name
    """

    entries: Sequence[Entry]
    compared_on: str
    shared: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def ranked(self) -> list[Entry]:
        """The best first."""
        return sorted(self.entries, key=lambda entry: entry.rank)

    @property
    def chosen(self) -> Entry | None:
        """The best of those that are done; None where none is."""
        best = self.ranked[0]
        return best if best.state == "done" else None

    @property
    def sentence(self) -> str:
        """What was chosen, and by what."""
        done = sum(entry.state == "done" for entry in self.entries)
        chosen = "none is done" if self.chosen is None else f"trial {self.chosen.number} is chosen"
        return (
            f"{len(self.entries)} trials, {done} done: {chosen}, by the cost of {self.compared_on}, relative to the "
            "best simple rule in hindsight. The verdict is on what this choice did not see."
        )

    @property
    def command(self) -> str:
        """What trains the chosen one alone."""
        if self.chosen is None:
            return ""
        named = {**self.chosen.values, **self.shared}
        return "autopilot train " + " ".join("-p " + shlex.quote(f"{name}={value}") for name, value in named.items())

    @property
    def head(self) -> list[str]:
        """The columns of `rows`."""
        return ["trial", "cost", *self.entries[0].values, "outcome"]

    def rows(self) -> list[list[str]]:
        """A row a trial, the best first."""
        return [_row(entry, "chosen" if entry is self.chosen else "") for entry in self.ranked]

    def as_json(self) -> bytes:
        """All of it for machines."""
        trials = [
            {"trial": one.number, "state": one.state, "cost": one.cost, "hyperparameters": one.values, "why": one.why}
            for one in self.ranked
        ]
        chosen = None if self.chosen is None else self.chosen.number
        whole = {"format": FORMAT, "compared_on": self.compared_on, "chosen": chosen, "trials": trials}
        return (json.dumps(whole, indent=2) + "\n").encode()


def _row(entry: Entry, note: str) -> list[str]:
    cost = "" if entry.cost is None else f"{entry.cost:.4f}"
    left = f"{entry.state}: {entry.why}" if entry.why else entry.state
    return [str(entry.number), cost, *map(str, entry.values.values()), note if entry.state == "done" else left]
