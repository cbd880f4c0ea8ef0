"""From the text of one YAML document to frozen values. Errors name the field and the remedy."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

from autopilot_client.config.base import Section, WebService
from autopilot_client.config.checks import complaints, room_complaints, said_twice
from autopilot_client.config.document import Config
from autopilot_client.config.fleet import LONGEST_KEY
from autopilot_client.config.remedies import REMEDIES
from autopilot_client.ports import ConfigError


def parse(text: str, source: str) -> Config:
    """The configuration of a YAML document. `source` names it in messages. Raises ConfigError."""
    try:
        config = msgspec.convert(_with_defaults(_document(text, source)), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error))}") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"{source}: a text with half a character (\\ud800 to \\udfff); write it in UTF-8") from error
    complaint = next(iter(complaints(config)), None)
    if complaint:
        raise ConfigError(f"{source}: {complaint}")
    return config


def keyed(config: Config, namespace: str) -> Config:
    """The configuration of a client in a namespace: the fleets with their own, and with the keys of their histories.

    A key is CLUSTER/NAMESPACE/NAME where `cluster` is set, else the name. Raises ConfigError where one is longer than
    the endpoint takes, and where two fleets are one once their namespaces are known.
    """
    placed = [msgspec.structs.replace(fleet, namespace=fleet.namespace or namespace) for fleet in config.fleets]
    config = msgspec.structs.replace(config, fleets=tuple(placed))
    complaint = next(iter([*said_twice(config), *room_complaints(config.fleets)]), None)
    if complaint:
        raise ConfigError(complaint)
    if config.cluster is None:
        return config
    names = [f"{config.cluster}/{fleet.namespace}/{fleet.name}" for fleet in config.fleets]
    longest = max(names, key=len)
    if len(longest) > LONGEST_KEY:
        raise ConfigError(f"cluster: the key {longest} has more than {LONGEST_KEY} characters; write shorter names")
    fleets = tuple(msgspec.structs.replace(f, name=n) for f, n in zip(config.fleets, names, strict=True))
    return msgspec.structs.replace(config, fleets=fleets)


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-13-45, a number of 5,000 digits
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: nested too deep; write endpoint: and fleets:") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: empty or not a mapping; write endpoint: and fleets:")
    return document


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its `defaults` written into every fleet that does not say otherwise."""
    defaults, fleets = document.get("defaults") or {}, document.get("fleets")
    if not isinstance(defaults, dict):
        raise ConfigError("defaults: a mapping of a fleet's fields, such as apply: observe")
    rest = {key: value for key, value in document.items() if key != "defaults"}
    if isinstance(fleets, list):
        rest["fleets"] = [defaults | fleet if isinstance(fleet, dict) else fleet for fleet in fleets]
    return rest


def _explain(message: str) -> str:
    """A decoder's message as `fleets[0].maximum: what is wrong; what to write`."""
    what, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    named = re.search(r"field `(\w+)`", what)
    field = named.group(1) if named else re.sub(r"\[\d+\]$", "", path).rsplit(".", 1)[-1]
    if "unknown field" in what:
        close = difflib.get_close_matches(field, known_fields(), 1)
        remedy = f"did you mean {close[0]}?" if close else "remove it"
    else:
        remedy = f"write {REMEDIES[field]}" if field in REMEDIES else "see the table of settings in client/README.md"
    return f"{path or 'document'}: {what}; {remedy}"


def sections() -> Iterable[type[msgspec.Struct]]:
    """Every section of the document."""
    return [*Section.__subclasses__(), *WebService.__subclasses__()]


def known_fields() -> list[str]:
    """Every field name of the document."""
    return sorted({name for section in sections() for name in section.__struct_encode_fields__} | {"defaults"})
