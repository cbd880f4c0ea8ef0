"""A message as receivers take it: a CloudEvent (1.0, structured JSON), or the text of a Slack-compatible webhook."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import uuid4

from autopilot_client.rules.messages import Message


@dataclass(frozen=True, slots=True)
class Form:
    """A media type, and the body for a message of a namespace's client."""

    media_type: str
    body: Callable[[Message, str], bytes]


def cloud_event(message: Message, namespace: str) -> bytes:
    """A CloudEvent: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md."""
    subject = {"subject": message.fleets[0]} if len(message.fleets) == 1 else {}
    data = {
        "fleets": message.fleets,
        "namespaces": message.namespaces,
        "text": message.text,
        "cause": message.cause,
        "since": _rfc3339(message.since),
        "bills": [asdict(bill) for bill in message.bills],
    }
    event = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": f"/gameserver-autopilot/{namespace}",
        "type": f"gameserver-autopilot.{message.kind}.{message.state}",
        "time": _rfc3339(message.at),
        "datacontenttype": "application/json",
        "data": {key: value for key, value in data.items() if value not in ("", [], ())},
    }
    return json.dumps(event | subject).encode()


SIGNS = {"begun": ":warning:", "ended": ":white_check_mark:", "report": ":receipt:"}


def slack_text(message: Message, namespace: str) -> bytes:
    """A Slack-compatible body, with the three characters escaped that Slack's text gives a meaning to."""
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    where = ", ".join(message.namespaces) or namespace
    return json.dumps({"text": f"{SIGNS[message.state]} {where}: {text}"}).encode()


FORMS: Mapping[str, Form] = {
    "cloudevents": Form("application/cloudevents+json; charset=utf-8", cloud_event),
    "slack": Form("application/json; charset=utf-8", slack_text),
}


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
