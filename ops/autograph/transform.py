"""The converted form of a function: its control flow as calls into `operators`.

``if``, ``while`` and ``for`` become functions over the names they set, which are declared
``nonlocal`` in them:

    def ag__body(): nonlocal x; x = f(x)
    def ag__else(): nonlocal x; x = g(x)
    def ag__get(): return (ag__.get(lambda: x, "x"),)
    def ag__set(ag__v): nonlocal x; (x,) = ag__v; if ag__.undefined(x): del x
    ag__.if_stmt(c, ag__body, ag__else, ag__get, ag__set, ("x",), 1)

``and``, ``or``, ``not``, conditional expressions, chained comparisons, ``assert`` and calls
become calls too.  All nodes keep the places of what they were made from.
"""

from __future__ import annotations

import ast
from typing import Any

from .jumps import RETURNED, lower_jumps
from .names import Liveness, assigned
from .source import ConversionError

__all__ = ["transform"]

# They look at the frame that calls them, or at how they are spelt.
_AS_THEY_ARE = {
    "super", "locals", "globals", "vars", "eval", "exec", "dir", "isinstance", "issubclass",
    "type", "getattr", "setattr", "hasattr", "id", "repr", "str", "list", "tuple", "dict",
    "set",
}  # fmt: skip
_FORBIDDEN = {
    ast.Yield: "`yield`",
    ast.YieldFrom: "`yield from`",
    ast.Await: "`await`",
    ast.AsyncFor: "`async for`",
    ast.AsyncWith: "`async with`",
}


def transform(node: Any, owner: str | None) -> ast.FunctionDef:
    """A FunctionDef that does what `node` (a FunctionDef or Lambda) does, on tensors too.

    Args:
        node: the function; it is changed.
        owner: the class whose body the function is in, for names like ``__x``.

    Raises:
        ConversionError: it contains something that has no converted form.
    """
    if isinstance(node, ast.AsyncFunctionDef):
        raise ConversionError(f"`async def` at line {node.lineno}")
    if isinstance(node, ast.Lambda):
        body = [_place(ast.Return(value=node.body), node.body)]
        node = _place(_function("ag__lambda", node.args, body), node)
    if owner is not None:
        _Mangler(owner).visit(node)
    node.decorator_list = []
    node.returns = None
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    _Converter().function(node)
    return node


