"""ParsePlan: a features dict, checked and hashable, as columns to read and outputs to build.

    plan = ParsePlan.from_features({"x": FixedLenFeature([784], "float32"), ...})
    plan.columns        # what the parser reads from each record, sorted by key
    plan.outputs        # what the caller asked for, in TensorFlow's order of results
    plan.select({"x"})  # the plan for some outputs only: other features are never decoded

A *column* is one key of the record: `DENSE` (a fixed number of values), `SEQUENCE` (any number
of rows of a fixed shape) or `VARLEN`.  An *output* is one entry of the features dict and names
its columns; a `SparseFeature` or a partitioned `RaggedFeature` has several, and two outputs may
share one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.errors import InvalidArgumentError
from ..ops.string_array import StringArray
from ..ops.tensor_shape import as_shape
from .parse_config import (
    FixedLenFeature,
    FixedLenSequenceFeature,
    RaggedFeature,
    SparseFeature,
    VarLenFeature,
)

__all__ = ["DENSE", "SEQUENCE", "VARLEN", "Column", "Output", "ParsePlan"]

DENSE, SEQUENCE, VARLEN = "dense", "sequence", "varlen"
_TYPES = (dtypes.float32, dtypes.int64, dtypes.string)


@dataclasses.dataclass(frozen=True)
class Column:
    """One key of a record and how its values are read.

    Attributes:
        key: the feature's key.
        kind: `DENSE`, `SEQUENCE` or `VARLEN`.
        dtype: float32, int64 or string.
        shape: of one example (dense) or of one row (sequence); () for varlen.
        default: dense: the values that stand in for a missing feature, or None if it is
            required; sequence: one value, the padding.
        ragged: a varlen column read for a `RaggedFeature`.
    """

    key: str
    kind: str
    dtype: dtypes.DType
    shape: tuple[int, ...] = ()
    default: tuple[Any, ...] | None = None
    ragged: bool = False

    @property
    def size(self) -> int:
        """Number of values of one example (dense) or of one row (sequence)."""
        size = 1
        for d in self.shape:
            size *= d
        return size


@dataclasses.dataclass(frozen=True)
class Output:
    """One entry of the features dict.

    Attributes:
        name: its key there.
        kind: ``"dense"``, ``"sequence"``, ``"varlen"``, ``"sparse"`` or ``"ragged"``.
        columns: positions in the plan's columns: the values', then those of the index keys
            or partitions.
        sizes: sparse: size of each axis.
        already_sorted: sparse: as given.
        partitions: ragged: (name, position in `columns`, or the uniform length) of each,
            outermost first.
        splits_dtype: ragged: int32 or int64.
        validate: ragged: as given.
    """

    name: str
    kind: str
    columns: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    already_sorted: bool = False
    partitions: tuple[tuple[str, int], ...] = ()
    splits_dtype: dtypes.DType = dtypes.int32
    validate: bool = False

    @property
    def uniform_inner(self) -> tuple[int, ...]:
        """Sizes of the innermost axes that are of uniform length, so that values are dense."""
        sizes: list[int] = []
        for kind, size in reversed(self.partitions):
            if kind != "UniformRowLength":
                break
            sizes.insert(0, size)
        return tuple(sizes)

    def parts(self, single: bool) -> tuple[str, ...]:
        """Names of the flat tensors it is made of, for one example or a batch."""
        if self.kind in ("varlen", "sparse"):
            return ("indices", "values", "dense_shape")
        if self.kind != "ragged":
            return ("values",)
        levels = len(self.partitions) - len(self.uniform_inner) + (not single)
        return ("values", *(f"row_splits_{i}" for i in range(levels)))


@dataclasses.dataclass(frozen=True)
class ParsePlan:
    """Columns to read and outputs to build from them; hashable, immutable."""

    columns: tuple[Column, ...]
    outputs: tuple[Output, ...]

    @classmethod
    def from_features(
        cls, features: Mapping[str, Any], kinds: tuple[type, ...] | None = None
    ) -> ParsePlan:
        """The plan for a features dict.

        Args:
            features: maps keys to the named tuples of `headrace.io.parse_config`.
            kinds: the kinds of features that may appear; all by default.

        Raises:
            ValueError: an entry is of no such kind, incomplete, or conflicts with another.
        """
        # Eager calls describe the same features again and again.
        described = (kinds, tuple([(k, _frozen(f)) for k, f in features.items()]))
        try:
            known = _known_plans.get(described)
        except TypeError:  # something unhashable in a description
            return cls._from_features(features, kinds)
        if known is None:
            if len(_known_plans) >= _MOST_KNOWN:
                _known_plans.clear()
            known = _known_plans[described] = cls._from_features(features, kinds)
        return known

    @classmethod
    def _from_features(
        cls, features: Mapping[str, Any], kinds: tuple[type, ...] | None
    ) -> ParsePlan:
        columns: dict[str, Column] = {}
        drafts: list[tuple[str, Output, list[str]]] = []
        for key in sorted(features):
            feature = features[key]
            adder = _ADDERS.get(type(feature))
            if adder is None or (kinds is not None and type(feature) not in kinds):
                raise ValueError(
                    f"Unsupported {type(feature).__name__} {feature} for key '{key}'"
                )
            output, needed = adder(key, feature)
            for column in needed:
                _merge(columns, column)
            drafts.append((key, output, [c.key for c in needed]))
        ordered = tuple(columns[k] for k in sorted(columns))
        place = {c.key: i for i, c in enumerate(ordered)}
        outputs = [
            dataclasses.replace(output, columns=tuple(place[k] for k in keys))
            for _, output, keys in drafts
        ]
        return cls(ordered, tuple(sorted(outputs, key=_result_order)))

    def __hash__(self) -> int:
        # Plans are keys of caches that every call consults.
        try:
            return self._hash  # type: ignore[attr-defined,no-any-return]
        except AttributeError:
            object.__setattr__(self, "_hash", hash((self.columns, self.outputs)))
            return self._hash  # type: ignore[attr-defined,no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return ParsePlan, (self.columns, self.outputs)

    def select(self, names: Collection[str]) -> ParsePlan:
        """The plan for the outputs in `names` only, without columns nobody then needs."""
        outputs = [o for o in self.outputs if o.name in names]
        used = sorted({c for o in outputs for c in o.columns})
        place = {old: new for new, old in enumerate(used)}
        return ParsePlan(
            tuple(self.columns[c] for c in used),
            tuple(
                dataclasses.replace(o, columns=tuple(place[c] for c in o.columns))
                for o in outputs
            ),
        )


_known_plans: dict[Any, ParsePlan] = {}
_MOST_KNOWN = 256


def _frozen(value: Any) -> Any:
    """`value` as a dictionary key that tells 1 from 1.0 and True, and named tuples by kind."""
    if isinstance(value, (tuple, list)):
        return type(value), tuple([_frozen(v) for v in value])
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _frozen(value.tolist())
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (int, float)):
        return type(value), value
    return value


# TensorFlow returns sparse, dense and ragged features in this order.
_ORDER = {"varlen": 0, "dense": 1, "sequence": 1, "ragged": 2, "sparse": 3}


def _result_order(output: Output) -> tuple[int, str]:
    return _ORDER[output.kind], output.name


def _merge(columns: dict[str, Column], column: Column) -> None:
    known = columns.setdefault(column.key, column)
    if known is column:
        return
    kinds = sorted({_family(known), _family(column)})
    if len(kinds) == 2:
        raise ValueError(
            f"{kinds[0].capitalize()} and {kinds[1]} keys must not intersect; "
            f"intersection: {{'{column.key}'}}"
        )
    if known.dtype is not column.dtype:
        raise ValueError(
            f"Conflicting type {known.dtype} vs {column.dtype} for feature {column.key}."
        )
    if known != column:
        raise ValueError(f"Conflicting descriptions of feature {column.key}.")


def _family(column: Column) -> str:
    return ("ragged" if column.ragged else "sparse") if column.kind == VARLEN else "dense"


def _dtype(key: str, feature: Any) -> dtypes.DType:
    if feature.dtype is None:
        raise ValueError(f"Missing type for feature {key}. Received feature={feature}")
    dtype = dtypes.as_dtype(feature.dtype)
    if dtype not in _TYPES:
        raise InvalidArgumentError(
            f"dtype of feature {key} must be float32, int64 or string, as stored in Example "
            f"messages, got {dtype.name}: parse as one of these and cast"
        )
    return dtype


def _varlen(key: str, feature: VarLenFeature) -> tuple[Output, list[Column]]:
    return Output(key, "varlen", ()), [Column(key, VARLEN, _dtype(key, feature))]


def _shape(key: str, feature: Any) -> tuple[int, ...]:
    if feature.shape is None:
        raise ValueError(f"Missing shape for feature {key}. Received feature={feature}.")
    shape = as_shape(feature.shape)
    if shape.rank and shape[0] is None and isinstance(feature, FixedLenFeature):
        raise ValueError(
            f"First dimension of shape for feature {key} unknown. Consider using "
            f"FixedLenSequenceFeature. Received feature={feature}."
        )
    if not shape.is_fully_defined():
        raise ValueError(
            f"All dimensions of shape for feature {key} need to be known but received "
            f"{feature.shape!s}."
        )
    return tuple(shape.as_list())  # type: ignore[arg-type]


def _dense(key: str, feature: FixedLenFeature) -> tuple[Output, list[Column]]:
    dtype = _dtype(key, feature)
    shape = _shape(key, feature)
    default = None
    if feature.default_value is not None:
        default = _values(key, feature.default_value, dtype)
        size = Column(key, DENSE, dtype, shape).size
        if len(default) != size:
            raise InvalidArgumentError(
                f"default_value of feature {key}: Input to reshape is a tensor with "
                f"{len(default)} values, but the requested shape has {size}"
            )
    return Output(key, "dense", ()), [Column(key, DENSE, dtype, shape, default)]


def _sequence(key: str, feature: FixedLenSequenceFeature) -> tuple[Output, list[Column]]:
    dtype = _dtype(key, feature)
    shape = _shape(key, feature)
    zero: Any = b"" if dtype is dtypes.string else dtype.as_numpy_dtype(0).item()
    padding: tuple[Any, ...] = (zero,)
    if feature.default_value is not None:
        padding = _values(key, feature.default_value, dtype)
        if len(padding) != 1:
            raise InvalidArgumentError(
                f"default_value of sequence feature {key} must be one value, the padding: "
                f"Input to reshape is a tensor with {len(padding)} values, but the requested "
                "shape has 1"
            )
    return Output(key, "sequence", ()), [Column(key, SEQUENCE, dtype, shape, padding)]


def _sparse(key: str, feature: SparseFeature) -> tuple[Output, list[Column]]:
    for field in ("index_key", "value_key"):
        if not getattr(feature, field):
            raise ValueError(f"Missing {field} for SparseFeature {feature}.")
    dtype = _dtype(key, feature)
    single = isinstance(feature.index_key, str)
    index_keys = [feature.index_key] if single else list(feature.index_key)
    sizes = [feature.size] if single else list(np.atleast_1d(feature.size))
    if len(sizes) != len(index_keys):
        raise ValueError(
            f"size of SparseFeature {key} must have one entry per index_key, got {len(sizes)} "
            f"for {len(index_keys)}"
        )
    output = Output(
        key,
        "sparse",
        (),
        sizes=tuple(int(s) for s in sizes),
        already_sorted=bool(feature.already_sorted),
    )
    values = Column(feature.value_key, VARLEN, dtype)
    return output, [values, *(Column(k, VARLEN, dtypes.int64) for k in index_keys)]


def _ragged(key: str, feature: RaggedFeature) -> tuple[Output, list[Column]]:
    dtype = _dtype(key, feature)
    columns = [Column(feature.value_key or key, VARLEN, dtype, ragged=True)]
    partitions = []
    for partition in feature.partitions:
        kind = type(partition).__name__.lstrip("_")
        if kind == "UniformRowLength":
            partitions.append((kind, int(partition.length)))
        else:
            partitions.append((kind, len(columns)))
            columns.append(Column(partition.key, VARLEN, dtypes.int64, ragged=True))
    output = Output(
        key,
        "ragged",
        (),
        partitions=tuple(partitions),
        splits_dtype=dtypes.as_dtype(feature.row_splits_dtype or dtypes.int32),
        validate=bool(feature.validate),
    )
    return output, columns


_ADDERS: dict[type, Any] = {
    VarLenFeature: _varlen,
    FixedLenFeature: _dense,
    FixedLenSequenceFeature: _sequence,
    SparseFeature: _sparse,
    RaggedFeature: _ragged,
}


def _values(key: str, default: Any, dtype: dtypes.DType) -> tuple[Any, ...]:
    """`default` as a flat tuple of Python values of the dtype."""
    if hasattr(default, "numpy"):
        default = default.numpy()
    if dtype is dtypes.string:
        return tuple(StringArray.from_values(default).ravel().numpy().tolist())
    array = np.asarray(default)
    wanted = "iu" if dtype is dtypes.int64 else "iuf"
    if array.size and array.dtype.kind not in wanted:
        raise TypeError(
            f"default_value of feature {key} must be of dtype {dtype.name}, got {default!r}"
        )
    return tuple(array.astype(dtype.np_dtype).ravel().tolist())
