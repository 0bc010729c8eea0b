"""Shipping: a plan as bytes that another process turns into the same plan.

Traced functions travel as their graphs: names of primitives, attributes, constants; functions
that give datasets as templates, which are plans of such functions.  The receiver needs none of
the user's code for them.  What could not be traced travels as pickled Python (cloudpickle), and
`Shipment.notes` says what and why.  Left behind are caches, locks and compiled kernels: they
are made anew.

The plan travels as it was written, and the receiver applies the rules, for two reasons.  It is
cut first: FILE finds the readers of files, DYNAMIC the sources, and HINT its place in the plan
as written, and the rules then push DATA's shard towards the source, which they could not do
behind what they had fused.  And the rules fit a plan to the machine that runs it: how many
threads read and map depends on its cores, not on the trainer's.

Seeds that nobody chose travel as "drawn": the receiver draws, so that workers that run the
same plan shuffle it differently, as tf.data's do.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

from ...data.dataset_base import DatasetBase
from ...data.dataset_function import DatasetFunction
from ...data.dataset_template import Untemplated, template_of
from ...data.explain import plan_lines
from ...data.fingerprint import seeds_chosen
from ...data.functions import UserFunction
from ...data.node import Node
from ...data.options import Options
from ...data.rules.common import describe, walk
from ...data.structure import Structure
from ...data.transforms.cache import MemoryCache
from ...data.transforms.generator import GeneratorNode
from ...data.transforms.shuffle import Epochs
from ...ops.errors import FailedPreconditionError, InvalidArgumentError
from ...ops.graph import Graph, Node as GraphNode
from ...ops.primitive import REGISTRY, Primitive
from ...ops.tensor import SymbolicTensor
from ...ops.variable import Variable

__all__ = ["DRAWN", "Shipment", "pack_error", "packer_class", "ship", "unpack_error", "unship"]

DRAWN = "drawn"
"""In place of a node's `seeds`: each receiver has its own."""


@dataclasses.dataclass(frozen=True)
class Shipment:
    """A plan on its way.

    Attributes:
        data: the plan and its options.
        notes: a line for each stage, which says how its function travels.
    """

    data: bytes
    notes: tuple[str, ...]


def ship(plan: Node, options: Options) -> Shipment:
    """`plan` for another process.

    Raises:
        InvalidArgumentError: a part of it cannot leave this process; the text names it.
        FailedPreconditionError: a function uses a variable, whose value lives here.
    """
    import cloudpickle

    packer = packer_class(cloudpickle)
    sink = io.BytesIO()
    packing = packer(sink)
    try:
        packing.dump((plan, options))
    except FailedPreconditionError:
        raise
    except Exception as error:
        stage = _culprit(plan, packer)
        where = f"the stage {describe(stage)}" if stage is not None else "the dataset"
        line = f" ({stage.source})" if stage is not None and stage.source else ""
        raise InvalidArgumentError(
            f"{where}{line} cannot be sent to the workers of the data service: {error}; use "
            "only what can be pickled in it (no locks, open files, generators at work), or put "
            "the stage behind distribute()"
        ) from error
    return Shipment(sink.getvalue(), tuple(_notes(plan)))


def unship(data: bytes, draw: Callable[[], tuple[int, int]]) -> tuple[Node, Options]:
    """The plan and the options; `draw` gives seeds where nobody chose some.

    Raises:
        InvalidArgumentError: the user's code that it needs is not there.
    """
    try:
        plan, options = pickle.loads(data)
    except (ModuleNotFoundError, AttributeError, ImportError) as error:
        raise InvalidArgumentError(
            f"the dataset cannot be unpacked on this worker: {error}; install what it uses "
            "where the worker runs"
        ) from error
    for node in walk(plan):
        if getattr(node, "seeds", None) == DRAWN:
            object.__setattr__(node, "seeds", draw())
        for field in dataclasses.fields(node):
            function = getattr(node, field.name)
            if isinstance(function, DatasetFunction) and function.made_by is not None:
                function.made_by.base = draw()[0]
    return plan, options


