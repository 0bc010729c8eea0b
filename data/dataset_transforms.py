"""Transformations: methods of `Dataset` that give another dataset, tf.data's signatures.

Each checks its arguments and makes a node; what it does stands in ``transforms/<name>.py``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops.errors import InvalidArgumentError
from ..ops.random_ops import get_seed
from .dataset_base import DatasetBase
from .dataset_function import DatasetFunction
from .device_dataset import gpu_of
from .device_map import device_map
from .functions import UserFunction, check_predicate
from .node import UNKNOWN, user_line
from .options import merge_options
from .pool import usable_cpus
from .storage.locate import check_path
from .storage.spec_json import spec_to_json
from .transforms.batch import BatchNode
from .transforms.cache import CacheNode
from .transforms.concatenate import ConcatenateNode, common_spec
from .transforms.enumerate import EnumerateNode
from .transforms.file_cache import FileCacheNode
from .transforms.filter import FilterNode
from .transforms.interleave import FlatMapNode, InterleaveNode
from .transforms.map import MapNode
from .transforms.prefetch import PrefetchNode
from .transforms.repeat import RepeatNode
from .transforms.shard import SHARD_HINT, ShardHintNode, ShardNode
from .transforms.shuffle import ShuffleNode
from .transforms.skip import SkipNode
from .transforms.take import TakeNode
from .transforms.unbatch import UnbatchNode
from .values import as_int

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["AUTOTUNE", "Transformations"]

AUTOTUNE = -1
"""Leaves a number to the engine."""

_NO_EFFECT = "The `deterministic` argument has no effect unless `num_parallel_calls` is given."


class Transformations(DatasetBase):
    """Datasets made of a dataset."""

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        synchronous: bool | None = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
        device: Any = None,
    ) -> Dataset:
        """`map_func` of every element.

        The function is traced once with symbolic tensors and then runs on whole blocks, on
        several threads; `explain()` shows it.  A function that needs values (``if x > 0``,
        ``x.numpy()``) runs as Python, once per element and in order.

        Args:
            map_func: gets an element (a tuple element as several arguments), gives a nested
                structure of what converts to tensors.
            num_parallel_calls: elements worked on at a time if the function runs as Python;
                `AUTOTUNE` for one per CPU.
            deterministic: whether the order is kept; by default the options say.
            synchronous: accepted for compatibility.
            use_unbounded_threadpool: accepted for compatibility.
            name: of the transformation, in errors and `explain`.
            device: such as "gpu:0": the elements are copied there while the device works on
                earlier ones, and the function runs there.  Headrace only.  Only for the last
                transformations: what follows without it has all of them run on the host.

        Raises:
            InvalidArgumentError: there is no such device, or the function cannot run there: it
                was not traced, changes state, or draws random numbers in a way that does not
                tell elements apart.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.range(3).map(lambda x: x * 2).as_numpy_iterator())
        [np.int64(0), np.int64(2), np.int64(4)]
        """
        if deterministic is not None and num_parallel_calls is None:
            _warn(_NO_EFFECT)
        gpu = None if device is None else gpu_of("device", device)
        function = self._function(map_func, "map")
        if gpu is not None:
            return device_map(self, function, gpu, name)
        return self._derive(
            MapNode,
            self._node,
            function,
            _parallel(num_parallel_calls),
            deterministic,
            name=name,
        )

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements for which `predicate` returns a true scalar bool.

        Raises:
            ValueError: `predicate` does not return a scalar bool.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.range(5).filter(lambda x: x % 2 == 0).as_numpy_iterator())
        [np.int64(0), np.int64(2), np.int64(4)]
        """
        function = self._function(predicate, "filter")
        check_predicate(function)
        return self._derive(FilterNode, self._node, function, name=name)

    def batch(
        self,
        batch_size: Any,
        drop_remainder: bool = False,
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Every `batch_size` consecutive elements stacked to one.

        Args:
            batch_size: elements a batch.
            drop_remainder: whether to drop a last batch of fewer elements.
            num_parallel_calls: accepted; stacking needs no threads of its own.
            deterministic: accepted, likewise.
            name: of the transformation.

        Raises:
            InvalidArgumentError: `batch_size` is not positive; while iterating: elements of a
                batch differ in shape.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.range(5).batch(2).as_numpy_iterator())
        [array([0, 1]), array([2, 3]), array([4])]
        """
        if deterministic is not None and num_parallel_calls is None:
            _warn(_NO_EFFECT)
        return self._derive(
            BatchNode, self._node, positive("batch_size", batch_size), bool(drop_remainder),
            _parallel(num_parallel_calls), deterministic, name=name,
        )  # fmt: skip

    def unbatch(self, name: str | None = None) -> Dataset:
        """The slices of every element along its first axis.

        Raises:
            ValueError: elements have scalar components.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.from_tensors([1, 2]).unbatch().as_numpy_iterator())
        [np.int32(1), np.int32(2)]
        """
        dataset = self._derive(UnbatchNode, self._node, name=name)
        dataset.element_spec  # noqa: B018  raises here, not at the first element
        return dataset

    def shuffle(
        self,
        buffer_size: Any,
        seed: Any = None,
        reshuffle_each_iteration: bool | None = True,
        name: str | None = None,
    ) -> Dataset:
        """The elements in random order, drawn from a buffer.

        The buffer holds `buffer_size` elements; each output is one of them at random, its place
        is taken by the next input element.  Uniform over all orders if the buffer holds all.

        Args:
            buffer_size: elements in the buffer; `UNKNOWN_CARDINALITY` for all of them.
            seed: makes the order the same in every run of the program.
            reshuffle_each_iteration: whether each iteration has another order.
            name: of the transformation.

        Raises:
            InvalidArgumentError: `buffer_size` is not positive.
        """
        size = as_int("buffer_size", buffer_size)
        if size <= 0 and size != UNKNOWN:
            raise InvalidArgumentError(
                f"buffer_size must be greater than zero or UNKNOWN_CARDINALITY, got {size}"
            )
        seeds = get_seed(None if seed is None else as_int("seed", seed))
        reshuffle = reshuffle_each_iteration is not False
        return self._derive(
            ShuffleNode, self._node, size, unsigned(seeds), reshuffle, name=name
        )

    def repeat(self, count: Any = None, name: str | None = None) -> Dataset:
        """The dataset `count` times over; without end if `count` is None or -1.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.range(2).repeat(2).as_numpy_iterator())
        [np.int64(0), np.int64(1), np.int64(0), np.int64(1)]
        """
        times = -1 if count is None else as_int("count", count)
        return self._derive(RepeatNode, self._node, times, name=name)

    def take(self, count: Any, name: str | None = None) -> Dataset:
        """At most the first `count` elements; all if it is -1."""
        return self._derive(TakeNode, self._node, as_int("count", count), name=name)

    def skip(self, count: Any, name: str | None = None) -> Dataset:
        """What follows the first `count` elements; nothing if it is -1."""
        return self._derive(SkipNode, self._node, as_int("count", count), name=name)

    def shard(self, num_shards: Any, index: Any, name: str | None = None) -> Dataset:
        """The elements whose position is `index` modulo `num_shards`.

        Both may be `hr.data.experimental.SHARD_HINT`: whoever distributes the dataset then
        shards it here.

        Raises:
            InvalidArgumentError: `num_shards` is not positive, or `index` not below it.
        """
        shards, number = as_int("num_shards", num_shards), as_int("index", index)
        if shards == number == SHARD_HINT:
            return self._derive(ShardHintNode, self._node, name=name)
        if shards < 1:
            raise InvalidArgumentError(
                "Number of shards must be greater than zero (currently num_shards = "
                f"{shards}); num_shards is how many workers share the dataset"
            )
        if not 0 <= number < shards:
            raise InvalidArgumentError(
                f"Index must be between 0 and {shards - 1} (currently index = {number}); "
                "index is this worker's number"
            )
        return self._derive(ShardNode, self._node, shards, number, name=name)

    def enumerate(self, start: Any = 0, name: str | None = None) -> Dataset:
        """Pairs ``(number, element)``, numbers being int64 and counted from `start`."""
        return self._derive(EnumerateNode, self._node, as_int("start", start), name=name)

    def concatenate(self, dataset: Any, name: str | None = None) -> Dataset:
        """The elements of this dataset, then those of `dataset`.

        Raises:
            TypeError: the elements are of incompatible specs.
        """
        if not isinstance(dataset, DatasetBase):
            raise TypeError(f"`dataset` must be a Dataset, got {type(dataset).__name__}")
        common_spec(self.element_spec, dataset.element_spec)
        joined = self._derive(ConcatenateNode, self._node, dataset._node, name=name)
        return joined.with_options(dataset._own_options)

    def cache(self, filename: Any = "", name: str | None = None) -> Dataset:
        """The same elements, kept in memory, or in a file, once they all have been read.

        Args:
            filename: prefix of the file's path or URL; it then serves later processes, too,
                and must be deleted when the dataset changes.
            name: of the transformation.

        Raises:
            TypeError: a file was asked for and the elements hold datasets.
            AlreadyExistsError: (while iterating) another iterator is writing the file.
            DataLossError: (while iterating) the file is damaged.
        """
        prefix = check_path("filename", filename)
        if not prefix:
            return self._derive(CacheNode, self._node, name=name)
        spec_to_json(self.element_spec)
        return self._derive(FileCacheNode, self._node, prefix, name=name)

    def prefetch(self, buffer_size: Any, name: str | None = None) -> Dataset:
        """The same elements, `buffer_size` of them made ahead by a thread.

        `AUTOTUNE` leaves the number to the engine.  Elements that are made by pure code may be
        made further ahead, as far as a fixed number of bytes goes.
        """
        size = AUTOTUNE if buffer_size is None else as_int("buffer_size", buffer_size)
        if size < AUTOTUNE:
            raise InvalidArgumentError(f"buffer_size must be AUTOTUNE (-1) or more, got {size}")
        return self._derive(PrefetchNode, self._node, size, name=name)

    def flat_map(self, map_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements of the datasets that `map_func` gives for the elements, joined.

        >>> import headrace as hr
        >>> nested = hr.data.Dataset.from_tensor_slices([[1, 2], [3, 4]])
        >>> flat = nested.flat_map(hr.data.Dataset.from_tensor_slices)
        >>> list(flat.as_numpy_iterator())
        [np.int32(1), np.int32(2), np.int32(3), np.int32(4)]
        """
        function = self._dataset_function(map_func, "flat_map")
        return self._derive(FlatMapNode, self._node, function, name=name)

    def interleave(
        self,
        map_func: Callable[..., Any],
        cycle_length: Any = None,
        block_length: Any = None,
        num_parallel_calls: Any = None,
        deterministic: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The elements of the datasets that `map_func` gives, mixed in turn.

        Args:
            map_func: gives a dataset for an element.
            cycle_length: datasets open at a time; by default `num_parallel_calls`, else one per
                usable CPU, a third of that with `num_parallel_calls=AUTOTUNE`.
            block_length: consecutive elements taken from each in its turn; 1 by default.
            num_parallel_calls: if given, the open datasets are read ahead by threads.
            deterministic: accepted; the order is always kept.
            name: of the transformation.
        """
        parallel = _parallel(num_parallel_calls)
        cycle = AUTOTUNE if cycle_length is None else as_int("cycle_length", cycle_length)
        if cycle_length is None and parallel is not None and parallel > 0:
            cycle = parallel
        if cycle == AUTOTUNE:
            # So that the order is tf.data's.  Observed with both left to it: one dataset open
            # on one and on two CPUs; that it is a third of the CPUs beyond is not confirmed.
            cycle = usable_cpus() if parallel != AUTOTUNE else -(-usable_cpus() // 3)
        if cycle < 1:
            raise InvalidArgumentError(f"`cycle_length` must be > 0, got {cycle}")
        block = 1 if block_length is None else positive("block_length", block_length)
        function = self._dataset_function(map_func, "interleave")
        return self._derive(
            InterleaveNode,
            self._node,
            function,
            cycle,
            block,
            parallel,
            deterministic,
            name=name,
        )

    def apply(self, transformation_func: Callable[[Any], Any]) -> Any:
        """``transformation_func(self)``, which must be a dataset.

        Raises:
            TypeError: it is not.
        """
        dataset = transformation_func(self)
        if not isinstance(dataset, DatasetBase):
            raise TypeError(
                f"`transformation_func` must return a `Dataset` object, got {type(dataset)}"
            )
        return dataset

    # -- for the methods above ------------------------------------------------------------

    def _function(self, fn: Any, what: str) -> UserFunction:
        if not callable(fn):
            raise ValueError(
                f"Argument `func` must be a callable. Received func={fn!r} (of type {type(fn)})"
            )
        return UserFunction(fn, self.element_spec, what=what, line=user_line())

    def _dataset_function(self, fn: Any, what: str) -> DatasetFunction:
        if not callable(fn):
            raise ValueError(
                f"Argument `func` must be a callable. Received func={fn!r} (of type {type(fn)})"
            )
        return DatasetFunction(fn, self.element_spec, what=what, line=user_line())


def positive(name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        InvalidArgumentError: it is not positive.
    """
    number = as_int(name, value)
    if number <= 0:
        raise InvalidArgumentError(f"{name} must be positive, got {number}")
    return number


def unsigned(seeds: tuple[int, int]) -> tuple[int, int]:
    """Two seeds as 63-bit numbers, the keys of a Philox generator."""
    mask = (1 << 63) - 1
    return seeds[0] & mask, seeds[1] & mask


def _parallel(value: Any) -> int | None:
    if value is None:
        return None
    number = as_int("num_parallel_calls", value)
    if number < 1 and number != AUTOTUNE:
        raise InvalidArgumentError(
            f"num_parallel_calls must be AUTOTUNE (-1) or positive, got {number}"
        )
    return number


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def merged_options(datasets: Any) -> Any:
    """The options of a dataset made of several."""
    return merge_options(*(d._own_options for d in datasets)) if datasets else None
