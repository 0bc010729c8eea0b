"""Options of a pipeline: `Options`, its parts, and how two sets of options merge.

Attribute names, types and defaults are tf.data's, so that scripts run unchanged; what Headrace
adds is marked "Headrace only".  An attribute that was never set reads as its default (mostly
None: "the engine decides") and does not override anything when options are merged.

Which part of the engine obeys what:

* `deterministic`: order of parallel stages (`executor`);
* `threading.private_threadpool_size`, `autotune.cpu_budget`: number of threads (`autotune`);
* `autotune`: how many threads stages get and how far they read ahead (`autotune`);
* `experimental_optimization.<rule>`: the rewrite rules (`rules`);
* `fetch_to_device`: a model's training (`keras.engine.device_input`).

The others are accepted and kept because scripts set them; they change nothing yet.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = [
    "AutoShardPolicy",
    "AutotuneAlgorithm",
    "AutotuneOptions",
    "DistributeOptions",
    "ExternalStatePolicy",
    "OptimizationOptions",
    "Options",
    "ServiceOptions",
    "ThreadingOptions",
    "merge_options",
]

OptionsT = TypeVar("OptionsT", bound="OptionsBase")


class AutotuneAlgorithm(enum.Enum):
    """How autotuning searches; accepted for compatibility."""

    DEFAULT = 0
    HILL_CLIMB = 1
    GRADIENT_DESCENT = 2
    MAX_PARALLELISM = 3
    STAGE_BASED = 4


class AutoShardPolicy(enum.IntEnum):
    """How a strategy shards a dataset among workers."""

    OFF = -1
    AUTO = 0
    FILE = 1
    DATA = 2
    HINT = 3


class ExternalStatePolicy(enum.Enum):
    """What to do about state outside the pipeline when it is saved."""

    WARN = 0
    IGNORE = 1
    FAIL = 2


class _Option:
    """A typed attribute whose value, once set, lives in its owner's `_options`."""

    def __init__(self, kind: type, doc: str, default: Callable[[], Any] = lambda: None):
        self.kind = kind
        self.default = default
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, options: Any, owner: type | None = None) -> Any:
        if options is None:
            return self
        if self.name not in options._options:
            value = self.default()
            if value is None:
                return None
            # Kept, so that `options.threading.private_threadpool_size = 4` has an effect.
            options._options[self.name] = value
        return options._options[self.name]

    def __set__(self, options: Any, value: Any) -> None:
        ok = isinstance(value, self.kind) and not (self.kind is int and isinstance(value, bool))
        if not ok:
            raise TypeError(
                f"option {type(options).__name__}.{self.name} must be a {self.kind.__name__}, "
                f"got {value!r} ({type(value).__name__})"
            )
        options._options[self.name] = value


class OptionsBase:
    """Base of all sets of options: attributes are those declared, and nothing else."""

    def __init__(self) -> None:
        object.__setattr__(self, "_options", {})
        object.__setattr__(self, "_mutable", True)

    @classmethod
    def names(cls) -> list[str]:
        """The attributes this set of options has."""
        return sorted(n for n in dir(cls) if isinstance(getattr(cls, n), _Option))

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._mutable:
            raise ValueError(
                f"cannot set {name!r}: the Options that Dataset.options() returns are a copy, "
                "so changing them has no effect; pass changed ones to "
                "Dataset.with_options(options)"
            )
        if name not in self.names():
            raise AttributeError(
                f"Cannot set the property {name} on {type(self).__name__}; "
                f"it has {', '.join(self.names())}"
            )
        object.__setattr__(self, name, value)

    def freeze(self: OptionsT) -> OptionsT:
        """These options, from now on refusing changes (also to their parts)."""
        for name in self.names():
            value = getattr(self, name)
            if isinstance(value, OptionsBase):
                value.freeze()
        object.__setattr__(self, "_mutable", False)
        return self

    def _explicit(self) -> dict[str, Any]:
        """What was set: nested sets that say nothing are left out."""
        return {
            name: value
            for name, value in self._options.items()
            if not (isinstance(value, OptionsBase) and not value._explicit())
        }

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self.names())

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        parts = ", ".join(f"{n}={v!r}" for n, v in sorted(self._explicit().items()))
        return f"{type(self).__name__}({parts})"


