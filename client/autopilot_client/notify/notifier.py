"""From the passes of one replica to messages. All replicas follow what is under way; the one that leads tells it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autopilot_client.config.document import Notify
from autopilot_client.notify.conditions import FAILED_PASS, conditions_of
from autopilot_client.notify.outbox import Outbox
from autopilot_client.rules.bill import (
    BillLedger,
    ClosedWeek,
    FleetBill,
    Week,
    begin_of,
    bills_of,
    in_words,
    just_over,
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
    _closed: ClosedWeek | None = None
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
        """The bill of the week that is over, from whoever leads: all keep it until one has told it."""
        prices = {v.fleet.name: v.fleet.price_per_server_hour for v in views}
        known = {name: price for name, price in prices.items() if price is not None}
        self._week, ended = turn(self._week, self.store.meters, known, now)
        self._closed = closed = ended or self._closed
        if closed is None or not leads:
            return []
        due = owed(closed, self.ledger.told, now)
        standings = self.store.standings_of(now) if just_over(closed, now) else {}
        bills = bills_of(closed, standings, known) if due else ()
        if due and not bills:  # nobody has seen the week, and the scoreboard was not asked yet
            return []
        self._closed, self.ledger.here = None, closed.number
        return [self._told_bill(closed.number, bills, now)] if bills else []

    def _told_bill(self, week: int, bills: tuple[FleetBill, ...], now: float) -> Message:
        text, fleets = in_words(bills, self.settings.currency), tuple(bill.fleet for bill in bills)
        return Message(
            MessageKind.BILL, "report", fleets, text, now, begin_of(week), bills=bills, namespaces=self._spaces()
        )

    def _spaces(self) -> tuple[str, ...]:
        return tuple(sorted({view.fleet.namespace for view in self._last if view.fleet.namespace}))

    def _tell(self, messages: Sequence[Message], leads: bool) -> None:
        for message in messages if leads and not self.store.dry_run else ():
            for outbox in self.outboxes:
                outbox.offer(message)
