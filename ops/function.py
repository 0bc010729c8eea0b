"""function: a Python function traced per input signature and run as a compiled graph."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any

from . import nest
from .autograph.context import for_tracing
from .autograph.retrace import raised_in_user_code, retraced
from .composite import Composite, from_components, spec_of
from .context import RunsReplicas, compiling_steps, current
from .convert import to_tensor
from .errors import UntraceableError
from .graph.explain import explain
from .graph.graph import Graph
from .graph.trace import TracedFunction, trace
from .primitive import wrap
from .tensor import SymbolicTensor, Tensor
from .tensor_spec import TensorSpec, TypeSpec
from .variable import Variable

__all__ = ["ConcreteFunction", "Function", "function", "run_functions_eagerly"]

_eagerly = False


def run_functions_eagerly(run_eagerly: bool) -> None:
    """Make every `function` call its Python function directly (True), or trace (False)."""
    global _eagerly
    _eagerly = bool(run_eagerly)


def functions_run_eagerly() -> bool:
    """Whether `run_functions_eagerly` is in force."""
    return _eagerly


class ConcreteFunction:
    """One trace of a function, for one signature.

    Attributes:
        graph: the traced graph.
        structured_outputs: nested specs of the result.
    """

    def __init__(self, traced: TracedFunction, name: str):
        self.graph = traced.graph
        self.name = name
        self._input_specs = traced.input_specs
        self.structured_outputs = traced.output_structure
        leaves, self._out_tree = nest.flatten_with_spec(traced.output_structure)
        self._plain = all(isinstance(s, TensorSpec) for s in leaves)
        self._single = self._plain and self._out_tree == _LEAF
        self._watches = any(v.trainable for v in self.graph.variables())

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The graph's placeholders."""
        return self.graph.inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The graph's results."""
        return self.graph.outputs

    @property
    def structured_input_signature(self) -> Any:
        """Nested specs of the arguments: ``(args, kwargs)``."""
        return self._input_specs

    @property
    def variables(self) -> list[Variable]:
        """The variables it reads or changes."""
        return self.graph.variables()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on tensors in the traced structure; constants of the signature may be omitted."""
        return self.call_flat([to_tensor(t, None) for t in _tensor_leaves((args, kwargs))])

    def call_flat(self, tensors: list[Any]) -> Any:
        """Run on the flat list of input tensors."""
        if current.trace is not None or (
            current.tapes
            and (self._watches or any(t.wants(tuple(tensors)) for t in current.tapes))
        ):
            return self._pack(self.graph.replay(tensors))
        return self.run_raw(*[t._value for t in tensors])

    def run_raw(self, *arrays: Any) -> Any:
        """Run on raw arrays: the path without any conversion."""
        out = self.graph.compile()(*arrays)
        if self._single:
            return wrap(out[0])
        return self._pack([wrap(o) for o in out])

    def _pack(self, flat: list[Any]) -> Any:
        if self._plain:
            return nest.pack_sequence_as(self._out_tree, flat)
        return from_components(self.structured_outputs, flat)

    def explain(self) -> str:
        """What compiling made of the trace: passes, kernels, bytes of intermediate results."""
        return explain(self.graph, f"function {self.name}")

    def pretty_printed_signature(self, verbose: bool = True) -> str:
        """Name, arguments and result specs as text."""
        return f"{self.name}{self._input_specs!r} -> {self.structured_outputs!r}"

    def __repr__(self) -> str:
        return f"<ConcreteFunction {self.pretty_printed_signature()}>"


_LEAF = nest.structure_of(0)


class Function:
    """A function that traces itself once per signature and then runs the compiled graph.

    Tensor arguments enter the signature by dtype and shape, Python values by value, objects by
    identity.  A function that needs a tensor's value while it is traced runs eagerly, after one
    warning that says why.
    """

    def __init__(
        self,
        python_function: Callable[..., Any],
        input_signature: Any = None,
        reduce_retracing: bool = False,
        name: str | None = None,
        autograph: bool = True,
    ):
        functools.update_wrapper(self, python_function)
        self.python_function = python_function
        self._autograph = autograph
        self.input_signature = None if input_signature is None else tuple(input_signature)
        self._name = name or getattr(python_function, "__name__", "function")
        self._reduce_retracing = reduce_retracing
        self._cache: dict[Any, tuple[ConcreteFunction, Any]] = {}
        # With `reduce_retracing`: the most general trace for each combination of dtypes, ranks
        # and Python values.
        self._relaxed: dict[Any, tuple[list[Any], tuple[ConcreteFunction, Any]]] = {}
        self._lock = threading.RLock()
        self._untraceable = False
        self._around_steps = False
        self._bound: dict[int, Any] = {}
        try:
            self._signature = inspect.signature(python_function)
            self._simple = all(
                p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
                for p in self._signature.parameters.values()
            )
        except (TypeError, ValueError):
            self._signature = None  # type: ignore[assignment]
            self._simple = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run: in a surrounding trace the Python function is traced along, else the graph for
        this signature is run, made first if there is none."""
        if self._around_steps and not _eagerly and current.trace is None:
            with compiling_steps():
                return self.python_function(*args, **kwargs)
        if self._untraceable or _eagerly or current.trace is not None:
            fn = self.python_function
            return (for_tracing(fn) if self._autograph else fn)(*args, **kwargs)
        args, kwargs = self._canonical(args, kwargs)
        key, tensors = self._key(args, kwargs)
        known = self._cache.get(key)
        if known is None:
            try:
                known = self._trace(key, args, kwargs)
            except RunsReplicas:
                self._around_steps = True
                return self(*args, **kwargs)
            except UntraceableError as error:
                self._untraceable = True
                warnings.warn(
                    f"hr.function {self._name!r} runs eagerly from now on: "
                    f"{error}{raised_in_user_code(error)}",
                    stacklevel=2,
                )
                return self.python_function(*args, **kwargs)
        return known[0].call_flat(tensors)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """The trace for these arguments, which may be `TensorSpec`s; without any, that of the
        `input_signature`."""
        if not args and not kwargs and self.input_signature is not None:
            args = self.input_signature
        args, kwargs = self._canonical(args, kwargs)
        key, _ = self._key(args, kwargs)
        known = self._cache.get(key) or self._trace(key, args, kwargs)
        return known[0]

    def bound_raw(self, *args: Any, **kwargs: Any) -> Callable[[], Any]:
        """The run of the compiled trace for these arguments, made first if there is none, to be
        called later or by another thread.

        Raises:
            UntraceableError: the function needs a tensor's value to be traced.
        """
        args, kwargs = self._canonical(args, kwargs)
        key, tensors = self._key(args, kwargs)
        made = (self._cache.get(key) or self._trace(key, args, kwargs))[0]
        made.graph.compile()
        arrays = [to_tensor(t, None)._value for t in tensors]
        return functools.partial(made.run_raw, *arrays)

    def experimental_get_tracing_count(self) -> int:
        """How many traces there are."""
        return len({id(made) for made, _ in self._cache.values()})

    @property
    def runs_as_python(self) -> bool:
        """Whether it has been found that it cannot be traced."""
        return self._untraceable

    @runs_as_python.setter
    def runs_as_python(self, value: bool) -> None:
        self._untraceable = value

    @property
    def graph(self) -> Graph:
        """The graph of the latest trace; see `Graph.pretty` and `Graph.draw`.

        Raises:
            ValueError: the function has not been traced yet.
        """
        if not self._cache:
            raise ValueError(
                f"hr.function {self._name!r} has no graph yet: call it, or name the arguments "
                "in get_concrete_function(...).graph"
            )
        return next(reversed(self._cache.values()))[0].graph

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What compiling makes of the trace for these arguments (of every trace, without any):
        what each pass did, which calls became one kernel, bytes of intermediate results."""
        if args or kwargs or (self.input_signature is not None and not self._cache):
            return self.get_concrete_function(*args, **kwargs).explain()
        if self._untraceable:
            return f"function {self._name}: runs eagerly"
        return "\n".join(c.explain() for c, _ in self._cache.values()) or (
            f"function {self._name}: not traced yet"
        )

    def pretty_printed_concrete_signatures(self, verbose: bool = True) -> str:
        """The signatures of all traces as text."""
        traces = {id(made): made for made, _ in self._cache.values()}
        return "\n\n".join(c.pretty_printed_signature(verbose) for c in traces.values())

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        name = f"_headrace_function_{id(self)}"
        bound = instance.__dict__.get(name) if hasattr(instance, "__dict__") else None
        if bound is None:
            bound = Function(
                self.python_function.__get__(instance, owner),
                self.input_signature,
                self._reduce_retracing,
                self._name,
                self._autograph,
            )
            try:
                object.__setattr__(instance, name, bound)
            except AttributeError:
                pass
        return bound

    # -- signatures -----------------------------------------------------------------------

    def _canonical(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._signature is not None and (
            kwargs or not self._simple or len(args) != len(self._signature.parameters)
        ):
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        if self.input_signature is not None:
            if len(args) < len(self.input_signature):
                raise TypeError(
                    f"{self._name}() takes {len(self.input_signature)} arguments by its "
                    f"input_signature, got {len(args)}"
                )
            cast = []
            for value, spec in zip(args, self.input_signature, strict=False):
                cast.append(_match(self._name, value, spec))
            args = (*cast, *args[len(self.input_signature) :])
        return args, kwargs

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any]]:
        tensors: list[Any] = []
        parts: list[Any] = []
        leaves, tree = nest.flatten_with_spec((args, kwargs) if kwargs else args)
        signature = (
            nest.flatten(self.input_signature) if self.input_signature is not None else ()
        )
        for i, leaf in enumerate(leaves):
            if i < len(signature):
                parts.append(signature[i])
                tensors.extend(leaf._components() if isinstance(leaf, Composite) else [leaf])
            elif isinstance(leaf, Tensor):
                parts.append((leaf.dtype.as_datatype_enum, leaf._value.shape))
                tensors.append(leaf)
            elif isinstance(leaf, TypeSpec):
                parts.append(
                    (leaf.dtype.as_datatype_enum, leaf.shape.dims)
                    if isinstance(leaf, TensorSpec)
                    else leaf
                )
            elif isinstance(leaf, Composite):
                parts.append(leaf._type_spec)
                tensors.extend(leaf._components())
            elif _is_array(leaf):
                tensor = to_tensor(leaf, None)
                parts.append((tensor.dtype.as_datatype_enum, tensor._value.shape))
                tensors.append(tensor)
            elif isinstance(leaf, (int, float, str, bytes, bool, complex, type(None), type)):
                parts.append((type(leaf), leaf))
            else:
                parts.append(("object", id(leaf)))
        replica = current.replica
        place = None if replica is None else replica.trace_key
        return (tree, tuple(parts), place), tensors

    def _trace(
        self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[ConcreteFunction, Any]:
        with self._lock:
            known = self._cache.get(key)
            if known is not None:
                return known
            leaves, tree = nest.flatten_with_spec((args, kwargs))
            signature = (
                nest.flatten(self.input_signature) if self.input_signature is not None else ()
            )
            specs = [
                signature[i] if i < len(signature) else _to_spec(leaf)
                for i, leaf in enumerate(leaves)
            ]
            exact = specs
            general = None
            if not signature:
                # One trace for all sizes that may differ: by default those of leading axes.
                what = _any_size if self._reduce_retracing else _any_leading_size
                general = (key[0], tuple(map(what, specs, key[1])), key[2])
                before = self._relaxed.get(general)
                if before is not None:
                    if all(map(_fits, specs, before[0])):
                        self._cache[key] = before[1]
                        return before[1]
                    specs = list(map(_merged, specs, before[0]))
            try:
                traced = self._traced(tree, specs)
            except Exception:
                if specs is exact or self._reduce_retracing:
                    raise
                # The function needs the size of a leading axis: a trace for each, then.
                self._relaxed.pop(general, None)
                specs, general = exact, None
                traced = self._traced(tree, specs)
            # Objects in the key are known by id: keep them alive as long as the trace.
            made = self._cache[key] = (ConcreteFunction(traced, self._name), (args, kwargs))
            if general is not None:
                self._relaxed[general] = (specs, made)
            return made

    def _traced(self, tree: Any, specs: list[Any]) -> TracedFunction:
        spec_args, spec_kwargs = nest.pack_sequence_as(tree, specs)
        return retraced(
            lambda fn: trace(fn, spec_args, spec_kwargs, name=self._name),
            self.python_function,
            self._autograph,
        )

    def __repr__(self) -> str:
        return f"<hr.function {self._name}>"


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "__array_interface__") or hasattr(leaf, "__cuda_array_interface__")


def _to_spec(leaf: Any) -> Any:
    if isinstance(leaf, (Tensor, Composite)):
        return spec_of(leaf)
    if _is_array(leaf):
        return spec_of(to_tensor(leaf, None))
    return leaf


def _any_size(spec: Any, part: Any) -> Any:
    """A part of a signature without the sizes."""
    if isinstance(spec, TensorSpec):
        return spec.dtype, spec.shape.rank
    return part


def _any_leading_size(spec: Any, part: Any) -> Any:
    """A part of a signature without the size of the first axis."""
    if isinstance(spec, TensorSpec) and spec.shape.rank:
        return spec.dtype, spec.shape.dims[1:]
    return part


def _fits(spec: Any, general: Any) -> bool:
    if isinstance(spec, TensorSpec):
        return spec.shape.is_subtype_of(general.shape)
    return True


def _merged(spec: Any, general: Any) -> Any:
    if isinstance(spec, TensorSpec):
        return TensorSpec(spec.shape.most_general(general.shape), spec.dtype)
    return spec


def _match(name: str, value: Any, spec: Any) -> Any:
    """`value` as what `input_signature` asks for, leaf by leaf."""

    def one(v: Any, s: Any) -> Any:
        if isinstance(v, TypeSpec):
            return v
        if isinstance(s, TensorSpec):
            try:
                v = to_tensor(v, s.dtype)
            except (TypeError, ValueError) as e:
                raise TypeError(
                    f"Binding inputs to hr.function {name!r} failed due to `{e}`. Expected {s}."
                ) from e
        if not s.is_compatible_with(v):
            raise TypeError(
                f"Binding inputs to hr.function {name!r} failed: {v!r} does not fit {s}."
            )
        return v

    return nest.map_structure(one, value, spec) if nest.is_nested(spec) else one(value, spec)


def _tensor_leaves(structure: Any) -> list[Any]:
    out: list[Any] = []
    for leaf in nest.flatten(structure):
        if isinstance(leaf, Composite):
            out.extend(leaf._components())
        elif (
            isinstance(leaf, Tensor)
            or _is_array(leaf)
            or isinstance(leaf, (int, float, bytes, str, list))
        ):
            out.append(leaf)
    return out


def function(
    func: Callable[..., Any] | None = None,
    input_signature: Any = None,
    autograph: bool = True,
    jit_compile: bool | None = None,
    reduce_retracing: bool = False,
    experimental_implements: Any = None,
    experimental_autograph_options: Any = None,
    experimental_attributes: Any = None,
    experimental_relax_shapes: bool | None = None,
    experimental_compile: bool | None = None,
    experimental_follow_type_hints: bool | None = None,
) -> Any:
    """`func` as a `Function` that traces and compiles itself; also a decorator, with or without
    arguments.

    >>> @function
    ... def square(x):
    ...     return x * x
    >>> square(to_tensor(3, None)).numpy()
    np.int32(9)
    """

    def decorate(inner: Callable[..., Any]) -> Function:
        relaxed = reduce_retracing or bool(experimental_relax_shapes)
        return Function(inner, input_signature, relaxed, autograph=autograph)

    return decorate if func is None else decorate(func)
