"""History in DynamoDB: one item for each fleet and quarter of a UTC day, for any number of containers.

Item: key `fleet` (S) and `day` (S, 2026-11-20T06: the hour that it begins with), `d0` … `d71` demand and `a0` … `a71`
allocation (N, one for each five-minute slot), `b0` … what was believed where the report was not, `c0` … arrivals of the
last hours, `ttl` (N, seconds since the epoch: 15 days after the observation's own time, so that the replay of an old
trace is kept for as long as it lasts). It stays below one kilobyte, which is what a write unit pays for. Versions up to
0.2 wrote one item a day (key 2026-11-20, `d0` … `d287`): these are read beside the quarters, and never written.

One UpdateItem with ALL_NEW writes a slot and returns the quarter; nothing is read, changed and written back: a
BatchWriteItem of whole items would undo what another worker wrote meanwhile. Earlier quarters of the day are read once,
and again when a quarter of an hour of the next one has passed: late observations may still have reached them. What was
decided rides on the fleet's next UpdateItem.

The caller needs dynamodb:UpdateItem and dynamodb:BatchGetItem on the table. Reads are eventually consistent.

Calls are made on a few threads of this adapter, so that the caller waits for the time budget and no longer, whatever
name resolution, credentials, the network or the service do. Several calls that fail in a row open a circuit breaker.
"""

import itertools
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

from autopilot.core.history import NOTHING, SLOT_SECONDS, SLOTS_PER_DAY, DaySlots, Floats, day_of, slot_of
from autopilot.history.breaker import Breaker
from autopilot.history.dynamodb_client import THREADS, DynamoClient, make_client, read_answers_quickly
from autopilot.history.forking import tell_of_forks
from autopilot.history.rate_limited_log import RateLimitedLog
from autopilot.ports import Decided, HistoryUnavailableError, Observed

log = logging.getLogger("autopilot.history")

TTL_DAYS = 15
MAX_PENDING = 20_000
KEYS_PER_READ = 100
MOST_FLEETS = 20_000
"""Fleets whose earlier quarters of the day are kept; those that were not heard of for the longest go first."""
QUARTER_SLOTS = SLOTS_PER_DAY // 4
LATE_SLOTS = 3
RECENT_SLOTS = 6  # half an hour: no decision that knows them is said to be cold
LARGEST = 2.0**31  # servers
SLOTS_OF_ARRIVALS = 48  # four hours: a hold, and the hour before it
SLOTS_PER_UPDATE = 100  # an update expression may have 4 KB

# Shares of the time budget: a decision that reads earlier days makes two calls, and both fit into it.
_RECORD_SHARE, _QUARTERS_SHARE, _READ_SHARE = 0.35, 0.25, 0.4
_LAST_TRIES = 3
_ALONE_SHARE, _EARLIER_SHARE = 0.9, 0.45
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "ThroughputExceededException",
    }
)

FleetDay = tuple[str, date]
Part = tuple[str, int]
"""A fleet, and a quarter of a day counted from the epoch."""
Key = tuple[str, str]
"""An item's key: the fleet, and the day or the beginning of the quarter."""
Numbers = dict[str, str | None]
Item = Mapping[str, Mapping[str, str]]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class _Update:
    """What is to be written into one item: numbers by attribute name (None: taken away), and when the item expires."""

    fleet: str
    quarter: int
    numbers: Numbers = field(default_factory=dict)
    expires: int = 0


