"""Element specs and iterator states as JSON, so that files need no pickle.

JSON has no tuples, bytes or specs; they are written as objects with one key that begins
with "$".
"""

from __future__ import annotations

import base64
import json
from collections import namedtuple
from typing import Any

import numpy as np

from ...ops.dtypes import as_dtype
from ...ops.ragged_tensor import RaggedTensorSpec
from ...ops.sparse_tensor import SparseTensorSpec
from ...ops.tensor_spec import TensorSpec

__all__ = ["dump_state", "load_state", "spec_from_json", "spec_to_json"]


def spec_to_json(spec: Any) -> Any:
    """A nested element spec as what `json.dumps` takes.

    Raises:
        TypeError: a component is a dataset or another object that files cannot hold.
    """
    if spec is None:
        return None
    if isinstance(spec, dict):
        if not all(isinstance(k, str) for k in spec):
            raise TypeError(f"only dicts with string keys can be written, got {spec!r}")
        return {"$dict": {k: spec_to_json(v) for k, v in spec.items()}}
    if isinstance(spec, tuple) and hasattr(spec, "_fields"):
        items = [spec_to_json(s) for s in spec]
        return {"$namedtuple": [type(spec).__name__, list(spec._fields), items]}
    if isinstance(spec, (tuple, list)):
        return {"$tuple": [spec_to_json(s) for s in spec]}
    shape = _shape_list(getattr(spec, "shape", None))
    if isinstance(spec, TensorSpec):
        return {"$tensor": [shape, spec.dtype.name]}
    if isinstance(spec, SparseTensorSpec):
        return {"$sparse": [shape, spec.dtype.name]}
    if isinstance(spec, RaggedTensorSpec):
        splits = spec.row_splits_dtype.name
        return {"$ragged": [shape, spec.dtype.name, spec.ragged_rank, splits]}
    raise TypeError(
        f"elements with a component {spec!r} cannot be written to files; turn datasets into "
        "tensors first, e.g. with flat_map(lambda window: window.batch(n))"
    )


def spec_from_json(value: Any) -> Any:
    """The spec that `spec_to_json` wrote."""
    if value is None:
        return None
    ((kind, args),) = value.items()
    if kind == "$dict":
        return {k: spec_from_json(v) for k, v in args.items()}
    if kind == "$tuple":
        return tuple(spec_from_json(v) for v in args)
    if kind == "$namedtuple":
        name, fields, items = args
        return namedtuple(name, fields)(*map(spec_from_json, items))
    if kind == "$tensor":
        return TensorSpec(args[0], as_dtype(args[1]))
    if kind == "$sparse":
        return SparseTensorSpec(args[0], as_dtype(args[1]))
    if kind == "$ragged":
        return RaggedTensorSpec(args[0], as_dtype(args[1]), args[2], as_dtype(args[3]))
    raise ValueError(f"unknown kind of spec {kind!r}")


def _shape_list(shape: Any) -> list[int | None] | None:
    return None if shape is None or shape.rank is None else shape.as_list()


def dump_state(state: Any) -> str:
    """An iterator state as JSON text; equal states give equal texts."""
    return json.dumps(_plain(state), sort_keys=True, separators=(",", ":"))


def load_state(text: str) -> Any:
    """The state that `dump_state` wrote."""
    return _revived(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if all(isinstance(k, str) for k in value):
            return {k: _plain(v) for k, v in value.items()}
        return {"$items": [[_plain(k), _plain(v)] for k, v in value.items()]}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"$tuple": [_plain(v) for v in value]}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _revived(value: Any) -> Any:
    if isinstance(value, list):
        return [_revived(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "$bytes":
            return base64.b64decode(inner)
        if kind == "$tuple":
            return tuple(_revived(v) for v in inner)
        if kind == "$items":
            return {_revived(k): _revived(v) for k, v in inner}
    return {k: _revived(v) for k, v in value.items()}
