"""What a call becomes inside a fused chain, and whether it fits one.

A `Group` collects calls over one space, the shape of its full values.  A rule per kind of call
says of which class its result is there (see `loops`), and writes its steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..dtypes import DType
from .graph import Node
from .loops import Step, joined
from .scalar_code import can_cast, is_exact, supports

__all__ = [
    "Group", "are_for_gpus", "for_gpus", "is_exact_call", "is_fusible", "is_heavy", "refusal",
]  # fmt: skip

_MAX_STEPS = 64
_MAX_INPUTS = 14

Dims = tuple[Any, ...]
Build = Callable[["Builder", Node, list[int]], int]


class _Target(threading.local):
    """What kernels are made for: CPUs, or GPUs, which know 16-bit floats, too."""

    gpus = False


_target = _Target()


@contextmanager
def for_gpus(wanted: bool = True) -> Iterator[None]:
    """In the block, calls fit a chain if CUDA kernels can hold them."""
    before, _target.gpus = _target.gpus, wanted
    try:
        yield
    finally:
        _target.gpus = before


def are_for_gpus() -> bool:
    """Whether kernels are made for GPUs now."""
    return _target.gpus


class Rule(NamedTuple):
    """How a kind of call is fused.

    Attributes:
        fits: the class of its result in a group, or None.
        build: adds its steps; gets the references of its inputs, returns that of its result.
    """

    fits: Callable[[Group, Node], str | None]
    build: Build


class Builder:
    """The steps of a chain, in order."""

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.steps: list[Step] = []
        self._inner: dict[Step, int] = {}

    def add(self, kind: str, refs: Sequence[int], dtype: DType, *more: Any) -> int:
        """Append a step; its reference."""
        self.steps.append(Step(kind, tuple(refs), dtype, *more))
        return self.inputs + len(self.steps) - 1

    def last(self, what: str, ref: int, dtype: DType) -> int:
        """A reduction along the rows that keeps its axis."""
        return self.add("reduce", [ref], dtype, what, "last", True)

    def once(self, kind: str, refs: Sequence[int], dtype: DType, *more: Any) -> int:
        """Like `add`, for a step that is no call's result: it is there once."""
        step = Step(kind, tuple(refs), dtype, *more)
        if step not in self._inner:
            self._inner[step] = self.add(kind, refs, dtype, *more)
        return self._inner[step]


