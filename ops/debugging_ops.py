"""Assert and print: effects of running, in traced functions too."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import nest
from .composite import Composite
from .convert import to_tensor
from .errors import InvalidArgumentError
from .placement import to_host
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor
from .variable import Variable

__all__ = ["Assert", "print"]

_print = print


def Assert(
    condition: Any, data: Any, summarize: int | None = None, name: str | None = None
) -> Any:
    """Raise unless `condition` holds (all of it, if it is not a scalar).

    In a traced function the check runs whenever the function does.

    Args:
        condition: bool.
        data: list of what to show in the message.
        summarize: how many elements of each to show; 3 by default, -1 for all.

    Raises:
        InvalidArgumentError: the condition does not hold.
    """
    parts = [to_tensor(d, None) for d in data]
    condition = to_tensor(condition, None)
    AssertOp.call_flat(
        (condition, *parts), {"summarize": 3 if summarize is None else summarize}
    )
    return None


def _assert_impl(condition: Any, *data: Any, summarize: int) -> tuple[Any, ...]:
    if not np.all(condition):
        shown = "\n".join(summarized(d, summarize) for d in data)
        raise InvalidArgumentError(
            f"Expected '{bool(np.all(condition))}' to be true. Summarized data: {shown}",
            op="Assert",
        )
    return ()


def _assert_batch(ctx: Any, condition: Any, *data: Any, summarize: int) -> Any:
    return ctx.primitive.call_flat((condition, *data), {"summarize": summarize})


AssertOp = Primitive(
    "Assert",
    "condition: bool, data: N * T",
    impl=_assert_impl,
    shape=lambda condition, *data, summarize: (),
    vjp=lambda op, *grads: (None,) * len(op.inputs),
    batch=_assert_batch,
    stateful=True,
)
# It only looks: elements may be checked in any order, a block at a time.
AssertOp.checks = True


def print(
    *inputs: Any,
    output_stream: Any = None,
    summarize: int = 3,
    sep: str = " ",
    end: str | None = "\n",
    name: str | None = None,
) -> None:
    """Write the inputs to a stream, in a traced function whenever it runs.

    Args:
        inputs: tensors and Python values, nested.
        output_stream: an open stream, ``sys.stdout`` or ``sys.stderr`` (the default), or
            ``"file://path"`` to append to a file.
        summarize: how many elements to show at each end of an axis; -1 for all.
        sep, end: text between the inputs and behind them.
    """
    tensors: list[Any] = []
    pieces: list[Any] = []
    for value in inputs:
        leaves, tree = nest.flatten_with_spec(value)
        kept = []
        for leaf in leaves:
            if isinstance(leaf, Variable):
                leaf = leaf.read_value()
            if isinstance(leaf, Composite):
                tensors.extend(leaf._components())
                kept.append(leaf._type_spec)
            elif isinstance(leaf, (Tensor, np.ndarray)):
                tensors.append(to_tensor(leaf, None))
                kept.append(_PLACE)
            else:
                kept.append(leaf)
        pieces.append((nest.is_nested(value), tree, tuple(kept)))
    layout = _Layout(pieces, sep, "\n" if end is None else end, summarize, output_stream)
    PrintV2.call_flat(tuple(tensors), {"layout": layout})


_PLACE: Any = object()


class _Layout:
    """What is printed between and around the tensors."""

    def __init__(self, pieces: Any, sep: str, end: str, summarize: int, stream: Any):
        self.pieces = pieces
        self.sep = sep
        self.end = end
        self.summarize = summarize
        self.stream = stream

    def text(self, arrays: tuple[Any, ...]) -> str:
        """The line for given values."""
        values = iter(arrays)
        shown = []
        for nested, tree, kept in self.pieces:
            leaves = []
            for leaf in kept:
                if leaf is _PLACE:
                    leaves.append(_Shown(printed(next(values), self.summarize)))
                elif hasattr(leaf, "component_specs"):
                    parts = [Tensor.of(next(values)) for _ in leaf.component_specs()]
                    leaves.append(_Shown(str(leaf.from_components(parts))))
                else:
                    leaves.append(leaf)
            whole = nest.pack_sequence_as(tree, leaves)
            shown.append(repr(whole) if nested else str(whole))
        return self.sep.join(shown) + self.end

    def __repr__(self) -> str:
        return f"print to {self.stream or 'stderr'}"


class _Shown(str):
    """Text that stands for itself inside of lists and dictionaries."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _print_impl(*arrays: Any, layout: _Layout) -> tuple[Any, ...]:
    text = layout.text(arrays)
    stream = layout.stream
    if isinstance(stream, str) and stream.startswith("file://"):
        with open(stream[7:], "a", encoding="utf-8") as file:
            file.write(text)
    elif callable(stream) and not hasattr(stream, "write"):
        stream(text)
    else:
        # sys.stderr is looked up when it runs: tests and notebooks exchange it.
        _print(text, end="", file=sys.stderr if stream is None else stream)
    return ()


PrintV2 = Primitive(
    "PrintV2",
    "input: N * T",
    impl=_print_impl,
    shape=lambda *inputs, layout: (),
    vjp=lambda op, *grads: (None,) * len(op.inputs),
    stateful=True,
)


def summarized(value: Any, count: int) -> str:
    """The first `count` elements as TensorFlow's messages show them."""
    if isinstance(value, StringArray):
        flat = [v.decode("utf-8", "replace") for v in value.numpy().reshape(-1).tolist()] \
            if value.ndim else [value.item().decode("utf-8", "replace")]  # fmt: skip
        if not value.ndim:
            return f"b'{flat[0]}'"
        texts = [f"b'{v}'" for v in flat]
    else:
        flat = np.asarray(to_host(value)).reshape(-1)
        texts = [_number(v) for v in (flat if count < 0 else flat[:count]).tolist()]
        if not np.ndim(value):
            return texts[0]
        texts = [*texts, *[""] * (flat.size - len(texts))]
    if 0 <= count < len(texts):
        return " ".join(texts[:count]) + "..."
    return " ".join(texts)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def printed(value: Any, count: int) -> str:
    """A value as TensorFlow prints it: brackets, without commas, the middle left out."""
    if isinstance(value, StringArray):
        if not value.ndim:
            return value.item().decode("utf-8", "replace")
        value = np.vectorize(lambda b: '"' + b.decode("utf-8", "replace") + '"')(value.numpy())
    if not hasattr(value, "ndim"):
        return repr(value)
    return _printed(np.asarray(value), count, 0)


def _printed(array: np.ndarray, count: int, depth: int) -> str:
    if array.ndim == 0:
        value = array.item()
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, float):
            return _float_text(array[()])
        return str(value)
    rows = list(array)
    left_out = 0 <= count and len(rows) > 2 * count
    if left_out:
        rows = rows[:count] + rows[len(rows) - count :] if count else []
    texts = [_printed(r, count, depth + 1) for r in rows]
    if left_out:
        texts.insert(count, "...")
    between = " " if array.ndim == 1 else "\n" * (array.ndim - 1) + " " * (depth + 1)
    return "[" + between.join(texts) + "]"


def _float_text(value: Any) -> str:
    """The shortest text that reads back as the value, as C++ writes it."""
    if not np.isfinite(value):
        return str(float(value))
    text = np.format_float_positional(value, unique=True, trim="-")
    magnitude = abs(float(value))
    if magnitude and not 1e-4 <= magnitude < 1e6:
        text = np.format_float_scientific(value, unique=True, trim="-", exp_digits=2)
    return text
