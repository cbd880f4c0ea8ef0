"""JSONata out of JSON: what the state machine computes with, from the values that the command line works with."""

import json
from collections.abc import Iterable, Mapping


def query(expression: str) -> str:
    """An expression as a state machine's string."""
    return f"{{% {expression} %}}"


def literal(value: object, expressions: Mapping[str, str] | None = None) -> str:
    """A JSON value as JSONata writes it. `expressions`: what to compute in place of some of its strings."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"'{key}': {literal(one, expressions)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(one, expressions) for one in value) + "]"
    if isinstance(value, str):
        return (expressions or {}).get(value, f"'{value}'")
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def optional(fields: Mapping[str, str], of: str) -> list[str]:
    """For each field of the payload that is given: an object with it under AWS's name."""
    return [f"$exists({of}.{field}) ? {{'{name}': {of}.{field}}} : {{}}" for field, name in fields.items()]


def merged(*parts: str) -> str:
    """Objects as one, the later over the earlier."""
    return f"$merge([{', '.join(parts)}])"


def without(item: str, keys: Iterable[str]) -> str:
    """An object without some of its keys."""
    kept = " and ".join(f"$k != '{key}'" for key in keys)
    return f"$sift({item}, function($x, $k) {{ {kept} }})"


def renamed(item: str, names: Mapping[str, str]) -> str:
    """An object with some of its keys renamed."""
    name = f"$lookup({literal(names)}, $k)"
    pair = f"{{($exists({name}) ? {name} : $k): $x}}"
    return f"$merge([{{}}, $each({item}, function($x, $k) {{ {pair} }})])"