def pack_error(error: BaseException) -> bytes:
    """An error for another process, its frames left behind."""
    import cloudpickle

    plain = error.with_traceback(None)
    plain.__cause__ = plain.__context__ = None
    try:
        data = cloudpickle.dumps(plain)
        pickle.loads(data)
    except Exception:  # an error class of the user's that does not pickle
        data = pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data


def unpack_error(data: bytes) -> BaseException:
    """The error, or one that says its text where its class is not known here."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return RuntimeError(f"a worker failed with an error of a class unknown here ({error})")


# -- packing ----------------------------------------------------------------------------------


def packer_class(cloudpickle: Any) -> Any:
    """The class of picklers by which plans and functions travel."""

    class Packer(cloudpickle.Pickler):
        """cloudpickle, with Headrace's own objects as plain data."""

        def reducer_override(self, value: Any) -> Any:
            for kind, reduce in _REDUCERS:
                if isinstance(value, kind):
                    return reduce(value)
            if isinstance(value, types.FunctionType):
                _by_value(cloudpickle, value)
            return super().reducer_override(value)

    return Packer


def _by_value(cloudpickle: Any, function: types.FunctionType) -> None:
    """Have the module of a user's own function travel with it: workers need not have it."""
    module = sys.modules.get(function.__module__ or "")
    path = getattr(module, "__file__", None) or ""
    name = getattr(module, "__name__", "headrace").partition(".")[0]
    own = name != "__main__" and name not in sys.stdlib_module_names and name != "headrace"
    if own and path and "site-packages" not in path and "dist-packages" not in path:
        cloudpickle.register_pickle_by_value(module)


def _primitive(name: str, module: str) -> Primitive:
    if name not in REGISTRY:
        importlib.import_module(module)
    return REGISTRY[name]


_NODE_SLOTS = tuple(s for s in GraphNode.__slots__ if s not in ("inputs", "outputs"))


def _reduce_graph(graph: Graph) -> tuple[Any, ...]:
    places: dict[int, tuple[int, int]] = {}
    nodes = []
    for number, node in enumerate(graph.nodes):
        for out in node.outputs:
            places[id(out)] = number, out.index
        inputs = [places[id(t)] for t in node.inputs]
        specs = [t.spec for t in node.outputs]
        own = {slot: getattr(node, slot) for slot in _NODE_SLOTS}
        nodes.append((inputs, specs, own))
    inputs, outputs = ([places[id(t)] for t in ts] for ts in (graph.inputs, graph.outputs))
    return _graph, (graph.name, graph.exact, graph.scope, sorted(graph._tuples), nodes, inputs,
                    outputs)  # fmt: skip


def _graph(
    name: str, exact: bool, scope: str, tuples: list[str], nodes: list[Any],
    inputs: list[tuple[int, int]], outputs: list[tuple[int, int]],
) -> Graph:  # fmt: skip
    graph = Graph(name)
    graph.exact, graph.scope, graph._tuples = exact, scope, set(tuples)
    for sources, specs, own in nodes:
        node = GraphNode.__new__(GraphNode)
        for slot, value in own.items():
            setattr(node, slot, value)
        node.inputs = tuple(graph.nodes[n].outputs[i] for n, i in sources)
        node.outputs = tuple(SymbolicTensor(graph, node, i, s) for i, s in enumerate(specs))
        graph.nodes.append(node)
    graph.inputs = [graph.nodes[n].outputs[i] for n, i in inputs]
    graph.outputs = [graph.nodes[n].outputs[i] for n, i in outputs]
    return graph


class _Absent:
    """Stands for the Python function of a traced one, which stayed at home."""

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"{self.__name__} runs as a graph here")


def _reduce_function(function: UserFunction) -> tuple[Any, ...]:
    traced = function.traced
    fn = function.fn if traced is None else _Absent(function.name)
    learned = function.output_spec if traced is None else None
    return _function, (fn, function.input.spec, function.what, function.line, function.name,
                       traced, function.why_not, learned)  # fmt: skip


