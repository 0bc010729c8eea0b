"""hr.debugging: checks that hold in traced functions too.

A check whose outcome is known while tracing raises at once, as eagerly; others become nodes
that check whenever the graph runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import rank as rank_of
from .composite import Composite
from .context import current
from .convert import to_tensor
from .debugging_ops import Assert, summarized
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import same
from .tensor import SymbolicTensor, Tensor
from .tensor_shape import TensorShape
from .variable import Variable

__all__ = [
    "assert_all_finite", "assert_equal", "assert_greater", "assert_greater_equal",
    "assert_integer", "assert_less", "assert_less_equal", "assert_near", "assert_negative",
    "assert_non_negative", "assert_non_positive", "assert_none_equal", "assert_positive",
    "assert_proper_iterable", "assert_rank", "assert_rank_at_least", "assert_rank_in",
    "assert_same_float_dtype", "assert_scalar", "assert_shapes", "assert_type",
    "check_numerics", "is_numeric_tensor",
]  # fmt: skip


def _pair(name: str, holds: Callable[[Any, Any], Any], sign: str, words: str) -> Any:
    def check(
        x: Any, y: Any, message: str | None = None, summarize: int | None = None,
        name: str | None = None,
    ) -> None:  # fmt: skip
        a = to_tensor(x, y.dtype if isinstance(y, Tensor) and not _typed(x) else None)
        b = to_tensor(y, a.dtype if not _typed(y) else None)
        found = holds(a, b)
        if not isinstance(found, SymbolicTensor):
            if np.all(found.numpy()):
                return
            raise InvalidArgumentError(_comparison_text(a, b, found, words, message, summarize))
        data = [message or "", f"Condition x {sign} y did not hold.", "First values of x:", a,
                "First values of y:", b]  # fmt: skip
        Assert(found, data, summarize)

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"""Raise unless ``x {sign} y`` holds for all elements, broadcast.

    Args:
        x, y: tensors of one dtype.
        message: text put before the error's.
        summarize: how many elements of each to show; 3 by default.

    Raises:
        InvalidArgumentError: it does not hold; in a traced function when it runs.
    """
    return check


def _typed(value: Any) -> bool:
    return isinstance(value, (Tensor, Variable, np.ndarray, np.generic))


def _comparison_text(
    a: Any, b: Any, found: Any, words: str, message: str | None, summarize: int | None
) -> str:
    count = 3 if summarize is None else summarize
    wrong = np.argwhere(~np.broadcast_to(found.numpy(), found.shape.as_list()))
    where = f"Indices of first {min(count, len(wrong))} different values:\n{wrong[:count]}\n" \
        if words == "equal" and len(wrong) and wrong.shape[1] else ""  # fmt: skip
    return (
        f"{message or ''}\nCondition x {words} y did not hold.\n{where}"
        f"First {count} elements of x:\n[{summarized(a._value, count)}]\n"
        f"First {count} elements of y:\n[{summarized(b._value, count)}]"
    )


def _compare(op: str) -> Callable[[Any, Any], Any]:
    from . import comparison

    return getattr(comparison, op)


assert_equal = _pair("assert_equal", _compare("equal"), "==", "==")
assert_none_equal = _pair("assert_none_equal", _compare("not_equal"), "!=", "!=")
assert_less = _pair("assert_less", _compare("less"), "<", "<")
assert_less_equal = _pair("assert_less_equal", _compare("less_equal"), "<=", "<=")
assert_greater = _pair("assert_greater", _compare("greater"), ">", ">")
assert_greater_equal = _pair("assert_greater_equal", _compare("greater_equal"), ">=", ">=")


def _sign(name: str, op: str, sign: str, words: str) -> Any:
    holds = _compare(op)

    def check(
        x: Any,
        message: str | None = None,
        summarize: int | None = None,
        name: str | None = None,
    ) -> None:
        value = to_tensor(x, None)
        found = holds(value, to_tensor(0, value.dtype))
        text = message or ""
        if not isinstance(found, SymbolicTensor):
            if np.all(found.numpy()):
                return
            count = 3 if summarize is None else summarize
            raise InvalidArgumentError(
                f"{text}\nCondition x {sign} 0 did not hold element-wise: x must be {words}.\n"
                f"x = [{summarized(value._value, count)}]"
            )
        Assert(found, [text, f"Condition x {sign} 0 did not hold element-wise:", "x =", value],
               summarize)  # fmt: skip

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"""Raise unless all elements of `x` are {words}.

    Raises:
        InvalidArgumentError: one is not; in a traced function when it runs.
    """
    return check


assert_positive = _sign("assert_positive", "greater", ">", "positive")
assert_negative = _sign("assert_negative", "less", "<", "negative")
assert_non_negative = _sign("assert_non_negative", "greater_equal", ">=", "non-negative")
assert_non_positive = _sign("assert_non_positive", "less_equal", "<=", "non-positive")


def assert_near(
    x: Any, y: Any, rtol: Any = None, atol: Any = None, message: str | None = None,
    summarize: int | None = None, name: str | None = None,
) -> None:  # fmt: skip
    """Raise unless ``|x - y| <= atol + rtol * |y|`` everywhere; both tolerances are ten times
    the dtype's resolution by default.

    Raises:
        InvalidArgumentError: they differ by more.
    """
    a = to_tensor(x, None)
    b = to_tensor(y, None if _typed(y) else a.dtype)
    eps = 10 * float(np.finfo(np.float32 if a.dtype.size < 4 else a.dtype.np_dtype).eps)
    rtol = to_tensor(eps if rtol is None else rtol, None if _typed(rtol) else a.dtype)
    atol = to_tensor(eps if atol is None else atol, None if _typed(atol) else a.dtype)
    from .elementwise import abs as absolute

    found = _compare("less_equal")(absolute(a - b), atol + rtol * absolute(b))
    data = [message or "", "x and y not equal to tolerance: rtol =", rtol, "atol =", atol]
    Assert(found, [*data, "x:", a, "y:", b], summarize)


# -- dtypes and shapes ------------------------------------------------------------------------


def assert_type(
    tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None
) -> None:
    """Raise TypeError unless `tensor` is of dtype `tf_type`."""
    want = as_dtype(tf_type)
    tensor = tensor if isinstance(tensor, (Tensor, Composite)) else to_tensor(tensor, None)
    if tensor.dtype is not want:
        raise TypeError(
            f"{message or ''} tensor must be of type {want!r}; got {tensor.dtype!r}"
        )


def assert_integer(x: Any, message: str | None = None, name: str | None = None) -> None:
    """Raise TypeError unless `x` is of an integer dtype."""
    x = to_tensor(x, None)
    if not x.dtype.is_integer:
        raise TypeError(f'{message or ""} Expected "x" to be integer type. Found: {x.dtype!r}')


def assert_same_float_dtype(tensors: Any = None, dtype: Any = None) -> Any:
    """The dtype of the tensors, float32 where there is none.

    Raises:
        ValueError: they differ, or are not floating.
    """
    want = None if dtype is None else as_dtype(dtype)
    for t in tensors or ():
        have = to_tensor(t, None).dtype
        if want is None:
            want = have
        if have is not want:
            raise ValueError(f"Tensor {t!r} must be {want.name}, not {have.name}.")
    want = want or dtypes.float32
    if not want.is_floating:
        raise ValueError(f"Expected floating point type, got {want!r}.")
    return want


def is_numeric_tensor(tensor: Any) -> bool:
    """Whether `tensor` is a tensor of numbers."""
    return isinstance(tensor, Tensor) and tensor.dtype.is_numeric


def assert_proper_iterable(values: Any) -> None:
    """Raise TypeError unless `values` is an iterable other than a tensor, array or string."""
    wrong = isinstance(values, (Tensor, Composite, np.ndarray, bytes, str))
    if wrong or not hasattr(values, "__iter__"):
        raise TypeError(f'Expected argument "values" to be iterable. Found: {type(values)}')


def assert_scalar(tensor: Any, message: str | None = None, name: str | None = None) -> Any:
    """The tensor.

    Raises:
        ValueError: it has axes.
    """
    tensor = to_tensor(tensor, None)
    if tensor.shape.rank not in (0, None):
        raise ValueError(f"{message or ''}Expected scalar shape, saw shape: {tensor.shape}.")
    return tensor


def _rank_check(x: Any, ok: Callable[[int], bool], text: str, message: str | None) -> None:
    x = x if isinstance(x, Composite) else to_tensor(x, None)
    found = x.shape.rank
    if found is None:
        if current.trace is None:
            found = int(rank_of(x))
        else:
            return  # nothing is known of it until it runs
    if not ok(found):
        raise ValueError(
            f"{message or ''}. Tensor must have {text}. Received rank {found}, shape {x.shape}"
        )


def assert_rank(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> None:
    """Raise ValueError unless `x` has `rank` axes."""
    want = int(rank)
    _rank_check(x, lambda r: r == want, f"rank {want}", message)


def assert_rank_at_least(
    x: Any, rank: Any, message: str | None = None, name: str | None = None
) -> None:
    """Raise ValueError unless `x` has at least `rank` axes."""
    want = int(rank)
    _rank_check(x, lambda r: r >= want, f"rank at least {want}", message)


def assert_rank_in(
    x: Any, ranks: Any, message: str | None = None, name: str | None = None
) -> None:
    """Raise ValueError unless the number of `x`'s axes is one of `ranks`."""
    want = [int(r) for r in ranks]
    _rank_check(x, lambda r: r in want, f"rank in {tuple(want)}", message)


