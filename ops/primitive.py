"""Primitive: one operation's definition, and the dispatch of a call to it.

A primitive bears the name of the TensorFlow raw op it stands for and holds, in one place,

* ``inputs``: its signature in OpDef's spirit, e.g. ``"x: T, y: T"``; a letter group such as
  ``T`` is a dtype the inputs share, a dtype name (``int32``) fixes one, ``values: N * T`` is a
  list of tensors, which `impl`, `shape`, `vjp` and `batch` then receive flat;
* ``impl(*arrays, **attrs)``: raw arrays to a raw array, or a tuple where there are several
  outputs; written once for NumPy and CuPy;
* ``shape(*tensors, **attrs)``: the output's `TensorSpec` (or a tuple of them) with the errors
  a user sees; the tensors may be symbolic;
* ``vjp(op, *grads)``: gradients of the inputs (None where there is none), written in ops;
* ``batch(ctx, *tensors, **attrs)``: how it runs when a leading block axis is added to the
  inputs that ``ctx.batched`` marks.

A call goes one of three ways: eagerly (always, unless something records), into the trace
under way if an input is symbolic or the primitive is stateful, and besides onto every active
tape.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from . import dtypes
from .context import current, placing, recording
from .convert import to_tensor
from .dtypes import DType
from .errors import DTypeMismatchError, InvalidArgumentError, OpError, UnimplementedError
from .numerics import checking, checks
from .profiling import now_ns, profiling
from .quiet import quiet, quietly
from .tensor import SymbolicTensor, Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .user_line import user_place

__all__ = ["REGISTRY", "Op", "Primitive", "get_primitive"]

REGISTRY: dict[str, Primitive] = {}
_Form = TypeVar("_Form", bound=Callable[..., Any])

_ARG = re.compile(r"\s*(\w+)\s*:\s*(?:(\w+)\s*\*\s*)?(\w+)\s*$")
_DTYPE_NAMES = {t.name for t in dtypes.ALL}


class _Arg:
    """One input of a signature."""

    __slots__ = ("dtype", "group", "length", "name")

    def __init__(self, text: str):
        match = _ARG.match(text)
        assert match, f"bad input declaration {text!r}"
        self.name, self.length, kind = match.groups()
        self.dtype = dtypes.as_dtype(kind) if kind in _DTYPE_NAMES else None
        self.group = None if self.dtype else kind


class Op:
    """One call of a primitive, as a tape or a gradient rule sees it.

    Attributes:
        primitive, inputs, outputs, attrs: what was called, with what, giving what.
        needs: for each input, whether its gradient is asked for; a rule may give None for the
            others.  None means all.
    """

    __slots__ = ("attrs", "inputs", "needs", "outputs", "primitive")

    def __init__(self, primitive: Primitive, inputs: tuple[Any, ...], attrs: dict[str, Any],
                 outputs: tuple[Tensor, ...]):  # fmt: skip
        self.primitive = primitive
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        self.needs: tuple[bool, ...] | None = None

    def get_attr(self, name: str) -> Any:
        """The attribute `name`."""
        return self.attrs[name]

    @property
    def type(self) -> str:
        """The primitive's name."""
        return self.primitive.name


