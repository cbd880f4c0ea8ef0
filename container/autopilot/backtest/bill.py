"""What a fleet comes to in money: the servers that were paid, and the missing ones at their price."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from autopilot.core.cost import Score

_YEAR_HOURS = 365 * 24


class Bill(NamedTuple):
    """Money, in the currency of the price, in whole hundredths: `servers` and `missing` add up to `total`."""

    servers: float
    missing: float

    @property
    def total(self) -> float:
        """Both together."""
        return round(self.servers + self.missing, 2)


def bill(score: Score, price: float) -> Bill:
    """All server-hours that ran or booted at `price`, and the missing ones at their own price in idle ones."""
    missing = price * score.missing_price * score.missing_server_hours
    return Bill(round(price * score.paid_server_hours, 2), round(missing, 2))


@dataclass(frozen=True, slots=True)
class BillRow:
    """One line of a bill: whose, the bill, and how much more it is than the autopilot's (less than 0: cheaper)."""

    label: str
    bill: Bill
    more: float


def bill_rows(scores: Iterable[tuple[str, Score]], own: Score, price: float) -> list[BillRow]:
    """The bill of each score, in their order, beside the autopilot's."""
    mine = bill(own, price).total
    return [BillRow(label, one := bill(score, price), round(one.total - mine, 2)) for label, score in scores]


def a_year(money: float, hours: float) -> float:
    """What an amount for so many hours would be for a year of them."""
    return money * _YEAR_HOURS / hours