class Group:
    """Calls that become one kernel.

    Attributes:
        space: dimensions of the full values; None where unknown.
        nodes: the calls.
        inputs: what they read from outside, each once.
    """

    def __init__(self, space: Dims):
        self.space = space
        self.nodes: list[Node] = []
        self._classes: dict[int, str] = {}  # of the results
        self._outside: dict[int, tuple[Any, str]] = {}
        self._steps = 0

    @property
    def inputs(self) -> list[Any]:
        """Tensors from outside, in the order of the program's inputs."""
        return [t for t, _ in self._outside.values()]

    def dropped(self, tensor: Any) -> bool:
        """Whether an input is a number per row without the columns' axis."""
        return self._outside[id(tensor)][1] == "k"

    def is_read_in_place(self, tensor: Any) -> bool:
        """Whether an input need not be repeated before the kernel runs."""
        return self._outside[id(tensor)][1] != "f" or tensor.shape.dims == self.space

    @classmethod
    def found(cls, node: Node, exact: bool, least: int) -> Group | None:
        """A group of one call, if it works on at least `least` elements."""
        if len(node.outputs) != 1 or not node.inputs:
            return None
        rule = _rule(node)
        if rule is None:
            return None
        tensor = cls.measured(node)
        dims = tensor.shape.dims
        size = tensor.shape.num_elements()
        if not dims or (size is not None and size < least):
            return None
        group = cls(dims)
        return group if group._add(node, exact) else None

    @staticmethod
    def measured(node: Node) -> Any:
        """The tensor whose shape is that of a call's work."""
        return node.inputs[0] if node.type in _REDUCING else node.outputs[0]

    def joined(self, other: Group | None, nodes: list[Node], exact: bool) -> Group | None:
        """This group and other calls, or None if they do not fit."""
        if other is not None and other.space != self.space and len(nodes) > 1:
            return None
        group = Group(self.space)
        group.nodes = list(self.nodes)
        group._classes = dict(self._classes)
        group._outside = dict(self._outside)
        group._steps = self._steps
        return group if all(group._add(n, exact) for n in nodes) else None

    def _add(self, node: Node, exact: bool) -> bool:
        rule = _rule(node) if len(node.outputs) == 1 else None
        if rule is None or (exact and not is_exact_call(node)):
            return False
        found = rule.fits(self, node)
        if found is None:
            return False
        beside_k = found == "k" or node.type in ("ExpandDims", "_SpreadLike", "_SpreadMean")
        for t in node.inputs:
            if id(t) in self._classes:
                continue
            letter = self.letter(t, (beside_k and t is node.inputs[0]) or found == "k")
            known = self._outside.setdefault(id(t), (t, letter or "s"))
            if letter is None or known[1] != letter:
                return False
        self.nodes.append(node)
        self._classes[id(node.outputs[0])] = found
        self._steps += _COSTS.get(node.type, 1)
        return self._steps <= _MAX_STEPS and len(self._outside) <= _MAX_INPUTS

    def letter(self, tensor: Any, beside_k: bool = False) -> str | None:
        """The class of a tensor in this group; `beside_k`: where numbers per row without an
        axis are meant."""
        known = self._classes.get(id(tensor))
        if known is not None:
            return known
        dims = tensor.shape.dims
        if dims is None:
            return None
        space = self.space
        if beside_k and dims == space[:-1] and dims:
            return "k"
        if dims == space:
            return "f"
        if all(d == 1 for d in dims):
            return "s"
        if len(dims) > len(space):
            return None
        if dims == (*space[:-1], 1):
            return "c"
        if dims[-1] == space[-1] and all(d == 1 for d in dims[:-1]):
            return "r"
        for have, want in zip(reversed(dims), reversed(space), strict=False):
            if have not in (1, want):
                return None
        return "f"  # repeated before the kernel runs

    def shape_of(self, letter: str) -> Dims | None:
        """What a result of a class must look like."""
        return {
            "f": self.space, "c": (*self.space[:-1], 1), "k": self.space[:-1],
        }.get(letter)  # fmt: skip

    def steps_for(self, results: list[Any]) -> tuple[list[Step], list[int]]:
        """The chain's steps, and the references of the results."""
        inputs = self.inputs
        place = {id(t): i for i, t in enumerate(inputs)}
        builder = Builder(len(inputs))
        for node in self.nodes:
            rule = _rule(node)
            assert rule is not None
            refs = [place[id(t)] for t in node.inputs]
            place[id(node.outputs[0])] = rule.build(builder, node, refs)
        return builder.steps, [place[id(t)] for t in results]


# -- elementwise calls ------------------------------------------------------------------------


def _text(node: Node) -> str | None:
    if node.type == "BiasAdd":
        return "a + b" if node.attrs["data_format"] == "NHWC" else None
    return node.primitive.elementwise


def _numbers(node: Node) -> dict[str, float] | None:
    """The attributes as constants of the text; None if they are no numbers."""
    if node.type == "BiasAdd":
        return {}
    if all(type(v) in (int, float) for v in node.attrs.values()):
        return node.attrs
    return None


def _map_fits(group: Group, node: Node) -> str | None:
    letters = [group.letter(t) for t in node.inputs]
    if "k" in letters:
        letters = [group.letter(t, True) for t in node.inputs]
    found = joined(letters)
    if found not in ("f", "c", "k"):
        return None
    return found if node.outputs[0].shape.dims == group.shape_of(found) else None


def _build_map(builder: Builder, node: Node, refs: list[int]) -> int:
    numbers = tuple((_numbers(node) or {}).items())
    dtype = node.outputs[0].dtype
    return builder.add("map", refs, dtype, _text(node), "", False, numbers)


def _build_cast(builder: Builder, node: Node, refs: list[int]) -> int:
    return builder.add("cast", refs, node.outputs[0].dtype)


