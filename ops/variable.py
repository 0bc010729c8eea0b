"""Variable: a value that changes, with an identity that gradients and saving refer to.

The raw array is replaced, never written to, by `assign`; an optimizer's fused update may write
in place when `owned` says that nobody else holds the array.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .array_module import beside, is_on_device, place_of
from .context import current, init_scope, placing, recording
from .convert import register_conversion, to_tensor
from .devices import HOST
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .scopes import scoped
from .string_array import StringArray
from .tensor import Reference, Tensor, _shown, is_symbolic
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

if TYPE_CHECKING:
    from .operator_types import Operators
else:
    Operators = object

__all__ = ["Variable"]

_serial = itertools.count().__next__


def _read_impl(*, variable: Variable) -> Any:
    return variable._value


def _read_shape(*, variable: Variable) -> TensorSpec:
    return TensorSpec(variable.shape, variable.dtype)


ReadVariableOp = Primitive(
    "ReadVariableOp",
    "",
    impl=_read_impl,
    shape=_read_shape,
    stateful=True,
    batch=lambda ctx, *, variable: ReadVariableOp(variable=variable),
)


def _assign_impl(value: Any, *, variable: Variable) -> Any:
    variable._set(value)
    return value


def _assign_shape(value: Any, *, variable: Variable) -> TensorSpec:
    if not variable.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"Cannot assign value to variable '{variable.name}': Shape mismatch. The "
            "variable shape "
            f"{variable.shape}, and the assigned value shape {value.shape} are incompatible."
        )
    return TensorSpec(value.shape, value.dtype)


AssignVariableOp = Primitive(
    "AssignVariableOp", "value: dtype", impl=_assign_impl, shape=_assign_shape, stateful=True
)


class Variable(Operators):
    """A tensor that can be assigned to.

    Args:
        initial_value: value, or a function without arguments that makes it.
        trainable: whether gradient tapes watch it by themselves.
        name: for messages and files; ``"Variable"`` by default.
        dtype: dtype to convert the value to.
        shape: allowed shape, if wider than the value's.
        synchronization, aggregation: when and how replicas' copies of it are combined: a
            `VariableSynchronization` and a `VariableAggregation`.

    >>> v = Variable(1.0); v.assign_add(2.0).numpy()
    np.float32(3.0)
    """

    _is_headrace_value = True
    __array_priority__ = 100

    def __new__(cls, *args: Any, **kwargs: Any) -> Variable:
        """Under a strategy of several replicas, a variable of its kind."""
        strategy = current.variables
        if cls is Variable and strategy is not None:
            return object.__new__(strategy.extended.variable_class(kwargs))
        return object.__new__(cls)

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool | None = None,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: str | None = None,
        variable_def: Any = None,
        dtype: Any = None,
        import_scope: Any = None,
        constraint: Any = None,
        synchronization: Any = None,
        aggregation: Any = None,
        shape: Any = None,
    ):
        if initial_value is None:
            raise ValueError("The `initial_value` arg to Variable is required, got None.")
        with init_scope():
            value = initial_value() if callable(initial_value) else initial_value
            if is_symbolic(value):
                raise ValueError(
                    "A Variable's initial_value must be known when it is made; inside a "
                    "traced function "
                    "pass a callable that makes it."
                )
            tensor = to_tensor(value, None if dtype is None else as_dtype(dtype))
        raw = tensor._value
        if placing.on:
            raw = placing.value(raw)
        # The variable owns its array: an optimizer may write into it.
        with beside(raw):
            self._value = raw if isinstance(raw, StringArray) else raw.copy()
        self._dtype = tensor.dtype
        self._shape = tensor.shape if shape is None else TensorShape(shape)
        self._trainable = True if trainable is None else bool(trainable)
        self._name = scoped(name or "Variable")
        self.constraint = constraint
        self.synchronization = synchronization
        self.aggregation = aggregation
        self._serial = _serial()

    # -- description ----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name with TensorFlow's output suffix, e.g. ``"kernel:0"``."""
        return self._name if ":" in self._name else f"{self._name}:0"

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self._dtype

    @property
    def shape(self) -> TensorShape:
        """The allowed shape."""
        return self._shape

    @property
    def ndim(self) -> int | None:
        """Number of axes."""
        return self._shape.rank

    @property
    def trainable(self) -> bool:
        """Whether gradient tapes watch it by themselves."""
        return self._trainable

    @property
    def device(self) -> str:
        """Where the value lies."""
        return Tensor.of(self._value).device

    def get_shape(self) -> TensorShape:
        """The allowed shape."""
        return self._shape

    def ref(self) -> Any:
        """A hashable reference, for sets and dictionaries."""
        return Reference(self)

    def __hash__(self) -> int:
        raise TypeError("Variable is unhashable. Instead, use variable.ref() as the key.")

    # -- reading --------------------------------------------------------------------------

    def read_value(self) -> Tensor:
        """The value now, as a tensor; gradients flow through it."""
        if not recording.count:
            return Tensor.of(self._value)
        out = ReadVariableOp.call_flat((), {"variable": self})
        for tape in current.tapes:
            tape.record_read(self, out)
        return out

    value = read_value

    def numpy(self) -> Any:
        """The value as a new NumPy array."""
        return Tensor.of(self._value).numpy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.read_value().__array__(dtype, copy)

    def __getitem__(self, key: Any) -> Tensor:
        return self.read_value()[key]

    def __len__(self) -> int:
        return len(Tensor.of(self._value))

    def __iter__(self) -> Any:
        return iter(self.read_value())

    def __bool__(self) -> bool:
        return bool(self.read_value())

    def __int__(self) -> int:
        return int(self.read_value())

    def __float__(self) -> float:
        return float(self.read_value())

    def __index__(self) -> int:
        return self.read_value().__index__()

    # -- writing --------------------------------------------------------------------------

    def assign(
        self, value: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Replace the value; returns the variable (inside a trace, the new value).

        Raises:
            ValueError: the shape does not fit.
        """
        tensor = to_tensor(value, self._dtype)
        out = AssignVariableOp.call_flat((tensor,), {"variable": self})
        return self if current.trace is None else out

    def assign_add(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Add `delta` to the value."""
        return self.assign(self.read_value() + to_tensor(delta, self._dtype))

    def assign_sub(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Subtract `delta` from the value."""
        return self.assign(self.read_value() - to_tensor(delta, self._dtype))

    def _set(self, raw: Any) -> None:
        """Take over a raw array as the value; the shape rule of assignment applies."""
        if not self._shape.is_compatible_with(raw.shape):
            raise InvalidArgumentError(
                f"Cannot assign value to variable '{self.name}': Shape mismatch. The "
                "variable shape "
                f"{self._shape}, and the assigned value shape {TensorShape(raw.shape)} "
                "are incompatible."
            )
        if isinstance(raw, np.generic):
            raw = np.asarray(raw)
        if current.replica is not None:
            current.replica.check_variable(self)
        if placing.on:  # a variable stays on the device it was made on
            have = self._value
            raw = placing.value(raw, place_of(have) if is_on_device(have) else HOST)
        self._value = raw

    def owned(self) -> Any:
        """The raw array for an update in place: the value itself if nobody else holds it, else
        a fresh copy that becomes the value first."""
        if current.replica is not None:
            current.replica.check_variable(self)
        value = self._value
        # References: self._value, the local name, getrefcount's argument.  A read-only view or
        # a buffer that belongs to something else may never be written.
        writeable = is_on_device(value) or value.flags.writeable
        if sys.getrefcount(value) > 3 or not writeable or value.base is not None:
            with beside(value):
                value = value.copy()
            self._value = value
        return value

    def __repr__(self) -> str:
        return (
            f"<hr.Variable '{self.name}' shape={self.shape} dtype={self.dtype.name}, "
            f"numpy={_shown(self.numpy())}>"
        )

    def __deepcopy__(self, memo: Any) -> Variable:
        return Variable(
            Tensor.of(self._value),
            self._trainable,
            name=self._name,
            dtype=self._dtype,
            shape=self._shape,
        )


def _variable_to_tensor(variable: Variable, dtype: DType | None) -> Tensor:
    tensor = variable.read_value()
    if dtype is not None and tensor.dtype is not dtype:
        raise ValueError(
            f"Tensor conversion requested dtype {dtype.name} for Variable "
            f"'{variable.name}' with "
            f"dtype {tensor.dtype.name}"
        )
    return tensor


register_conversion(Variable, _variable_to_tensor)
