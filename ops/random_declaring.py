"""Declaring sampling operations: from a draw of arrays, a key and a counter to a primitive.

A stateful primitive continues the stream of its seeds, or, where it runs on a block of
elements, gives each the stream of its position; a stateless one reads its seed from an input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .batch_loop import looped
from .dtypes import DType
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .philox import key_and_counter
from .primitive import Primitive
from .random_ops import _dims, take
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["as_counts", "check_tail", "declare_stateful", "declare_stateless", "known_shape"]

# A draw: arrays, attributes, key and counter to an array.
Draw = Callable[..., np.ndarray]


def as_counts(values: np.ndarray, dtype: DType) -> np.ndarray:
    """Counts as numbers of `dtype`, what does not fit as its bounds (NaN as 0)."""
    if dtype.is_floating:
        return values.astype(dtype.np_dtype)
    return np.clip(np.nan_to_num(values), dtype.min, float(dtype.max)).astype(dtype.np_dtype)


def known_shape(tensor: Any) -> TensorShape:
    """The shape that an integer tensor holds, as far as it is known."""
    known = constant_value(tensor)
    if known is not None:
        return TensorShape(_dims(known))
    n = tensor.shape[0] if tensor.shape.rank == 1 else None
    return TensorShape([None] * n if n is not None else None)


def check_tail(dims: tuple[int, ...], tail: tuple[int, ...], name: str) -> None:
    """Raise InvalidArgumentError unless a shape ends with another."""
    if len(tail) > len(dims) or (tail and dims[len(dims) - len(tail) :] != tail):
        raise InvalidArgumentError(
            f"Shape passed in must end with broadcasted shape: {list(dims)} does not end with "
            f"{list(tail)} [Op:{name}]",
            op=name,
        )


def declare_stateful(
    name: str,
    inputs: str,
    draw: Draw,
    outputs: Callable[..., int],
    rule: Callable[..., TensorSpec],
    **more: Any,
) -> Primitive:
    """A primitive whose numbers come from the stream of its two seeds.

    Args:
        draw: ``draw(*arrays, key, counter, **attrs)``.
        outputs: how many numbers a call reserves, from its arrays.
    """

    def impl(*arrays: Any, seed: int, seed2: int, **attrs: Any) -> Any:
        stream = (name, arrays[0].dtype.name, tuple(attrs.items()), seed, seed2)
        key, (_, high), start = take(stream, seed, seed2, outputs(*arrays) * 256)
        return draw(*arrays, key, (start, high), **attrs)

    def rows(*both: Any, batched: Any, seed: int, seed2: int, specs: Any, attrs: Any) -> Any:
        *arrays, index = both
        key, (_, high) = key_and_counter((seed, seed2))
        found = [
            draw(
                *[a[k] if b else a for a, b in zip(arrays, batched, strict=True)],
                key,
                (0, high ^ int(i)),
                **dict(attrs),
            )
            for k, i in enumerate(index.tolist())
        ]
        if found:
            return np.stack(found)
        return np.empty((0, *(d or 0 for d in specs.shape.dims[1:])), specs.dtype.np_dtype)

    per_element = Primitive(
        f"_{name}Block",
        "values: N * T",
        impl=rows,
        shape=lambda *tensors, specs, **_: specs,
    )

    def batch(ctx: Any, *tensors: Any, seed: int, seed2: int, **attrs: Any) -> Any:
        out = ctx.out_specs[0]
        specs = TensorSpec(TensorShape([None]).concatenate(out.shape), out.dtype)
        own = {"batched": tuple(ctx.batched), "specs": specs, "attrs": tuple(attrs.items())}
        tensors = (*tensors, ctx.element_index())
        return per_element.call_flat(tensors, own | {"seed": seed, "seed2": seed2})

    return Primitive(
        name,
        inputs,
        impl=impl,
        shape=lambda *tensors, seed, seed2, **attrs: rule(*tensors, **attrs),
        batch=batch,
        stateful=True,
        random=True,
        **{**more, "defaults": {"seed": 0, "seed2": 0, **more.get("defaults", {})}},
    )


def declare_stateless(
    name: str, inputs: str, draw: Draw, rule: Callable[..., TensorSpec], at: int, **more: Any
) -> Primitive:
    """A primitive whose seed is input number `at`."""

    def impl(*arrays: Any, **attrs: Any) -> Any:
        seed = arrays[at]
        if seed.shape != (2,):
            raise InvalidArgumentError(
                f"seed must have shape [2], not {list(seed.shape)} [Op:{name}]", op=name
            )
        key, counter = key_and_counter(tuple(seed.tolist()))
        rest = arrays[:at] + arrays[at + 1 :]
        return draw(*rest, key, counter, **attrs)

    def shape(*tensors: Any, **attrs: Any) -> TensorSpec:
        return rule(*(tensors[:at] + tensors[at + 1 :]), **attrs)

    return Primitive(name, inputs, impl=impl, shape=shape, batch=looped, **more)