def assert_shapes(
    shapes: Any, data: Any = None, summarize: int | None = None, message: str | None = None,
    name: str | None = None,
) -> None:  # fmt: skip
    """Raise unless tensors have given shapes that agree with each other.

    Args:
        shapes: pairs ``(tensor, shape)`` (or a dictionary); a shape is a tuple of sizes and of
            names, which stand for one size throughout; None and ``"."`` fit any, a leading
            ``"..."`` or ``"*"`` any number of axes.
        message: text put before the error's.

    Raises:
        ValueError: a shape does not fit.
    """
    known: dict[Any, tuple[int, str]] = {}
    for tensor, symbols in list(shapes.items() if isinstance(shapes, dict) else shapes):
        tensor = tensor if isinstance(tensor, Composite) else to_tensor(tensor, None)
        if isinstance(symbols, TensorShape):
            symbols = symbols.as_list()
        names = list(symbols) if isinstance(symbols, (tuple, list, str)) else [symbols]
        dims = tensor.shape.dims
        if dims is None:
            continue
        ends = list(dims)
        if names and names[0] in ("...", "*"):
            names = names[1:]
            ends = ends[len(ends) - len(names) :] if len(ends) >= len(names) else ends
        lead = message + ". " if message else ""
        if len(ends) != len(names):
            raise ValueError(
                f"{lead}Tensor with shape {tensor.shape} must have rank {len(names)}. "
                f"Received rank {len(dims)}"
            )
        for axis, (symbol, have) in enumerate(zip(names, ends, strict=True)):
            if symbol in (None, ".", "") or have is None:
                continue
            if isinstance(symbol, int) or (isinstance(symbol, str) and symbol.isdigit()):
                want, why = int(symbol), "the declared size"
            elif symbol in known:
                want, why = known[symbol]
            else:
                known[symbol] = have, f"size {symbol!r} of a tensor of shape {tensor.shape}"
                continue
            if have != want:
                raise ValueError(
                    f"{lead}Tensor of shape {tensor.shape}, dimension {axis} must have size "
                    f"{want} ({why}). Received size {have}"
                )


