"""fingerprint: a number that two processes agree on exactly if their plans are the same.

Covers every node's kind and arguments, values held in memory, traced graphs with their
constants, and of functions that run as Python the bytecode, constants, closure and the globals
it names (other modules' code is covered by its name only).  Left out: users' names and lines,
and random seeds that nobody chose.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import random_ops
from ..ops.composite import Composite
from ..ops.dtypes import DType
from ..ops.graph import Graph
from ..ops.string_array import StringArray
from ..ops.tensor import SymbolicTensor, Tensor
from ..ops.tensor_spec import TypeSpec
from .columns import ListColumn, RaggedColumn, SparseColumn
from .dataset_function import DatasetFunction
from .functions import UserFunction
from .node import Node
from .values import Components

__all__ = ["fingerprint", "seeds_chosen"]

_IGNORED = {"name", "source", "epochs", "memory", "plan"}


def fingerprint(node: Node) -> int:
    """64 bits that tell the plan from others."""
    digest = _Digest()
    digest.add(node)
    return int.from_bytes(digest.hash.digest(), "little")


class _Digest:
    """Feeds values to a hash in a form without addresses; an object met again is a number."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=8)
        self._met: dict[int, int] = {}
        self._alive: list[Any] = []  # so that no address is used twice

    def _say(self, *parts: Any) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self.hash.update(len(data).to_bytes(8, "little"))
            self.hash.update(data)

    def add(self, value: Any) -> None:
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self._say(type(value).__name__, value)
            return
        number = self._met.setdefault(id(value), len(self._met))
        self._alive.append(value)
        if number != len(self._met) - 1:
            self._say("again", number)
            return
        for kind, add in _KINDS:
            if isinstance(value, kind):
                add(self, value)
                return
        self._object(value)

    def all(self, values: Any) -> None:
        for value in values:
            self.add(value)

    def array(self, value: Any) -> None:
        value = np.asarray(value)
        self._say("array", value.dtype, value.shape)
        if value.dtype == object:
            self.all(value.ravel().tolist())
        else:
            self._say(np.ascontiguousarray(value).tobytes())

    def strings(self, value: StringArray) -> None:
        flat = value.ravel().compact()
        self._say("strings", value.shape, np.diff(flat.ends).tobytes(), flat.data.tobytes())

    def parts(self, value: Any) -> None:
        self._say(type(value).__name__)
        self.all(getattr(value, slot) for slot in type(value).__slots__)

    def tensor(self, value: Tensor) -> None:
        if isinstance(value, SymbolicTensor):
            self._say("symbolic", value.spec)
        else:
            self.add(value._value)

    def composite(self, value: Composite) -> None:
        self._say(value._type_spec)
        self.all(value._components())

    def sequence(self, value: Any) -> None:
        self._say(type(value).__name__, len(value))
        self.all(value)

    def mapping(self, value: dict[Any, Any]) -> None:
        self._say("dict", len(value))
        for key in sorted(value, key=repr):
            self.add(key)
            self.add(value[key])

    def text(self, value: Any) -> None:
        self._say(type(value).__name__, repr(value))

    def node(self, value: Node) -> None:
        self._say(type(value).__name__)
        for field in dataclasses.fields(value):
            if field.name in _IGNORED:
                continue
            item = getattr(value, field.name)
            if field.name == "seeds" and not seeds_chosen(item):
                item = "drawn"
            self._say(field.name)
            self.add(item)

    def graph(self, value: Graph) -> None:
        names: dict[int, str] = {}
        for number, node in enumerate(value.nodes):
            self._say(node.type, *(names.get(id(t), "free") for t in node.inputs))
            self.mapping({k: v for k, v in node.attrs.items() if v is not None})
            for i, out in enumerate(node.outputs):
                names[id(out)] = f"{number}:{i}"
        self._say("outputs", *(names.get(id(t), "free") for t in value.outputs))

    def user_function(self, value: UserFunction) -> None:
        if value.traced is None:
            self.add(value.fn)
        else:
            self.graph(value.traced.graph)
            self._say(value.traced.output_structure)

    def dataset_function(self, value: DatasetFunction) -> None:
        self.add(value._function.fn)

    def function(self, value: types.FunctionType) -> None:
        self._say("function", value.__qualname__)
        self.code(value.__code__)
        self.add(value.__defaults__)
        self.add(value.__kwdefaults__)
        for cell in value.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                self._say("empty cell")
        for name in value.__code__.co_names:
            if name in value.__globals__:
                self.add(value.__globals__[name])

    def code(self, value: types.CodeType) -> None:
        self._say("code", value.co_code, value.co_names, value.co_varnames)
        self.all(value.co_consts)

    def method(self, value: types.MethodType) -> None:
        self.add(value.__func__)
        self.add(value.__self__)

    def named(self, value: Any) -> None:
        self._say(getattr(value, "__module__", ""), getattr(value, "__qualname__", ""),
                  getattr(value, "__name__", ""))  # fmt: skip

    def _object(self, value: Any) -> None:
        self._say("object", type(value).__module__, type(value).__qualname__)
        inner = getattr(value, "_node", None)
        if isinstance(inner, Node):
            self.node(inner)
        elif hasattr(value, "_fingerprint_parts"):  # lookup tables: what they hold
            self.add(value._fingerprint_parts())
        elif type(value).__module__.split(".")[0] != "headrace":
            for name, item in sorted(getattr(value, "__dict__", {}).items()):
                self._say(name)
                self.add(item)


def seeds_chosen(seeds: Any) -> bool:
    """Whether the user gave this seed, or a global one."""
    return seeds is not None and seeds[0] in (
        random_ops._DEFAULT_GRAPH_SEED, random_ops._seeds.seed,
    )  # fmt: skip


_KINDS: list[tuple[Any, Callable[[_Digest, Any], None]]] = [
    ((np.ndarray, np.generic), _Digest.array),
    (StringArray, _Digest.strings),
    (Tensor, _Digest.tensor),
    (Composite, _Digest.composite),
    ((ListColumn, RaggedColumn, SparseColumn, Components), _Digest.parts),
    (dict, _Digest.mapping),
    ((tuple, list), _Digest.sequence),
    ((set, frozenset), lambda d, v: d.sequence(sorted(v, key=repr))),
    ((TypeSpec, DType, enum.Enum), _Digest.text),
    (Node, _Digest.node),
    (UserFunction, _Digest.user_function),
    (DatasetFunction, _Digest.dataset_function),
    (Graph, _Digest.graph),
    (types.FunctionType, _Digest.function),
    (types.CodeType, _Digest.code),
    (types.MethodType, _Digest.method),
    ((types.ModuleType, type, types.BuiltinFunctionType), _Digest.named),
]
