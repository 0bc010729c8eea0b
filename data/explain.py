"""explain: what a dataset will do, as text: the plan as written, as it runs, and why.

Plans are shown in the order elements flow, sources first; inputs of a stage with several are
indented above it.  Next to each stage stand how its function runs and the user's line.
Below, a rule says what it changed (+) and why it left alone what it is about (-), and, once the
dataset has been iterated over, `autotune` what it chose and why.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from .node import INFINITE, UNKNOWN, Node
from .options import Options
from .rules import PlanReport, RuleReport, optimize
from .rules.common import describe, function_of, walk
from .stats import short_line

__all__ = ["explain_plan", "fed_text", "plan_lines", "report_text"]

_MODES = {
    "block": "by the block",
    "graph": "per element, traced",
    "eager": "per element, Python",
}
_WIDTH = 96


def explain_plan(node: Node, options: Options | None = None) -> str:
    """The explanation of the plan that ends in `node`."""
    return report_text(optimize(node, options)[1])


def report_text(report: PlanReport, choices: Sequence[str] = ()) -> str:
    """The explanation of a plan that was rewritten, and what was chosen when it ran."""
    before = _table(report.before)
    after = _table(report.after)
    out = ["As written:", *before]
    if report.after is report.before:
        out += ["", "It runs as written."]
    else:
        out += ["", "As it runs:", *after]
    for node in walk(report.after):
        remarks = node.remarks()
        if remarks:
            out += ["", *remarks]
    out += ["", "Rules (+ applied, - not applied):"]
    width = max(len(r.rule.name) for r in report.rules)
    for one in report.rules:
        out += _rule_lines(one, width)
    if choices:
        out += ["", "Chosen in the latest iteration:"]
        for text in choices:
            out += _wrapped(text, "  ", "    ")
    return "\n".join(out)


def fed_text(report: PlanReport) -> str:
    """How a dataset is sent to a model's GPU; the rules about that alone."""
    rules = [r for r in report.rules if r.rule.name.startswith("device_")]
    width = max(len(r.rule.name) for r in rules)
    out = ["As a model on a GPU was fed:", *_table(report.after)]
    for one in rules:
        out += _rule_lines(one, width)
    return "\n".join(out)


def plan_lines(node: Node, depth: int = 0) -> list[tuple[str, Node]]:
    """A text and its node for every stage, sources first."""
    lines: list[tuple[str, Node]] = []
    inputs = node.inputs
    for k, inner in enumerate(inputs):
        branch = plan_lines(inner, depth + (len(inputs) > 1))
        if len(inputs) > 1 and branch:
            text, first = branch[0]
            indent = "  " * (depth + 1)
            branch[0] = (f"{indent}{k + 1}. {text[len(indent) :]}", first)
            branch[1:] = [(f"{indent}   {t[len(indent) :]}", n) for t, n in branch[1:]]
        lines += branch
    lines.append(("  " * depth + describe(node), node))
    return lines


def _table(node: Node) -> list[str]:
    rows = [(text, _how(one), short_line(one.source)) for text, one in plan_lines(node)]
    widths = [max(len(r[k]) for r in rows) for k in range(2)]
    lines = []
    for text, how, line in rows:
        lines.append(f"  {text:<{widths[0]}}  {how:<{widths[1]}}  {line}".rstrip())
    lines.append(f"  = {_cardinality(node.cardinality)} of {_spec_text(node)}")
    return lines


def _how(node: Node) -> str:
    function = function_of(node)
    return "" if function is None else _MODES[function.mode]


def _cardinality(n: int) -> str:
    if n == INFINITE:
        return "elements without end"
    if n == UNKNOWN:
        return "an unknown number of elements"
    return f"{n:,} element{'' if n == 1 else 's'}"


def _spec_text(node: Node) -> str:
    try:
        spec: Any = node.element_spec
    except Exception:  # an eager function's results are known once it has run
        return "a kind known when its function has run"
    return _short_spec(spec)


def _short_spec(spec: Any) -> str:
    if isinstance(spec, dict):
        return "{" + ", ".join(f"{k}: {_short_spec(v)}" for k, v in spec.items()) + "}"
    if isinstance(spec, (tuple, list)):
        inner = ", ".join(map(_short_spec, spec))
        return f"({inner},)" if len(spec) == 1 else f"({inner})"
    if hasattr(spec, "dtype") and hasattr(spec, "shape"):
        kind = type(spec).__name__
        name = "" if kind == "TensorSpec" else kind.removesuffix("Spec") + " "
        if spec.shape.rank is None:
            return f"{name}{spec.dtype.name}<unknown shape>"
        dims = ", ".join("?" if d is None else str(d) for d in spec.shape.as_list())
        return f"{name}{spec.dtype.name}[{dims}]"
    return str(spec)


def _rule_lines(one: RuleReport, width: int) -> list[str]:
    head = f"  {one.rule.name:<{width}}  "
    pad = " " * len(head)
    if not one.enabled and one.rule.by_default:
        return [f"{head}off: switched off by the options"]
    if not one.enabled and (one.applied or one.declined):
        return [f"{head}off: not switched on"]
    told = [f"+ {text}" for text in one.applied] + [f"- {text}" for text in one.declined]
    lines: list[str] = []
    for text in told or ["nothing to do"]:
        start = pad if lines else head
        rest = pad + ("  " if told else "")
        lines += _wrapped(text, start, rest)
    return lines


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
