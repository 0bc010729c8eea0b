"""Running the same parse in TensorFlow and here, and comparing what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

import headrace as hr


def parts(value: Any) -> list[np.ndarray]:
    """The plain arrays of a tensor, sparse or ragged tensor, of either library."""
    if hasattr(value, "nested_row_splits"):
        splits = [np.asarray(s) for s in value.nested_row_splits]
        return [np.asarray(value.flat_values), *splits]
    if hasattr(value, "indices"):
        return [np.asarray(p) for p in (value.indices, value.values, value.dense_shape)]
    return [np.asarray(value)]


def flat(result: Any) -> Any:
    """A result of nested dicts with arrays for leaves; an error's kind and text as a tuple."""
    if isinstance(result, BaseException):
        return message(result)
    if isinstance(result, tuple):
        return tuple(flat(r) for r in result)
    return {key: parts(value) for key, value in sorted(result.items())}


def message(error: BaseException) -> tuple[str, str]:
    """Name of the kind, and the text without what TensorFlow puts around it."""
    text = getattr(error, "message", None) or str(error)
    if "}} " in text:
        text = text[text.index("}} ") + 3 :]
    text = text.split(" [Op:")[0]
    if text.startswith("Could not parse example input"):
        text = text[:29]  # TensorFlow dumps the whole record
    return type(error).__name__, text.replace("tf.", "hr.")


def attempt(call: Any) -> Any:
    try:
        return call()
    except UnicodeDecodeError:  # TensorFlow's own, for a record in an error message
        return hr.errors.InvalidArgumentError("Could not parse example input")
    except Exception as error:
        if type(error).__name__ == "ParseError":
            return hr.errors.InvalidArgumentError(str(error))
        return error


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal structure, dtypes, shapes and bits; or the same error."""
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, np.ndarray):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if ours.dtype == object:
            assert ours.tolist() == theirs.tolist()
        else:
            assert ours.tobytes() == theirs.tobytes()
    elif isinstance(ours, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours == theirs
