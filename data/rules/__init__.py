"""The rewrite rules, in the order they are applied, and `optimize`, which applies them.

A rule is a module with one pure function, ``rewrite(node) -> Node | None``: a better plan for
the same elements, or None.  ``why_not(node) -> str | None`` says why a node the rule is about
stays as it is; `explain()` shows it.  Rules see a plan from its sources to its end, each
until it finds nothing more, and each may be switched off by its name in
``Options().experimental_optimization``.

Rules change how a pipeline runs and what its stages are called, never what it delivers; one
that cannot promise that to the last bit has to be switched on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

from ..node import Node
from ..options import Options
from ..stats import short_line
from . import (
    column_projection,
    decode_fusion,
    device_cast,
    device_decode,
    feature_projection,
    filter_fusion,
    filter_parallelization,
    inject_prefetch,
    map_and_batch_fusion,
    map_and_filter_fusion,
    map_fusion,
    map_parallelization,
    map_vectorization,
    noop_elimination,
    parallel_file_reading,
    predicate_pushdown,
    shuffle_and_repeat_fusion,
    slice_pushdown,
)
from .common import describe

__all__ = ["RULES", "PlanReport", "Rule", "RuleReport", "optimize", "rewrite_plan"]


@dataclass(frozen=True)
class Rule:
    """A rule as `optimize` applies it.

    Attributes:
        name: its name among the options.
        title: what it does, in a few words.
        rewrite, told, why_not: see the module's text.
        at_end: whether it looks at the plan's last node only.
        by_default: whether it applies unless it is switched off.
    """

    name: str
    title: str
    rewrite: Callable[[Node], Node | None]
    told: Callable[[Node, Node], str]
    why_not: Callable[[Node], str | None]
    at_end: bool = False
    by_default: bool = True


def _rule(
    module: ModuleType, title: str, at_end: bool = False, by_default: bool = True
) -> Rule:
    name = module.__name__.rpartition(".")[2]
    return Rule(name, title, module.rewrite, module.told, module.why_not, at_end, by_default)


RULES: tuple[Rule, ...] = (
    _rule(noop_elimination, "drop stages that change nothing"),
    _rule(slice_pushdown, "take, skip and shard at the source"),
    _rule(map_fusion, "fuse maps that follow each other"),
    _rule(filter_fusion, "fuse filters that follow each other"),
    _rule(column_projection, "read and compute only the columns that are used"),
    _rule(map_and_filter_fusion, "filter before a map or together with it"),
    _rule(feature_projection, "parse only the features that are used"),
    _rule(predicate_pushdown, "skip row groups that a filter drops"),
    _rule(shuffle_and_repeat_fusion, "fill the buffer for the next iteration in time"),
    _rule(decode_fusion, "crop and resize images as bytes"),
    _rule(device_cast, "send bytes to a device and cast them there"),
    _rule(device_decode, "decode JPEGs on the GPU of their function", by_default=False),
    _rule(map_vectorization, "run functions on whole blocks"),
    _rule(parallel_file_reading, "read files ahead on other threads"),
    _rule(filter_parallelization, "run predicates on several threads"),
    _rule(map_parallelization, "run functions on several threads"),
    _rule(map_and_batch_fusion, "make whole batches at a time"),
    _rule(inject_prefetch, "prepare elements while the last ones are used", at_end=True),
)


@dataclass
class RuleReport:
    """What one rule did to a plan.

    Attributes:
        rule: the rule.
        enabled: whether the options allowed it.
        applied: descriptions of the nodes it made.
        declined: why nodes it is about stayed as they were.
    """

    rule: Rule
    enabled: bool
    applied: list[str] = field(default_factory=list)
    declined: list[str] = field(default_factory=list)


@dataclass
class PlanReport:
    """The plan before and after the rules, and what each rule did.

    Attributes:
        before, after: the last nodes of the plans.
        rules: a report per rule, in the order they were applied.
    """

    before: Node
    after: Node
    rules: list[RuleReport]


def optimize(node: Node, options: Options | None = None) -> tuple[Node, PlanReport]:
    """The plan that runs in place of the one ending in `node`, and how it came about."""
    options = options or Options()
    switches = options.experimental_optimization
    plan = node
    reports = []
    for rule in RULES:
        report = RuleReport(rule, switches.enabled(rule.name, rule.by_default))
        reports.append(report)
        if report.enabled:
            plan = rewrite_plan(plan, rule, report)
        elif not rule.by_default:
            rewrite_plan(plan, rule, report)  # what it would do
    return plan, PlanReport(node, plan, reports)


def rewrite_plan(node: Node, rule: Rule, report: RuleReport | None = None) -> Node:
    """The plan after one rule."""
    report = report or RuleReport(rule, True)
    if rule.at_end:
        return _rewrite_node(node, rule, report)
    done: dict[int, Node] = {}  # a node may be the input of several: it stays one

    def visit(one: Node) -> Node:
        if id(one) not in done:
            inputs = [visit(i) for i in one.inputs]
            if any(a is not b for a, b in zip(inputs, one.inputs, strict=True)):
                rebuilt = one.with_inputs(*inputs)
            else:
                rebuilt = one
            done[id(one)] = _rewrite_node(rebuilt, rule, report)
        return done[id(one)]

    return visit(node)


def _rewrite_node(node: Node, rule: Rule, report: RuleReport) -> Node:
    while (better := rule.rewrite(node)) is not None:
        report.applied.append(rule.told(node, better))
        node = better
    reason = rule.why_not(node)
    if reason is not None:
        line = f" ({short_line(node.source)})" if node.source else ""
        report.declined.append(f"{describe(node)}{line}: {reason}")
    return node
