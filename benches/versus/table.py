"""Results as a Markdown table, and the place of the README where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BEGIN = "<!-- versus: begin (written by `python benches/versus --readme`) -->"
END = "<!-- versus: end -->"


def load(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """The results of those jobs that have both sides, in the order of `names`."""
    paths = [folder / f"{name}.json" for name in names]
    results = [json.loads(path.read_text()) for path in paths if path.exists()]
    return [result for result in results if "ratio" in result]


def _rate(value: float) -> str:
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:  # what rounds to it
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def _times(value: float) -> str:
    return f"{value:,.0f}x" if value >= 20 else f"{value:.1f}x"


def render(results: list[dict[str, Any]]) -> str:
    """The table, and under it the machine."""
    if not results:
        return "*Not measured yet.*"
    lines = [
        "| job | Headrace /s | TensorFlow (or who is named) /s | ratio (range) | aim |",
        "|---|---:|---:|---:|---:|",
    ]
    for result in results:
        ratio = result["ratio"]
        least, middle, most = (_times(ratio[key]) for key in ("min", "median", "max"))
        rates = result["rates"]
        ours, theirs = _rate(rates["headrace"]), _rate(rates["tensorflow"])
        lines.append(
            f"| {result['title']} | {ours} | {theirs} "
            f"| {middle} ({least} to {most}) "
            f"| {result['target']:g}x |"
        )
    machine = results[-1]["machine"]
    versions = ", ".join(map(" ".join, machine["versions"].items()))
    counts = [len(result["rounds"]) for result in results]
    rounds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    load = max(result["machine"].get("load", 0) for result in results)
    lines += [
        "",
        f"Medians of {rounds} alternated rounds "
        f"on {machine['cores']} cores of {machine['cpu']} (load average up to {load:g}), "
        f"Python {machine['python']}, {versions}.",
    ]
    return "\n".join(lines)


def insert(readme: Path, table: str) -> None:
    """Puts the table between the marks of `readme`.

    Raises:
        ValueError: a mark is missing.
    """
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme.name} must hold the marks {BEGIN!r} and {END!r} once each")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    readme.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")