def merge_options(*options: OptionsT) -> OptionsT:
    """A new set of options holding everything `options` set; later ones win.

    Raises:
        ValueError: no options were given.
        TypeError: they are not all sets of options of one type.
    """
    if not options:
        raise ValueError("merge_options needs at least one set of options, got none")
    kind = type(options[0])
    if not isinstance(options[0], OptionsBase):
        raise TypeError(
            f"options must be hr.data.Options or one of its parts, got {options[0]!r}"
        )
    result = kind()
    for one in options:
        if type(one) is not kind:
            raise TypeError(f"cannot merge {type(one).__name__} into {kind.__name__}")
        for name, value in one._explicit().items():
            old = result._options.get(name)
            if isinstance(value, OptionsBase):
                value = merge_options(old, value) if old is not None else merge_options(value)
            result._options[name] = value
    return result


class AutotuneOptions(OptionsBase):
    """Limits and switches of automatic tuning: what `AUTOTUNE` is while a pipeline runs.

    With ``enabled = False`` a parallel stage has `cpu_budget` threads and as many blocks (of a
    Python function: elements) again in flight; a prefetch two blocks or, where elements come
    one at a time, eight elements; nothing changes in mid-run.

    >>> options = Options()
    >>> options.autotune.ram_budget = 1 << 30
    """

    enabled = _Option(bool, "Whether to tune automatically. Default True.")
    cpu_budget = _Option(
        int, "Threads that work at a time, at most. Default: the usable CPU cores."
    )
    ram_budget = _Option(
        int,
        "Bytes that the pipeline's shuffles, caches, buffers and blocks in flight may hold "
        "together. Shuffles and caches hold what they were told to; the others share what is "
        "left, at least an eighth. Default: an eighth of the memory.",
    )
    autotune_algorithm = _Option(AutotuneAlgorithm, "Accepted for compatibility.")
    initial_parallelism = _Option(
        int, "Threads a stage begins with. Default: an equal share of the CPU cores."
    )
    min_parallelism = _Option(int, "Threads a stage keeps at least. Default 1.")


class DistributeOptions(OptionsBase):
    """How strategies distribute the dataset."""

    auto_shard_policy = _Option(
        AutoShardPolicy, "How to shard among workers.", lambda: AutoShardPolicy.AUTO
    )
    num_devices = _Option(int, "Number of devices this pipeline feeds.")

    def _explicit(self) -> dict[str, Any]:
        out = super()._explicit()
        if out.get("auto_shard_policy") is AutoShardPolicy.AUTO:
            del out["auto_shard_policy"]
        return out


class OptimizationOptions(OptionsBase):
    """Which rewrite rules may change the plan: True or False; None leaves it to the default.

    With ``apply_default_optimizations = False`` only rules set to True are applied.  Rules
    change how a pipeline runs, never what it delivers.
    """

    apply_default_optimizations = _Option(bool, "Whether rules left at None may apply.")
    filter_fusion = _Option(bool, "Fuse filters that follow each other. Default True.")
    filter_parallelization = _Option(
        bool, "Run traced filters on several threads. Default True."
    )
    inject_prefetch = _Option(bool, "Prefetch at the end. Default True.")
    seq_interleave_prefetch = _Option(bool, "Accepted for compatibility.")
    map_and_batch_fusion = _Option(
        bool, "Have parallel maps work on whole batches. Default True."
    )
    map_and_filter_fusion = _Option(
        bool, "Run a filter before or together with the map it follows. Default True."
    )
    map_fusion = _Option(bool, "Fuse traced maps that follow each other. Default True.")
    map_parallelization = _Option(bool, "Run traced maps on several threads. Default True.")
    noop_elimination = _Option(bool, "Drop stages that change nothing. Default True.")
    parallel_batch = _Option(bool, "Accepted for compatibility.")
    shuffle_and_repeat_fusion = _Option(
        bool,
        "Fill a shuffle's buffer for the next iteration while the last elements leave. "
        "Default True.",
    )
    slice_pushdown = _Option(
        bool, "Move take, skip and shard towards the source. Default True. Headrace only."
    )
    decode_fusion = _Option(
        bool, "Crop and resize decoded images as bytes. Default True. Headrace only."
    )
    device_cast = _Option(
        bool, "Send bytes to a device and cast them there. Default True. Headrace only."
    )
    device_decode = _Option(
        bool,
        "Have nvImageCodec decode the JPEGs of functions that run on a GPU; pixels may differ "
        "from the CPU's by a few levels. Default False. Headrace only.",
    )
    map_vectorization = _Option(
        bool, "Run traced functions on whole blocks. Default True. Headrace only."
    )
    feature_projection = _Option(
        bool, "Parse only the features that are used. Default True. Headrace only."
    )
    column_projection = _Option(
        bool, "Read only the columns that are used. Default True. Headrace only."
    )
    predicate_pushdown = _Option(
        bool, "Skip Parquet row groups a filter drops. Default True. Headrace only."
    )
    parallel_file_reading = _Option(
        bool, "Read files ahead on other threads. Default True. Headrace only."
    )

    def enabled(self, rule: str, default: bool = True) -> bool:
        """Whether `rule` may change a plan under these options."""
        explicit = getattr(self, rule)
        if explicit is not None:
            return explicit
        return default and self.apply_default_optimizations is not False