class DynamoHistory:
    """A History in the DynamoDB table `table`. Calls take at most `budget_seconds`, record and read together too.

    Without a `client`, one is made on first use (or by `warm_up`), with the credentials and the region that botocore
    finds (AWS_REGION counts); `region` overrides the region. botocore is not imported before.
    """

    def __init__(
        self,
        table: str,
        *,
        client: DynamoClient | None = None,
        region: str | None = None,
        budget_seconds: float = 1.0,
        most_fleets: int = MOST_FLEETS,
    ) -> None:
        self._table = table
        self._given = client
        self._region = region
        self._budget = budget_seconds
        self._most_fleets = most_fleets
        self._ttl = TTL_DAYS * 86400
        self.breaker = Breaker()
        self._turn = 0
        self._limited_log = RateLimitedLog(log)
        self._forget_threads()
        tell_of_forks(self)

    def record(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """Write observations, one UpdateItem for each fleet and quarter; None where that failed.

        Raises HistoryUnavailableError if nothing could be written.
        """
        updates = self._updates(observed)
        for key, update in updates.items():
            update.numbers |= self._pending.take(key)
        quarters: list[DaySlots | None] = [None] * len(updates)
        try:
            quarters = self._each(self._update, list(updates.values()), _RECORD_SHARE)
        finally:
            waits = zip(updates.values(), quarters, strict=True)
            self._pending.put_back(update for update, quarter in waits if quarter is None)
        self._write_late(updates)
        written = {part: one for part, one in zip(updates, quarters, strict=True) if one is not None}
        slots = {(one.fleet, (slot := slot_of(one.observed_at)) // QUARTER_SLOTS): slot for one in observed}
        others = self._other_quarters({part: slots[part] for part in written})
        whole = {part: _joined(others[part], one, part[1]) for part, one in written.items() if part in others}
        return [whole.get((one.fleet, slot_of(one.observed_at) // QUARTER_SLOTS)) for one in observed]

    def _other_quarters(self, slots: Mapping[Part, int]) -> dict[Part, DaySlots]:
        """What else is known of the day of a quarter that a slot was written in: from memory, or read."""
        with self._quarters_lock:
            found = {
                part: known for part, slot in slots.items() if (known := self._quarters.get(part, slot)) is not None
            }
        missing = [part for part in slots if part not in found]
        keys = {part: [key for key in _keys(part[0], _day_of(part)) if key != _key_of(part)] for part in missing}
        items = self._items_in_passing([key for some in keys.values() for key in some], _QUARTERS_SHARE)
        read = {part: day for part in missing if (day := _day_in(keys[part], items)) is not None}
        with self._quarters_lock:
            for part, day in read.items():
                self._quarters.keep(part, slots[part], day)
        return found | read

    def read_today(self, observed: Sequence[Observed]) -> list[DaySlots | None]:
        """What is stored of the day of each observation, up to its quarter; None where it could not be read in time.

        For more fleets than can be written before an answer: one call reads a hundred items, and writes one. The last
        half hour of all fleets comes first, in nearly all of the time budget; earlier quarters, while there is half of
        it left, or else with the fleet's next record. Raises HistoryUnavailableError if nothing could be read.
        """
        began = time.monotonic()
        slots = {(one.fleet, (slot := slot_of(one.observed_at)) // QUARTER_SLOTS): slot for one in observed}
        keys = {part: _keys(part[0], _day_of(part))[: 2 + part[1] % 4] for part in slots}
        recent = {part: keys[part][-_recent_quarters(slot) :] for part, slot in slots.items()}
        items = self._items([key for some in recent.values() for key in some], _ALONE_SHARE)
        known = [part for part, some in recent.items() if all(key in items for key in some)]
        earlier = [key for part in known for key in keys[part] if key not in items]
        items |= self._items_in_passing(earlier, _EARLIER_SHARE - (time.monotonic() - began) / self._budget)
        days: dict[Part, DaySlots] = {}
        for part in known:
            *others, own = keys[part]
            before = [item for key in others if (item := items.get(key)) is not None]
            days[part] = _day(before if (item := items[own]) is None else [*before, item])
            if all(key in items for key in others):
                with self._quarters_lock:
                    self._quarters.keep(part, slots[part], _day(before))
        return [days.get((one.fleet, slot_of(one.observed_at) // QUARTER_SLOTS)) for one in observed]

    def read(self, wanted: Sequence[FleetDay]) -> list[DaySlots | None]:
        """Days of fleets by BatchGetItem; empty where there is no item, None where it could not be read.

        Raises HistoryUnavailableError if nothing could be read.
        """
        keys = {day: _keys(*day) for day in dict.fromkeys(wanted)}
        items = self._items([key for some in keys.values() for key in some], _READ_SHARE)
        return [_day_in(keys[day], items) for day in wanted]

    def _items(self, keys: Sequence[Key], share: float) -> dict[Key, Item | None]:
        """Items by key, None where there is none; those that could not be read in time are left out."""
        keys = list(dict.fromkeys(keys))  # the service refuses a key that is asked for twice
        chunks = [keys[at : at + KEYS_PER_READ] for at in range(0, len(keys), KEYS_PER_READ)]
        deadline = time.monotonic() + share * self._budget / 2  # the other half is for the last answer
        found: dict[Key, Item | None] = {}
        for answer in self._each(lambda chunk: self._get(chunk, deadline), chunks, share):
            found |= answer or {}
        return found

    def _items_in_passing(self, keys: Sequence[Key], share: float) -> dict[Key, Item | None]:
        """As `_items`, from a store that has just answered: nothing where there is no time."""
        if share <= 0:
            return {}
        try:
            return self._items(keys, share)
        except HistoryUnavailableError:
            self.breaker.succeeded()  # there was no time, that is all
            return {}

    def remember(self, decided: Sequence[Decided]) -> None:
        """Keep allocations for the fleet's next record."""
        for one in decided:
            self._pending.add(one)

    def fleets(self) -> list[str]:
        """Every fleet with an item of a day, in order, by a scan. Raises HistoryUnavailableError."""
        (found,) = self._each(self._scan, [{"TableName": self._table}], 1.0)
        return sorted(found or ())

    def _scan(self, request: dict[str, Any]) -> set[str]:
        found: set[str] = set()
        while True:
            answer = self._connected().scan(
                **request, ProjectionExpression="fleet, #day", ExpressionAttributeNames={"#day": "day"}
            )
            # Web services keep an item each in the same table, under no day.
            found |= {item["fleet"]["S"] for item in answer["Items"] if item["day"]["S"][:1].isdigit()}
            if "LastEvaluatedKey" not in answer:
                return found
            request = request | {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def close(self, seconds: float = 1.0) -> None:
        """Write what is pending, for so many seconds as long as the store takes it, and let go of the threads."""
        deadline = time.monotonic() + seconds
        left, tries = self._pending.take_all(), _LAST_TRIES
        while left and tries and (remaining := deadline - time.monotonic()) > 0:
            try:
                written = self._each(self._update, left, min(1.0, remaining / self._budget))
                left = [update for update, quarter in zip(left, written, strict=True) if quarter is None]
            except HistoryUnavailableError:
                tries -= 1
                self.breaker.succeeded()  # there is no later for which it could rest
        if left:
            log.warning("allocations that were pending are lost, those of %d fleets", len(left))
        wait(set(self._late), timeout=max(0.0, deadline - time.monotonic()))
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._forget_threads()

    def warm_up(self) -> None:
        """Begin to make the client, without waiting for it: its import takes longer than a decision may."""
        self._executor.submit(self._connected).add_done_callback(_note_failure)

    def before_fork(self) -> None:
        """Nothing: threads and connections simply do not exist in the child."""

    def after_fork(self, *, child: bool) -> None:
        """Begin with new threads and a new client in the child. What was pending is the parent's to write."""
        if child:
            self._forget_threads()

    def _forget_threads(self) -> None:
        self._executor = ThreadPoolExecutor(THREADS, "history")
        self._client = self._given
        self._making = threading.Lock()
        self._pending = _Pending()
        self._late: set[Future[DaySlots]] = set()
        self._quarters, self._quarters_lock = _Quarters(self._most_fleets), threading.Lock()

    def _updates(self, observed: Sequence[Observed]) -> dict[Part, _Update]:
        updates: dict[Part, _Update] = {}
        for one in observed:
            quarter, at = divmod(slot_of(one.observed_at), QUARTER_SLOTS)
            update = updates.setdefault((one.fleet, quarter), _Update(one.fleet, quarter))
            update.numbers[f"d{at}"] = _number(one.demand)
            update.expires = max(update.expires, int(one.observed_at) + self._ttl)
        return updates

    def _update(self, update: _Update) -> DaySlots:
        names = list(update.numbers)
        chunks = [names[at : at + SLOTS_PER_UPDATE] for at in range(0, len(names), SLOTS_PER_UPDATE)]
        answers = [self._update_item(update, chunk) for chunk in chunks]
        return _day([answers[-1]])

    def _update_item(self, update: _Update, names: Sequence[str]) -> Item:
        values = {f":{name}": {"N": number} for name in names if (number := update.numbers[name]) is not None}
        gone = [name for name in names if update.numbers[name] is None]
        expires = update.expires or (update.quarter + 1) * QUARTER_SLOTS * SLOT_SECONDS + self._ttl
        answer = self._connected().update_item(
            TableName=self._table,
            Key=_key(_key_of((update.fleet, update.quarter))),
            UpdateExpression="SET #ttl = :ttl"
            + "".join(f", {name[1:]} = {name}" for name in values)
            + (f" REMOVE {', '.join(gone)}" if gone else ""),
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":ttl": {"N": str(expires)}, **values},
            ReturnValues="ALL_NEW",
        )
        return cast(Item, answer["Attributes"])

    def _write_late(self, parts: Iterable[Part]) -> None:
        """The last allocation of a quarter cannot ride on the next item: write it aside, and do not wait for it."""
        for fleet, quarter in parts:
            late = _Update(fleet, quarter - 1, self._pending.take((fleet, quarter - 1)))
            if late.numbers:
                future = self._executor.submit(self._update, late)
                self._late.add(future)
                future.add_done_callback(self._late_is_done)

    def _late_is_done(self, future: "Future[DaySlots]") -> None:
        self._late.discard(future)
        if not future.cancelled() and (error := future.exception()):
            log.warning("an allocation of hours ago could not be written: %s", error)

    def _get(self, keys: Sequence[Key], deadline: float) -> dict[Key, Item | None]:
        """Items of up to a hundred keys; what DynamoDB leaves unprocessed is asked for again until the deadline."""
        asked: list[dict[str, Any]] = [_key(key) for key in keys]
        found: dict[Key, Item] = {}
        for pause in itertools.chain((0.02, 0.05), itertools.repeat(0.1)):
            answer = self._connected().batch_get_item(RequestItems={self._table: {"Keys": asked}})
            found |= {_item_key(item): item for item in answer["Responses"].get(self._table, [])}
            asked = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not asked or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        left = set(map(_item_key, asked))
        return {key: found.get(key) for key in keys if key not in left}

    def _each(self, call: Callable[[T], R], arguments: Sequence[T], share: float) -> list[R | None]:
        """The call's result for each argument, on a few threads, until the budget's share is used; None for a failure.

        Raises HistoryUnavailableError if all of them failed.
        """
        if not arguments:
            return []
        if not self.breaker.allows():
            raise HistoryUnavailableError(f"history table {self._table}: resting after failures")
        work = _Work(call, arguments, self._turn, time.monotonic() + share * self._budget)
        futures = [self._executor.submit(work.run) for _ in range(min(THREADS, len(arguments)))]
        wait(futures, timeout=share * self._budget)
        for future in futures:
            future.cancel()
        results = list(work.results)
        self._turn += sum(result is not None for result in results)
        if all(result is None for result in results):
            self._fail(work.error or TimeoutError(f"no answer within {share * self._budget:.1f} s"), len(arguments))
        self.breaker.succeeded()
        return results

    def _fail(self, error: Exception, calls: int) -> None:
        """Translate the failure of all. Throttling does not count as an outage: it is an answer that comes at once."""
        if error_code(error) not in _THROTTLED:
            self.breaker.failed(calls)  # each counts, or those who wait behind a few that share a call wait twice
        message = f"history table {self._table}: {explained(error, self._table)}"
        self._limited_log.add(message)
        raise HistoryUnavailableError(message) from error

    def _connected(self) -> DynamoClient:
        with self._making:
            if self._client is None:
                self._client = read_answers_quickly(make_client(self._region))
            return self._client


class _Work:
    """A list of arguments that several threads work off until a deadline, from `turn` on and around.

    Where a call has more fleets than the time budget has room for, each of them has its turn after some calls.
    """

    def __init__(self, call: Callable[[T], R], arguments: Sequence[T], turn: int, deadline: float) -> None:
        self._call: Callable[[Any], Any] = call
        every = list(enumerate(arguments))
        first = turn % len(every)
        self._left = iter(every[first:] + every[:first])
        self._lock = threading.Lock()
        self._deadline = deadline
        self.results: list[Any] = [None] * len(arguments)
        self.error: Exception | None = None

    def run(self) -> None:
        """Work until nothing is left or the time is up; a failure is that argument's own."""
        while time.monotonic() < self._deadline:
            with self._lock:
                at, argument = next(self._left, (-1, None))
            if at < 0:
                return
            try:
                self.results[at] = self._call(argument)
            except Exception as error:  # noqa: BLE001  (a loop: the first error of any kind is reported by the caller)
                self.error = self.error or error


class _Pending:
    """What was decided and waits for its fleet's next record, by fleet and quarter; with too many, the oldest go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Part, Numbers] = {}

    def add(self, one: Decided) -> None:
        quarter, at = divmod(slot_of(one.observed_at), QUARTER_SLOTS)
        with self._lock:
            self._waiting.setdefault((one.fleet, quarter), {}).update(_numbers(one, at))
            while len(self._waiting) > MAX_PENDING:
                del self._waiting[next(iter(self._waiting))]

    def take(self, key: Part) -> Numbers:
        with self._lock:
            return self._waiting.pop(key, {})

    def take_all(self) -> list[_Update]:
        with self._lock:
            taken, self._waiting = self._waiting, {}
        return [_Update(fleet, quarter, numbers) for (fleet, quarter), numbers in taken.items()]

    def put_back(self, updates: Iterable[_Update]) -> None:
        """Take back what was decided from updates that failed, unless newer ones came meanwhile."""
        with self._lock:
            for update in updates:
                decided = {name: number for name, number in update.numbers.items() if name[0] != "d"}
                if decided:
                    key = (update.fleet, update.quarter)
                    self._waiting[key] = decided | self._waiting.get(key, {})


class _Quarters:
    """What is known of the day beside the quarter that is written, by fleet. Bounded."""

    def __init__(self, most_fleets: int) -> None:
        self._most_fleets = most_fleets
        self._fleets: OrderedDict[str, tuple[int, bool, DaySlots]] = OrderedDict()

    def get(self, part: Part, slot: int) -> DaySlots | None:
        """What was read for a quarter, unless a late observation may have reached the one before it since."""
        quarter, late, day = self._fleets.get(part[0], (-1, False, None))
        return day if quarter == part[1] and (not late or slot % QUARTER_SLOTS < LATE_SLOTS) else None

    def keep(self, part: Part, slot: int, day: DaySlots) -> None:
        self._fleets[part[0]] = part[1], slot % QUARTER_SLOTS < LATE_SLOTS, day
        self._fleets.move_to_end(part[0])
        while len(self._fleets) > self._most_fleets:
            self._fleets.popitem(last=False)


def _key_of(part: Part) -> Key:
    day, quarter = divmod(part[1], 4)
    return part[0], f"{day_of(day * SLOTS_PER_DAY).isoformat()}T{6 * quarter:02d}"


def _day_of(part: Part) -> date:
    return day_of(part[1] * QUARTER_SLOTS)


def _recent_quarters(slot: int) -> int:
    """In how many quarters of its day the last half hour up to a slot lies."""
    at = slot % SLOTS_PER_DAY
    return 1 + (at >= QUARTER_SLOTS and at % QUARTER_SLOTS < RECENT_SLOTS - 1)


def _keys(fleet: str, day: date) -> list[Key]:
    """Where a day of a fleet stands: the item of older versions, and the quarters."""
    return [(fleet, name) for name in _names(day)]


@lru_cache(maxsize=64)
def _names(day: date) -> tuple[str, ...]:
    return tuple(f"{day.isoformat()}{hour}" for hour in ("", "T00", "T06", "T12", "T18"))


def _key(key: Key) -> dict[str, dict[str, str]]:
    return {"fleet": {"S": key[0]}, "day": {"S": key[1]}}


def _item_key(item: Item) -> Key:
    return item["fleet"]["S"], item["day"]["S"]


def _day_in(keys: Sequence[Key], items: Mapping[Key, Item | None]) -> DaySlots | None:
    """The day that those keys hold, the later ones over the earlier; None unless all could be read."""
    if any(key not in items for key in keys):
        return None
    return _day([item for key in keys if (item := items[key]) is not None])


def _joined(others: DaySlots, quarter: DaySlots, number: int) -> DaySlots:
    """A day with one quarter as it was just written, over what older versions may have written of it."""
    first = number % 4 * QUARTER_SLOTS
    span = slice(first, first + QUARTER_SLOTS)
    columns = ("demand", "allocation", "believed", "arrivals")
    return DaySlots(*(_over(getattr(others, name), getattr(quarter, name), span) for name in columns))


def _over(below: Floats, above: Floats, span: slice) -> Floats:
    if above is NOTHING:
        return below
    joined = below.copy()
    np.copyto(joined[span], above[span], where=~np.isnan(above[span]))
    return joined


def _numbers(one: Decided, index: int) -> Numbers:
    """The attributes of a decision in the slot `index` of its day; arrivals of hours ago make room."""
    numbers: Numbers = {f"a{index}": str(one.allocation)}
    if one.believed is not None:
        numbers[f"b{index}"] = None if math.isnan(one.believed) else _number(one.believed)
    if one.arrivals is not None:
        numbers[f"c{index}"] = _number(one.arrivals)
        if index >= SLOTS_OF_ARRIVALS:
            numbers[f"c{index - SLOTS_OF_ARRIVALS}"] = None
    return numbers


def _number(value: float) -> str:
    """The shortest decimal that reads back as the same float32."""
    return str(np.float32(value)).removesuffix(".0")


def _day(items: Iterable[Item]) -> DaySlots:
    """The day that items hold, the later ones over the earlier."""
    slots = [NOTHING] * len(_COLUMNS)
    for item in items:
        places = _places(int(item["day"]["S"].partition("T")[2] or 0) * SLOTS_PER_DAY // 24)
        for name, value in item.items():
            if (place := places.get(name)) is not None:
                column, at = place
                if slots[column] is NOTHING:
                    slots[column] = NOTHING.copy()
                slots[column][at] = _servers(value)
    return DaySlots(*slots)


_COLUMNS = "dabc"


@lru_cache(maxsize=SLOTS_PER_DAY)
def _places(first: int) -> dict[str, tuple[int, int]]:
    """By the names of an item's attributes: the column that they belong to, and the slot of the day."""
    return {
        f"{letter}{at - first}": (column, at)
        for column, letter in enumerate(_COLUMNS)
        for at in range(first, SLOTS_PER_DAY)
    }


def _servers(value: Mapping[str, str]) -> float:
    """A number of servers; NaN for what was never written here: somebody else's attribute, or a hand's."""
    try:
        number = float(value.get("N", "nan"))
    except (AttributeError, TypeError, ValueError, OverflowError):  # what answers is not the service
        return math.nan
    return number if 0 <= number <= LARGEST else math.nan


def error_code(error: Exception) -> str:
    """DynamoDB's own code of an error; the error's type where it did not come from DynamoDB."""
    response: Mapping[str, Any] = getattr(error, "response", None) or {}  # None for failures of the connection
    return str(response.get("Error", {}).get("Code", type(error).__name__))


def explained(error: Exception, table: str) -> str:
    """What went wrong, with the remedy where it is known."""
    action = f"dynamodb:{getattr(error, 'operation_name', 'UpdateItem')}"
    credentials = "check the role or the credentials of this container"
    remedy = {
        "ResourceNotFoundException": f"{action}: create the table {table} in this region, or correct AUTOPILOT_HISTORY",
        "ValidationException": f"the table {table} needs the key `fleet` (HASH) and `day` (RANGE), both strings",
        "AccessDeniedException": f"allow {action} on the table {table} to the role of this container",
        "UnrecognizedClientException": credentials,
        "InvalidSignatureException": f"{credentials}, and its clock",
        "ExpiredTokenException": credentials,
        "NoCredentialsError": credentials,
        "NoRegionError": "set AWS_REGION",
    }.get(error_code(error))
    return f"{error} ({remedy})" if remedy else f"{error_code(error)}: {error}"


def _note_failure(future: "Future[DynamoClient]") -> None:
    if not future.cancelled() and (error := future.exception()):
        log.warning("the client of the history cannot be made: %s", error)
