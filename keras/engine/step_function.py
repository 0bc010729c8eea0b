"""StepFunction: a model's step on one batch, traced once and run as a compiled graph.

A trace has an unknown batch size, so that the smaller last batch runs the same graph.  Batches
that differ in other sizes (sequences of several lengths) get a trace with those sizes unknown.
Running costs no more than taking the raw arrays out of the batch: results stay raw until
somebody asks for them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ...ops import nest
from ...ops.autograph.context import for_tracing
from ...ops.autograph.retrace import retraced_inside
from ...ops.composite import from_components, spec_of
from ...ops.errors import UntraceableError
from ...ops.graph.explain import explain
from ...ops.graph.trace import trace
from ...ops.primitive import wrap
from ...ops.tensor import Tensor
from ...ops.tensor_spec import TensorSpec

__all__ = ["StepFunction"]


class _Trace:
    """A compiled step for batches of certain specs."""

    __slots__ = ("_graph", "specs", "structure", "tree")

    def __init__(self, tree: Any, specs: list[Any], traced: Any):
        self.tree = tree
        self.specs = specs
        self._graph = traced.graph
        self.structure = traced.output_structure

    @property
    def run(self) -> Callable[..., list[Any]]:
        """The compiled graph."""
        return self._graph.compile()


class StepFunction:
    """A function of a batch, run as a compiled graph.

    Args:
        step: takes a batch (nested tensors), returns nested tensors or None.
        name: for messages, e.g. ``"train_step of model 'mlp'"``.
        eager: never trace.
        keep_results: False if only the step's effects on variables are wanted; what only served
            its result is then not computed.
    """

    def __init__(
        self,
        step: Callable[[Any], Any],
        name: str,
        eager: bool = False,
        keep_results: bool = True,
    ):
        self._step = step
        self._name = name
        self._eager = eager
        self._keep = keep_results
        self._exact: dict[Any, _Trace] = {}
        self._traces: list[_Trace] = []

    @property
    def traces(self) -> int:
        """How many traces were made."""
        return len(self._traces)

    @property
    def graph(self) -> Any:
        """The first trace's graph; None before it, and of a step that runs as plain Python."""
        return self._traces[0]._graph if self._traces else None

    def explain(self) -> str:
        """What compiling made of each trace, and whether a GPU replays it, or why not."""
        if self._eager:
            return f"{self._name}: runs eagerly"
        found = [explain(trace._graph, self._name) for trace in self._traces]
        return "\n".join(found) or f"{self._name}: not traced yet"

    def forget(self) -> None:
        """Trace anew at the next call: what the traces hold as constant has changed."""
        self._exact.clear()
        self._traces.clear()

    @property
    def eager(self) -> bool:
        """Whether steps run as plain Python."""
        return self._eager

    def __call__(self, batch: Any) -> Any:
        """Run the step on `batch`; its result, or None without `keep_results`."""
        if self._eager:
            return self._step(batch)
        leaves, tree = nest.flatten_with_spec(batch)
        arrays = []
        key: list[Any] = [tree]
        for leaf in leaves:
            if type(leaf) is not Tensor:
                return self._run_general(batch, leaves, tree)
            array = leaf._value
            arrays.append(array)
            key.append(array.dtype)
            key.append(array.shape[1:] if array.shape else ())
        found = self._exact.get(tuple(key))
        if found is None:
            try:
                found = self._find(tree, [_spec(leaf) for leaf in leaves])
            except UntraceableError as error:
                return self._give_up(error, batch)
            self._exact[tuple(key)] = found
        return self._finish(found, found.run(*arrays))

    def run_eagerly(self, batch: Any) -> Any:
        """Run the step as plain Python."""
        return self._step(batch)

    def bound(self, batch: Any) -> Callable[[], Any] | None:
        """The run of the step on `batch`, traced first if need be, for another thread to call;
        None where steps run as plain Python."""
        if self._eager:
            return None
        leaves, tree = nest.flatten_with_spec(batch)
        specs: list[Any] = [None if leaf is None else _spec(leaf) for leaf in leaves]
        key = (tree, tuple(specs))
        found = self._exact.get(key)
        if found is None:
            try:
                found = self._exact[key] = self._find(tree, specs)
            except UntraceableError as error:
                self._warn(error)
                return None
        arrays: list[Any] = []
        for leaf in leaves:
            if leaf is not None:
                parts = leaf._components() if hasattr(leaf, "_components") else (leaf,)
                arrays.extend(part._value for part in parts)
        run = found.run
        return lambda: self._finish(found, run(*arrays))

    def _run_general(self, batch: Any, leaves: list[Any], tree: Any) -> Any:
        """Batches with ragged or sparse tensors, or with absent parts."""
        specs: list[Any] = [None if leaf is None else _spec(leaf) for leaf in leaves]
        try:
            found = self._find(tree, specs)
        except UntraceableError as error:
            return self._give_up(error, batch)
        arrays: list[Any] = []
        for leaf in leaves:
            if leaf is not None:
                parts = leaf._components() if hasattr(leaf, "_components") else (leaf,)
                arrays.extend(part._value for part in parts)
        return self._finish(found, found.run(*arrays))

    def _finish(self, found: _Trace, outputs: list[Any]) -> Any:
        if not self._keep:
            return None
        return from_components(found.structure, [wrap(o) for o in outputs])

    def _find(self, tree: Any, specs: list[Any]) -> _Trace:
        """The trace that takes these specs; a new one is as general as the batches seen."""
        for known in self._traces:
            if known.tree == tree and all(
                _fits(s, k) for s, k in zip(specs, known.specs, strict=True)
            ):
                return known
        for known in self._traces:
            if known.tree == tree:
                merged = [_merge(s, k) for s, k in zip(specs, known.specs, strict=True)]
                if all(m is not False for m in merged):
                    # An open size would pass every layer's check: these sizes must too.
                    self._trace(tree, specs)
                    specs = merged
        new = self._trace(tree, specs)
        self._traces.append(new)
        return new

    def _trace(self, tree: Any, specs: list[Any]) -> _Trace:
        batch = nest.pack_sequence_as(tree, specs)
        step = self._step if self._keep else self._effects

        def attempt() -> Any:
            return trace(for_tracing(step), (batch,), name=self._name)

        return _Trace(tree, specs, retraced_inside(attempt))

    def _effects(self, batch: Any) -> None:
        for_tracing(self._step)(batch)

    def _give_up(self, error: UntraceableError, batch: Any) -> Any:
        self._warn(error)
        return self._step(batch)

    def _warn(self, error: UntraceableError) -> None:
        self._eager = True
        warnings.warn(
            f"{self._name} cannot be traced and runs eagerly (slower): {error} "
            "Pass `run_eagerly=True` to `compile()` to silence this.",
            stacklevel=5,
        )


def _spec(leaf: Any) -> Any:
    """The spec of a batch's leaf, its batch size left open."""
    spec = spec_of(leaf)
    if isinstance(spec, TensorSpec) and spec.shape.rank:
        return TensorSpec([None, *spec.shape[1:]], spec.dtype)
    return spec


def _fits(spec: Any, known: Any) -> bool:
    if isinstance(known, TensorSpec):
        return isinstance(spec, TensorSpec) and spec.is_subtype_of(known)
    return spec == known


def _merge(spec: Any, known: Any) -> Any:
    """A spec for both, or False."""
    if spec is None or known is None or not isinstance(spec, TensorSpec):
        return spec if spec == known else False
    if not isinstance(known, TensorSpec) or spec.shape.rank != known.shape.rank:
        return False
    merged = spec.most_specific_common_supertype([known])
    return False if merged is None else merged