def _function(
    fn: Any, input_spec: Any, what: str, line: str, name: str, traced: Any, why_not: Any,
    learned: Any,
) -> UserFunction:  # fmt: skip
    function = UserFunction(fn, input_spec, what=what, line=line, traceable=False,
                            traced=traced)  # fmt: skip
    function.name, function.why_not = name, why_not
    if learned is not None:
        function._learn(learned)
    return function


def _reduce_dataset_function(function: DatasetFunction) -> tuple[Any, ...]:
    inner = function._function
    common = inner.input.spec, inner.what, inner.line, function._kept
    try:
        return _templated, (template_of(function), inner.name, *common)
    except Untemplated:
        return _dataset_function, (inner.fn, *common)


def _templated(
    template: Any, name: str, spec: Any, what: str, line: str, kept: Any
) -> DatasetFunction:
    function = DatasetFunction.of_template(template, spec, what=what, line=line, name=name)
    return function if kept is None else function.keeping(kept)


def _dataset_function(fn: Any, spec: Any, what: str, line: str, kept: Any) -> DatasetFunction:
    function = DatasetFunction(fn, spec, what=what, line=line)
    return function if kept is None else function.keeping(kept)


def _reduce_node(node: Node) -> tuple[Any, ...]:
    fields = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
    if "seeds" in fields and not seeds_chosen(fields["seeds"]):
        fields["seeds"] = DRAWN
    if "reads_files" in vars(node):
        fields["reads_files"] = node.reads_files  # type: ignore[attr-defined]
    return _node, (type(node), fields)


def _node(kind: type[Node], fields: dict[str, Any]) -> Node:
    node = kind.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(node, name, value)
    return node


def _reduce_dataset(dataset: DatasetBase) -> tuple[Any, ...]:
    return type(dataset), (dataset._node, dataset._own_options)


def _refuse_variable(variable: Variable) -> tuple[Any, ...]:
    raise FailedPreconditionError(
        f"a function of the dataset uses the variable {variable.name!r}, whose value lives in "
        "this process; the data service runs functions in others: pass its value as a constant "
        "(hr.constant(variable)), or apply the function behind distribute()"
    )


_REDUCERS: list[tuple[Any, Callable[[Any], Any]]] = [
    (Primitive, lambda p: (_primitive, (p.name, p.impl.__module__))),
    (Graph, _reduce_graph),
    (UserFunction, _reduce_function),
    (DatasetFunction, _reduce_dataset_function),
    (Node, _reduce_node),
    (DatasetBase, _reduce_dataset),
    (Structure, lambda s: (Structure, (s.spec,))),
    ((MemoryCache, Epochs), lambda v: (type(v), ())),
    (Variable, _refuse_variable),
]


# -- what is said about it --------------------------------------------------------------------


def _culprit(plan: Node, packer: Any) -> Node | None:
    """The first stage in the order of elements that cannot be packed by itself."""
    for node in reversed(list(walk(plan))):
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if any(value is one for one in node.inputs):
                continue
            try:
                packer(io.BytesIO()).dump(value)
            except Exception:
                return node
    return None


def _notes(plan: Node) -> list[str]:
    """A line per stage, and how its function travels."""
    rows = []
    for text, node in plan_lines(plan):
        how = ""
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            if isinstance(value, UserFunction):
                traced = value.traced is not None
                how = "as a graph" if traced else f"as pickled Python: {value.why_not}"
            elif isinstance(value, DatasetFunction):
                how = _how_datasets(value)
        if isinstance(node, GeneratorNode):
            how = "as pickled Python: it is a generator"
        rows.append((text, how))
    width = max(len(text) for text, _ in rows)
    return [f"{text:<{width}}  {how}".rstrip() for text, how in rows]


def _how_datasets(function: DatasetFunction) -> str:
    try:
        template_of(function)
    except Untemplated as error:
        return f"as pickled Python: {error}"
    return "as a plan of graphs"