_MAP = Rule(_map_fits, _build_map)
_CAST = Rule(_map_fits, _build_cast)


# -- reductions -------------------------------------------------------------------------------


def _over(node: Node, rank: int) -> str | None:
    axis = node.attrs["axis"]
    axes = range(rank) if axis is None else sorted(a % rank for a in axis)
    if list(axes) == list(range(rank)):
        return "all"
    if list(axes) == [rank - 1]:
        return "last"
    return "lead" if list(axes) == list(range(rank - 1)) else None


def _reduced_dtype(node: Node) -> bool:
    dtype = node.outputs[0].dtype
    if dtype.name in ("float32", "float64") or (_target.gpus and dtype.is_floating):
        return True
    return dtype.name in ("int32", "int64") and node.type != "Mean"


def _reduce_fits(group: Group, node: Node) -> str | None:
    if group.letter(node.inputs[0]) != "f" or not _reduced_dtype(node):
        return None
    if node.inputs[0].shape.dims != group.space:
        return None
    over = _over(node, len(group.space))
    if over is None or (over == "lead" and node.type in ("Max", "Min")):
        return None
    if over == "last":
        return "c" if node.attrs["keepdims"] else "k"
    return "R" if over == "lead" else "S"


def _build_reduce(builder: Builder, node: Node, refs: list[int]) -> int:
    over = _over(node, node.inputs[0].shape.rank)
    return builder.add(
        "reduce", refs, node.outputs[0].dtype, node.type.lower(), over, node.attrs["keepdims"]
    )


def _bias_grad_fits(group: Group, node: Node) -> str | None:
    fits = (
        node.attrs["data_format"] == "NHWC"
        and len(group.space) > 1
        and group.letter(node.inputs[0]) == "f"
        and node.inputs[0].shape.dims == group.space
        and _reduced_dtype(node)
    )
    return "R" if fits else None


def _build_bias_grad(builder: Builder, node: Node, refs: list[int]) -> int:
    return builder.add("reduce", refs, node.outputs[0].dtype, "sum", "lead", False)


def _sum_to_fits(group: Group, node: Node) -> str | None:
    g, x = node.inputs
    dims, space = x.shape.dims, group.space
    if dims is None or None in dims or id(x) in group._classes or not _reduced_dtype(node):
        return None
    if group.letter(g) != "f" or g.shape.dims != space or len(space) < 2:
        return None
    if len(dims) not in (1, len(space)) and dims:
        return None
    if all(d == 1 for d in dims):
        return "S" if len(dims) in (0, len(space)) else None
    if dims[-1] == space[-1] and all(d == 1 for d in dims[:-1]):
        # Were there one row only, this would be no sum: the array form knows.
        return "R"
    return "c" if dims == (*space[:-1], 1) else None


def _build_sum_to(builder: Builder, node: Node, refs: list[int]) -> int:
    g, x = node.inputs
    dims = x.shape.dims
    if all(d == 1 for d in dims):
        over = "all"
    else:
        over = "last" if dims[-1] == 1 else "lead"
    keep = len(dims) == g.shape.rank
    return builder.add("reduce", refs[:1], node.outputs[0].dtype, "sum", over, keep)


# -- the ways back ----------------------------------------------------------------------------


def _spread_fits(group: Group, node: Node) -> str | None:
    g, x = node.inputs
    if x.shape.dims != group.space or group.letter(x) != "f":
        return None
    over = _over(node, len(group.space))
    if over == "last":
        want = "c" if node.attrs["keepdims"] else "k"
        return "f" if group.letter(g, want == "k") == want else None
    return "f" if over == "all" and group.letter(g) == "s" else None


def _build_spread(builder: Builder, node: Node, refs: list[int]) -> int:
    over = _over(node, node.inputs[1].shape.rank)
    how = "mean" if node.type == "_SpreadMean" else ""
    return builder.add("spread", refs[:1], node.outputs[0].dtype, how, over)


def _expand_fits(group: Group, node: Node) -> str | None:
    t, rank = node.inputs[0], len(group.space)
    fits = node.attrs["axis"] in (-1, rank - 1) and group.letter(t, True) == "k"
    return "c" if fits and t.shape.rank == rank - 1 else None