class _Mangler(ast.NodeTransformer):
    """Writes out what Python makes of private names inside a class."""

    def __init__(self, owner: str):
        self._prefix = f"_{owner.lstrip('_')}"

    def _mangled(self, name: str) -> str:
        private = name.startswith("__") and not name.endswith("__")
        return self._prefix + name if private else name

    def visit_Name(self, node: ast.Name) -> Any:
        node.id = self._mangled(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        node.attr = self._mangled(node.attr)
        return self.generic_visit(node)


class _Converter(ast.NodeTransformer):
    """Converts one function, and the functions in it."""

    def __init__(self) -> None:
        self._count = 0
        self._declared: set[str] = set()  # names the function declares global

    def function(self, node: ast.FunctionDef) -> None:
        """Convert a function in place."""
        _check(node)
        outer = self._declared
        self._declared = {
            name for n in ast.walk(node) if isinstance(n, ast.Global) for name in n.names
        }
        foreign = self._declared | {
            name for n in ast.walk(node) if isinstance(n, ast.Nonlocal) for name in n.names
        }
        node.body = lower_jumps(node.body)
        Liveness(node.body)
        # A name set in a branch only belongs to the function all the same.
        own = [n for n in assigned(node.body) if "." not in n and n not in foreign]
        node.body = self._block(node.body)
        if own:
            targets = [ast.Name(id=n, ctx=ast.Store()) for n in own]
            never = ast.If(
                test=ast.Constant(value=False),
                body=[ast.Assign(targets=targets, value=ast.Constant(value=None))],
                orelse=[],
            )
            at = 1 if _is_text(node.body[0]) else 0
            place = node.body[at] if at < len(node.body) else node.body[0]
            node.body.insert(at, _place(never, place))
        # A `nonlocal` or `global` statement stands before every use.
        node.body.sort(key=lambda s: not isinstance(s, (ast.Global, ast.Nonlocal)))
        self._declared = outer

    def _block(self, statements: list[Any]) -> list[Any]:
        out: list[Any] = []
        for s in statements:
            made = self.visit(s)
            out += made if isinstance(made, list) else [made]
        return out

    # -- statements -----------------------------------------------------------------------

    def visit_FunctionDef(self, node: Any) -> Any:
        node.args = self.visit(node.args)
        self.function(node)
        return node

    def visit_ClassDef(self, node: Any) -> Any:
        return node

    def visit_Lambda(self, node: Any) -> Any:
        if any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in ast.walk(node.body)):
            return node
        return self.generic_visit(node)

    def visit_If(self, node: Any) -> Any:
        set_here = assigned([*node.body, *node.orelse])
        live = node.live_after | node.live_in
        results = [n for n in set_here if "." in n or n in node.live_after]
        names = results + [n for n in set_here if n in live and n not in results]
        n = self._next()
        made = [
            self._inner(f"ag__body_{n}", [], self._block(node.body), set_here, node.body[0]),
            self._inner(
                f"ag__else_{n}", [], self._block(node.orelse), set_here,
                node.orelse[0] if node.orelse else node,
            ),
        ]  # fmt: skip
        made += self._state(n, names, node)
        call = _ag(
            "if_stmt", self.visit(node.test), _load(f"ag__body_{n}"), _load(f"ag__else_{n}"),
            _load(f"ag__get_{n}"), _load(f"ag__set_{n}"), _constant(tuple(names)),
            _constant(len(results)),
        )  # fmt: skip
        return [*made, _place(ast.Expr(value=call), node.test)]

    def visit_While(self, node: Any) -> Any:
        n = self._next()
        options = self._options(node)
        body, names = self._loop_parts(n, node, [])
        test = _lambda(self.visit(node.test))
        call = _ag(
            "while_stmt", test, _load(f"ag__body_{n}"), _load(f"ag__get_{n}"),
            _load(f"ag__set_{n}"), _constant(tuple(names)), options,
        )  # fmt: skip
        return [*body, _place(ast.Expr(value=call), node.test)]

    def visit_For(self, node: Any) -> Any:
        n = self._next()
        options = self._options(node)
        target = ast.Assign(targets=[node.target], value=_load("ag__item"))
        node.body.insert(0, _place(target, node.target))
        body, names = self._loop_parts(n, node, ["ag__item"])
        go_on = getattr(node, "go_on", None)
        call = _ag(
            "for_stmt", self.visit(node.iter),
            _constant(None) if go_on is None else _lambda(self.visit(go_on)),
            _load(f"ag__body_{n}"), _load(f"ag__get_{n}"), _load(f"ag__set_{n}"),
            _constant(tuple(names)), options,
        )  # fmt: skip
        return [*body, _place(ast.Expr(value=call), node.iter)]

    def _loop_parts(self, n: int, node: Any, args: list[str]) -> tuple[list[Any], list[str]]:
        set_here = assigned(node.body)
        live = node.live_in | node.live_after
        names = [name for name in set_here if "." in name or name in live]
        first = node.body[0]
        body = self._inner(f"ag__body_{n}", args, self._block(node.body), set_here, first)
        return [body, *self._state(n, names, node)], names

    def _options(self, node: Any) -> Any:
        """The arguments of `set_loop_options` at the start of a loop's body, as a function."""
        for k, s in enumerate(node.body):
            call = s.value if isinstance(s, ast.Expr) else None
            if isinstance(call, ast.Call):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                if name == "set_loop_options":
                    del node.body[k]
                    if not node.body:
                        node.body.append(_place(ast.Pass(), s))
                    kwargs = ast.Call(func=_load("dict"), args=[], keywords=call.keywords)
                    return _place(_lambda(kwargs), s)
        return _constant(None)

    def visit_Assert(self, node: Any) -> Any:
        text = _constant("") if node.msg is None else self.visit(node.msg)
        call = _ag("assert_stmt", self.visit(node.test), _lambda(text))
        return _place(ast.Expr(value=call), node)

    def visit_Raise(self, node: Any) -> Any:
        check = _place(ast.Expr(value=_ag("before_raise", _constant(node.lineno))), node)
        return [check, self.generic_visit(node)]

    def visit_Global(self, node: Any) -> Any:
        return node

    # -- expressions ----------------------------------------------------------------------

    def visit_BoolOp(self, node: Any) -> Any:
        if _binds(node):
            return self.generic_visit(node)
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return _place(_ag(name, *[_lambda(self.visit(v)) for v in node.values]), node)

    def visit_UnaryOp(self, node: Any) -> Any:
        node = self.generic_visit(node)
        return _place(_ag("not_", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: Any) -> Any:
        if _binds(node.body) or _binds(node.orelse):
            return self.generic_visit(node)
        parts = _lambda(self.visit(node.body)), _lambda(self.visit(node.orelse))
        return _place(_ag("if_exp", self.visit(node.test), *parts), node)

    def visit_Compare(self, node: Any) -> Any:
        if len(node.ops) == 1 or _binds(node):
            return self.generic_visit(node)
        args = [self.visit(node.left)]
        for op, right in zip(node.ops, node.comparators, strict=True):
            x, y = _load("ag__x"), _load("ag__y")
            compare = ast.Compare(left=x, ops=[op], comparators=[y])
            args += [_lambda(compare, "ag__x", "ag__y"), _lambda(self.visit(right))]
        return _place(_ag("compare", *args), node)

    def visit_Call(self, node: Any) -> Any:
        own = isinstance(node.func, ast.Name) and node.func.id in _AS_THEY_ARE
        place = node.func
        node = self.generic_visit(node)
        if not own:
            node.func = _place(_ag("call", node.func), place)
        return node

    # -- parts ----------------------------------------------------------------------------

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _inner(
        self, name: str, args: list[str], body: list[Any], set_here: Any, place: Any
    ) -> Any:
        """A function of the given statements that sets names of the function around."""
        made = _function(name, _arguments(*args), [*self._binding(set_here), *body])
        if not body:
            made.body.append(ast.Pass())
        return _place(made, place)

    def _binding(self, names: Any) -> list[Any]:
        plain = [n for n in names if "." not in n]
        out: list[Any] = []
        there = [n for n in plain if n in self._declared]
        here = [n for n in plain if n not in self._declared]
        if there:
            out.append(ast.Global(names=there))
        if here:
            out.append(ast.Nonlocal(names=here))
        return out

    def _state(self, n: int, names: list[str], place: Any) -> list[Any]:
        values = [_ag("get", _lambda(_path(x, ast.Load())), _constant(x)) for x in names]
        get = [ast.Return(value=ast.Tuple(elts=values, ctx=ast.Load()))]
        put: list[Any] = self._binding(names)
        if names:
            targets = [_path(x, ast.Store()) for x in names]
            target = ast.Tuple(elts=targets, ctx=ast.Store())
            put.append(ast.Assign(targets=[target], value=_load("ag__v")))
            for x in names:
                delete = ast.Delete(targets=[_path(x, ast.Del())])
                test = _ag("undefined", _path(x, ast.Load()))
                put.append(ast.If(test=test, body=[delete], orelse=[]))
        else:
            put.append(ast.Pass())
        return [
            _place(_function(f"ag__get_{n}", _arguments(), get), place),
            _place(_function(f"ag__set_{n}", _arguments("ag__v"), put), place),
        ]


def _check(function: Any) -> None:
    """Raise ConversionError for what has no converted form."""
    todo = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        for kind, text in _FORBIDDEN.items():
            if isinstance(node, kind):
                raise ConversionError(f"{text} at line {node.lineno}")
        todo.extend(ast.iter_child_nodes(node))


def _binds(node: Any) -> bool:
    """Whether an expression sets a name, which it could not do inside of a lambda."""
    return any(
        isinstance(n, (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await))
        for n in ast.walk(node)
    )


def _is_text(statement: Any) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _place(node: Any, place: Any) -> Any:
    """`node` and what is new in it at the place of `place`."""
    todo = [node]
    while todo:
        n = todo.pop()
        if "lineno" in n._attributes and not hasattr(n, "lineno"):
            ast.copy_location(n, place)
        todo.extend(ast.iter_child_nodes(n))
    return node


def _load(name: str) -> Any:
    return ast.Name(id=name, ctx=ast.Load())


def _constant(value: Any) -> Any:
    if isinstance(value, tuple):
        return ast.Tuple(elts=[ast.Constant(value=v) for v in value], ctx=ast.Load())
    return ast.Constant(value=value)


def _path(name: str, ctx: Any) -> Any:
    parts = name.split(".")
    node: Any = ast.Name(id=parts[0], ctx=ctx if len(parts) == 1 else ast.Load())
    for k, part in enumerate(parts[1:], 2):
        node = ast.Attribute(value=node, attr=part, ctx=ctx if k == len(parts) else ast.Load())
    return node


def _ag(name: str, *args: Any) -> Any:
    func = ast.Attribute(value=_load("ag__"), attr=name, ctx=ast.Load())
    return ast.Call(func=func, args=list(args), keywords=[])


def _arguments(*names: str) -> Any:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(arg=n) for n in names], kwonlyargs=[], kw_defaults=[],
        defaults=[],
    )  # fmt: skip


def _lambda(body: Any, *names: str) -> Any:
    return ast.Lambda(args=_arguments(*names), body=body)


def _function(name: str, args: Any, body: list[Any]) -> Any:
    made = ast.FunctionDef(name=name, args=args, body=body, decorator_list=[])
    if "type_params" in ast.FunctionDef._fields:  # Python 3.12 and later
        made.type_params = []
    return made


assert RETURNED.startswith("ag__")
