"""`parse_example` and `parse_single_example`: serialized Examples to tensors.

One primitive, `ParseExampleV2`, carries the hashable plan of what to parse as its attribute, so
that a graph pass can take features nobody uses out of it (`prune`).  Its flat outputs are, for
each of the plan's outputs in order,

- dense, sequence: the tensor;
- varlen, sparse: indices, values, dense_shape of the `SparseTensor`;
- ragged: flat values, then row splits, outermost first.

Vectorised over a block, `parse_single_example` is `parse_example` of the block's records, where
its outputs are dense; the others differ in shape from element to element and run one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError, UnimplementedError
from ..ops.primitive import Primitive
from ..ops.ragged_tensor import RaggedTensor
from ..ops.sparse_tensor import SparseTensor
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .parse_assemble import assemble, output_specs
from .parse_config import FixedLenSequenceFeature
from .parse_plan import ParsePlan
from .parse_raw import ParseError, parse_raw

__all__ = ["ParseExampleV2", "parse_example", "parse_single_example"]

_NO_NAMES = Tensor.of(StringArray.empty((0,)))


def parse_example(
    serialized: Any,
    features: Mapping[str, Any],
    example_names: Any = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A dict from feature keys to tensors, parsed from a batch of serialized Examples.

    Args:
        serialized: string tensor [batch] of `Example` messages; a scalar is parsed as
            `parse_single_example` does.
        features: maps keys to `FixedLenFeature`, `VarLenFeature`, `FixedLenSequenceFeature`
            (with ``allow_missing=True``), `SparseFeature` or `RaggedFeature`.
        example_names: string tensor [batch] of names for error messages.
        name: ignored.

    Returns:
        Tensors, `SparseTensor`s and `RaggedTensor`s by key, batch first.

    Raises:
        ValueError: `features` is empty or holds an invalid description.
        InvalidArgumentError: a record is malformed or does not fit its description.
    """
    if not features:
        raise ValueError(f"Argument `features` cannot be None or falsy. Got {features}")
    return _parse(serialized, features, example_names)


