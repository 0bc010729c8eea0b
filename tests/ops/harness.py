"""The one harness every op passes.

A `Case` is a function of tensors with arguments for it.  `check_laws` needs no oracle: what a
trace gives (with known and with unknown sizes) equals what eager calls give, the shape rule
tells the truth, the batch rule equals a loop over elements, gradients equal differences, to
second order, and are the same when taken inside a trace.  `check_against_tensorflow` compares
values, dtypes, shapes and gradients to second order with TensorFlow's.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from headrace.ops import api as hr
from headrace.ops.graph.batching import batch_graph
from headrace.ops.graph.trace import trace
from headrace.ops.string_array import StringArray

TOLERANCE = {
    "float64": 1e-9,
    "float32": 2e-5,
    "complex64": 2e-5,
    "complex128": 1e-9,
    "float16": 4e-3,
    "bfloat16": 2e-2,
}


@dataclass(frozen=True)
class Case:
    """One call of an op.

    Attributes:
        id: the case's name in pytest.
        fn: function of as many tensors as there are `args`; returns a tensor or several.
        args: NumPy arrays (or lists, which become arrays of the given kind).
        peer: the same function of TensorFlow, given the module: ``lambda tf: tf.add``.
        grad: check gradients (of the float arguments).
        second: check second-order gradients.
        batch: check the batch rule.
        kinds: dtypes to run the comparison with TensorFlow in; each float argument is cast.
        tolerance: replaces the tolerance of the dtype.
        notes: what single checks need to know, e.g. ``second_law=False`` where second gradients
            are TensorFlow's and not the derivatives of the value.
    """

    id: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    peer: Callable[[Any], Callable[..., Any]] | None = None
    grad: bool = True
    second: bool = True
    batch: bool = True
    kinds: tuple[str, ...] = ("float32",)
    tolerance: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def each(cases: list[Case]) -> Any:
    """The pytest parameters of a table of cases."""
    return pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in cases])


def peers_of(cases: list[Case]) -> Any:
    """The parameters of those cases that have a peer, one per dtype."""
    return pytest.mark.parametrize(
        ("case", "kind"),
        [pytest.param(c, k, id=f"{c.id}-{k}") for c in cases if c.peer for k in c.kinds],
    )


def arrays_of(args: Any, kind: str | None = None) -> list[np.ndarray]:
    """The arguments as arrays, floats in dtype `kind`."""
    out = []
    for a in args:
        array = np.asarray(a)
        if kind is not None and array.dtype.kind == "f":
            array = array.astype(hr.as_dtype(kind).np_dtype)
        out.append(array)
    return out


def flat(result: Any) -> list[Any]:
    """Results as a list."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def values(result: Any) -> list[np.ndarray]:
    """Results as NumPy arrays."""
    found = [r.numpy() if hasattr(r, "numpy") else r for r in flat(result)]
    return [np.array(r, object) if isinstance(r, bytes) else np.asarray(r) for r in found]


def same(got: Any, want: Any, tolerance: float | None = None, what: str = "") -> None:
    """Assert equal shapes, dtypes and, within the dtype's tolerance, values."""
    got, want = (
        np.array(x, object) if isinstance(x, bytes) else np.asarray(x) for x in (got, want)
    )
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    assert got.dtype.name == want.dtype.name, (
        f"{what}: dtype {got.dtype}, expected {want.dtype}"
    )
    if got.dtype == object or got.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    tol = TOLERANCE[got.dtype.name] if tolerance is None else tolerance
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        got.astype(wide), want.astype(wide), rtol=tol, atol=tol, err_msg=what
    )


# -- laws -------------------------------------------------------------------------------------


def check_laws(case: Case) -> None:
    """All laws that need no oracle, on the case's arguments."""
    arrays = arrays_of(case.args)
    eager = values(case.fn(*[hr.constant(a) for a in arrays]))
    check_trace(case, arrays, eager)
    if case.batch:
        check_batch(case, arrays)
    if case.grad and any(e.dtype.kind == "f" for e in eager):
        check_gradient(case, arrays_of(case.args, "float64"))


def _raw(array: np.ndarray) -> Any:
    return StringArray.from_values(array) if array.dtype.kind in "OSU" else array


