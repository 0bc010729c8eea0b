"""Lowering: functions without `break`, `continue`, and `return` inside of other statements.

What follows a jump is put under a condition that the jump did not happen.  Where one branch of
an `if` always returns, what follows the `if` moves into the other branch, which needs no flag.
Results stand in `RETURNED`, flags in names of their own.
"""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["RETURNED", "lower_jumps"]

RETURNED = "ag__returned"
_DONE = "ag__done"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LOOPS = (ast.While, ast.For)


def lower_jumps(statements: list[Any]) -> list[Any]:
    """The body of a function without jumps inside of other statements."""
    if any(_has(s, ast.Return) for s in statements if not isinstance(s, ast.Return)):
        last = statements[-1]
        if not _always(statements):
            statements = [*statements, _at(ast.Return(value=None), last)]
        body = _returns(statements)
        result = _at(ast.Return(value=_name(RETURNED)), last)
        body = [_at(_set(_DONE, False), body[0]), *body, result]
    else:
        body = statements
    counter = iter(range(1 << 30))
    return [x for s in body for x in _loops(s, counter)]


# -- return -----------------------------------------------------------------------------------


def _returns(statements: list[Any]) -> list[Any]:
    """The statements, which end with a return on every path, with `RETURNED` set instead."""
    for k, s in enumerate(statements):
        before, rest = statements[:k], statements[k + 1 :]
        if isinstance(s, ast.Return):
            return [*before, _returned(s)]
        if not _has(s, ast.Return):
            continue
        if isinstance(s, ast.If):
            left, right = _always(s.body), _always(s.orelse)
            if left or right:
                s.body = _returns(s.body if left else [*s.body, *rest])
                s.orelse = _returns(s.orelse if right else [*s.orelse, *rest])
                return [*before, s]
        # Each use of the flag has it False before: what is behind is skipped where it was set.
        made = _flagged([s], False)
        if rest:
            made.append(_at(ast.If(test=_not(_DONE), body=_returns(rest), orelse=[]), rest[0]))
        return [*before, *made]
    return statements


def _flagged(statements: list[Any], in_loop: bool) -> list[Any]:
    """The statements with returns that set `RETURNED` and the flag, and leave a loop."""
    out: list[Any] = []
    for k, s in enumerate(statements):
        if isinstance(s, ast.Return):
            out += [_returned(s), _at(_set(_DONE, True), s)]
            if in_loop:
                out.append(_at(ast.Break(), s))
            return out
        if not _has(s, ast.Return):
            out.append(s)
            continue
        for field in ("body", "orelse", "finalbody"):
            block = getattr(s, field, None)
            if isinstance(block, list) and block:
                inside = in_loop or (field == "body" and isinstance(s, _LOOPS))
                setattr(s, field, _flagged(block, inside))
        for part in (*getattr(s, "handlers", ()), *getattr(s, "cases", ())):
            part.body = _flagged(part.body, in_loop)
        out.append(s)
        rest = statements[k + 1 :]
        if in_loop:
            if isinstance(s, _LOOPS):
                leave = _at(ast.Break(), s)
                out.append(_at(ast.If(test=_name(_DONE), body=[leave], orelse=[]), s))
            out += _flagged(rest, True)
        elif rest:
            body = _flagged(rest, False)
            out.append(_at(ast.If(test=_not(_DONE), body=body, orelse=[]), rest[0]))
        return out
    return out


def _returned(s: Any) -> Any:
    value = s.value if s.value is not None else _at(ast.Constant(value=None), s)
    return _at(ast.Assign(targets=[_store(RETURNED)], value=value), s)


def _always(statements: list[Any]) -> bool:
    """Whether every path through the statements returns (or raises)."""
    for s in statements:
        if isinstance(s, (ast.Return, ast.Raise)):
            return True
        if isinstance(s, ast.If) and _always(s.body) and _always(s.orelse):
            return True
        if isinstance(s, ast.With) and _always(s.body):
            return True
    return False


# -- break and continue -----------------------------------------------------------------------


