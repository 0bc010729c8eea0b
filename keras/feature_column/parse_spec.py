"""What has to be parsed of examples for given columns."""

from __future__ import annotations

from typing import Any

from .base import FeatureColumn

__all__ = ["make_parse_example_spec"]


def make_parse_example_spec(feature_columns: Any) -> dict[str, Any]:
    """Key -> `FixedLenFeature` or `VarLenFeature` of all raw features of the columns.

    Raises:
        ValueError: something is no column, or two columns read one key in different ways.
    """
    found: dict[str, Any] = {}
    for column in feature_columns:
        if not isinstance(column, FeatureColumn):
            raise ValueError(
                f"All feature_columns must be FeatureColumn instances. Given: {column}"
            )
        for key, value in column.parse_example_spec.items():
            if key in found and value != found[key]:
                raise ValueError(
                    f"feature_columns contain different parse_spec for key {key}. Given: "
                    f"{value} and {found[key]}"
                )
            found[key] = value
    return found
