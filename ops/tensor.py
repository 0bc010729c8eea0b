"""Tensor: an immutable value with TensorFlow's face over a raw array.

A raw array is a NumPy or CuPy array, or a `StringArray`.  `SymbolicTensor` is a value that is
not there yet: an output of a node of a graph being traced.  Python's operators are added by
`operators.py`, so that this module depends on no operation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes
from .array_module import is_on_device, place_of
from .autograph.context import state as autograph
from .context import current, placing
from .devices import devices
from .dtypes import DType
from .errors import UntraceableError
from .string_array import StringArray
from .tensor_shape import TensorShape

if TYPE_CHECKING:
    from .operator_types import Operators
else:
    Operators = object

__all__ = ["SymbolicTensor", "Tensor", "as_raw", "is_tensor", "raw_value"]

LONG = 16  # rows; a trace goes over more than that in a loop, not one by one

_next_id = itertools.count().__next__
_of_numpy = dtypes._BY_KEY


class Tensor(Operators):
    """An n-dimensional array of one dtype.  Make one with `hr.constant` or any operation.

    Speaks ``__array__``, ``__dlpack__`` and, for device memory, ``__cuda_array_interface__``.
    """

    __slots__ = ("__weakref__", "_id", "_value")
    __array_priority__ = 100
    _value: Any

    def __init__(self, value: Any):
        self._value = as_raw(value)
        self._id = _next_id()

    @classmethod
    def of(cls, array: Any) -> Tensor:
        """Wrap a raw array without copying or checking it; the caller gives it up."""
        tensor = _new(Tensor)
        tensor._value = array
        tensor._id = _next_id()
        return tensor

    @classmethod
    def of_all(cls, arrays: Iterable[Any]) -> list[Tensor]:
        """What `of` gives for each of many arrays, in half the time."""
        tensors = []
        for array in arrays:
            tensor = _new(Tensor)
            tensor._value = array
            tensor._id = _next_id()
            tensors.append(tensor)
        return tensors

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return _of_numpy[self._value.dtype]

    @property
    def shape(self) -> TensorShape:
        """The shape; sizes are known except while tracing."""
        return TensorShape.of(self._value.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._value.shape)

    @property
    def device(self) -> str:
        """TensorFlow's name of the device that holds the value."""
        if is_on_device(self._value):
            return devices.name_of(place_of(self._value))
        return "/job:localhost/replica:0/task:0/device:CPU:0"

    @property
    def backing_device(self) -> str:
        """TensorFlow's name for where the value's memory is: the same."""
        return self.device

    def cpu(self) -> Tensor:
        """The tensor in the host's memory; itself where it is there."""
        value = self._value
        return Tensor.of(value.get()) if is_on_device(value) else self

    def gpu(self, gpu_index: int = 0) -> Tensor:
        """The tensor in a GPU's memory; itself where it is there.

        Raises:
            InvalidArgumentError: there is no such GPU.
        """
        place = devices.gpu_number(gpu_index)
        moved = placing.value(self._value, place)
        return self if moved is self._value else Tensor.of(moved)

    @property
    def name(self) -> str:
        """Eager tensors have none; reading it raises AttributeError, as in TensorFlow."""
        raise AttributeError("Tensor.name is undefined when eager execution is enabled.")

    def get_shape(self) -> TensorShape:
        """The shape, as TensorFlow's older spelling."""
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """Assert that the shape is compatible with `shape`.

        Raises:
            ValueError: it is not.
        """
        if not self.shape.is_compatible_with(shape):
            raise ValueError(
                f"Tensor's shape {self.shape} is not compatible with {TensorShape(shape)}"
            )

    def numpy(self) -> Any:
        """The value as a new NumPy array; without axes, a NumPy scalar (or `bytes`)."""
        value = self._value
        if type(value) is np.ndarray:
            return value.copy() if value.ndim else value[()]
        if type(value) is StringArray:
            return value.numpy() if value.ndim else value.item()
        if isinstance(value, np.generic):
            return value
        host = value.get()
        return host if host.ndim else host[()]

    def ref(self) -> Reference:
        """A hashable reference, for sets and dictionaries."""
        return Reference(self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        value = self._value
        if type(value) is StringArray:
            value = value.numpy()
        elif not isinstance(value, (np.ndarray, np.generic)):
            value = value.get()
        return (
            np.array(value, dtype=dtype, copy=True) if copy else np.asarray(value, dtype=dtype)
        )

    def __dlpack__(self, **kwargs: Any) -> Any:
        value = raw_value(self)
        if type(value) is StringArray:
            raise BufferError("DLPack has no strings; take the tensor's .numpy() instead")
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            if (kwargs.get("max_version") or (0,))[0] < 1:  # which cannot say "read only"
                value = value.copy()
        return value.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        value = raw_value(self)
        return (1, 0) if type(value) is StringArray else value.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        """CUDA's array interface; AttributeError for host memory."""
        value = raw_value(self)
        if not is_on_device(value):
            raise AttributeError("__cuda_array_interface__ is of tensors on GPUs only")
        return value.__cuda_array_interface__

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        value = self._scalar("index")
        if value.dtype.kind not in "iu":
            raise TypeError(
                f"only integer scalar tensors can be an index, got dtype {self.dtype.name}"
            )
        return int(value)

    def _scalar(self, what: str) -> Any:
        if type(self._value) is StringArray:
            return self._value.item()
        if self._value.size != 1:
            raise ValueError(
                f"Only a tensor of one element converts to {what}, got shape {self.shape}."
            )
        value = self._value.get() if is_on_device(self._value) else self._value
        return value.reshape(())[()]

    def __len__(self) -> int:
        if not self._value.shape:
            raise TypeError("Scalar tensor has no `len()`")
        return len(self._value)

    def __iter__(self) -> Any:
        if not self._value.shape:
            raise TypeError("Cannot iterate over a scalar tensor.")
        if autograph.first and current.trace is not None and len(self) > LONG:
            raise UntraceableError("Python iterated over a tensor")  # a loop in the graph
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        raise TypeError("Tensor is unhashable. Instead, use tensor.ref() as the key.")

    def __repr__(self) -> str:
        return (
            f"<hr.Tensor: id={self._id}, shape={self.shape}, dtype={self.dtype.name}, "
            f"numpy={_shown(self.numpy())}>"
        )

    def __str__(self) -> str:
        value = self.numpy()
        text = repr(value) if isinstance(value, bytes) else str(value)
        return f"hr.Tensor({text}, shape={self.shape}, dtype={self.dtype.name})"

    def __format__(self, spec: str) -> str:
        value = self.numpy()
        return (
            format(value, spec)
            if not self.ndim and spec
            else str(value if not self.ndim else self)
        )

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return Tensor.of(self._value)

    def __reduce__(self) -> tuple[Any, ...]:
        value = self._value
        if is_on_device(value):
            value = value.get()
        return Tensor.of, (value if isinstance(value, StringArray) else np.asarray(value),)


_new = object.__new__


class SymbolicTensor(Tensor):
    """An output of a graph's node, met while a function is traced; it has no value yet.

    Attributes:
        node: the node that makes it.
        index: which of the node's outputs it is.
        spec: its `TensorSpec`.
    """

    __slots__ = ("graph", "index", "node", "spec")

    def __init__(self, graph: Any, node: Any, index: int, spec: Any):
        self.graph = graph
        self.node = node
        self.index = index
        self.spec = spec
        self._id = _next_id()

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self.spec.dtype

    @property
    def shape(self) -> TensorShape:
        """The shape as far as it is known."""
        return self.spec.shape

    @property
    def ndim(self) -> Any:
        """Number of axes, or None if unknown."""
        return self.spec.shape.rank

    @property
    def device(self) -> str:
        """Not decided yet: empty."""
        return ""

    @property
    def name(self) -> str:
        """Name of the node and output, e.g. ``"AddV2_1:0"``."""
        return f"{self.node.name}:{self.index}"

    @property
    def op(self) -> Any:
        """The node that makes the tensor."""
        return self.node

    def set_shape(self, shape: Any) -> None:
        """Add what `shape` knows to the shape known so far.

        Raises:
            ValueError: they contradict each other.
        """
        self.spec = self.spec.with_shape(self.spec.shape.merge_with(shape))

    def numpy(self) -> Any:
        """Not possible while tracing."""
        raise self._no_value("its .numpy() value was asked for")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self._no_value("it was passed to a NumPy call")

    def _scalar(self, what: str) -> Any:
        if what == "bool":
            raise self._no_value("it was used as a Python bool (`if`, `while`, `and`, `not`)")
        raise self._no_value(f"it was used as a Python {what}")

    def __len__(self) -> int:
        if self.shape.rank and self.shape[0] is not None:
            return self.shape[0]
        raise self._no_value("its len() was asked for")

    def __iter__(self) -> Any:
        if self.shape.rank and self.shape[0] is not None:
            if not autograph.first or self.shape[0] <= LONG:
                return (self[i] for i in range(self.shape[0]))
        raise self._no_value("Python iterated over it")

    def __format__(self, spec: str) -> str:
        raise self._no_value("it was formatted into a string")

    def _no_value(self, how: str) -> UntraceableError:
        return UntraceableError(
            f"A symbolic tensor (shape={self.shape}, dtype={self.dtype.name}) has no "
            "value while "
            f"the function is traced, and {how}"
        )

    def __repr__(self) -> str:
        return f"<hr.Tensor '{self.name}' shape={self.shape} dtype={self.dtype.name}>"

    __str__ = __repr__

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a symbolic tensor belongs to a trace and cannot be pickled")


class Reference:
    """A hashable reference to a tensor or variable, compared by identity."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any):
        self._tensor = tensor

    def deref(self) -> Any:
        """The tensor."""
        return self._tensor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._tensor is other._tensor

    def __hash__(self) -> int:
        return id(self._tensor)

    def __repr__(self) -> str:
        return f"<Reference wrapping {self._tensor!r}>"


def as_raw(value: Any) -> Any:
    """The raw array behind a NumPy array, scalar, or list: object and text become a
    `StringArray`, foreign byte orders become native."""
    if isinstance(value, StringArray):
        return value
    if isinstance(value, Tensor):
        return value._value
    if type(value) is not np.ndarray and hasattr(value, "__cuda_array_interface__"):
        return devices.adopting().adopt(value)
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return StringArray.from_values(array)
    if array.dtype not in _of_numpy:
        native = array.dtype.newbyteorder("=")
        if native not in _of_numpy:
            raise TypeError(f"NumPy dtype {array.dtype} has no tensor counterpart.")
        array = array.astype(native)
    return array


def raw_value(tensor: Tensor) -> Any:
    """The raw array of an eager tensor.

    Raises:
        UntraceableError: the tensor is symbolic.
    """
    if type(tensor) is SymbolicTensor:
        raise tensor._no_value("its value was needed")
    return tensor._value


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor, variable, sparse or ragged tensor."""
    return isinstance(x, Tensor) or getattr(x, "_is_headrace_value", False)


def is_symbolic(x: Any) -> bool:
    """Whether `x` is a tensor of a trace under way."""
    return type(x) is SymbolicTensor


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        text = repr(value)
        return "\n" + text if "\n" in text else text
    if isinstance(value, bytes):
        return repr(value)
    return str(value)