def _loops(s: Any, counter: Any) -> list[Any]:
    """The statement with all loops in it free of `break`, `continue` and `else`."""
    if isinstance(s, _SCOPES):
        return [s]
    for field in ("body", "orelse", "finalbody"):
        block = getattr(s, field, None)
        if isinstance(block, list):
            setattr(s, field, [x for t in block for x in _loops(t, counter)])
    for part in (*getattr(s, "handlers", ()), *getattr(s, "cases", ())):
        part.body = [x for t in part.body for x in _loops(t, counter)]
    if not isinstance(s, _LOOPS):
        return [s]
    orelse, s.orelse = s.orelse, []
    breaks = any(_jumps(t, ast.Break) for t in s.body)
    continues = any(_jumps(t, ast.Continue) for t in s.body)
    if not breaks and not continues:
        return [s, *orelse]
    n = next(counter)
    left, skip = f"ag__left_{n}", f"ag__skip_{n}"
    guard = skip if continues else left
    s.body = _guarded(s.body, left if breaks else None, skip if continues else None, guard)
    if continues:
        s.body.insert(0, _at(_set(skip, False), s.body[0]))
    if not breaks:
        return [s, *orelse]
    if isinstance(s, ast.While):
        s.test = _at(ast.BoolOp(op=ast.And(), values=[_not(left), s.test]), s.test)
    else:
        s.go_on = _at(_not(left), s.iter)
    out = [_at(_set(left, False), s), s]
    if orelse:
        out.append(_at(ast.If(test=_not(left), body=orelse, orelse=[]), orelse[0]))
    return out


def _guarded(statements: list[Any], left: Any, skip: Any, guard: str) -> list[Any]:
    out: list[Any] = []
    for k, s in enumerate(statements):
        if isinstance(s, (ast.Break, ast.Continue)):
            if isinstance(s, ast.Break):
                out.append(_at(_set(left, True), s))
            if skip:
                out.append(_at(_set(skip, True), s))
            return out
        jumps = _jumps(s, ast.Break) or _jumps(s, ast.Continue)
        if jumps:
            for field in ("body", "orelse", "finalbody"):
                block = getattr(s, field, None)
                if isinstance(block, list) and block:
                    setattr(s, field, _guarded(block, left, skip, guard))
            for part in (*getattr(s, "handlers", ()), *getattr(s, "cases", ())):
                part.body = _guarded(part.body, left, skip, guard)
        out.append(s)
        rest = statements[k + 1 :]
        if jumps and rest:
            body = _guarded(rest, left, skip, guard)
            out.append(_at(ast.If(test=_not(guard), body=body, orelse=[]), rest[0]))
            return out
    return out


# -- nodes ------------------------------------------------------------------------------------


def _has(node: Any, kind: Any) -> bool:
    """Whether a statement of `kind` is in there, not counting functions inside."""
    if isinstance(node, kind):
        return True
    if isinstance(node, _SCOPES):
        return False
    return any(_has(c, kind) for c in ast.iter_child_nodes(node))


def _jumps(node: Any, kind: Any) -> bool:
    """Whether a jump of `kind` that belongs to the loop around is in there."""
    if isinstance(node, kind):
        return True
    if isinstance(node, (*_SCOPES, *_LOOPS)):
        return False
    return any(_jumps(c, kind) for c in ast.iter_child_nodes(node))


def _at(node: Any, place: Any) -> Any:
    """`node` and all in it, where they have no place yet, at the place of another."""
    for n in ast.walk(node):
        if "lineno" in n._attributes and not hasattr(n, "lineno"):
            ast.copy_location(n, place)
    return node


def _name(name: str) -> Any:
    return ast.Name(id=name, ctx=ast.Load())


def _store(name: str) -> Any:
    return ast.Name(id=name, ctx=ast.Store())


def _set(name: str, value: bool) -> Any:
    return ast.Assign(targets=[_store(name)], value=ast.Constant(value=value))


def _not(name: str) -> Any:
    return ast.UnaryOp(op=ast.Not(), operand=_name(name))
