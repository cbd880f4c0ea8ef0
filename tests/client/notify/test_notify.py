"""Telling people: what a pass makes of it, the two forms, and receivers that are slow, away, lying or no address."""

import json
import threading
from dataclasses import replace

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from autopilot_client.config.document import Notify, Receiver
from autopilot_client.kube.lease import Alone
from autopilot_client.notify.conditions import conditions_of
from autopilot_client.notify.formats import FORMS
from autopilot_client.notify.notifier import Notifier
from autopilot_client.notify.outbox import Outbox
from autopilot_client.rules.bill import begin_of, monday_of, week_of
from autopilot_client.rules.domain import Fault
from autopilot_client.rules.messages import Message, MessageKind
from autopilot_client.rules.notices import OutageHold
from autopilot_client.rules.operator import OperatorRules
from autopilot_client.rules.overrides import Overrides
from autopilot_client.rules.recalled import WeekStanding
from autopilot_client.rules.rivals import Rivalry
from autopilot_client.status.metrics import StatusCollector, exposition
from testkit.client.standins import serving, wait_until
from tests.client.status.test_web import T0, a_store, show

MESSAGE = Message(MessageKind.OUTAGE_HOLD, "begun", ("eu/a",), "eu/a: held, <arrivals> & logins", T0, T0)


class Webhook:
    """A receiver that keeps what it is sent; it answers with `status`, once it is let go."""

    def __init__(self, status=200):
        self.bodies, self.paths, self.status = [], [], status
        self.open = threading.Event()
        self.open.set()

    def __call__(self, method, path, body):
        self.open.wait(20)
        self.bodies.append(body)
        self.paths.append(path)
        return self.status, b"" if self.status == 204 else b"ok"


class Counted(dict):
    def __call__(self, receiver, outcome):
        self[outcome] = self.get(outcome, 0) + 1


def outbox(url, environ=None, **settings):
    receiver = Receiver(name="ops", format="slack", url=url, timeout_seconds=5, **settings)
    return Outbox(receiver, "games", Counted(), environ or {})


def view(**changes):
    store = a_store()
    show(store)
    return replace(store.views["eu/o"], **changes)


def kinds(**changes):
    return [(condition.kind, condition.text) for condition in conditions_of([view(**changes)])]


def test_while_all_is_well_there_is_nothing_to_tell():
    assert kinds() == []


