"""What the page's server remembers: the files that people dropped, and who asks for what just now."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from autopilot.explore.files import Fleets
from autopilot.explore.memo import Memo
from autopilot.explore.play import Played, StretchPlayer
from autopilot.explore.question import PlayRequest, QuestionError

_MOST_FILES = 16
_MOST_PLAYED = 8
_MOST_TABS = 64


class OvertakenError(Exception):
    """The same tab asked for something newer meanwhile: nobody waits for this answer."""


class ForgottenError(KeyError):
    """No such file is kept here: the server was started again, or others dropped many since."""


@dataclass(slots=True)
class Work:
    """What a tab waits for: the newest thing that it asked for, and how many moments are decided of it."""

    turn: int = 0
    done: int = 0


class Session:
    """The files by their keys, and one player for all who ask: one at a time, the newest of each tab alone."""

    def __init__(self, player: StretchPlayer) -> None:
        self.player = player
        self._files: OrderedDict[str, Fleets] = OrderedDict()
        self._pinned: set[str] = set()
        self._works: OrderedDict[str, Work] = OrderedDict()
        self._played: Memo[Played] = Memo(_MOST_PLAYED)
        self._playing, self._lock = threading.Lock(), threading.Lock()

    def pin(self, key: str, fleets: Fleets) -> None:
        """Keep a file under a key for good."""
        self._pinned.add(key)
        self._files[key] = fleets

    def add(self, fleets: Fleets) -> str:
        """Keep a file, and forget the one that was dropped longest ago where there are too many; its key."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._files[key] = fleets
            dropped = [one for one in self._files if one not in self._pinned]
            for old in dropped[: max(len(dropped) - _MOST_FILES, 0)]:
                del self._files[old]
        return key

    def fleets(self, key: str) -> Fleets:
        """The fleets of a file. Raises ForgottenError."""
        with self._lock:
            if key not in self._files:
                raise ForgottenError(key)
            if key not in self._pinned:
                self._files.move_to_end(key)
            return self._files[key]

    def work(self, tab: str) -> Work:
        """What a tab waits for."""
        with self._lock:
            found = self._works.setdefault(tab, Work())
            self._works.move_to_end(tab)
            while len(self._works) > _MOST_TABS:
                self._works.popitem(last=False)
            return found

    def play(self, file: str, name: str, asked: PlayRequest, turn: tuple[str, int]) -> Played:
        """The stretch that is asked for. Raises ForgottenError, QuestionError, OvertakenError."""
        fleets = self.fleets(file)
        fleet = fleets.get(name) if name else next(iter(fleets.values()))
        if fleet is None:
            raise QuestionError("fleet", f"the file has no fleet {name!r:.60}: choose one of the list")
        with self._turn(*turn) as progress:
            kind = replace(asked, price=0.0)  # money is counted afterwards
            return self._played.get((file, fleet.name, kind), lambda: self.player.play(file, fleet, asked, progress))

    @contextmanager
    def _turn(self, tab: str, turn: int) -> Iterator[Callable[[int], None]]:
        """Wait until it is this one's turn; what is called with each progress ends what was overtaken."""
        work = self.work(tab)
        work.turn = max(work.turn, turn)

        def progress(made: int) -> None:
            if work.turn > turn:
                raise OvertakenError
            work.done += made

        with self._playing:
            work.done = 0
            progress(0)
            yield progress