class Primitive:
    """An operation.  See the module's text for the parts.

    Args:
        name: TensorFlow's raw op name.
        inputs: input signature.
        impl, shape, vjp, batch: the four readings; a missing `vjp` or `batch` raises an error
            that names the primitive when it is asked for.
        types: allowed dtypes per group, e.g. ``{"T": FLOATS}``; all where absent.
        stateful: it reads or changes something beside its inputs, so that a trace must keep it.
        check_first: run `shape` before `impl` in eager mode too, for operations whose array
            form is more lenient than TensorFlow.
        elementwise: a scalar expression in a, b, c... for fused kernels, e.g. ``"a + b"``.
        random: its result depends on a position in a random stream.
        partial_grads: `vjp` takes None for outputs that nothing was computed from; otherwise
            it gets zeros for them.
        defaults: attributes that a call by names (`raw`) may leave out; their classes say what
            is made of the values it gives.

    Attributes:
        overrides: array forms in front of `impl`, by the kind of arrays: "cpu" and "gpu".
        host: the array form for NumPy arrays: `impl`, unless there is an override.
        checks: it is stateful only in that it may raise: it stays in a graph that nothing reads
            it in, but runs in any order and on blocks.
    """

    checks = False

    def __init__(
        self,
        name: str,
        inputs: str,
        *,
        impl: Callable[..., Any],
        shape: Callable[..., Any],
        vjp: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        types: dict[str, tuple[DType, ...]] | None = None,
        stateful: bool = False,
        check_first: bool = False,
        elementwise: str | None = None,
        random: bool = False,
        partial_grads: bool = False,
        defaults: dict[str, Any] | None = None,
    ):
        assert name not in REGISTRY, f"primitive {name} is declared twice"
        self.name = name
        self.args = tuple(_Arg(part) for part in inputs.split(",")) if inputs.strip() else ()
        self.impl = impl
        self.shape = shape
        self.vjp = vjp
        self.batch = batch
        self.types = types or {}
        self.stateful = stateful
        self.check_first = check_first
        self.elementwise = elementwise
        self.random = random
        self.partial_grads = partial_grads
        self.defaults = defaults or {}
        self.overrides: dict[str, Callable[..., Any]] = {}
        self.host = impl
        groups = {a.group for a in self.args}
        self._one_group = (
            len(groups) == 1
            and None not in groups
            and not check_first
            and not stateful
            and all(a.length is None for a in self.args)
        )
        # The NumPy dtypes the fast path takes; None for all.
        found = self.types.get(next(iter(groups))) if self._one_group else None
        self._np_dtypes = None if found is None else frozenset(t.np_dtype for t in found)
        self._seen: Any = None
        self._has_list = any(a.length for a in self.args)
        self.__doc__ = shape.__doc__
        self.__name__ = name
        REGISTRY[name] = self

    # -- calling --------------------------------------------------------------------------

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        """Call with the inputs in order and attributes by keyword; tensors come back."""
        if self._one_group and not recording.count and not placing.on:
            # The eager fast path: tensors of one dtype and nothing that records.
            arrays = _arrays_of_one_dtype(args)
            if arrays is not None and len(arrays) == len(self.args):
                dtype = arrays[0].dtype
                if dtype is self._seen or self._takes(dtype):
                    try:
                        out = quiet.run(self.host, *arrays, **attrs)
                    except Exception as e:
                        tensors = tuple(Tensor.of(a) for a in arrays)
                        if type(e) is RuntimeError and "cannot enter context" in str(e):
                            return self._dispatch(tensors, attrs)  # called by another impl
                        self._explain(e, tensors, attrs)
                    if type(out) is np.ndarray:
                        return Tensor.of(out)
                    return wrap(out)
        return self._dispatch(self._convert(args), attrs)

    def _takes(self, dtype: np.dtype) -> bool:
        """Whether the fast path takes inputs of `dtype`; the last such one is remembered."""
        if self._np_dtypes is not None and dtype not in self._np_dtypes:
            return False
        self._seen = dtype
        return True

    def call_flat(self, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Call with inputs that are tensors of the right dtypes already, lists flattened."""
        return self._dispatch(tensors, attrs)

    def _dispatch(self, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        trace = current.trace
        if trace is not None and (
            self.stateful or any(type(t) is SymbolicTensor for t in tensors)
        ):
            outputs = trace.add(self, tensors, attrs)
            single = len(outputs) == 1 and not trace.is_tuple(self, outputs)
            result = outputs[0] if single else outputs
        else:
            for t in tensors:
                if type(t) is SymbolicTensor:
                    raise TypeError(
                        f"{self.name} received {t!r}, which belongs to a function that "
                        "has been "
                        f"traced already. Return it from that function instead of keeping it "
                        f"in a variable outside."
                    )
            if self.check_first:
                self.checked_shape(tensors, attrs)
            began = now_ns() if profiling.on else 0
            try:
                if placing.on:
                    arrays = tuple([t._value for t in tensors])
                    result = wrap(quietly(placing.run, self, arrays, attrs))
                elif self.stateful:
                    # It may run user code, which sees the caller's floating-point settings.
                    result = wrap(self.host(*[t._value for t in tensors], **attrs))
                else:
                    result = wrap(quietly(self.host, *[t._value for t in tensors], **attrs))
            except Exception as e:
                self._explain(e, tensors, attrs)
            if began:
                profiling.add(f"{self.name}:{self.name}", began)
            outputs = result if type(result) is tuple else (result,)
            if checking.on:
                inputs = tuple(t._value for t in tensors)
                checks(self.name, inputs, tuple(t._value for t in outputs), user_place())
        if current.tapes:
            op = None
            for tape in current.tapes:
                if tape.wants(tensors):
                    op = op or Op(self, tensors, attrs, outputs)
                    tape.record(op)
        return result

    def _convert(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Tensors of agreeing dtypes from whatever was passed, lists flattened."""
        if len(args) != len(self.args):
            raise TypeError(f"{self.name} takes {len(self.args)} inputs, got {len(args)}")
        try:
            return self._converted(args)
        except OpError as error:
            error.locate(self.name, "", user_place())
            raise

    def _converted(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        groups: dict[str, DType] = {}
        for spec, arg in zip(self.args, args, strict=True):
            if spec.group is not None and spec.group not in groups:
                for a in arg if spec.length and isinstance(arg, (list, tuple)) else (arg,):
                    have = _known_dtype(a)
                    if have is not None:
                        groups[spec.group] = have
                        break
        out: list[Tensor] = []
        for spec, arg in zip(self.args, args, strict=True):
            if spec.length:
                if not isinstance(arg, (list, tuple)):
                    arg = [arg]
                for a in arg:
                    out.append(self._convert_one(spec, a, groups, len(out)))
            else:
                out.append(self._convert_one(spec, arg, groups, len(out)))
        return tuple(out)

    def _convert_one(
        self, spec: _Arg, arg: Any, groups: dict[str, DType], position: int
    ) -> Tensor:
        group = spec.group
        want = spec.dtype if group is None else groups.get(group)
        if isinstance(arg, Tensor):
            tensor = arg
        else:
            try:
                tensor = to_tensor(arg, want)
            except (TypeError, ValueError):
                if want is None or not _convertible(arg):
                    raise
                tensor = to_tensor(arg, None)
                if tensor.dtype is want:
                    raise
        have = tensor.dtype
        if want is not None and have is not want:
            raise DTypeMismatchError(
                f"cannot compute {self.name} as input #{position}(zero-based) was "
                f"expected to be a {_c_name(want)} tensor but is a {_c_name(have)} tensor "
                f"[Op:{self.name}] "
                f"(input {spec.name!r}; use hr.cast to change a dtype)",
                op=self.name,
            )
        if group is not None:
            if group not in groups:
                groups[group] = have
            allowed = self.types.get(group)
            if allowed is not None and have not in allowed:
                raise InvalidArgumentError(
                    f"Value for attr '{group}' of {_c_name(have)} is not in the list of "
                    f"allowed values: {', '.join(_c_name(t) for t in allowed)} "
                    f"[Op:{self.name}] (input {spec.name!r})",
                    op=self.name,
                )
        return tensor

    def _explain(
        self, error: Exception, tensors: tuple[Any, ...], attrs: dict[str, Any]
    ) -> None:
        """Raise `error` as the user should see it: the shape rule's text if it has one."""
        try:
            if isinstance(error, OpError):
                error.locate(self.name, "", user_place())
                raise error
            self.checked_shape(tensors, attrs)
            if isinstance(error, (ValueError, IndexError, TypeError, ArithmeticError)):
                shown = ", ".join(f"{t.dtype.name}{t.shape}" for t in tensors)
                found = InvalidArgumentError(
                    f"{error} [Op:{self.name}] (inputs: {shown})", op=self.name
                )
                found.locate(self.name, "", user_place())
                raise found from error
            raise error
        finally:
            # Or they and this frame, which their tracebacks know, would keep each other alive.
            error = found = None  # type: ignore[assignment]

    def checked_shape(self, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """What `shape` gives; its errors name the user's line."""
        try:
            return self.shape(*tensors, **attrs)
        except OpError as error:
            error.locate(self.name, "", user_place())
            raise

    # -- readings -------------------------------------------------------------------------

    def override(self, kind: str) -> Callable[[_Form], _Form]:
        """A decorator: an array form for arrays of `kind`, "gpu" or "cpu".

        It is called as `impl` is.  For calls that are not its own it returns NotImplemented,
        and the form registered before it is taken, at last `impl`.
        """
        assert kind in ("cpu", "gpu"), f"arrays are of kind cpu or gpu, not {kind!r}"

        def register(form: _Form) -> _Form:
            rest = self.form(kind)

            def first(*arrays: Any, **attrs: Any) -> Any:
                out = form(*arrays, **attrs)
                return rest(*arrays, **attrs) if out is NotImplemented else out

            self.overrides[kind] = first
            if kind == "cpu":
                self.host = first
            return form

        return register

    def form(self, kind: str) -> Callable[..., Any]:
        """The array form for arrays of `kind`, "gpu" or "cpu"."""
        return self.overrides.get(kind, self.impl)

    def kernel(self, attrs: dict[str, Any], kind: str = "cpu") -> Callable[..., Any]:
        """The array form for `kind` with the attributes filled in."""
        form = self.form(kind)
        return functools.partial(form, **attrs) if attrs else form

    def specs(self, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[TensorSpec, ...]:
        """The outputs' specs, always as a tuple."""
        found = self.shape(*tensors, **attrs)
        return found if type(found) is tuple else (found,)

    def gradient(self, op: Op, grads: list[Any]) -> tuple[Any, ...]:
        """Gradients of the inputs, given those of the outputs."""
        if self.vjp is None:
            raise LookupError(
                f"gradient registry has no entry for: {self.name}. The primitive has no "
                "vjp rule; "
                f"wrap the value in hr.stop_gradient if no gradient should flow."
            )
        found = self.vjp(op, *grads)
        if type(found) is list:
            return tuple(found)
        return found if type(found) is tuple else (found,)

    def batched(self, ctx: Any, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """The batch rule's result."""
        if self.batch is None:
            raise UnimplementedError(f"primitive {self.name} has no batch rule", op=self.name)
        return self.batch(ctx, *tensors, **attrs)

    def raw(self, **kwargs: Any) -> Any:
        """Call by names, as in `raw_ops`: inputs and attributes are keywords."""
        kwargs.pop("name", None)
        try:
            inputs = [kwargs.pop(a.name) for a in self.args]
        except KeyError as e:
            raise TypeError(f"{self.name}() missing required argument: {e}") from None
        attrs = {k: _as_attr(v, self.defaults.get(k)) for k, v in kwargs.items()}
        return self(*inputs, **{**self.defaults, **attrs})

    def __repr__(self) -> str:
        return f"<Primitive {self.name}>"


def _arrays_of_one_dtype(args: tuple[Any, ...]) -> Any:
    """The arrays of eager tensors of one dtype, Python numbers beside them converted to it;
    None where it takes more than that."""
    if len(args) == 2:
        x, y = args
        if type(x) is Tensor:
            p = x._value
            dtype = p.dtype
            if type(y) is Tensor:
                q = y._value
                return (p, q) if q.dtype is dtype or q.dtype == dtype else None
            q = _number_beside(y, dtype)
            return None if q is None else (p, q)
        if type(y) is Tensor:
            q = y._value
            p = _number_beside(x, q.dtype)
            return None if p is None else (p, q)
        return None
    arrays = []
    dtype = None
    for a in args:
        if type(a) is not Tensor:
            return None
        value = a._value
        if dtype is None:
            dtype = value.dtype
        elif value.dtype is not dtype and value.dtype != dtype:
            return None
        arrays.append(value)
    return arrays or None


def _number_beside(value: Any, dtype: np.dtype) -> Any:
    """A Python number as an array of `dtype`, None where that is not plainly right."""
    if type(value) is float:
        if dtype.kind != "f":
            return None
    elif type(value) is not int or dtype.kind not in "fiu":
        return None
    try:
        return quiet.run(np.array, value, dtype)
    except (OverflowError, RuntimeError):
        return None


def _as_attr(value: Any, default: Any) -> Any:
    """An attribute of a call by names as primitives keep it: hashable, of a known class."""
    if isinstance(default, DType):
        return dtypes.as_dtype(value)
    if isinstance(default, TensorShape):
        return TensorShape(value)
    if isinstance(value, list) or isinstance(default, tuple):
        return tuple(np.asarray(value).reshape(-1).tolist())
    return value


def wrap(out: Any) -> Any:
    """Raw results as eager tensors; NumPy scalars become arrays without axes."""
    if type(out) is np.ndarray:
        return Tensor.of(out)
    if type(out) is tuple:
        return tuple(wrap(o) for o in out)
    if isinstance(out, np.generic):
        return Tensor.of(np.asarray(out))
    return Tensor.of(out)


def get_primitive(name: str) -> Primitive:
    """The primitive called `name`.

    Raises:
        LookupError: there is none.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise LookupError(f"There is no primitive called {name!r}.") from None


def _known_dtype(value: Any) -> DType | None:
    """The dtype of a tensor or variable; None for values that can still take one."""
    if isinstance(value, Tensor) or getattr(value, "_is_headrace_value", False):
        return value.dtype
    return None


def _convertible(value: Any) -> bool:
    kinds = (int, float, complex, str, bytes, list, tuple, np.ndarray, np.generic)
    return isinstance(value, kinds)


_C_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def _c_name(dtype: DType) -> str:
    """TensorFlow's C++ name of a dtype, as its messages show it."""
    return _C_NAMES.get(dtype.name, dtype.name)
