"""Categories as numbers: counts of each, or rows of a table that training changes."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops import api as hr
from ...ops.nn_more_embedding import safe_embedding_lookup_sparse
from ...ops.sparse_ops import to_dense
from .. import initializers
from .base import CategoricalColumn, DenseColumn

__all__ = [
    "EmbeddingColumn",
    "IndicatorColumn",
    "embedding_column",
    "indicator_column",
    "shared_embeddings",
]


@dataclasses.dataclass(frozen=True)
class IndicatorColumn(DenseColumn):
    """How often each category occurs in a row, or the sum of its weights."""

    categorical_column: CategoricalColumn

    @property
    def name(self) -> str:
        """The column's name and ``_indicator``."""
        return f"{self.categorical_column.name}_indicator"

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """The column's."""
        return self.categorical_column.parse_example_spec

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """A place per category."""
        return (self.categorical_column.num_buckets,)

    def dense(self, features: dict[str, Any], weights: dict[str, Any]) -> Any:
        """``[batch, num_buckets]``."""
        ids = self.categorical_column.ids(features)
        own = self.categorical_column.weights_of(features)
        rows = hr.one_hot(to_dense(ids, default_value=-1), self.variable_shape[0])
        if own is not None:
            rows = rows * hr.expand_dims(to_dense(own), -1)
        return hr.reduce_sum(rows, axis=-2)


def indicator_column(categorical_column: CategoricalColumn) -> IndicatorColumn:
    """How often each category of `categorical_column` occurs.

    Raises:
        ValueError: it is no categorical column.
    """
    _check(categorical_column)
    return IndicatorColumn(categorical_column)


def _check(column: Any) -> None:
    if not isinstance(column, CategoricalColumn):
        raise ValueError(f"A categorical column is needed. Given: {column!r}")


@dataclasses.dataclass(frozen=True)
class EmbeddingColumn(DenseColumn):
    """See `embedding_column`."""

    categorical_column: CategoricalColumn
    dimension: int
    combiner: str
    initializer: Any
    max_norm: float | None
    trainable: bool
    shared_name: str | None = None

    @property
    def name(self) -> str:
        """The column's name and ``_embedding``."""
        kind = "shared_embedding" if self.shared_name else "embedding"
        return f"{self.categorical_column.name}_{kind}"

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """The column's."""
        return self.categorical_column.parse_example_spec

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """A place per dimension."""
        return (self.dimension,)

    @property
    def _weight_name(self) -> str:
        return self.shared_name or f"{self.name}/embedding_weights"

    def weight_shapes(self) -> dict[str, tuple[tuple[int, ...], Any, bool]]:
        """One table ``[num_buckets, dimension]``."""
        shape = (self.categorical_column.num_buckets, self.dimension)
        return {self._weight_name: (shape, self.initializer, self.trainable)}

    def dense(self, features: dict[str, Any], weights: dict[str, Any]) -> Any:
        """The rows of a row's ids, combined; 0 where there are none."""
        return safe_embedding_lookup_sparse(
            weights[self._weight_name],
            self.categorical_column.ids(features),
            self.categorical_column.weights_of(features),
            combiner=self.combiner,
            max_norm=self.max_norm,
        )


def embedding_column(
    categorical_column: CategoricalColumn,
    dimension: int,
    combiner: str = "mean",
    initializer: Any = None,
    ckpt_to_load_from: Any = None,
    tensor_name_in_ckpt: Any = None,
    max_norm: float | None = None,
    trainable: bool = True,
    use_safe_embedding_lookup: bool = True,
) -> EmbeddingColumn:
    """Categories as rows of a table that training changes.

    Args:
        categorical_column: of the ids.
        dimension: length of a row.
        combiner: of several ids: ``mean``, ``sqrtn`` or ``sum``.
        initializer: by default truncated normal with deviation ``1 / sqrt(dimension)``.
        ckpt_to_load_from, tensor_name_in_ckpt: not used; give an `initializer`.
        max_norm: longer rows are shortened to it.
        trainable: whether training changes the table.
        use_safe_embedding_lookup: accepted; rows without ids are always 0.

    Raises:
        ValueError: an unusable argument.
    """
    _check(categorical_column)
    _check_table(dimension, combiner, initializer, ckpt_to_load_from)
    return EmbeddingColumn(
        categorical_column,
        dimension,
        combiner,
        initializer or _first_rows(dimension),
        max_norm,
        trainable,
    )


def _check_table(dimension: Any, combiner: str, initializer: Any, checkpoint: Any) -> None:
    if dimension is None or dimension < 1:
        raise ValueError(f"Invalid dimension {dimension}.")
    if combiner not in ("mean", "sqrtn", "sum"):
        raise ValueError(f"combiner must be one of mean, sqrtn, sum. Given: {combiner}")
    if initializer is not None and not callable(initializer):
        raise ValueError("initializer must be callable if specified.")
    if checkpoint is not None:
        raise ValueError(
            "ckpt_to_load_from is not supported: give initializer= a function that returns "
            "the table."
        )


def _first_rows(dimension: int) -> Any:
    return initializers.TruncatedNormal(mean=0.0, stddev=dimension**-0.5)


def shared_embeddings(
    categorical_columns: Any,
    dimension: int,
    combiner: str = "mean",
    initializer: Any = None,
    shared_embedding_collection_name: str | None = None,
    ckpt_to_load_from: Any = None,
    tensor_name_in_ckpt: Any = None,
    max_norm: float | None = None,
    trainable: bool = True,
    use_safe_embedding_lookup: bool = True,
) -> list[EmbeddingColumn]:
    """Columns with one table between them.

    Args:
        categorical_columns: of ids that mean the same, with equally many of them.
        dimension, combiner, initializer, max_norm, trainable: see `embedding_column`.
        shared_embedding_collection_name: of the table.
        ckpt_to_load_from, tensor_name_in_ckpt, use_safe_embedding_lookup: see there.

    Raises:
        ValueError: columns with different numbers of ids, or an unusable argument.
    """
    columns = list(categorical_columns)
    for column in columns:
        _check(column)
    _check_table(dimension, combiner, initializer, ckpt_to_load_from)
    if len({column.num_buckets for column in columns}) != 1:
        raise ValueError(
            "To use shared_embeddings, all categorical_columns must have the same number of "
            f"buckets. Given: {[(c.name, c.num_buckets) for c in columns]}"
        )
    name = shared_embedding_collection_name
    if name is None:
        name = "_".join(sorted(c.name for c in columns)) + "_shared_embedding"
    start = initializer or _first_rows(dimension)
    return [
        EmbeddingColumn(column, dimension, combiner, start, max_norm, trainable, name)
        for column in columns
    ]
