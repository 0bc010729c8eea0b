"""Converted functions: made once per code object, with the closure of the original."""

from __future__ import annotations

import ast
import functools
import sys
import threading
import types
import weakref
from typing import Any

from . import context, operators
from .source import ConversionError, find_function
from .transform import transform

__all__ = ["convert", "convert_callee", "converted_source", "is_converted"]

_lock = threading.RLock()
# By code and file: the codes of equal functions on equal lines of two files are equal.
_codes: dict[tuple[types.CodeType, str], Any] = {}
_made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_FOREIGN = {"headrace", "numpy", "numba", "pyarrow", "tensorflow", "keras", "pytest", "_pytest"}


def convert(fn: Any) -> Any:
    """`fn`, a function, method, partial or callable object, with control flow on tensors.

    Raises:
        ConversionError: it cannot be converted; the message names the construct.
    """
    if isinstance(fn, functools.partial):
        return functools.partial(convert(fn.func), *fn.args, **fn.keywords)
    if isinstance(fn, types.MethodType):
        return types.MethodType(convert(fn.__func__), fn.__self__)
    if not isinstance(fn, types.FunctionType):
        call = _call_method(fn)
        if isinstance(call, types.FunctionType) and not isinstance(fn, type):
            return types.MethodType(convert(call), fn)
        raise ConversionError(f"{fn!r} is not a Python function")
    if is_converted(fn) or getattr(fn, "_ag_do_not_convert", False):
        return fn
    with _lock:
        known = _made.get(fn)
        if known is None:
            known = _made[fn] = _instantiate(fn)
        return known


def is_converted(fn: Any) -> bool:
    """Whether `fn` is made by the converter."""
    fn = getattr(fn, "__func__", fn)
    return "ag__" in getattr(getattr(fn, "__code__", None), "co_freevars", ())


def _instantiate(fn: types.FunctionType) -> Any:
    key = fn.__code__, fn.__code__.co_filename
    code = _codes.get(key)
    if code is None:
        code = _codes[key] = _converted_code(fn)
    if isinstance(code, ConversionError):
        raise code
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    cells["ag__"] = types.CellType(operators)
    closure = tuple(cells[name] for name in code.co_freevars)
    made = types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, closure)
    made.__kwdefaults__ = fn.__kwdefaults__
    made.__annotations__ = fn.__annotations__
    made.__dict__.update(fn.__dict__)
    made.__doc__, made.__module__ = fn.__doc__, fn.__module__
    made.__qualname__ = fn.__qualname__
    made.__wrapped__ = fn  # type: ignore[attr-defined]
    return made


def _converted_code(fn: types.FunctionType) -> Any:
    try:
        module = _converted_tree(fn)
        code: Any = compile(module, fn.__code__.co_filename, "exec")
    except ConversionError as error:
        return error
    for _ in range(2):  # the factory, then the function
        code = next(c for c in code.co_consts if isinstance(c, types.CodeType))
    return code.replace(co_name=fn.__code__.co_name, co_qualname=fn.__code__.co_qualname)


def _converted_tree(fn: types.FunctionType) -> ast.Module:
    """A module with a function that has the free names as parameters and makes the function."""
    node, owner = find_function(fn)
    made = transform(node, owner)
    # Defaults are the original's: those in the text must not be evaluated again.
    made.args.defaults = [ast.Constant(value=None) for _ in made.args.defaults]
    made.args.kw_defaults = [d and ast.Constant(value=None) for d in made.args.kw_defaults]
    names = [*fn.__code__.co_freevars, "ag__"]
    parameters = [ast.arg(arg=n) for n in dict.fromkeys(names)]
    factory: Any = ast.parse("def ag__factory(): pass").body[0]
    factory.args.args = parameters
    # The reference makes every converted function known by its free variable.
    mark = ast.parse("ag__").body[0]
    for n in ast.walk(mark):
        if hasattr(n, "lineno"):
            ast.copy_location(n, made.body[0])
    made.body.insert(0, mark)
    made.body.sort(key=lambda s: not isinstance(s, (ast.Global, ast.Nonlocal)))
    factory.body = [made]
    return ast.fix_missing_locations(ast.Module(body=[factory], type_ignores=[]))


def converted_source(fn: Any) -> str:
    """The converted form of a function as text."""
    fn = getattr(fn, "python_function", fn)
    fn = getattr(fn, "__func__", fn)
    factory: Any = _converted_tree(fn).body[0]
    made = factory.body[0]
    made.name = fn.__name__ if fn.__name__.isidentifier() else "ag__lambda"
    made.body = made.body[1:]
    return ast.unparse(made) + "\n"


def convert_callee(fn: Any) -> Any:
    """What a converted function calls in place of `fn`: itself, where it is nobody's code to
    convert, or where it cannot be converted."""
    replacement = operators.builtin(fn)
    if replacement is not None:
        return replacement
    if isinstance(fn, functools.partial):
        return functools.partial(convert_callee(fn.func), *fn.args, **fn.keywords)
    if isinstance(fn, types.MethodType):
        found = convert_callee(fn.__func__)
        return fn if found is fn.__func__ else types.MethodType(found, fn.__self__)
    if isinstance(fn, types.FunctionType):
        if not _is_users(fn.__module__, fn.__code__.co_filename):
            return fn
        try:
            return convert(fn)
        except ConversionError:
            return fn
    if isinstance(fn, (type, types.BuiltinFunctionType)):
        return fn
    call = _call_method(fn)
    if isinstance(call, types.FunctionType):
        found = convert_callee(call)
        return fn if found is call else types.MethodType(found, fn)
    return fn


def _call_method(fn: Any) -> Any:
    """What Python runs when an object is called."""
    return next((vars(c)["__call__"] for c in type(fn).__mro__ if "__call__" in vars(c)), None)


def _is_users(module: str | None, filename: str) -> bool:
    root = (module or "").split(".")[0]
    return (root not in _FOREIGN and root not in sys.stdlib_module_names) or root == "__main__"


context.converter[:] = [convert_callee]
