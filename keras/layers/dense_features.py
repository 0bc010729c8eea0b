"""DenseFeatures: the layer that feature columns are given to."""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from ..feature_column.base import DenseColumn
from .preprocessing_base import DataLayer

__all__ = ["DenseFeatures"]


class DenseFeatures(DataLayer):
    """The columns of `hr.feature_column` side by side, in the order of their names.

    Args:
        feature_columns: a dense column, or several; wrap categorical ones in
            `indicator_column` or `embedding_column`.
        trainable: whether the tables of embeddings are trained.
        name: of the layer.
        **kwargs: see `Layer`.

    Call arguments:
        features: raw features: tensors by name, dense, sparse or ragged.
        cols_to_output_tensors: a dictionary that gets each column's own output, if given.

    Raises:
        ValueError: no columns, two of one name, or one that is not dense.
    """

    def __init__(
        self, feature_columns: Any, trainable: bool = True, name: str | None = None,
        **kwargs: Any,
    ):  # fmt: skip
        super().__init__(name=name, trainable=trainable, **kwargs)
        several = isinstance(feature_columns, (list, tuple))
        if hasattr(feature_columns, "__iter__") and not several:
            feature_columns = list(feature_columns)
        columns = list(feature_columns) if isinstance(feature_columns, (list, tuple)) else [
            feature_columns
        ]  # fmt: skip
        if not columns:
            raise ValueError("feature_columns must not be empty.")
        for column in columns:
            if not isinstance(column, DenseColumn):
                raise ValueError(
                    "Items of feature_columns must be a DenseColumn. You can wrap a "
                    "categorical column with an embedding_column or indicator_column. Given: "
                    f"{column}"
                )
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise ValueError(f"Duplicate feature column name found for columns: {names}.")
        self._columns = tuple(sorted(columns, key=lambda c: c.name))
        self._tables: dict[str, Any] = {}

    @property
    def feature_columns(self) -> list[Any]:
        """The columns in the order of their outputs."""
        return list(self._columns)

    def build(self, input_shape: Any) -> None:
        """Create the tables of the embeddings."""
        for column in self._columns:
            for name, (shape, initializer, trainable) in column.weight_shapes().items():
                if name not in self._tables:
                    self._tables[name] = self.add_weight(
                        name=name, shape=shape, initializer=initializer, trainable=trainable
                    )
        self.built = True

    def call(self, features: Any, cols_to_output_tensors: Any = None) -> Any:
        """``[batch, units]``, float32.

        Raises:
            ValueError: `features` is no dictionary, or lacks a key.
        """
        if not isinstance(features, dict):
            raise ValueError(f"We expected a dictionary here. Instead we got: {features}")
        parts = []
        for column in self._columns:
            made = column.dense(features, self._tables)
            part = hr.reshape(made, [-1, math.prod(column.variable_shape)])
            if cols_to_output_tensors is not None:
                cols_to_output_tensors[column] = part
            parts.append(part)
        return hr.concat(parts, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, units)``."""
        shapes = input_shape.values() if isinstance(input_shape, dict) else [input_shape]
        batch = next((s[0] for s in shapes if s), None)
        return (batch, sum(math.prod(c.variable_shape) for c in self._columns))
