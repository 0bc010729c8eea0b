"""map_fn, foldl, foldr, scan: a function applied along the first axis, one row after the other;
vectorized_map: to all rows at once.

Eagerly they are Python loops; in a trace loops in the graph, built on `TensorArray`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from . import nest
from .array_basics import shape
from .array_gather import gather
from .autograph.context import for_tracing
from .block_axis import broadcast_to_block
from .composite import Composite, CompositeSpec, as_components, from_components
from .context import current, tracing
from .control_flow_while import while_loop
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import UnimplementedError
from .graph.batching import batch_graph
from .graph.graph import Graph
from .ragged_tensor import RaggedTensor
from .sequences import range as range_of
from .tensor import SymbolicTensor, Tensor
from .tensor_array import TensorArray
from .tensor_spec import TensorSpec, TypeSpec

__all__ = ["foldl", "foldr", "map_fn", "scan", "vectorized_map"]


def map_fn(
    fn: Callable[[Any], Any],
    elems: Any,
    dtype: Any = None,
    parallel_iterations: Any = None,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    name: str | None = None,
    fn_output_signature: Any = None,
) -> Any:
    """The results of `fn` for each row of `elems`, stacked along a new first axis.

    Args:
        fn: function of one row (of the structure of `elems`).
        elems: tensors, nested, of one leading size.
        dtype: older name of `fn_output_signature`.
        fn_output_signature: dtypes or specs of what `fn` returns, nested; those of `elems` by
            default.  A `RaggedTensorSpec` gives a ragged tensor.
        parallel_iterations, back_prop, swap_memory: have no effect.
        infer_shape: all results have one shape.

    Raises:
        TypeError: `fn` is not callable.
        ValueError: `elems` has no leading axis, or the result not the declared structure.

    >>> map_fn(lambda x: x * x, to_tensor([1, 2, 3], None)).numpy()
    array([1, 4, 9], dtype=int32)
    """
    if not callable(fn):
        raise TypeError(f"The provided function {fn!r} is not callable. fn must be callable.")
    rows, count, structure = _rows(elems)
    signature = dtype if fn_output_signature is None else fn_output_signature
    if signature is None:
        signature = nest.pack_sequence_as(structure, [_row_dtype(e) for e in rows])
    wanted, tree = nest.flatten_with_spec(signature)

    def results(k: Any, call: Callable[..., Any]) -> list[Any]:
        out = call(nest.pack_sequence_as(structure, [_row(e, k) for e in rows]))
        if nest.structure_of(out) != tree:
            raise ValueError(
                f"The structure of what fn returned, {nest.structure_of(out)}, is not that of "
                f"fn_output_signature, {tree}."
            )
        return [
            v if isinstance(v, Composite) else to_tensor(v, None) for v in nest.flatten(out)
        ]

    if any(isinstance(s, CompositeSpec) for s in wanted):
        return _mapped_composites(results, count, wanted, tree, fn)
    specs = [s if isinstance(s, TensorSpec) else TensorSpec(None, as_dtype(s)) for s in wanted]
    arrays = [
        TensorArray(s.dtype, size=count, element_shape=s.shape, infer_shape=infer_shape)
        for s in specs
    ]
    call = for_tracing(fn)

    def body(k: Any, arrays: Any) -> Any:
        values = results(k, call)
        return k + 1, [a.write(k, v) for a, v in zip(arrays, values, strict=True)]

    zero = to_tensor(0, None)
    _, arrays = while_loop(lambda k, _: k < count, body, (zero, arrays))
    stacked = [a.stack() for a in arrays]
    known = [e.shape[0] for e in rows if isinstance(e, Tensor) and e.shape[0] is not None]
    for t in stacked:
        if known and isinstance(t, SymbolicTensor) and t.shape.rank:
            t.set_shape([known[0], *t.shape.dims[1:]])  # type: ignore[index]
    return nest.pack_sequence_as(tree, stacked)


def _mapped_composites(results: Any, count: Any, wanted: list[Any], tree: Any, fn: Any) -> Any:
    if current.trace is not None:
        raise UnimplementedError(
            "map_fn: results that are ragged or sparse are supported eagerly only", op="map_fn"
        )
    from .array_join import stack
    from .ragged_ops import stack as ragged_stack

    columns: list[list[Any]] = [[] for _ in wanted]
    for k in range(int(count)):
        for column, value in zip(columns, results(k, fn), strict=True):
            column.append(value)
    out = [
        ragged_stack(c) if isinstance(s, CompositeSpec) else stack(c)
        for c, s in zip(columns, wanted, strict=True)
    ]
    return nest.pack_sequence_as(tree, out)


def _rows(elems: Any) -> tuple[list[Any], Any, Any]:
    """The leaves as tensors, their leading size, and their structure."""
    leaves, structure = nest.flatten_with_spec(elems)
    if not leaves:
        raise ValueError("elems must be a tensor or a nested structure of at least one tensor")
    rows = [v if isinstance(v, Composite) else to_tensor(v, None) for v in leaves]
    for e in rows:
        if e.shape.rank == 0:
            raise ValueError(
                "elems must be a 1+ dimensional Tensor or a nested structure of them, got a "
                "scalar"
            )
    sizes = {e.shape[0] for e in rows if e.shape.rank and e.shape[0] is not None}
    if len(sizes) > 1:
        raise ValueError(f"elems must agree in their first axis, got sizes {sorted(sizes)}")
    if sizes:
        return rows, to_tensor(sizes.pop(), None), structure
    first = rows[0]
    return (
        rows,
        first.nrows() if isinstance(first, RaggedTensor) else shape(first)[0],
        structure,
    )


def _row_dtype(e: Any) -> Any:
    return e._type_spec if isinstance(e, Composite) and e.shape.rank != 2 else e.dtype


def _row(e: Any, k: Any) -> Any:
    if isinstance(e, Tensor):
        return gather(e, k) if isinstance(k, SymbolicTensor) else e[int(k)]
    if isinstance(e, RaggedTensor) and isinstance(k, SymbolicTensor):
        splits = e.row_splits
        return e.values[gather(splits, k) : gather(splits, k + 1)]
    return e[k if isinstance(k, SymbolicTensor) else int(k)]


def foldl(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """``fn(fn(fn(initializer, row 0), row 1), ...)``; the first row starts if there is no
    initializer.

    Raises:
        TypeError: `fn` is not callable.
    """
    return _fold(fn, elems, initializer, False, None)


def foldr(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
) -> Any:
    """`foldl` from the last row to the first."""
    return _fold(fn, elems, initializer, True, None)


def scan(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    infer_shape: bool = True,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """All the intermediate results of `foldl` (of `foldr` if `reverse`), stacked in the rows'
    order.

    >>> scan(lambda a, x: a + x, to_tensor([1, 2, 3], None)).numpy()
    array([1, 3, 6], dtype=int32)
    """
    return _fold(fn, elems, initializer, reverse, infer_shape)


def _fold(fn: Any, elems: Any, initializer: Any, reverse: bool, infer: bool | None) -> Any:
    """Folds; keeps all results (one shape, if `infer`) unless `infer` is None."""
    if not callable(fn):
        raise TypeError(f"{fn!r} must be callable.")
    rows, count, structure = _rows(elems)
    last = count - 1

    def row(k: Any) -> Any:
        at = last - k if reverse else k
        return nest.pack_sequence_as(structure, [_row(e, at) for e in rows])

    first = 0
    start = initializer
    if initializer is None:
        start, first = row(to_tensor(0, None)), 1
    start = nest.map_structure(
        lambda v: v if isinstance(v, Composite) else to_tensor(v, None), start
    )
    keeps = infer is not None
    arrays: list[Any] = []
    if keeps:
        arrays = [
            TensorArray(v.dtype, size=count, infer_shape=bool(infer),
                        element_shape=v.shape if infer else None)
            for v in nest.flatten(start)
        ]  # fmt: skip
        if first:
            at = last if reverse else to_tensor(0, None)
            flat = nest.flatten(start)
            arrays = [a.write(at, v) for a, v in zip(arrays, flat, strict=True)]
    call = for_tracing(fn)

    def body(k: Any, acc: Any, arrays: Any) -> Any:
        acc = call(acc, row(k))
        if keeps:
            at = last - k if reverse else k
            flat = nest.flatten(acc)
            arrays = [a.write(at, v) for a, v in zip(arrays, flat, strict=True)]
        return k + 1, acc, arrays

    state = (to_tensor(first, None), start, arrays)
    _, acc, arrays = while_loop(lambda k, *_: k < count, body, state)
    if not keeps:
        return acc
    return nest.pack_sequence_as(nest.structure_of(acc), [a.stack() for a in arrays])


def vectorized_map(
    fn: Callable[[Any], Any],
    elems: Any,
    fallback_to_while_loop: bool = True,
    warn: bool = True,
) -> Any:
    """`map_fn` with `fn` traced once and run on all rows together.

    Args:
        fn: function of one row.
        elems: tensors, nested, of one leading size (or 1, which serves all rows).
        fallback_to_while_loop: run row by row where an operation has no batched form.
        warn: say so then.

    Raises:
        UnimplementedError: an operation has no batched form; the message names it.

    >>> vectorized_map(lambda x: x * x, to_tensor([1, 2, 3], None)).numpy()
    array([1, 4, 9], dtype=int32)
    """
    leaves, structure = nest.flatten_with_spec(elems)
    tensors = [to_tensor(v, None) for v in leaves]
    sizes = {t.shape[0] for t in tensors}
    shared = [len(sizes) > 1 and t.shape[0] == 1 for t in tensors]
    kinds = [
        t[0] if one else TensorSpec(t.shape[1:], t.dtype)
        for t, one in zip(tensors, shared, strict=True)
    ]
    specs = [k for k in kinds if isinstance(k, TensorSpec)]

    def on(*parts: Any) -> Any:
        given = iter(parts)
        values = [next(given) if isinstance(k, TensorSpec) else k for k in kinds]
        return fn(nest.pack_sequence_as(structure, values))

    rows = [t for t, one in zip(tensors, shared, strict=True) if not one]
    try:
        return from_components(*run_batched(on, specs, rows))
    except UnimplementedError as error:
        if not fallback_to_while_loop:
            raise
        if warn:
            warnings.warn(f"vectorized_map runs row by row: {error}", stacklevel=2)
    dtypes = _output_dtypes(on, specs)
    return map_fn(fn, elems, fn_output_signature=dtypes)


def _output_dtypes(fn: Any, specs: list[TensorSpec]) -> Any:
    graph = Graph("vectorized_map", parent=current.trace)
    with tracing(graph):
        _, structure = as_components(fn(*[graph.placeholder(s) for s in specs]))

    def kind(spec: Any) -> DType | TypeSpec:
        return spec.dtype if isinstance(spec, TensorSpec) else spec

    return nest.map_structure(kind, structure)


def run_batched(
    fn: Callable[..., Any], specs: list[TensorSpec], rows: list[Any], skip: Any = None
) -> tuple[Any, list[Any]]:
    """`fn`, a function of tensors of the given specs, on all `rows` at once.

    Args:
        skip: a tape that does not watch what happens.

    Returns:
        The result's structure with specs, and its tensors with a leading axis.

    Raises:
        UnimplementedError: an operation has no batched form.
    """
    graph = Graph("vectorized", parent=current.trace)
    tapes = tuple(t for t in current.tapes if t is not skip)
    graph._outer_tapes += tuple(t for t in tapes if t not in graph._outer_tapes)
    graph._outer_tapes = tuple(t for t in graph._outer_tapes if t is not skip)
    with tracing(graph):
        outputs, structure = as_components(fn(*[graph.placeholder(s) for s in specs]))
        graph.outputs = [
            t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
            for t in outputs
        ]
    captured = [outer for outer, _ in graph.captures]
    made = batch_graph(graph, [True] * len(rows) + [False] * len(captured))
    inputs = [*rows, *captured]
    if made.needs_index:
        from .array_basics import cast

        n = shape(rows[0])[0]
        inputs.append(range_of(cast(n, "int64")))
    found = made.graph.replay(inputs)
    flat = [
        t if has else broadcast_to_block(t, rows[0])
        for t, has in zip(found, made.out_batched, strict=True)
    ]
    return structure, flat