def run(graph: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """A compiled graph's outputs."""
    return [
        r.numpy() if isinstance(r, StringArray) else np.asarray(r)
        for r in graph.compile()(*[_raw(a) for a in arrays])
    ]


def check_trace(case: Case, arrays: list[np.ndarray], eager: list[np.ndarray]) -> None:
    """A trace gives what eager calls give, and the shapes it foretold."""
    for unknown in (False, True):
        specs = tuple(
            hr.TensorSpec([None] * a.ndim if unknown else a.shape, hr.constant(a).dtype)
            for a in arrays
        )
        graph = trace(case.fn, specs, name="op").graph
        found = run(graph, arrays)
        for out, got, want in zip(graph.outputs, found, eager, strict=True):
            what = f"traced with {'unknown' if unknown else 'known'} sizes"
            same(got, want, what=what)
            assert out.shape.is_compatible_with(want.shape), (
                f"{what}: {out.shape} foretold, got {want.shape}"
            )
            assert out.dtype == hr.constant(want).dtype
            if not unknown and not case.notes.get("dynamic_shape"):
                assert out.shape.as_list() == list(want.shape), (
                    f"{what}: {out.shape} foretold, got {want.shape}"
                )


def check_batch(case: Case, arrays: list[np.ndarray], n: int = 3) -> None:
    """The batched graph gives what a loop over the elements gives, whichever arguments carry
    the block axis."""
    specs = tuple(hr.TensorSpec(a.shape, hr.constant(a).dtype) for a in arrays)
    graph = trace(case.fn, specs, name="op").graph
    fixed = case.notes.get("unbatched", ())
    for which in itertools.product((True, False), repeat=len(arrays)):
        if not any(which) or any(which[i] for i in fixed):
            continue
        batched = batch_graph(graph, list(which))
        blocks = [
            np.stack([np.roll(a.reshape(-1), k).reshape(a.shape) for k in range(n)]) if w else a
            for a, w in zip(arrays, which, strict=True)
        ]
        got = run(batched.graph, blocks)
        rows = [
            run(graph, [b[k] if w else b for b, w in zip(blocks, which, strict=True)])
            for k in range(n)
        ]
        for i, (g, flag) in enumerate(zip(got, batched.out_batched, strict=True)):
            for k in range(n):
                same(g[k] if flag else g, rows[k][i], what=f"batched {which}, element {k}")


def _floats(arrays: list[np.ndarray]) -> list[int]:
    return [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]


def _weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Fixed cotangents that no symmetry of an op hides behind."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def _gradients(case: Case, tensors: list[Any], of: list[int]) -> list[Any]:
    """d sum(weights * outputs) / d args[of], with zeros where nothing depends."""
    with hr.GradientTape() as tape:
        for i in of:
            tape.watch(tensors[i])
        outs = [o for o in flat(case.fn(*tensors)) if o.dtype.is_floating]
        total = hr.add_n(
            [
                hr.reduce_sum(
                    o
                    * hr.constant(
                        _weights(
                            o.numpy().shape if not hr.is_symbolic(o) else tuple(o.shape), k
                        ),
                        o.dtype,
                    )
                )
                for k, o in enumerate(outs)
            ]
        )
    return [
        hr.convert_to_tensor(g)
        for g in tape.gradient(total, [tensors[i] for i in of], unconnected_gradients="zero")
    ]


def _difference(
    fn: Callable[..., float], arrays: list[np.ndarray], i: int, eps: float
) -> np.ndarray:
    """Central differences of a scalar function along argument `i`."""
    out = np.zeros_like(arrays[i])
    for index in np.ndindex(arrays[i].shape):
        ends = []
        for step in (eps, -eps):
            moved = [a.copy() for a in arrays]
            moved[i][index] += step
            ends.append(fn(*moved))
        out[index] = (ends[0] - ends[1]) / (2 * eps)
    return out


def check_gradient(case: Case, arrays: list[np.ndarray]) -> None:
    """Gradients equal central differences, to second order, and are the same inside a trace."""
    of = _floats(arrays)
    if not of:
        return

    def scalar(*args: np.ndarray) -> float:
        outs = [
            o for o in values(case.fn(*[hr.constant(a) for a in args])) if o.dtype.kind == "f"
        ]
        return sum(float((o * _weights(o.shape, k)).sum()) for k, o in enumerate(outs))

    tensors = [hr.constant(a) for a in arrays]
    found = [g.numpy() for g in _gradients(case, tensors, of)]
    tol = case.notes.get("numeric_tolerance", 2e-6)
    for i, g in zip(of, found, strict=True):
        assert g.shape == arrays[i].shape, f"gradient of argument {i} has shape {g.shape}"
        np.testing.assert_allclose(
            g,
            _difference(scalar, arrays, i, 1e-5),
            rtol=tol,
            atol=tol,
            err_msg=f"gradient of argument {i}",
        )

    if not case.notes.get("dynamic_shape"):  # the weights need the result's shape
        specs = tuple(
            hr.TensorSpec(a.shape, t.dtype) for a, t in zip(arrays, tensors, strict=True)
        )
        graph = trace(lambda *ts: _gradients(case, list(ts), of), specs, name="gradient").graph
        for got, want in zip(run(graph, arrays), found, strict=True):
            same(got, want, what="gradient inside a trace")
    if not case.notes.get("second_law", case.second):
        return

    def slope(*args: np.ndarray) -> float:
        gs = _gradients(case, [hr.constant(a) for a in args], of)
        return sum(
            float((g.numpy() * _weights(g.numpy().shape, 7 + k)).sum())
            for k, g in enumerate(gs)
        )

    with hr.GradientTape() as outer:
        for i in of:
            outer.watch(tensors[i])
        total = hr.add_n(
            [
                hr.reduce_sum(g * _weights(tuple(g.shape), 7 + k))
                for k, g in enumerate(_gradients(case, tensors, of))
            ]
        )
    second = outer.gradient(total, [tensors[i] for i in of], unconnected_gradients="zero")
    for i, g in zip(of, second, strict=True):
        np.testing.assert_allclose(
            hr.convert_to_tensor(g).numpy(),
            _difference(slope, arrays, i, 1e-5),
            rtol=20 * tol,
            atol=20 * tol,
            err_msg=f"second gradient of {i}",
        )


# -- the oracle -------------------------------------------------------------------------------


def check_against_tensorflow(tf: Any, case: Case, kind: str) -> None:
    """Values, dtypes, shapes and gradients to second order are TensorFlow's."""
    assert case.peer is not None
    peer = case.peer(tf)
    arrays = arrays_of(case.args, kind)
    want = values(peer(*[tf.constant(a) for a in arrays]))
    got = values(case.fn(*[hr.constant(a) for a in arrays]))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        same(g, w, case.tolerance, "value")
    of = _floats(arrays)
    floats = any(hr.as_dtype(g.dtype).is_floating for g in got)
    if not case.grad or not of or not floats or kind in ("float16", "bfloat16"):
        return
    for order in (1, 2) if case.second else (1,):
        theirs = _nested(tf, peer, arrays, of, order)
        ours = _nested(hr, case.fn, arrays, of, order)
        for i, g, w in zip(of, ours, theirs, strict=True):
            same(
                g,
                w,
                (case.tolerance or TOLERANCE[kind]) * 10,
                f"gradient {order} of argument {i}",
            )


def _nested(
    lib: Any, fn: Any, arrays: list[np.ndarray], of: list[int], order: int
) -> list[np.ndarray]:
    """Gradients of order 1 or 2 by either library's tapes."""
    tensors = [lib.constant(a) for a in arrays]
    chosen = [tensors[i] for i in of]
    zero = lib.UnconnectedGradients.ZERO
    with contextlib.ExitStack() as stack:
        tapes = [stack.enter_context(lib.GradientTape()) for _ in range(order)]
        for t in tapes:
            t.watch(chosen)
        outs = [o for o in flat(fn(*tensors)) if o.dtype.is_floating]
        total = lib.add_n(
            [
                lib.reduce_sum(o * _weights(tuple(o.shape), k).astype(o.dtype.as_numpy_dtype))
                for k, o in enumerate(outs)
            ]
        )
        for level, tape in enumerate(reversed(tapes)):
            with tape.stop_recording() if level == order - 1 else contextlib.nullcontext():
                grads = tape.gradient(total, chosen, unconnected_gradients=zero)
            grads = [lib.convert_to_tensor(g) for g in grads]
            if level < order - 1:
                total = lib.add_n(
                    [
                        lib.reduce_sum(
                            g * _weights(tuple(g.shape), 7 + k).astype(g.dtype.as_numpy_dtype)
                        )
                        for k, g in enumerate(grads)
                    ]
                )
    return values(grads)
