"""Around a fork: what holds connections, threads or locks is told, since none of these can be shared with a child."""

import os
from typing import Protocol
from weakref import WeakSet


class Forking(Protocol):
    """What wants to be told. It must be hashable and weakly referable."""

    def before_fork(self) -> None:
        """In the parent, before: let go of what a child must not inherit."""
        ...

    def after_fork(self, *, child: bool) -> None:
        """In both, afterwards: be usable again. In the child, other threads do not exist any more."""
        ...


_told: "WeakSet[Forking]" = WeakSet()
_forking: list[Forking] = []


def tell_of_forks(one: Forking) -> None:
    """Call the two methods of `one` around each fork of this process, for as long as `one` lives."""
    _told.add(one)


def _before() -> None:
    _forking[:] = list(_told)
    for one in _forking:
        one.before_fork()


def _after_in_parent() -> None:
    for one in _forking:
        one.after_fork(child=False)
    _forking.clear()


def _after_in_child() -> None:
    for one in _forking:
        one.after_fork(child=True)
    _forking.clear()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
