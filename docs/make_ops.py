"""Writes docs/ops.md: which of TensorFlow's public names Headrace has, and why not the others.

`python docs/make_ops.py` imports both libraries and compares their names, one namespace after
the other; `--check` only says whether the page is up to date.  A name that is missing needs a
reason in the tables below: a test fails for one without.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).with_name("ops.md")

NAMESPACES = (
    "", "math", "math.special", "nn", "nn.experimental", "strings", "image", "random",
    "random.experimental", "linalg", "linalg.experimental", "signal", "bitwise", "sets",
    "ragged", "sparse", "lookup", "lookup.experimental", "io", "io.gfile", "audio",
    "debugging", "debugging.experimental", "autodiff", "autograph", "autograph.experimental",
    "config", "config.experimental", "config.optimizer", "config.threading", "dtypes",
    "errors", "nest", "data", "data.experimental", "train", "raw_ops",
)  # fmt: skip

# -- why names are missing ---------------------------------------------------------------------

DESIGN = "left out by design: "
QUANTISED = DESIGN + "quantised types"
XLA = DESIGN + "XLA and its compiler"
TPU = DESIGN + "TPUs"
OPERATORS = DESIGN + "LinearOperator classes"
GRAPH_MODE = DESIGN + "TensorFlow 1's graphs and sessions; graphs here are `hr.function`'s"
PLUGINS = DESIGN + "kernels from C++ libraries; `hr.py_function` calls foreign code"
VARIANTS = DESIGN + "handles of TensorFlow's C++ runtime (variants, resources, queues)"
CPP_DATA = DESIGN + "internals of tf.data's C++ engine; `hr.data` has its own"
COLLECTIVES = DESIGN + "TensorFlow's own transport; collectives are MPI's and NCCL's"
SUMMARIES = "event files are written by `hr.io` and the TensorBoard callback"
SAVED = "checkpoints and SavedModel come with the issue on formats"
DETECTION = "object detection: not yet"
LATER = "not yet"

# Patterns of names (with their namespace), the first that fits gives the reason.
REASONS: tuple[tuple[str, str], ...] = (
    # what stands for C++ and TensorFlow 1
    ("qint*", QUANTISED), ("quint*", QUANTISED), ("dtypes.qint*", QUANTISED),
    ("dtypes.quint*", QUANTISED), ("dtypes.QUANTIZED_DTYPES", QUANTISED),
    ("check_pinned", DESIGN + "pinned memory is CuPy's concern"),
    ("load_library", PLUGINS), ("load_op_library", PLUGINS),
    ("Graph", GRAPH_MODE), ("Operation", GRAPH_MODE), ("RegisterGradient", GRAPH_MODE),
    ("no_gradient", GRAPH_MODE), ("gradients", GRAPH_MODE), ("hessians", GRAPH_MODE),
    ("import_graph_def", SAVED), ("make_ndarray", SAVED), ("make_tensor_proto", SAVED),
    ("AggregationMethod", GRAPH_MODE), ("guarantee_const", GRAPH_MODE),
    ("inside_function", GRAPH_MODE), ("parallel_stack", GRAPH_MODE),
    ("get_static_value", GRAPH_MODE), ("is_symbolic_tensor", GRAPH_MODE),
    ("NoneTensorSpec", GRAPH_MODE),
    ("OptionalSpec", CPP_DATA), ("nondifferentiable_batch_function", GRAPH_MODE),
    ("CriticalSection", GRAPH_MODE), ("tuple", GRAPH_MODE),
    ("variable_creator_scope", "strategies create their variables themselves"),
    ("VariableAggregation", "distribution: with the strategies of several devices"),
    ("VariableSynchronization", "distribution: with the strategies of several devices"),
    ("get_logger", "Python's `logging.getLogger('headrace')` is that logger"),
    ("timestamp", LATER),
    ("*initializer", "`hr.keras.initializers` has them all"),
    ("linalg.LinearOperator*", OPERATORS),
    ("linalg.experimental.conjugate_gradient", OPERATORS),
    ("nn.RNNCell*Wrapper", "`hr.keras.layers.RNN` and its cells take their place"),
    ("*approx_*_k", XLA), ("approx_top_k", XLA),
    ("*decode_jxl", "no library for JPEG XL among the dependencies"),
    ("*non_max_suppression*", DETECTION), ("image.draw_bounding_boxes", DETECTION),
    ("image.*bounding_box*", DETECTION), ("image.extract_glimpse", DETECTION),
    ("image.*", LATER),
    # configuration
    ("config.experimental_connect_to_*", COLLECTIVES),
    ("config.experimental.ClusterDeviceFilters", COLLECTIVES),
    ("config.experimental.*mlir_bridge", XLA),
    ("config.experimental.*device_policy", DESIGN + "one device runs one operation"),
    ("config.optimizer.*", "passes are `ops/graph/passes`; `fn.explain()` shows them"),
    ("debugging.*traceback_filtering*", "tracebacks are short: there is nothing to filter"),
    ("debugging.*log_device_placement", "`Tensor.device` tells where each value is"),
    ("debugging.experimental.*dump_debug_info", "`enable_check_numerics` finds such values"),
    # files
    ("io.*proto", "messages are decoded by the `protobuf` package"),
    ("io.write_graph", GRAPH_MODE), ("io.decode_json_example", SAVED),
    ("io.match_filenames_once", GRAPH_MODE),
    ("io.*", LATER),
    ("train.Checkpoint*", SAVED), ("train.*checkpoint*", SAVED), ("train.*variable*", SAVED),
    ("train.TrackableView", SAVED), ("train.ExponentialMovingAverage", "`use_ema=True` of "
     "`hr.keras.optimizers`"),
    ("train.ClusterDef", COLLECTIVES), ("train.ClusterSpec", COLLECTIVES),
    ("train.JobDef", COLLECTIVES), ("train.ServerDef", COLLECTIVES),
    ("train.Coordinator", GRAPH_MODE), ("train.experimental*", SAVED),
    ("data.experimental.enable_debug_mode", "`hr.config.run_functions_eagerly` is that mode"),
    ("data.experimental.*variant", VARIANTS), ("data.experimental.get_model_proto", CPP_DATA),
    ("data.experimental.make_saveable_from_iterator", "iterators are saved by `state()`"),
    ("autograph.experimental.Feature", "there are no optional conversions to choose from"),
    ("conv", LATER), ("conv2d_backprop_*_v2", "`hr.raw_ops` has the gradients of `nn.conv2d`"),
    ("ragged_fill_empty_rows*", LATER), ("ragged.*", LATER), ("sparse.*", LATER),
    ("sets.*", LATER), ("math.*", LATER), ("strings.*", LATER), ("random.*", LATER),
    ("*fftnd", LATER), ("edit_distance", LATER), ("*cast", LATER), ("bitcast", LATER),
    ("dtypes.*cast", LATER), ("dtypes.complex", LATER),
    # raw ops by family, for those whose public function exists or is left out
    ("raw_ops.Quant*", QUANTISED), ("raw_ops.*Quantiz*", QUANTISED),
    ("raw_ops.Quantized*", QUANTISED), ("raw_ops.FakeQuant*", QUANTISED),
    ("raw_ops.Dequantize", QUANTISED), ("raw_ops.Requantiz*", QUANTISED),
    ("raw_ops.UniformQuant*", QUANTISED), ("raw_ops.UniformDequant*", QUANTISED),
    ("raw_ops.UniformRequant*", QUANTISED),
    ("raw_ops.Xla*", XLA), ("raw_ops.ApproxTopK", XLA), ("raw_ops.*TPU*", TPU),
    ("raw_ops.*Tpu*", TPU), ("raw_ops.Nccl*", COLLECTIVES),
    ("raw_ops.Collective*", COLLECTIVES), ("raw_ops.*Dataset*", CPP_DATA),
    ("raw_ops.*Iterator*", CPP_DATA), ("raw_ops.Optional*", CPP_DATA),
    ("raw_ops.*Queue*", VARIANTS), ("raw_ops.*Barrier*", VARIANTS),
    ("raw_ops.*Stack*V2", VARIANTS), ("raw_ops.Stack*", VARIANTS), ("raw_ops.Stage*",
     VARIANTS), ("raw_ops.Unstage", VARIANTS), ("raw_ops.Map*", VARIANTS),
    ("raw_ops.OrderedMap*", VARIANTS), ("raw_ops.*Accumulator*", VARIANTS),
    ("raw_ops.TensorArray*", "`hr.TensorArray` is made of TensorList operations"),
    ("raw_ops.*Summary*", SUMMARIES), ("raw_ops.*Reader*", CPP_DATA),
    ("raw_ops.Boosted*", DESIGN + "boosted trees, which TensorFlow itself has dropped"),
    ("raw_ops.Tensor*Forest*", DESIGN + "forests, which TensorFlow itself has dropped"),
    ("raw_ops.Ref*", GRAPH_MODE), ("raw_ops.*Ref", GRAPH_MODE), ("raw_ops.Enter", GRAPH_MODE),
    ("raw_ops.Exit", GRAPH_MODE), ("raw_ops.NextIteration", GRAPH_MODE),
    ("raw_ops.Merge", GRAPH_MODE), ("raw_ops.Switch", GRAPH_MODE),
    ("raw_ops.LoopCond", GRAPH_MODE), ("raw_ops.ControlTrigger", GRAPH_MODE),
    ("raw_ops.Abort", GRAPH_MODE), ("raw_ops.*Session*", GRAPH_MODE),
    ("raw_ops.TemporaryVariable", GRAPH_MODE), ("raw_ops.DestroyTemporaryVariable",
     GRAPH_MODE), ("raw_ops.Variable*", GRAPH_MODE), ("raw_ops.Assign", GRAPH_MODE),
    ("raw_ops.AssignAdd", GRAPH_MODE), ("raw_ops.AssignSub", GRAPH_MODE),
    ("raw_ops.Scatter[AMDSU]*", GRAPH_MODE), ("raw_ops.ScatterNd*", GRAPH_MODE),
    ("raw_ops.Apply*", "the update of a variable by reference; the Resource form is there or "
     "in `hr.keras.optimizers`"),
    ("raw_ops.SparseApply*", "the update of a variable by reference; see `Resource...`"),
    ("raw_ops.Resource*Apply*", "`hr.keras.optimizers` has the update as fused programs"),
    ("raw_ops.ResourceScatter*", "scatter functions return new values; see "
     "`hr.tensor_scatter_nd_update`"),
    ("raw_ops.*Handle*", VARIANTS), ("raw_ops.*Resource*", VARIANTS),
    ("raw_ops.*Mutex*", VARIANTS), ("raw_ops.*HashTable*", "`hr.lookup` keeps its tables in "
     "Python objects"),
    ("raw_ops.LookupTable*", "`hr.lookup` keeps its tables in Python objects"),
    ("raw_ops.InitializeTable*", "`hr.lookup` keeps its tables in Python objects"),
    ("raw_ops.*Restore*", SAVED), ("raw_ops.Save*", SAVED), ("raw_ops.*Checkpoint*", SAVED),
    ("raw_ops.Anonymous*", VARIANTS), ("raw_ops._*", VARIANTS),
    ("raw_ops.Send", GRAPH_MODE), ("raw_ops.Recv", GRAPH_MODE),
    ("raw_ops.RemoteCall", COLLECTIVES), ("raw_ops.*PartitionedCall", GRAPH_MODE),
    ("raw_ops.SymbolicGradient", GRAPH_MODE), ("raw_ops.Batch", VARIANTS),
    ("raw_ops.BatchFunction", VARIANTS), ("raw_ops.Unbatch*", VARIANTS),
    ("raw_ops.CudnnRNN*", DESIGN + "cuDNN's own layouts of weights"),
    ("raw_ops.*LSTM*", "`hr.keras.layers.LSTM` runs on a kernel of this library"),
    ("raw_ops.*GRU*", "`hr.keras.layers.GRU` runs on a kernel of this library"),
    ("raw_ops.DebugIdentity*", GRAPH_MODE), ("raw_ops.DebugN*", GRAPH_MODE),
    ("raw_ops.*Sdca*", DESIGN + "SDCA, which belongs to estimators"),
    ("raw_ops.*Mlir*", XLA), ("raw_ops.*Mkl*", DESIGN + "kernels of oneDNN"),
    ("raw_ops.*V1", "an older form"),
    ("raw_ops.*", "no primitive of this name yet; `hr` may have the function"),
)  # fmt: skip


class Report(NamedTuple):
    """One namespace's coverage.

    Attributes:
        namespace: such as "math"; empty for the top.
        total: how many public names TensorFlow has there.
        missing: those that Headrace has not, with the reasons; "" where there is none.
    """

    namespace: str
    total: int
    missing: dict[str, str]


def _home(library: Any, namespace: str) -> Any:
    for part in filter(None, namespace.split(".")):
        library = getattr(library, part, None)
    return library


def _has(home: Any, name: str) -> bool:
    try:
        return home is not None and hasattr(home, name)
    except Exception:
        return False


def reason(name: str) -> str:
    """Why `name` (with its namespace) is missing; empty if nobody said."""
    return next((why for pattern, why in REASONS if fnmatch.fnmatchcase(name, pattern)), "")


def coverage(peer: Any, own: Any) -> list[Report]:
    """A report per namespace of `peer`, the TensorFlow module, against `own`, Headrace."""
    found = []
    for namespace in NAMESPACES:
        theirs, ours = _home(peer, namespace), _home(own, namespace)
        names = [
            name
            for name in dir(theirs)
            if not name.startswith("_")
            and not isinstance(getattr(theirs, name, None), types.ModuleType)
        ]
        lead = f"{namespace}." if namespace else ""
        missing = {n: reason(lead + n) for n in names if not _has(ours, n)}
        found.append(Report(namespace, len(names), missing))
    return found


def page(reports: list[Report], version: str) -> str:
    """The text of docs/ops.md."""
    lines = [
        "# Operations",
        "",
        f"Which of TensorFlow {version}'s public names `headrace` has, by namespace. "
        "`docs/make_ops.py` writes this page from both libraries; names of submodules, and "
        "`keras`, are not counted.",
        "",
        "| namespace | names | here | |",
        "|---|---:|---:|---:|",
    ]
    total = here = 0
    for r in reports:
        have = r.total - len(r.missing)
        if r.namespace != "raw_ops":
            total, here = total + r.total, here + have
        lines.append(
            f"| `{_shown(r.namespace)}` | {r.total} | {have} | {_share(have, r.total)} |"
        )
    lines += [f"| all but `raw_ops` | {total} | {here} | {_share(here, total)} |", ""]
    lines += ["## What is missing, and why", ""]
    for r in reports:
        if not r.missing:
            continue
        lines += [f"### `{_shown(r.namespace)}`", ""]
        reasons: dict[str, list[str]] = {}
        for name, why in r.missing.items():
            reasons.setdefault(why or "no reason given", []).append(name)
        for why in sorted(reasons):
            names = reasons[why]
            lines.append(f"- {why}: {', '.join(f'`{n}`' for n in names)}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _shown(namespace: str) -> str:
    return f"hr.{namespace}" if namespace else "hr"


def _share(have: int, total: int) -> str:
    return f"{100 * have // max(total, 1)} %"


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the page")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    import headrace as hr

    reports = coverage(tf, hr)
    text = page(reports, tf.__version__)
    for r in reports:
        for name, why in r.missing.items():
            if not why:
                print(f"no reason for {_shown(r.namespace)}.{name}", file=sys.stderr)
    if options.check:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