class ServiceOptions(OptionsBase):
    """Options of the data service."""

    pinned = _Option(bool, "Accepted for compatibility.")


class ThreadingOptions(OptionsBase):
    """Threads this pipeline uses."""

    max_intra_op_parallelism = _Option(int, "Accepted for compatibility.")
    private_threadpool_size = _Option(
        int, "Threads at most; 0 or unset: the usable CPU cores, shared with all pipelines."
    )


class Options(OptionsBase):
    """Options of a dataset, given to `Dataset.with_options`.

    >>> options = Options()
    >>> options.deterministic = False
    >>> options.threading.private_threadpool_size = 4
    >>> options
    Options(deterministic=False, threading=ThreadingOptions(private_threadpool_size=4))
    """

    autotune = _Option(AutotuneOptions, "Automatic tuning.", AutotuneOptions)
    dataset_name = _Option(str, "A name that errors and `stats()` show.")
    deterministic = _Option(
        bool, "Whether parallel stages keep the order of elements. Default True."
    )
    experimental_deterministic = _Option(bool, "Deprecated; use `deterministic`.")
    experimental_distribute = _Option(
        DistributeOptions, "Distribution among workers.", DistributeOptions
    )
    experimental_external_state_policy = _Option(
        ExternalStatePolicy, "Accepted for compatibility."
    )
    experimental_optimization = _Option(
        OptimizationOptions, "Rewrite rules.", OptimizationOptions
    )
    experimental_service = _Option(ServiceOptions, "The data service.", ServiceOptions)
    experimental_slack = _Option(bool, "Accepted for compatibility.")
    experimental_symbolic_checkpoint = _Option(bool, "Accepted: iterator state is symbolic.")
    experimental_threading = _Option(ThreadingOptions, "Deprecated; use `threading`.")
    experimental_warm_start = _Option(
        bool, "Start background threads with the iterator, not with its first `next`."
    )
    fetch_to_device = _Option(
        bool,
        "Whether `fit`, `evaluate` and `predict` copy batches to the model's GPU ahead of "
        "their steps. Default True. Headrace only.",
    )
    framework_type = _Option(list, "Accepted for compatibility.")
    threading = _Option(ThreadingOptions, "Threads.", ThreadingOptions)

    def merge(self, options: Options) -> Options:
        """New options: these, overridden by what `options` sets."""
        return merge_options(self, options)

    # -- what the engine asks ---------------------------------------------------------------

    @property
    def keeps_order(self) -> bool:
        """Whether parallel stages deliver in order."""
        for value in (self.deterministic, self.experimental_deterministic):
            if value is not None:
                return value
        return True

    @property
    def num_threads(self) -> int | None:
        """The number of threads asked for, or None if the engine decides."""
        old = self.experimental_threading
        for value in (
            self.threading.private_threadpool_size,
            old.private_threadpool_size if old is not None else None,
            self.autotune.cpu_budget,
        ):
            if value:
                return value
        return None