def _squeeze_fits(group: Group, node: Node) -> str | None:
    t, rank = node.inputs[0], len(group.space)
    fits = tuple(node.attrs.get("axis", ())) in ((-1,), (rank - 1,)) and group.letter(t) == "c"
    return "k" if fits and not node.attrs.get("batch_dims") else None


def _build_axis(kind: str) -> Build:
    return lambda builder, node, refs: builder.add(kind, refs, node.outputs[0].dtype)


# -- softmax ----------------------------------------------------------------------------------


def _in_registers(dtype: DType) -> bool:
    """Whether kernels have exponentials and roots of the dtype."""
    return dtype.name == "float32" or (_target.gpus and dtype.is_floating)


def _rows_fit(group: Group, node: Node) -> str | None:
    if not _in_registers(node.outputs[0].dtype):
        return None
    fits = all(group.letter(t) == "f" and t.shape.dims == group.space for t in node.inputs)
    return "f" if fits else None


def _build_softmax(builder: Builder, node: Node, refs: list[int]) -> int:
    dtype = node.outputs[0].dtype
    top = builder.last("max", refs[0], dtype)
    power = builder.add("map", [refs[0], top], dtype, "exp(a - b)")
    total = builder.last("sum", power, dtype)
    return builder.add("map", [power, total], dtype, "a / b")


def _build_log_softmax(builder: Builder, node: Node, refs: list[int]) -> int:
    dtype = node.outputs[0].dtype
    top = builder.last("max", refs[0], dtype)
    below = builder.add("map", [refs[0], top], dtype, "a - b")
    total = builder.last("sum", builder.add("map", [below], dtype, "exp(a)"), dtype)
    return builder.add("map", [below, total], dtype, "a - log(b)")


def _build_softmax_grad(builder: Builder, node: Node, refs: list[int]) -> int:
    dtype = node.outputs[0].dtype
    total = builder.last("sum", builder.add("map", refs, dtype, "a * b"), dtype)
    return builder.add("map", [*refs, total], dtype, "(a - c) * b")


# -- layer normalization ----------------------------------------------------------------------


def _factor_fits(group: Group, node: Node) -> str | None:
    return None if _rows_fit(group, node) is None else "c"


def _norm_grad_fits(group: Group, node: Node) -> str | None:
    g, h, factor = node.inputs
    if not _in_registers(node.outputs[0].dtype) or group.letter(factor) != "c":
        return None
    fits = all(group.letter(t) == "f" and t.shape.dims == group.space for t in (g, h))
    return "f" if fits else None


def _centred(builder: Builder, node: Node, x: int) -> tuple[int, int]:
    """Distances from the rows' means, and the mean of their squares."""
    dtype = node.outputs[0].dtype
    mean = builder.once("reduce", [x], dtype, "mean", "last", True)
    centred = builder.once("map", [x, mean], dtype, "a - b")
    square = builder.once("map", [centred], dtype, "a * a")
    return centred, builder.once("reduce", [square], dtype, "mean", "last", True)


_FACTOR = "1 / sqrt(a + epsilon)"


def _build_norm(builder: Builder, node: Node, refs: list[int]) -> int:
    centred, variance = _centred(builder, node, refs[0])
    numbers = tuple(node.attrs.items())
    dtype = node.outputs[0].dtype
    factor = builder.once("map", [variance], dtype, _FACTOR, "", False, numbers)
    return builder.add("map", [centred, factor], dtype, "a * b")


def _build_factor(builder: Builder, node: Node, refs: list[int]) -> int:
    _, variance = _centred(builder, node, refs[0])
    numbers = tuple(node.attrs.items())
    return builder.add("map", [variance], node.outputs[0].dtype, _FACTOR, "", False, numbers)


def _build_norm_grad(builder: Builder, node: Node, refs: list[int]) -> int:
    dtype = node.outputs[0].dtype
    g, h, factor = refs
    mean = builder.last("mean", g, dtype)
    along = builder.last("mean", builder.add("map", [g, h], dtype, "a * b"), dtype)
    return builder.add("map", [g, mean, h, along, factor], dtype, "(a - b - c * d) * e")


