"""The training report: one HTML file without any outside reference, with its plots inside."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from autopilot.policy.metadata import Metadata
from autopilot.training.job import write_atomically
from autopilot.training.verdict import Verdict

History = Sequence[Mapping[str, float]]
_EXPECTED = {
    "loss": "Training loss: falls, then flattens. Rising: lower the learning rate.",
    "score": "Cost of validation fleets relative to the best simple rule in hindsight. Below 1 is better than it.",
    "reward": "Mean reward of a step while exploring: rises, then levels off.",
    "approx_kl": "How far an update moved the policy: 0.001 to 0.03 is healthy.",
    "clip_fraction": "Share of samples at the clip: 0.05 to 0.3.",
    "explained_variance": "Of the returns by the value function: rises towards 1.",
    "std": "Exploration: falls slowly.",
    "validation_cost": "Cost relative to the calibrated rule on the same episodes: below 1 is better than it.",
}

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:left}"
    "img{max-width:100%}figure{margin:1rem 0}figcaption{color:#555}"
)


def write_report(path: Path, metadata: Metadata, verdict: Verdict, history: History) -> None:
    """Write the report of a run: the verdict, the learning curves, and everything that was set."""
    parts = [
        f"<h1>{html.escape(metadata.version)}</h1>",
        f"<p>{html.escape(told_verdict(verdict))}</p>",
        _verdict_table(verdict),
        *(_figure(name, history) for name in _EXPECTED if any(name in entry for entry in history)),
        "<h2>Hyperparameters</h2>",
        _table(("name", "value"), [(k, str(v)) for k, v in metadata.hyperparameters.items()]),
        "<h2>Versions</h2>",
        _table(("library", "version"), list(metadata.libraries.items())),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(metadata.version)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    write_atomically(path, page.encode())


def told_verdict(verdict: Verdict) -> str:
    """The verdict as a sentence."""
    others = ", ".join(f"{name} {ratio:.3f}" for name, ratio in sorted(verdict.ratios.items(), key=lambda one: one[1]))
    return (
        f"Served: {verdict.chosen}. Cost relative to the calibrated rule, geometric mean of {verdict.fleets} fleets "
        f"({verdict.judged_on}): {others}."
    )


def _verdict_table(verdict: Verdict) -> str:
    rows = [
        (name, f"{ratio:.4f}", "served" if name == verdict.chosen else "") for name, ratio in verdict.ratios.items()
    ]
    return _table(("candidate", "cost relative to the calibrated rule", ""), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _figure(name: str, history: History) -> str:
    points = [(number + 1, entry[name]) for number, entry in enumerate(history) if name in entry]
    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    axes.plot(*zip(*points, strict=True), color="#1f6feb", marker="." if len(points) < 60 else "")
    axes.set(xlabel="iteration", ylabel=name.replace("_", " "))
    axes.grid(alpha=0.3)
    picture = _png(figure)
    return (
        f'<figure><img alt="{name} over the run" src="data:image/png;base64,{picture}">'
        f"<figcaption>{html.escape(_EXPECTED[name])}</figcaption></figure>"
    )


def _png(figure: Any) -> str:  # noqa: ANN401 - a matplotlib figure
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()