def parse_single_example(
    serialized: Any,
    features: Mapping[str, Any],
    example_names: Any = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A dict from feature keys to tensors, parsed from one serialized Example.

    Args:
        serialized: scalar string tensor, an `Example` message.
        features: as for `parse_example`.
        example_names: name of the record for error messages.
        name: ignored.

    Raises:
        ValueError: `serialized` is no scalar; `features` is empty or invalid.
        InvalidArgumentError: the record is malformed or does not fit its description.
    """
    if not features:
        what = "None" if features is None else "empty"
        raise ValueError(f"Invalid argument: features cannot be {what}.")
    serialized = convert_to_tensor(serialized, dtype="string")
    if serialized.shape.rank not in (0, None):
        raise ValueError("Input serialized must be a scalar")
    return _parse(serialized, features, example_names)


def _parse(serialized: Any, features: Mapping[str, Any], example_names: Any) -> dict[str, Any]:
    for key, feature in features.items():
        if isinstance(feature, FixedLenSequenceFeature) and not feature.allow_missing:
            raise ValueError(
                "Unsupported: FixedLenSequenceFeature requires allow_missing to be True. "
                f"Feature {key!r} has allow_missing=False"
            )
    plan = ParsePlan.from_features(features)
    serialized = convert_to_tensor(serialized, dtype="string")
    if serialized.shape.rank is None:
        raise ValueError("serialized must have statically-known rank to parse ragged features")
    names = _NO_NAMES
    if example_names is not None:
        names = convert_to_tensor(example_names, dtype="string")
    single = serialized.shape.rank == 0
    parts = ParseExampleV2(serialized, names, plan=plan, single=single)
    return pack_outputs(plan, parts, single)


def pack_outputs(plan: ParsePlan, parts: Any, single: bool) -> dict[str, Any]:
    """The dict of values by key, made of the primitive's flat outputs."""
    flat = iter(parts)
    result: dict[str, Any] = {}
    for output in plan.outputs:
        own = [next(flat) for _ in output.parts(single)]
        if output.kind in ("varlen", "sparse"):
            result[output.name] = SparseTensor(*own)
        elif len(own) > 1:
            result[output.name] = RaggedTensor.from_nested_row_splits(
                own[0], own[1:], validate=False
            )
        else:
            result[output.name] = own[0]
    return result


def _impl(serialized: Any, names: Any, *, plan: ParsePlan, single: bool) -> tuple[Any, ...]:
    shape = serialized.shape
    texts = names.ravel().numpy() if names.size else None
    columns = parse_raw(serialized.reshape(-1), plan, single, texts)
    return assemble(plan, columns, shape[0] if shape else 1, single)


def _shape(
    serialized: Any, names: Any, *, plan: ParsePlan, single: bool
) -> tuple[TensorSpec, ...]:
    shape = serialized.shape
    if shape.rank not in (0, 1, None):
        raise InvalidArgumentError(
            f"Expected serialized to be a scalar or vector, got shape: {shape.as_list()}"
        )
    count = names.shape.num_elements()
    wanted = shape.num_elements()
    if count and wanted is not None and count != wanted:
        raise InvalidArgumentError(
            f"example_names must hold one name per record: {wanted} records, {count} names"
        )
    return output_specs(plan, None if single or shape.rank is None else shape[0], single)


def _block_impl(serialized: Any, *, plan: ParsePlan, single: bool) -> tuple[Any, ...]:
    """`_impl` for a block: serialized [n] (single) or [n, batch]; all outputs are dense."""
    size = serialized.shape[1] if serialized.ndim == 2 else 1
    try:
        columns = parse_raw(serialized.reshape(-1), plan, single)
    except ParseError as error:
        if single:
            raise
        # Report as the element that fails alone would.
        at = error.element_index // size
        try:
            parse_raw(serialized[at], plan)
        except ParseError as own:
            own.element_index = at
            raise own from None
        raise
    if single:
        return tuple(columns[o.columns[0]] for o in plan.outputs)
    return tuple(
        value.reshape((len(serialized), size, *value.shape[1:]))
        for value in (columns[o.columns[0]] for o in plan.outputs)
    )


def _block_shape(serialized: Any, *, plan: ParsePlan, single: bool) -> tuple[TensorSpec, ...]:
    lead = serialized.shape
    return tuple(
        TensorSpec(lead.concatenate(spec.shape[len(lead) - 1 :]), spec.dtype)
        for spec in output_specs(plan, lead[-1], single)
    )


def _batch(ctx: Any, serialized: Any, names: Any, *, plan: ParsePlan, single: bool) -> Any:
    uneven = [o.name for o in plan.outputs if o.kind != "dense"]
    if uneven:
        raise UnimplementedError(
            f"primitive ParseExampleV2: feature {uneven[0]!r} is no FixedLenFeature, so its "
            "shape differs from element to element; parse after batch() with parse_example",
            op="ParseExampleV2",
        )
    if ctx.batched[1] or names.shape.num_elements():
        raise UnimplementedError(
            "primitive ParseExampleV2: example_names are handled element by element",
            op="ParseExampleV2",
        )
    return ParseExampleBlock(serialized, plan=plan, single=single)


def prune(attrs: dict[str, Any], used: list[int]) -> tuple[dict[str, Any], dict[int, int]]:
    """The primitive's attributes for some of its flat outputs only.

    Returns:
        New attributes, and the new position of each old output that is left.  An output with
        several parts stays whole.
    """
    plan: ParsePlan = attrs["plan"]
    single = bool(attrs.get("single"))
    wanted = set(used)
    places: dict[int, int] = {}
    names = []
    old = new = 0
    for output in plan.outputs:
        count = len(output.parts(single))
        if wanted.intersection(range(old, old + count)):
            names.append(output.name)
            places.update({old + i: new + i for i in range(count)})
            new += count
        old += count
    return {**attrs, "plan": plan.select(names)}, places


ParseExampleV2 = Primitive(
    "ParseExampleV2",
    "serialized: string, names: string",
    impl=_impl,
    shape=_shape,
    batch=_batch,
    check_first=True,
)
ParseExampleBlock = Primitive(
    "ParseExampleBlock", "serialized: string", impl=_block_impl, shape=_block_shape
)
ParseExampleV2.prune = prune  # type: ignore[attr-defined]
ParseExampleBlock.prune = prune  # type: ignore[attr-defined]
