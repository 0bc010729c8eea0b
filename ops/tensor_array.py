"""TensorArray: an array of tensors that loops read and write.

It holds a list (`tensor_list`), its `flow`.  In a trace it is a value: writing gives another
array.  Eagerly it is TensorFlow's: writing also changes the array itself, and by default
reading an element clears it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .composite import Composite, CompositeSpec
from .context import current
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError, OutOfRangeError
from .graph.graph import constant_value
from .tensor import Tensor
from .tensor_list import (
    LIST,
    TensorListConcat,
    TensorListFromTensor,
    TensorListGather,
    TensorListGetItem,
    TensorListLength,
    TensorListReserve,
    TensorListScatter,
    TensorListSetItem,
    TensorListSplit,
    TensorListStack,
)
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["TensorArray", "TensorArraySpec"]


class TensorArraySpec(CompositeSpec):
    """The spec of a `TensorArray`: dtype and shape of its elements."""

    __slots__ = ("dtype", "dynamic_size", "element_shape", "infer_shape")

    def __init__(
        self,
        element_shape: Any = None,
        dtype: Any = dtypes.float32,
        dynamic_size: bool = False,
        infer_shape: bool = True,
    ):
        self.element_shape = TensorShape(element_shape)
        self.dtype = as_dtype(dtype)
        self.dynamic_size = dynamic_size
        self.infer_shape = infer_shape

    def component_specs(self) -> tuple[TensorSpec, ...]:
        """The flow's spec."""
        return (LIST,)

    def from_components(self, parts: list[Any]) -> TensorArray:
        """The array with the given flow."""
        return TensorArray(
            self.dtype,
            flow=parts[0],
            dynamic_size=self.dynamic_size,
            infer_shape=self.infer_shape,
            element_shape=self.element_shape,
        )

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` is an array (or a spec of one) of this dtype and a fitting shape."""
        spec = value if isinstance(value, TensorArraySpec) else getattr(value, "_type_spec", 0)
        return (
            isinstance(spec, TensorArraySpec)
            and spec.dtype is self.dtype
            and self.element_shape.is_compatible_with(spec.element_shape)
        )

    def most_specific_common_supertype(self, others: Any) -> TensorArraySpec | None:
        """The narrowest spec of this and all `others`, or None."""
        shape = self.element_shape
        for other in others:
            if not isinstance(other, TensorArraySpec) or other.dtype is not self.dtype:
                return None
            shape = shape.most_general(other.element_shape)
        return TensorArraySpec(shape, self.dtype, self.dynamic_size, self.infer_shape)

    def _key(self) -> tuple[Any, ...]:
        return self.element_shape, self.dtype, self.dynamic_size, self.infer_shape

    def __repr__(self) -> str:
        return f"TensorArraySpec({self.element_shape}, {self.dtype!r}, {self.dynamic_size})"


class TensorArray(Composite):
    """An array of tensors of one dtype, written and read by index, for loops.

    Use what `write`, `scatter`, `unstack` and `split` return: inside a traced function they
    do not change the array they are called on.

    Args:
        dtype: of the elements.
        size: number of elements; 0 by default.
        dynamic_size: writing past the end makes the array longer.
        clear_after_read: eagerly, an element can be read once (the default).
        infer_shape: all elements have the first one's shape.
        element_shape: the elements' shape, if known.

    >>> ta = TensorArray(dtypes.float32, size=2)
    >>> ta.write(0, 1.5).write(1, 2.5).stack().numpy()
    array([1.5, 2.5], dtype=float32)
    """

    __slots__ = (
        "__weakref__",
        "_clear",
        "_dtype",
        "_dynamic",
        "_element_shape",
        "_flow",
        "_infer",
        "_read",
    )  # fmt: skip

    def __init__(
        self,
        dtype: Any,
        size: Any = None,
        dynamic_size: bool | None = None,
        clear_after_read: bool | None = None,
        tensor_array_name: str | None = None,
        handle: Any = None,
        flow: Any = None,
        infer_shape: bool = True,
        element_shape: Any = None,
        colocate_with_first_write_call: bool = True,
        name: str | None = None,
    ):
        if flow is not None and size is not None:
            raise ValueError("Cannot provide both a `flow` and `size`")
        self._dtype = as_dtype(dtype)
        self._dynamic = bool(dynamic_size)
        self._clear = True if clear_after_read is None else bool(clear_after_read)
        self._infer = bool(infer_shape)
        self._element_shape = TensorShape(element_shape)
        self._read: set[int] = set()
        if flow is None:
            n = to_tensor(0 if size is None else size, None)
            if n.dtype is not dtypes.int32:
                from .array_basics import cast

                n = cast(n, dtypes.int32)
            flow = TensorListReserve.call_flat((n,), {})
        self._flow = flow

    # -- description ----------------------------------------------------------------------

    @property
    def flow(self) -> Tensor:
        """The list inside, a scalar of dtype variant."""
        return self._flow

    @property
    def dtype(self) -> DType:
        """The elements' dtype."""
        return self._dtype

    @property
    def dynamic_size(self) -> bool:
        """Whether writing past the end makes the array longer."""
        return self._dynamic

    @property
    def element_shape(self) -> TensorShape:
        """What is known of the elements' shape."""
        return self._element_shape

    @property
    def handle(self) -> None:
        """None: there is no resource behind the array."""
        return None

    def _components(self) -> tuple[Tensor, ...]:
        return (self._flow,)

    @property
    def _type_spec(self) -> TensorArraySpec:
        return TensorArraySpec(self._element_shape, self._dtype, self._dynamic, self._infer)

    def size(self, name: str | None = None) -> Tensor:
        """The number of elements, int32."""
        return TensorListLength.call_flat((self._flow,), {})

    def identity(self) -> TensorArray:
        """The array itself."""
        return self

    def close(self, name: str | None = None) -> None:
        """Does nothing: memory goes with the last reference."""

    def grad(self, source: Any, flow: Any = None, name: str | None = None) -> Any:
        """Not available: tapes differentiate through the array's operations by themselves.

        Raises:
            NotImplementedError: always, as in eager TensorFlow.
        """
        raise NotImplementedError(
            "TensorArray.grad is not supported: hr.GradientTape differentiates through write, "
            "read, stack and the like without it."
        )

    # -- one element ----------------------------------------------------------------------

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """The array with `value` at `index`.

        Raises:
            OutOfRangeError: there is no such index and the size is not dynamic.
            InvalidArgumentError: `value` has another dtype.
            ValueError: `value` has another shape than the elements.
        """
        value = self._convert(value)
        if current.trace is None:
            k, n = int(index), int(self.size())
            if k < 0:
                raise OutOfRangeError(
                    f"Writing to negative indices (index {k}) is not allowed."
                )
            if k >= n and not self._dynamic:
                raise OutOfRangeError(
                    f"Tried to write to index {k} but array is not resizeable and size is: {n}"
                )
            self._read.discard(k)
        shape = self._merged(value.shape)
        attrs = {"grow": True} if self._dynamic else {}
        flow = TensorListSetItem.call_flat((self._flow, _index(index), value), attrs)
        return self._with(flow, shape)

    def read(self, index: Any, name: str | None = None) -> Tensor:
        """The element at `index`; zeros if it was never written and its shape is known.

        Raises:
            OutOfRangeError: there is no such element.
            InvalidArgumentError: it was cleared by an earlier read.
        """
        if current.trace is None:
            k, n = int(index), int(self.size())
            if k < 0:
                raise OutOfRangeError(
                    f"Reading from negative indices (index {k}) is not allowed."
                )
            if k >= n:
                raise OutOfRangeError(f"Tried to read from index {k} but array size is: {n}")
            if self._clear:
                if k in self._read:
                    raise InvalidArgumentError(
                        f"Could not read index {k} twice because it was cleared after a "
                        "previous read (perhaps try setting clear_after_read = false?)"
                    )
                self._read.add(k)
        return TensorListGetItem.call_flat((self._flow, _index(index)), {"spec": self._spec})

    # -- all elements ---------------------------------------------------------------------

    def stack(self, name: str | None = None) -> Tensor:
        """All elements as one tensor, ``[size, *element]``."""
        return TensorListStack.call_flat((self._flow,), {"spec": self._spec})

    def gather(self, indices: Any, name: str | None = None) -> Tensor:
        """The elements at `indices` as one tensor."""
        indices = _ints(indices, dtypes.int32)
        return TensorListGather.call_flat((self._flow, indices), {"spec": self._spec})

    def concat(self, name: str | None = None) -> Tensor:
        """All elements joined along their first axis."""
        return TensorListConcat.call_flat((self._flow,), {"spec": self._spec})[0]

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """The array whose elements are the rows of `value`.

        Raises:
            ValueError: there are more or fewer than the array's size, which is not dynamic.
        """
        value = self._convert(value)
        rows = value.shape[0] if value.shape.rank else None
        size = constant_value(self.size()) if current.trace is None else None
        if size is not None and not self._dynamic and rows != int(size):
            raise ValueError(
                f"Cannot unstack {rows} tensors into a TensorArray of static size {int(size)}"
            )
        shape = self._merged(value.shape[1:])
        return self._with(TensorListFromTensor.call_flat((value,), {}), shape)

    def scatter(self, indices: Any, value: Any, name: str | None = None) -> TensorArray:
        """The array with the rows of `value` at `indices`."""
        value = self._convert(value)
        indices = _ints(indices, dtypes.int32)
        if current.trace is None and not self._dynamic:
            n = int(self.size())
            for k in np.asarray(indices._value).tolist():
                if k >= n:
                    raise OutOfRangeError(
                        f"Tried to write to index {k} but array is not resizeable and size "
                        f"is: {n}"
                    )
        shape = self._merged(value.shape[1:])
        flow = TensorListScatter.call_flat((self._flow, indices, value), {"add": False})
        return self._with(flow, shape)

    def split(self, value: Any, lengths: Any, name: str | None = None) -> TensorArray:
        """The array whose elements are consecutive parts of `value`, of the given lengths."""
        value = self._convert(value)
        lengths = _ints(lengths, dtypes.int64)
        if current.trace is None and not self._dynamic:
            n, size = lengths.shape[0], int(self.size())
            if n != size:
                raise ValueError(
                    f"TensorArray's size is not equal to the size of lengths ({size} vs. {n}), "
                    "and the TensorArray is not marked as dynamically resizable."
                )
        shape = self._element_shape
        return self._with(TensorListSplit.call_flat((value, lengths), {}), shape)

    # -- inside ---------------------------------------------------------------------------

    @property
    def _spec(self) -> TensorSpec:
        return TensorSpec(self._element_shape, self._dtype)

    def _convert(self, value: Any) -> Tensor:
        try:
            value = to_tensor(value, None if isinstance(value, Tensor) else self._dtype)
        except (TypeError, ValueError):
            value = to_tensor(value, None)
        if value.dtype is not self._dtype:
            raise InvalidArgumentError(
                f"TensorArray dtype is {self._dtype.name} but Op is trying to write dtype "
                f"{value.dtype.name}"
            )
        return value

    def _merged(self, shape: TensorShape) -> TensorShape:
        if not self._element_shape.is_compatible_with(shape):
            raise ValueError(
                f"Incompatible shape for value ({shape}), expected ({self._element_shape})"
            )
        return self._element_shape.merge_with(shape) if self._infer else self._element_shape

    def _with(self, flow: Any, shape: TensorShape) -> TensorArray:
        if current.trace is None:
            self._flow, self._element_shape = flow, shape
            return self
        made = TensorArray(self._dtype, flow=flow, dynamic_size=self._dynamic,
                           clear_after_read=self._clear, infer_shape=self._infer,
                           element_shape=shape)  # fmt: skip
        return made

    def __repr__(self) -> str:
        return f"<hr.TensorArray dtype={self._dtype.name} element_shape={self._element_shape}>"


def _index(index: Any) -> Tensor:
    return _ints(index, dtypes.int32)


def _ints(value: Any, dtype: DType) -> Tensor:
    value = to_tensor(value, None)
    if value.dtype is dtype:
        return value
    from .array_basics import cast

    return cast(value, dtype)
