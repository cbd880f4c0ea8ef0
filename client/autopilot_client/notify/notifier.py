"""From the passes of one replica to messages. All replicas follow what is under way; the one that leads tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autopilot_client.config.document import Notify
from autopilot_client.notify.conditions import FAILED_PASS, conditions_of
from autopilot_client.notify.outbox import Outbox
from autopilot_client.rules.bill import (
    MOST_OWED,
    BillLedger,
    ClosedWeek,
    FleetBill,
    Week,
    begin_of,
    bills_of,
    in_words,
    just_over,
    lost_before,
    owed,
    turn,
)
from autopilot_client.rules.messages import NOTHING_TOLD, Condition, Message, MessageKind, MessageMemory, advance
from autopilot_client.status.store import StatusStore, View


@dataclass(slots=True)
class Notifier:
    """What was told, and the receivers. Called by the loop's thread alone."""

    store: StatusStore
    settings: Notify
    outboxes: Sequence[Outbox]
    ledger: BillLedger = field(default_factory=BillLedger)
    _told: MessageMemory = field(default_factory=lambda: NOTHING_TOLD)
    _week: Week | None = None
    _owed: Sequence[ClosedWeek] = ()
    _last: Sequence[View] = ()

    def start(self) -> None:
        """Begin to send."""
        for outbox in self.outboxes:
            outbox.start()

    def stop(self) -> None:
        """Send no more than what is queued."""
        for outbox in self.outboxes:
            outbox.stop()

    def after_pass(self, views: Sequence[View], now: float, leads: bool) -> None:
        """Tell what a pass began and ended, and the bill when a week is over."""
        self._last = views
        self._tell([*self._changes(conditions_of(views), now), *self._bill(views, now, leads)], leads)

    def after_failed_pass(self, now: float, leads: bool) -> None:
        """Of a pass that broke nothing is known but that: what held before stands."""
        self._tell(self._changes([*conditions_of(self._last), FAILED_PASS], now), leads)

    def _changes(self, conditions: Sequence[Condition], now: float) -> list[Message]:
        self._told, messages = advance(self._told, conditions, now, self.settings.repeat_minutes * 60)
        return messages

    def _bill(self, views: Sequence[View], now: float, leads: bool) -> list[Message]:
        """The bills of the weeks that are over, from whoever leads: all keep them until one has told them."""
        prices = {v.fleet.name: v.fleet.price_per_server_hour for v in views}
        known = {name: price for name, price in prices.items() if price is not None}
        self._week, ended = turn(self._week, self.store.meters, known, now)
        self._owed = [*self._owed, *([ended] if ended else [])][-MOST_OWED:]
        return [message for closed in self._owed for message in self._due(closed, known, now)] if leads else []

    def _due(self, closed: ClosedWeek, prices: Mapping[str, float], now: float) -> list[Message]:
        """The bill of a week, where it is still to be told; the week is kept where it is to be told later."""
        told = self.ledger.told
        due, fresh = owed(closed, told, now), just_over(closed, now)
        standings = self.store.standings_of(now) if fresh else {}
        bills = bills_of(closed, standings, prices) if due else ()
        if due and not bills and fresh:  # nobody has seen the week, and the scoreboard was not asked yet
            return []
        self._owed = [one for one in self._owed if one is not closed]
        if due or told is None:
            self.ledger.here = closed.number
        return [self._told_bill(closed, bills, lost_before(closed, told), now)] if bills else []

    def _told_bill(self, closed: ClosedWeek, bills: tuple[FleetBill, ...], lost: str, now: float) -> Message:
        text, fleets = in_words(bills, self.settings.currency) + lost, tuple(bill.fleet for bill in bills)
        begin = begin_of(closed.number)
        return Message(MessageKind.BILL, "report", fleets, text, now, begin, bills=bills, namespaces=self._spaces())

    def _spaces(self) -> tuple[str, ...]:
        return tuple(sorted({view.fleet.namespace for view in self._last if view.fleet.namespace}))

    def _tell(self, messages: Sequence[Message], leads: bool) -> None:
        for message in messages if leads and not self.store.dry_run else ():
            for outbox in self.outboxes:
                outbox.offer(message)