_REDUCE = Rule(_reduce_fits, _build_reduce)
_RULES = {
    "BiasAddGrad": Rule(_bias_grad_fits, _build_bias_grad),
    "ExpandDims": Rule(_expand_fits, _build_axis("keep")),
    "LogSoftmax": Rule(_rows_fit, _build_log_softmax),
    "Max": _REDUCE,
    "Mean": _REDUCE,
    "Min": _REDUCE,
    "Softmax": Rule(_rows_fit, _build_softmax),
    "Squeeze": Rule(_squeeze_fits, _build_axis("drop")),
    "Sum": _REDUCE,
    "_LayerNorm": Rule(_rows_fit, _build_norm),
    "_LayerNormGrad": Rule(_norm_grad_fits, _build_norm_grad),
    "_RowFactor": Rule(_factor_fits, _build_factor),
    "_SoftmaxGrad": Rule(_rows_fit, _build_softmax_grad),
    "_SpreadLike": Rule(_spread_fits, _build_spread),
    "_SpreadMean": Rule(_spread_fits, _build_spread),
    "_SumTo": Rule(_sum_to_fits, _build_sum_to),
}
_REDUCING = frozenset(["BiasAddGrad", "Max", "Mean", "Min", "Sum", "_SumTo"])
_COSTS = {
    "LogSoftmax": 5, "Softmax": 4, "_LayerNorm": 6, "_LayerNormGrad": 4, "_RowFactor": 5,
    "_SoftmaxGrad": 3,
}  # fmt: skip


def _rule(node: Node) -> Rule | None:
    found = _RULES.get(node.type)
    if found is not None:
        return found
    if _target.gpus:
        return _rule_for_gpus(node)
    if node.type == "Cast":
        return _CAST if can_cast(node.inputs[0].dtype, node.outputs[0].dtype) else None
    text = _text(node)
    if not text:
        return None
    numbers = _numbers(node)
    if numbers is None:
        return None
    dtypes = tuple(t.dtype for t in node.inputs)
    return _MAP if supports(text, dtypes, node.outputs[0].dtype, numbers) else None


def _rule_for_gpus(node: Node) -> Rule | None:
    from ..cuda import prelude, scalar_text  # only where there is a GPU

    dtypes = tuple(t.dtype for t in node.inputs)
    if node.type == "Cast":
        return _CAST if all(map(prelude.can_hold, (*dtypes, node.outputs[0].dtype))) else None
    text, numbers = _text(node), _numbers(node)
    if not text or numbers is None:
        return None
    held = scalar_text.supports(text, dtypes, node.outputs[0].dtype, numbers)
    return _MAP if held else None


def is_fusible(node: Node) -> bool:
    """Whether a call is elementwise or a reduction: one that some kernel could hold."""
    if node.type in ("ExpandDims", "Squeeze"):
        return False  # views; they are in kernels for what stands on both sides
    return node.type in _RULES or node.type == "Cast" or bool(_text(node))


def refusal(node: Node) -> str:
    """Why no kernel holds a call, whatever stands beside it."""
    if node.type not in _RULES and _rule(node) is None:
        kinds = ", ".join(dict.fromkeys(t.dtype.name for t in (*node.inputs, *node.outputs)))
        return f"kernels have no {node.type} of {kinds}"
    if node.type in _REDUCING:
        if not _reduced_dtype(node):
            return f"kernels do not reduce {node.outputs[0].dtype.name}"
        return "reduces other axes than the last one, all, or all but the last"
    return "its inputs are not rows, columns or wholes of one shape"


def is_exact_call(node: Node) -> bool:
    """Whether a kernel gives the bits that NumPy gives."""
    if node.type in _RULES:
        return False
    return node.type == "Cast" or is_exact(_text(node) or "")


def is_heavy(node: Node) -> bool:
    """Whether the call alone is worth a kernel: NumPy takes several passes over the array, or
    is much slower."""
    if node.type in _COSTS:
        return True
    text = _text(node) if node.type not in _RULES and node.type != "Cast" else None
    return bool(text) and not is_exact(text or "")
