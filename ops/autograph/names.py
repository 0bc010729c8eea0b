"""Which names statements read and set, and which are live where.

A name is live at a place if its value there may still be read.  Only live names are carried
through a converted branch or loop: what a body uses for itself is none of its results.
Attributes of names (``self.count``) that a block sets count as names and are always live.
"""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["Liveness", "assigned", "attribute_path"]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def attribute_path(node: Any) -> str | None:
    """``"a.b.c"`` for attributes of a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or not parts:
        return None
    return ".".join([node.id, *reversed(parts)])


def assigned(statements: list[Any]) -> dict[str, None]:
    """Names and attribute paths that the statements set, in order; not those set in functions
    and comprehensions inside."""
    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, _SCOPES):
            if not isinstance(node, ast.Lambda):
                found[node.name] = None
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found[node.id] = None
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            path = attribute_path(node)
            if path is not None:
                found[path] = None
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                found[(alias.asname or alias.name).split(".")[0]] = None
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            found[node.name] = None
        elif isinstance(node, _COMPREHENSIONS):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    for statement in statements:
        visit(statement)
    # An attribute of an object that the block itself makes goes with the object.
    return {n: None for n in found if "." not in n or n.split(".")[0] not in found}


def _loads(node: Any) -> set[str]:
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }


class Liveness:
    """Marks every If, While and For below the statements of a function.

    ``node.live_after`` are the names live behind it; ``node.live_in`` those live at the start
    of a branch, or of any iteration.
    """

    def __init__(self, statements: list[Any]):
        # Reading a function's name reads what the function reads.
        self._functions: dict[str, set[str]] = {}
        for node in [n for s in statements for n in ast.walk(s)]:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self._functions.setdefault(node.name, set()).update(_loads(node))
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        own = self._functions.setdefault(target.id, set())
                        own.update(_loads(node.value))
        self._block(statements, set())

    def _reads(self, *nodes: Any) -> set[str]:
        found: set[str] = set()
        todo = [name for node in nodes if node is not None for name in _loads(node)]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo.extend(self._functions.get(name, ()))
        return found

    def _block(self, statements: list[Any], after: set[str]) -> set[str]:
        for statement in reversed(statements):
            after = self._statement(statement, after)
        return after

    def _statement(self, s: Any, after: set[str]) -> set[str]:
        if isinstance(s, ast.If):
            s.live_after = after
            s.live_in = self._block(s.body, after) | self._block(s.orelse, after)
            return self._reads(s.test) | s.live_in
        if isinstance(s, (ast.While, ast.For)):
            return self._loop(s, after)
        if isinstance(s, (ast.Return, ast.Raise)):
            return self._reads(s)
        if isinstance(s, ast.With):
            inside = self._block(s.body, after)
            for item in s.items:
                inside = inside - set(assigned([item])) | self._reads(item.context_expr)
            return inside
        if isinstance(s, ast.Try):
            last = self._block(s.finalbody, after)
            handled = set(last)
            for handler in s.handlers:
                handled |= self._block(handler.body, last) | self._reads(handler.type)
            return handled | self._block(s.body, self._block(s.orelse, last) | handled)
        if isinstance(s, ast.Match):
            found = after | self._reads(s.subject)
            for case in s.cases:
                found |= self._block(case.body, after) | self._reads(case.pattern, case.guard)
            return found
        if isinstance(s, (ast.FunctionDef, ast.ClassDef)):
            return (after - {s.name}) | self._reads(*s.decorator_list)
        found = after - {n for n in assigned([s]) if "." not in n}
        if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
            found = found | {s.target.id}
        return found | self._reads(s)

    def _loop(self, s: Any, after: set[str]) -> set[str]:
        s.live_after = after
        test = self._reads(s.test if isinstance(s, ast.While) else getattr(s, "go_on", None))
        head = after | test
        targets = set() if isinstance(s, ast.While) else set(assigned([s.target]))
        while True:
            new = head | (self._block(s.body, head) - targets)
            if new == head:
                break
            head = new
        s.live_in = head
        head = self._block(s.orelse, after) | head
        return head if isinstance(s, ast.While) else head | self._reads(s.iter)
