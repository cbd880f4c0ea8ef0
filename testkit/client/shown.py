"""A client's store after six hours of passes, with everything that a page has to show."""

import math
from collections.abc import Iterator, Sequence

import yaml

from autopilot_client.config.document import Config
from autopilot_client.config.parse import parse
from autopilot_client.rules.domain import Answer, Decision, FallbackLevel, Fault, Reading, Seen
from autopilot_client.rules.lead import Lead
from autopilot_client.rules.notices import OutageHold
from autopilot_client.rules.operator import OperatorRules
from autopilot_client.rules.overrides import Overrides
from autopilot_client.rules.recalled import WeekStanding
from autopilot_client.rules.rivals import Rivalry
from autopilot_client.rules.schedule import Event, InForce
from autopilot_client.status.store import StatusStore, View

NOW = 1_790_000_000.0
FEW = ("eu-west-1/shooter", "eu-west-1/racer", "us-west-2/shooter", "ap-northeast-1/world-boss-event-of-the-season")
SENTENCE = (
    "In the last 7 days what was set saved 1,013 server-hours, $101.31, against +20 %; players missed 3.3 server-hours "
    "(+20 %: 36.9)."
)
LAUNCH = Event("launch", start=NOW + 7200, end=NOW + 14400, add=40)
FRIDAY = Event("friday", cron="0 18 * * 5", zone="Europe/Berlin", minutes=300, minimum=60)


def config_of(names: Sequence[str], price: float | None = 0.1) -> Config:
    fleets = [{"name": name, "target": f"fleet/f{at}", "demand": {"source": "agones"}, "apply": "scale"} |
              ({} if price is None else {"price_per_server_hour": price}) for at, name in enumerate(names)]  # fmt: skip
    document = {"endpoint": {"url": "http://a"}, "fleets": fleets, "defaults": {"maximum": 2000, "minimum": 2}}
    return parse(yaml.safe_dump(document), "shown")


def a_shown_store(names: Sequence[str] = FEW, price: float | None = 0.1, judged: bool = True) -> StatusStore:
    """Six hours of passes, one every five minutes. The first fleet is held, the second has overrides and events."""
    store = StatusStore(config_of(names, price), "games")
    for minute in range(-360, 1, 5):
        at = NOW + 60 * minute
        store.begin(at - 0.31)
        store.publish(list(_views(store, at)), at)
    if judged:
        store.standings_at = NOW
        for row, name in enumerate(names):
            store.standings[name] = WeekStanding(7.0, 3.3 + row, 1_623.0, 19_280.0 / (row + 1), None, SENTENCE)
    return store


def _views(store: StatusStore, at: float) -> Iterator[View]:
    for row, fleet in enumerate(store.config.fleets):
        level = (60 + 900 * (row % 7 == 3)) * (1.3 + math.sin(at / 20_000 + row))
        out = row == 0 and NOW - at < 3_600
        demand = round(level * (0.3 if out else 1))
        forecast = math.ceil(1.12 * level)
        reason = "outage_hold" if out else "in_use" if at % 7_000 < 1_200 else "policy"
        why = "arrivals stopped at 13:13; demand fell by 70 % in five minutes" if out else ""
        missing = row % 11 == 5
        answer = (
            None if missing else Answer(forecast, at, 15, reason, prediction=1.1 * level, forecast=forecast, why=why)
        )
        fault = Fault.ENDPOINT_UNAVAILABLE if missing else Fault.NONE
        level_ = FallbackLevel.LAST_ANSWER if missing else FallbackLevel.ANSWER
        seen = Seen(at, forecast, Reading(demand, at, sessions=demand, queue=2), answer, fault, "uid")
        decision = Decision(forecast, level_, "last_answer" if missing else reason, fault)
        hold = OutageHold(NOW - 3_600, why) if out else None
        rivalry = Rivalry((at,) * 3, 20, at) if row == 7 else Rivalry()
        yield View(fleet, seen, decision, "scaled", forecast, answer, _rules(row), hold, rivalry, Lead(10, 15))


def _rules(row: int) -> OperatorRules:
    if row != 1:
        return OperatorRules()
    said = Overrides(minimum=40, until=(("minimum", NOW + 3600),),
                     mistakes=("gameserver-autopilot/maximum: 'many' is no whole number: ignored",))  # fmt: skip
    return OperatorRules(said, InForce(minimum=60, names=("friday",)), True, (LAUNCH, FRIDAY))