# -- numbers ----------------------------------------------------------------------------------


def check_numerics(tensor: Any, message: str, name: str | None = None) -> Tensor:
    """`tensor`.

    Raises:
        InvalidArgumentError: an element is NaN or infinite.
    """
    return CheckNumerics(to_tensor(tensor, None), message=message)


def assert_all_finite(x: Any, message: str, name: str | None = None) -> Tensor:
    """`x`; see `check_numerics`."""
    return check_numerics(x, message)


def _check_impl(x: Any, *, message: str) -> Any:
    if not np.isfinite(x).all():
        kinds = [
            k for k, bad in (("Inf", np.isinf(x).any()), ("NaN", np.isnan(x).any())) if bad
        ]
        raise InvalidArgumentError(
            f"{message} : Tensor had {' and '.join(kinds)} values", op="CheckNumerics"
        )
    return x


def _check_vjp(op: Any, g: Any) -> Any:
    what = "Not a number (NaN) or infinity (Inf) values detected in gradient. "
    return (CheckNumerics(g, message=what + op.attrs["message"]),)


CheckNumerics = Primitive(
    "CheckNumerics",
    "tensor: T",
    impl=_check_impl,
    shape=lambda x, *, message: same(x),
    vjp=_check_vjp,
    batch=lambda ctx, x, *, message: CheckNumerics(x, message=message),
    types={"T": tuple(t for t in dtypes.ALL if t.is_floating)},
    stateful=True,
)
CheckNumerics.checks = True
