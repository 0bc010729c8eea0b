"""decode_json_example: Examples as JSON to Examples as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import batch_rules
from ..ops.errors import InvalidArgumentError
from ..ops.primitive import Primitive
from ..ops.shape_rules import same
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor

__all__ = ["decode_json_example"]


def _impl(x: StringArray) -> StringArray:
    from google.protobuf import json_format  # loaded when it is needed

    from .example import Example

    found = []
    for k, text in enumerate(x.numpy().reshape(-1).tolist()):
        try:
            found.append(json_format.Parse(text, Example()).SerializeToString())
        except (json_format.ParseError, UnicodeDecodeError) as e:
            raise InvalidArgumentError(
                f"Error while parsing JSON of example {k}: {e} [Op:DecodeJSONExample]",
                op="DecodeJSONExample",
            ) from None
    return StringArray.from_values(np.array([*found, None], object)[:-1]).reshape(x.shape)


DecodeJSONExample = Primitive(
    "DecodeJSONExample",
    "json_examples: string",
    impl=_impl,
    shape=same,
    batch=batch_rules.unary,
)


def decode_json_example(json_examples: Any, name: str | None = None) -> Tensor:
    """Serialized `Example` messages of ones in JSON (protobuf's mapping), of the same shape.

    Raises:
        InvalidArgumentError: a string is no such JSON.
    """
    return DecodeJSONExample(json_examples)
