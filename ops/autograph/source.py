"""The syntax tree of a function, found in the file it was written in.

The whole file is parsed, so that line numbers and columns are the user's.  A lambda is told
from others on its line by the columns its code object records.
"""

from __future__ import annotations

import ast
import copy
import linecache
import types
from typing import Any

from ..errors import UntraceableError

__all__ = ["ConversionError", "find_function"]

_trees: dict[str, tuple[tuple[str, ...], ast.Module]] = {}


class ConversionError(UntraceableError):
    """A function cannot be converted; the message names the construct and the line."""


def find_function(fn: types.FunctionType) -> tuple[Any, str | None]:
    """A copy of the function's node (FunctionDef or Lambda), and the class it stands in.

    Raises:
        ConversionError: there is no source, or it cannot be told which function it is.
    """
    code = fn.__code__
    lines = tuple(linecache.getlines(code.co_filename, fn.__globals__))
    if not lines:
        raise ConversionError(f"{fn.__qualname__} has no source code ({code.co_filename})")
    known = _trees.get(code.co_filename)
    if known is None or known[0] != lines:
        try:
            known = lines, ast.parse("".join(lines), code.co_filename)
        except SyntaxError as error:
            raise ConversionError(f"{code.co_filename} cannot be parsed: {error}") from None
        _trees[code.co_filename] = known
    found = [(n, c) for n, c in _functions(known[1], None) if _fits(n, code)]
    if len(found) > 1 and code.co_name == "<lambda>":
        places = [p for p in code.co_positions() if p[0] and p[3]]
        found = [(n, c) for n, c in found if all(_within(p, n.body) for p in places)]
        found.sort(key=lambda f: f[0].body.end_col_offset - f[0].body.col_offset)
    if not found:
        raise ConversionError(
            f"the source of {fn.__qualname__} was not found at {code.co_filename}:"
            f"{code.co_firstlineno}"
        )
    node, owner = found[0]
    return copy.deepcopy(node), owner


def _functions(node: ast.AST, owner: str | None) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child, owner
        yield from _functions(child, child.name if isinstance(child, ast.ClassDef) else owner)


def _fits(node: Any, code: types.CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        return (
            code.co_name == "<lambda>"
            and node.lineno == code.co_firstlineno
            and list(code.co_varnames[: code.co_argcount]) == names
        )
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _within(place: Any, node: Any) -> bool:
    """Whether an instruction's place (line, last line, column, end) is in an expression."""
    start, end = (place[0], place[2]), (place[1], place[3])
    first = node.lineno, node.col_offset
    last = node.end_lineno, node.end_col_offset
    return first <= start and end <= last
