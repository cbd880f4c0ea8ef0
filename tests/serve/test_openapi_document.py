"""What the project says of itself is true: the settings' table, the OpenAPI document."""

import json
from pathlib import Path

from autopilot.serve.openapi import openapi_json, settings_table
from autopilot.settings import Settings

ROOT = Path(__file__).parents[2]


def test_the_committed_openapi_document_is_the_one_that_the_code_describes():
    assert (ROOT / "docs" / "openapi.json").read_text() == openapi_json(), (
        "make it new: autopilot openapi > docs/openapi.json"
    )


def test_every_reference_of_the_openapi_document_has_its_target():
    document = json.loads(openapi_json())
    references = {part.split('"')[0] for part in openapi_json().split("#/components/schemas/")[1:]}
    assert references <= set(document["components"]["schemas"])


def test_every_setting_has_a_meaning_and_its_place_in_the_page_of_settings():
    page = (ROOT / "docs" / "settings.md").read_text()
    table = settings_table()
    assert {name for name, _, _ in table} == set(Settings.__struct_encode_fields__)
    for name, default, meaning in table:
        assert meaning
        row = f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |"
        assert row in page, f"docs/settings.md lacks this row: {row}"
