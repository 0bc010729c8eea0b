"""read_file, write_file, matching_files and match_filenames_once as operations."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.primitive import Primitive
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from ..ops.variable import Variable
from . import gfile
from .filesystems import glob, is_remote, local_path

__all__ = ["match_filenames_once", "matching_files", "read_file", "write_file", "write_graph"]


def _scalar(x: StringArray, what: str, op: str) -> str:
    if x.ndim:
        raise InvalidArgumentError(
            f"{what} must be a scalar, but had shape: {list(x.shape)} [Op:{op}]", op=op
        )
    return os.fsdecode(x.item())


def _read_impl(filename: StringArray) -> StringArray:
    with gfile.GFile(_scalar(filename, "filename", "ReadFile"), "rb") as file:
        return StringArray.from_values(np.array(file.read(), object))


def _write_impl(filename: StringArray, contents: StringArray) -> tuple[Any, ...]:
    path = _scalar(filename, "filename", "WriteFile")
    if contents.ndim:
        raise InvalidArgumentError(
            f"contents must be a scalar, but had shape: {list(contents.shape)} [Op:WriteFile]",
            op="WriteFile",
        )
    folder = os.path.dirname(local_path(path))
    if folder and not is_remote(path):
        gfile.makedirs(folder)
    with gfile.GFile(path, "wb") as file:
        file.write(contents.item())
    return ()


def _matching_impl(pattern: StringArray) -> StringArray:
    found = [
        name for p in pattern.numpy().reshape(-1).tolist() for name in glob(os.fsdecode(p))
    ]
    return StringArray.from_values(
        [os.fsencode(f) for f in sorted(found)] or np.empty(0, object)
    )


ReadFile = Primitive(
    "ReadFile",
    "filename: string",
    impl=_read_impl,
    shape=lambda x: TensorSpec([], dtypes.string),
    stateful=True,
)
WriteFile = Primitive(
    "WriteFile",
    "filename: string, contents: string",
    impl=_write_impl,
    shape=lambda *_: (),
    stateful=True,
)
MatchingFiles = Primitive(
    "MatchingFiles",
    "pattern: string",
    impl=_matching_impl,
    shape=lambda x: TensorSpec([None], dtypes.string),
    stateful=True,
)


def read_file(filename: Any, name: str | None = None) -> Tensor:
    """The bytes of the file at a path or URL, as a scalar string.

    Raises:
        NotFoundError: there is no such file.
    """
    return ReadFile(filename)


def write_file(filename: Any, contents: Any, name: str | None = None) -> None:
    """Write a scalar string to the file at a path or URL, with the folders it lies in."""
    WriteFile(filename, contents)


def matching_files(pattern: Any, name: str | None = None) -> Tensor:
    """The sorted paths that match a pattern, or one of a vector of patterns."""
    return MatchingFiles(pattern)


def write_graph(graph_or_graph_def: Any, logdir: Any, name: str, as_text: bool = True) -> str:
    """Write a graph's text (or any message) to a file of a folder; the file's path.

    Args:
        graph_or_graph_def: a traced function's graph, or a protobuf message.
        logdir: the folder, made where it is not there.
        name: the file's name.
        as_text: as text; a message otherwise as bytes.
    """
    path = gfile.join(os.fspath(logdir), name)
    gfile.makedirs(logdir)
    if as_text or not hasattr(graph_or_graph_def, "SerializeToString"):
        data = str(graph_or_graph_def).encode("utf-8")
    else:
        data = graph_or_graph_def.SerializeToString()
    with gfile.GFile(path, "wb") as file:
        file.write(data)
    return str(path)


def match_filenames_once(pattern: Any, name: str | None = None) -> Variable:
    """A variable that holds the files that match `pattern` now."""
    return Variable(convert_to_tensor(matching_files(pattern)), trainable=False)