CAPPED = replace(view().decision, reason="at_maximum")
FAULTY = replace(view().decision, fault=Fault.DEMAND_UNKNOWN)
CASES = {
    "a hold": (
        {"hold": OutageHold(T0, "arrivals stopped")},
        MessageKind.OUTAGE_HOLD,
        "outage of demand: arrivals stopped",
    ),
    "a fault": ({"decision": FAULTY}, MessageKind.FAULT, "its demand is unknown"),
    "a fight": ({"rivalry": Rivalry((T0,), 7)}, MessageKind.SIZE_CONTESTED, "somebody else has set the size to 7"),
    "the maximum": ({"decision": CAPPED}, MessageKind.AT_MAXIMUM, "larger without its maximum of 200"),
    "an override": (
        {"rules": OperatorRules(Overrides(size=40, until=(("size", T0),)))},
        MessageKind.OVERRIDE,
        "an annotation rules: size 40 until 2026-09-21T14:13:20Z",
    ),
    "an annotation that is unclear": (
        {"rules": OperatorRules(Overrides(mistakes=("gameserver-autopilot/size: 'many' is not a whole number",)))},
        MessageKind.ANNOTATION,
        "an annotation is unclear: gameserver-autopilot/size: 'many' is not",
    ),
    "a right that is missing": (
        {"refused": "403", "decision": replace(FAULTY, fault=Fault.CLUSTER_UNKNOWN)},
        MessageKind.FAULT,
        "which right",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_kind_is_found_in_what_a_pass_leaves(case):
    changes, kind, text = CASES[case]
    ((found, words),) = kinds(**changes)
    assert found is kind
    assert text in words


def test_a_need_above_the_maximum_is_told_with_both_numbers():
    short = replace(view().seen, reading=replace(view().seen.reading, demand=230, queue=0))
    assert kinds(seen=short) == [(MessageKind.AT_MAXIMUM, "players need 230 servers, and its maximum is 200")]


def test_a_cloud_event_is_one_to_the_reference_implementation():
    form = FORMS["cloudevents"]
    event = from_structured_event(HTTPMessage({"content-type": form.media_type}, form.body(MESSAGE, "games")))
    assert (event.get_type(), event.get_subject()) == ("gameserver-autopilot.outage_hold.begun", "eu/a")
    assert event.get_source() == "/gameserver-autopilot/games"
    assert event.get_time().timestamp() == T0
    assert event.get_data() == {
        "fleets": ["eu/a"], "text": "eu/a: held, <arrivals> & logins", "since": "2026-09-21T14:13:20Z",
    }  # fmt: skip


def test_two_messages_are_two_events():
    ids = {json.loads(FORMS["cloudevents"].body(MESSAGE, "games"))["id"] for _ in range(2)}
    assert len(ids) == 2


def test_slack_gets_text_with_its_own_signs_escaped():
    text = json.loads(FORMS["slack"].body(MESSAGE, "games"))["text"]
    assert text == ":warning: games: eu/a: held, &lt;arrivals&gt; &amp; logins"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_message_arrives(status):
    webhook = Webhook(status)
    with serving(webhook) as url:
        box = outbox(url)
        box.start()
        box.offer(MESSAGE)
        wait_until(lambda: box.count)
        box.stop()
    assert (box.count, len(webhook.bodies)) == ({"sent": 1}, 1)


@pytest.mark.parametrize(("status", "tries"), [(403, 1), (503, 2)])
def test_a_refusal_is_counted_and_said_once_without_the_address(status, tries, caplog):
    webhook = Webhook(status)
    with serving(webhook) as url:
        box = outbox(None, {"HOOK": f"{url}/services/T0/B0/secret"}, url_env="HOOK")
        box.start()
        box.offer(MESSAGE)
        box.offer(MESSAGE)
        wait_until(lambda: box.count.get("failed") == 2)
        box.stop()
    assert len(webhook.bodies) == 2 * tries
    assert [record.getMessage() for record in caplog.records] == [f"a notification to ops was not taken: HTTP {status}"]
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "text", ["", "hooks.slack.example/T0/secret", "https:///T0/secret", "https://a b/secret", "ftp://a"]
)
def test_an_address_that_is_none_is_said_at_the_start_and_not_repeated(tmp_path, text, caplog):
    (tmp_path / "url").write_text(text)
    box = outbox(None, url_file=str(tmp_path / "url"))
    box.start()
    box.offer(MESSAGE)
    wait_until(lambda: box.count)
    box.stop()
    assert box.count == {"failed": 1}
    assert f"notifications to ops cannot be sent: {tmp_path / 'url'}: no address in it" in caplog.text
    assert "secret" not in caplog.text


def test_a_secret_that_is_not_there_is_said_and_may_come_later(tmp_path, caplog):
    path = tmp_path / "url"
    webhook = Webhook()
    with serving(webhook) as url:
        box = outbox(None, url_file=str(path))
        box.start()
        assert "No such file" in caplog.text
        path.write_text(f"{url}/hook\n")
        box.offer(MESSAGE)
        wait_until(lambda: box.count)
        box.stop()
    assert (box.count, webhook.paths) == ({"sent": 1}, ["/hook"])


def test_a_receiver_that_hangs_holds_nobody_up_and_what_finds_no_room_is_dropped():
    webhook = Webhook()
    webhook.open.clear()
    with serving(webhook) as url:
        box = outbox(url, queue=3, most_per_hour=100)
        box.start()
        box.offer(MESSAGE)
        wait_until(box._queue.empty)  # it is under way
        for _ in range(8):
            box.offer(MESSAGE)
        assert box.count == {"dropped": 5}
        webhook.open.set()
        wait_until(lambda: box.count.get("sent") == 4)
        box.stop()


def test_no_more_than_the_limit_leave_within_an_hour():
    now = [0.0]
    box = Outbox(Receiver(name="ops", format="slack", url="http://x", most_per_hour=2), "games", Counted(), {})
    box.clock = lambda: now[0]
    for _ in range(5):
        box.offer(MESSAGE)
    now[0] = 3600.0
    box.offer(MESSAGE)
    assert (box.count, box._queue.qsize()) == ({"limited": 3}, 3)


def test_a_receiver_gets_the_kinds_that_it_asks_for():
    box = outbox("http://x", kinds=(MessageKind.BILL,))
    box.offer(MESSAGE)
    box.offer(replace(MESSAGE, kind=MessageKind.BILL))
    assert box._queue.qsize() == 1


def notifier(dry_run=False):
    store = a_store(dry_run)
    show(store)
    box = outbox("http://x")
    return Notifier(store, Notify(), [box]), box


@pytest.mark.parametrize(
    ("leads", "dry_run", "heard"), [(True, False, 1), (False, False, 0), (True, True, 0)],
    ids=["the leader tells", "the other replica does not", "a dry run does not"],
)  # fmt: skip
def test_who_tells(leads, dry_run, heard):
    one, box = notifier(dry_run)
    one.after_pass([view(hold=OutageHold(T0, "arrivals stopped"))], T0, leads)
    assert box._queue.qsize() == heard


def test_a_new_leader_does_not_tell_again_what_the_old_one_told():
    one, box = notifier()
    held = [view(hold=OutageHold(T0, "arrivals stopped"))]
    one.after_pass(held, T0, leads=False)
    one.after_pass(held, T0 + 60, leads=True)
    assert box._queue.empty()
    one.after_pass([view()], T0 + 120, leads=True)
    assert box._queue.get_nowait().state == "ended"


def test_passes_that_fail_are_told_once_they_go_on_failing():
    one, box = notifier()
    for minute in range(7):
        one.after_failed_pass(T0 + 60 * minute, leads=True)
    message = box._queue.get_nowait()
    assert (message.text, box._queue.empty()) == (
        "a pass failed, and the client's log says why; no size is changed",
        True,
    )


def test_a_week_that_is_over_brings_its_bill():
    one, box = notifier()
    one.after_pass(list(one.store.views.values()), T0, leads=True)
    show(one.store, at=T0 + 60)
    one.after_pass(list(one.store.views.values()), T0 + 7 * 86400, leads=True)
    message = box._queue.get_nowait()
    assert (message.kind, len(message.bills)) == (MessageKind.BILL, 3)
    assert {bill.size_minutes for bill in message.bills} == {90.0}


def test_a_week_that_ends_while_nobody_leads_is_billed_by_whoever_leads_next_and_once():
    (one, box), (two, other) = notifier(), notifier()
    two.ledger = one.ledger  # as the Lease makes it
    for each in (one, two):
        each.after_pass(list(each.store.views.values()), T0, leads=False)
        show(each.store, at=T0 + 60)
        each.after_pass(list(each.store.views.values()), T0 + 7 * 86400, leads=False)
    assert box._queue.empty()
    two.after_pass(list(two.store.views.values()), T0 + 7 * 86400 + 60, leads=True)
    assert other._queue.get_nowait().kind is MessageKind.BILL
    one.after_pass(list(one.store.views.values()), T0 + 7 * 86400 + 120, leads=True)
    assert box._queue.empty()


def weeks(one, count, leads=False):
    """Let weeks go by, each with a report of more servers than the one before; the time after the last."""
    for week in range(count):
        one.after_pass(list(one.store.views.values()), T0 + week * 7 * 86400, leads)
        show(one.store, at=T0 + week * 7 * 86400 + 60)
    one.after_pass(list(one.store.views.values()), T0 + count * 7 * 86400, leads)
    return T0 + count * 7 * 86400 + 60


def test_two_weeks_that_end_while_nobody_leads_are_both_billed_each_by_its_own_beginning():
    one, box = notifier()
    one.ledger.elsewhere = week_of(T0) - 1
    at = weeks(one, 2)
    assert box._queue.empty()
    one.after_pass(list(one.store.views.values()), at, leads=True)
    first, second = box._queue.get_nowait(), box._queue.get_nowait()
    assert (first.since, second.since) == (begin_of(week_of(T0)), begin_of(week_of(T0) + 1))
    assert [len(one.bills) for one in (first, second)] == [3, 3]
    assert "lost" not in first.text + second.text
    assert one.ledger.told == week_of(T0) + 1
    one.after_pass(list(one.store.views.values()), at + 60, leads=True)
    assert box._queue.empty()


def test_a_bill_says_which_weeks_before_it_nobody_told():
    one, box = notifier()
    one.ledger.elsewhere = week_of(T0) - 3  # everybody was away on two Mondays
    at = weeks(one, 1, leads=True)
    message = box._queue.get_nowait()
    earlier = [monday_of(week_of(T0) - back) for back in (2, 1)]
    assert message.text.endswith(f"; of the weeks of {earlier[0]} to {earlier[1]} nobody told the bills: they are lost")
    assert (message.since, box._queue.empty()) == (begin_of(week_of(T0)), True)
    one.after_pass(list(one.store.views.values()), at + 7 * 86400, leads=True)
    assert "lost" not in box._queue.get_nowait().text


def test_a_replica_keeps_the_bills_of_four_weeks_and_says_what_is_lost_of_more():
    one, box = notifier()
    one.ledger.elsewhere = week_of(T0) - 1
    one.after_pass(list(one.store.views.values()), weeks(one, 6), leads=True)
    told = [box._queue.get_nowait() for _ in range(4)]
    assert [message.since for message in told] == [begin_of(week_of(T0) + week) for week in range(2, 6)]
    assert "they are lost" in told[0].text
    assert box._queue.empty()


def test_a_week_without_fleets_does_not_stand_in_the_way_of_the_next():
    one, box = notifier()
    one.store.meters.clear()
    one.after_pass([], T0, leads=True)
    one.after_pass([], T0 + 7 * 86400, leads=True)
    show(one.store, at=T0 + 7 * 86400 + 60)
    one.after_pass(list(one.store.views.values()), T0 + 14 * 86400, leads=True)
    assert box._queue.get_nowait().since == begin_of(week_of(T0) + 1)


def test_a_week_that_ended_while_every_replica_was_away_is_billed_once_the_scoreboard_was_asked():
    one, box = notifier()
    one.ledger.elsewhere = week_of(T0) - 2
    views = list(one.store.views.values())
    monday = begin_of(week_of(T0))
    one.after_pass(views, monday + 60, leads=True)
    assert box._queue.empty()
    one.store.standings, one.store.standings_at = {"eu/k": WeekStanding(7.0, 12.0, 30.0, 900.0)}, monday + 90
    one.after_pass(views, monday + 120, leads=True)
    message = box._queue.get_nowait()
    assert [bill.fleet for bill in message.bills] == ["eu/k"]
    assert (message.since, one.ledger.told) == (begin_of(week_of(T0) - 1), week_of(T0) - 1)
    one.after_pass(views, monday + 180, leads=True)
    assert box._queue.empty()


def test_of_a_week_that_is_billed_late_the_scoreboard_of_other_days_says_nothing():
    one, box = notifier()
    one.after_pass(list(one.store.views.values()), T0, leads=False)
    show(one.store, at=T0 + 60)
    one.after_pass(list(one.store.views.values()), T0 + 7 * 86400, leads=False)
    late = T0 + 10 * 86400
    one.store.standings, one.store.standings_at = {"eu/k": WeekStanding(7.0, 12.0, 30.0, 900.0)}, late
    one.after_pass(list(one.store.views.values()), late, leads=True)
    assert {bill.size_minutes for bill in box._queue.get_nowait().bills} == {90.0}


def test_the_first_client_of_all_owes_no_bill_and_says_so_to_those_after_it():
    one, box = notifier()
    one.store.standings, one.store.standings_at = {"eu/k": WeekStanding(7.0, 12.0, 30.0, 900.0)}, T0
    one.after_pass(list(one.store.views.values()), T0, leads=True)
    assert box._queue.empty()
    assert one.ledger.told == week_of(T0) - 1


def test_a_client_that_was_started_in_the_week_tells_what_the_scoreboard_knows_of_it():
    one, box = notifier()
    one.after_pass(list(one.store.views.values()), T0, leads=True)
    show(one.store, at=T0 + 60)
    monday = T0 + 7 * 86400
    one.store.standings, one.store.standings_at = {"eu/k": WeekStanding(6.5, 12.0, 30.0, 900.0)}, monday - 600
    one.after_pass(list(one.store.views.values()), monday, leads=True)
    message = box._queue.get_nowait()
    assert {bill.fleet: bill.size_minutes for bill in message.bills} == {"eu/x": 90.0, "eu/k": 54000.0, "eu/o": 90.0}
    assert "156 of 168 hours seen, 1 by the endpoint's scoreboard" in message.text


def test_what_the_scoreboard_said_days_ago_is_of_another_week():
    one, box = notifier()
    one.after_pass(list(one.store.views.values()), T0, leads=True)
    show(one.store, at=T0 + 60)
    one.store.standings, one.store.standings_at = {"eu/k": WeekStanding(6.5, 12.0, 30.0, 900.0)}, T0
    one.after_pass(list(one.store.views.values()), T0 + 7 * 86400, leads=True)
    assert {bill.size_minutes for bill in box._queue.get_nowait().bills} == {90.0}


def test_an_annotation_that_stays_unclear_is_told_once_whatever_is_written_in_it():
    one, box = notifier()
    for minute, words in enumerate(("'a' is no number", "'a' is no number", "'b' is no number")):
        rules = OperatorRules(Overrides(mistakes=(f"gameserver-autopilot/size: {words}",)))
        one.after_pass([replace(view(), rules=rules)], T0 + 60 * minute, leads=True)
    assert box._queue.get_nowait().kind is MessageKind.ANNOTATION
    assert box._queue.empty()


def test_outcomes_are_counted_for_prometheus():
    one, _ = notifier()
    one.store.notifications["ops", "dropped"] += 2
    text = exposition(StatusCollector(one.store, Alone(), {})).decode()
    assert 'autopilot_notifications_total{outcome="dropped",receiver="ops"} 2.0' in text
