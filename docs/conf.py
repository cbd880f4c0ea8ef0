"""The site of these pages, made by Sphinx: `make docs` builds it into out/site, without anything from elsewhere.

The pages are the ones that one reads in the repository. What the site adds is made of what is there: the navigation of
the lists of docs/index.md, the HTTP interface of docs/openapi.json, the Python interface of the docstrings.
"""

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import autopilot

ROOT = Path(__file__).parents[1]

project = "GameServer Autopilot"
release = version = autopilot.__version__
html_title = f"{project} {release}"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "client/README.md",
    "container/README.md", "container/autopilot/models/*/README.md", "deploy/README.md", "deploy/chart/README.md",
]  # fmt: skip
exclude_patterns = [".venv", "out", "build", "tests", "**/node_modules", "bench", "notebooks"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_additional_pages = {"index": "to-the-start.html"}
templates_path = ["site"]
html_static_path = ["site/static"]
html_js_files = ["accessible.js"]
html_copy_source = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
default_role = "code"
autodoc_member_order = "bysource"
autodoc_mock_imports = ["gymnasium"]  # what only training needs is not installed to make the site
autodoc_typehints = "signature"
autodoc_use_type_comments = False
linkcheck_ignore = [r"http://localhost.*", r"http://127\.0\.0\.1.*"]


def setup(app: Sphinx) -> None:
    """Tell Sphinx what is made on the way."""
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", plain_docstring)


def read_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the navigation to the start page, and the interface to the page of the endpoint's HTTP."""
    if name == root_doc:
        source[0] += navigation(source[0])
    if name == "docs/api":
        document = json.loads((ROOT / "docs" / "openapi.json").read_text())
        source[0] = source[0].replace("<!-- openapi -->", interface(document))


def navigation(page: str) -> str:
    """Each list of links under a heading as a part of the navigation."""
    parts = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    trees = (_tree(re.findall(r"\]\(([^)#]+)\.md\)", body), f":caption: {title}\n") for title, body in parts)
    return "\n" + "\n".join([_tree(["../README"]), *trees])


def _tree(pages: list[str], caption: str = "") -> str:
    return f"```{{toctree}}\n:hidden:\n{caption}\n" + "\n".join(pages) + "\n```\n"


def interface(document: dict[str, Any]) -> str:
    """The paths and the forms of an OpenAPI document, as Markdown."""
    paths = (
        f"## {verb.upper()} {path}\n\n{said['summary']}.\n\n{_bodies(said)}{_answers(said)}"
        for path, verbs in document["paths"].items()
        for verb, said in verbs.items()
    )
    forms = (_form(name, schema) for name, schema in document["components"]["schemas"].items())
    return "\n".join([*paths, "## Forms\n", *forms])


def _bodies(said: dict[str, Any]) -> str:
    kinds = said.get("requestBody", {}).get("content", {})
    lines = [f"- `{kind}`: {_kind(body.get('schema', {}))}" for kind, body in kinds.items()]
    return "It takes:\n\n" + "\n".join(lines) + "\n\n" if lines else ""


def _answers(said: dict[str, Any]) -> str:
    rows = (
        f"| {code} | {answer['description']} | "
        + "; ".join(f"`{kind}`: {_kind(body.get('schema', {}))}" for kind, body in answer.get("content", {}).items())
        + " |"
        for code, answer in said["responses"].items()
    )
    return "| status | when | answer |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _form(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = (
        f"| `{field}`{' (needed)' if field in needed else ''} | {_kind(one)} | {_cell(one.get('description', ''))} | "
        f"{_examples(one)} |"
        for field, one in schema.get("properties", {}).items()
    )
    said = _cell(schema.get("description", ""))
    return f"### {name}\n\n{said}\n\n| field | what | meaning | example |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _kind(schema: dict[str, Any]) -> str:
    """The kind of a value in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_kind(one) for one in choices))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if schema.get("items") else "list"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("required"):
        return f"object with {', '.join(f'`{one}`' for one in schema['required'])}"
    return str(schema.get("type", "any"))


def _examples(schema: dict[str, Any]) -> str:
    return ", ".join(f"`{json.dumps(one)}`" for one in schema.get("examples", []))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def plain_docstring(*event: Any) -> None:  # noqa: ANN401 - Sphinx' own
    """Docstrings are plain text: columns stay columns, and nothing in them is markup but code in backquotes."""
    lines: list[str] = event[-1]
    made: list[str] = []
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        rows = paragraph.split("\n")
        if any(re.search(r"\S {2,}\S", row) or row.startswith(" ") for row in rows):
            made += ["::", "", *(f"    {row}" for row in rows), ""]
        else:
            made += [*(re.sub(r"([*|_\\])(?![^`]*`[^`]*$)", r"\\\1", row) for row in rows), ""]
    lines[:] = made
