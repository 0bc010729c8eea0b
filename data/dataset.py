"""Dataset: tf.data's class; its sources (static constructors) and the readers of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..io.files import check_compression, glob
from ..ops import dtypes, nest
from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.random_ops import get_seed
from ..ops.string_array import StringArray
from ..ops.tensor import SymbolicTensor, Tensor
from ..ops.tensor_spec import TensorSpec
from .dataset_arrow import DatasetArrow
from .dataset_base import DatasetBase
from .dataset_function import DatasetFunction
from .dataset_keyed import Keyed
from .dataset_transforms import AUTOTUNE, merged_options, unsigned
from .node import Node, user_line
from .pool import usable_cpus
from .transforms.choose import ChooseNode, RandomNode
from .transforms.counter import CounterNode
from .transforms.files import FilesNode, FixedLengthRecordNode, TextLineNode, TFRecordNode
from .transforms.generator import GeneratorNode, argument, signature
from .transforms.interleave import FlatMapNode, InterleaveNode
from .transforms.range import RangeNode
from .transforms.shuffle import ShuffleNode
from .transforms.symbolic import SymbolicNode
from .transforms.tensors import TensorsNode, tensor_slices
from .transforms.zip import ZipNode
from .values import Components, as_int

__all__ = ["Dataset", "FixedLengthRecordDataset", "TFRecordDataset", "TextLineDataset"]


class Dataset(DatasetArrow, Keyed):
    """A sequence of elements, each a nested structure of tensors.

    Made by a static method (`from_tensor_slices`, `range`, ...) or a reader of files
    (`TFRecordDataset`, ...), transformed by methods that give new datasets, and iterated as
    often as wanted.  Nothing is read or computed before, except that functions are traced.

    >>> import headrace as hr
    >>> dataset = hr.data.Dataset.from_tensor_slices([8, 3, 0]).map(lambda x: x + 1).batch(2)
    >>> for batch in dataset.as_numpy_iterator():
    ...     print(batch)
    [9 4]
    [1]
    """

    @staticmethod
    def range(*args: Any, output_type: Any = dtypes.int64, name: str | None = None) -> Dataset:
        """The numbers from `start` (0) up to, not including, `stop` in steps of `step` (1).

        Args:
            *args: ``stop``, ``start, stop`` or ``start, stop, step``.
            output_type: dtype of the numbers.
            name: of the source.

        Raises:
            InvalidArgumentError: `step` is 0.
        """
        if not 1 <= len(args) <= 3:
            raise ValueError("Invalid `args`. The length of `args` should be between 1 and 3 "
                             f"but its length is {len(args)}.")  # fmt: skip
        kind = dtypes.as_dtype(output_type)
        source = user_line()
        if any(isinstance(a, SymbolicTensor) for a in args):
            recipe = (_range_of, args, kind)
            return Dataset(SymbolicNode(TensorSpec([], kind), recipe, name=name, source=source))
        names = ("stop",) if len(args) == 1 else ("start", "stop", "step")
        numbers = [as_int(n, a) for n, a in zip(names, args, strict=False)]
        start, stop, step = (0, *numbers, 1) if len(args) == 1 else (*numbers, 1)[:3]
        if step == 0:
            raise InvalidArgumentError("step must be a non-zero integer, got 0")
        return Dataset(RangeNode(start, stop, step, kind, name=name, source=source))

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """One element: `tensors`, a nested structure; lists in it become tensors."""
        components = Components(tensors)
        source = user_line()
        if any(isinstance(v, SymbolicTensor) for v in components.values):
            recipe = (Dataset.from_tensors, components.nested())
            return Dataset(SymbolicNode(components.spec, recipe, name=name, source=source))
        return Dataset(TensorsNode(components, name=name, source=source))

    @staticmethod
    def from_tensor_slices(tensors: Any, name: str | None = None) -> Dataset:
        """The slices of `tensors`, a nested structure, along the first axis.

        Raises:
            ValueError: a component is a scalar, or their first axes differ.

        >>> import headrace as hr
        >>> pairs = hr.data.Dataset.from_tensor_slices(([1, 2], ["a", "b"]))
        >>> list(pairs.as_numpy_iterator())
        [(np.int32(1), b'a'), (np.int32(2), b'b')]
        """
        return Dataset(tensor_slices(Components(tensors), name=name, source=user_line()))

    @staticmethod
    def from_generator(
        generator: Callable[..., Any],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Any = None,
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """What ``generator(*args)`` yields, as tensors of the declared specs.

        Args:
            generator: called for every iteration; gives an iterable.
            output_types: nested dtypes; or use `output_signature`.
            output_shapes: nested shapes; unknown by default.
            args: what converts to tensors; given to `generator` as NumPy values.
            output_signature: nested `TensorSpec`s.
            name: of the source.

        Raises:
            TypeError: `generator` is not callable, or no signature was given.
            InvalidArgumentError: (while iterating) a value does not fit the signature.
        """
        if not callable(generator):
            raise TypeError("`generator` must be a Python callable.")
        spec = signature(output_types, output_shapes, output_signature)
        given = tuple(args) if args is not None else ()
        common: dict[str, Any] = {"name": name, "source": user_line()}
        if any(isinstance(a, SymbolicTensor) for a in given):
            return Dataset(SymbolicNode(spec, **common))
        return Dataset(GeneratorNode(generator, tuple(map(argument, given)), spec, **common))

    @staticmethod
    def list_files(
        file_pattern: Any,
        shuffle: bool | None = None,
        seed: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """The names of the files that match, as scalar strings.

        Args:
            file_pattern: a glob pattern, or several; URLs of remote stores too.
            shuffle: whether in random order (the default), anew in each iteration.
            seed: of the order.
            name: of the source.

        Raises:
            InvalidArgumentError: no file matches.
        """
        patterns = _paths("file_pattern", file_pattern)
        files = sorted({f for p in patterns for f in glob(p)})
        if not files:
            raise InvalidArgumentError(
                f"No files matched pattern: {', '.join(patterns)}; check the path"
            )
        source = user_line()
        node = tensor_slices(Components(np.array(files, object)), name=name, source=source)
        if shuffle is None or shuffle:
            seeds = unsigned(get_seed(None if seed is None else as_int("seed", seed)))
            node = ShuffleNode(node, len(files), seeds, name=name, source=source)
        return Dataset(node)

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: str | None = None) -> Dataset:
        """Elements of several datasets side by side, as many as the shortest has.

        Args:
            *args: datasets, or one nested structure (tuples, dicts) of them.
            datasets: the structure, in TensorFlow's older form.
            name: of the transformation.

        >>> import headrace as hr
        >>> a, b = hr.data.Dataset.range(2), hr.data.Dataset.range(5, 9)
        >>> list(hr.data.Dataset.zip(a, b).as_numpy_iterator())
        [(np.int64(0), np.int64(5)), (np.int64(1), np.int64(6))]
        """
        if not args and datasets is None:
            raise TypeError("Must pass at least one dataset to `zip`.")
        if args and datasets is not None:
            raise TypeError("Both `*args` and `datasets` cannot be set.")
        structure = datasets if not args else args[0] if len(args) == 1 else args
        leaves, tree = nest.flatten_with_spec(structure)
        if _has_list(structure):
            raise TypeError(
                "Invalid input to `zip`. Inputs are expected to be (nested) structures of "
                "`hr.data.Dataset` objects. Python `list` is not supported and you should use "
                "`tuple` instead."
            )
        for leaf in leaves:
            if not isinstance(leaf, DatasetBase):
                raise TypeError(
                    "Invalid input to `zip`. Inputs are expected to be (nested) structures of "
                    f"`hr.data.Dataset` objects but encountered object of type {type(leaf)}."
                )
        layout = nest.pack_sequence_as(tree, range_of(len(leaves)))
        node = ZipNode(tuple(d._node for d in leaves), layout, name=name, source=user_line())
        return Dataset(node, merged_options(leaves))

    @staticmethod
    def choose_from_datasets(
        datasets: Any, choice_dataset: Any, stop_on_empty_dataset: bool = True
    ) -> Dataset:
        """For every number of `choice_dataset` the next element of that dataset.

        Args:
            datasets: datasets of compatible elements.
            choice_dataset: a dataset of int64 scalars, indices of `datasets`.
            stop_on_empty_dataset: whether to end when a dataset that is chosen has ended;
                otherwise such choices are passed over.

        Raises:
            TypeError: `choice_dataset` is not of int64 scalars.
        """
        datasets = _several(datasets)
        spec = choice_dataset.element_spec
        if spec != TensorSpec([], dtypes.int64):
            raise TypeError(
                "Invalid `choice_dataset`. Elements of `choice_dataset` must be scalar "
                f"`hr.int64` tensors but are {spec!r}."
            )
        nodes = tuple(d._node for d in datasets)
        node = ChooseNode(
            choice_dataset._node, nodes, bool(stop_on_empty_dataset), source=user_line()
        )
        node.element_spec  # noqa: B018  raises TypeError here, not while iterating
        return Dataset(node, merged_options([choice_dataset, *datasets]))

    @staticmethod
    def sample_from_datasets(
        datasets: Any,
        weights: Any = None,
        seed: Any = None,
        stop_on_empty_dataset: bool = False,
        rerandomize_each_iteration: bool | None = None,
    ) -> Dataset:
        """Elements of `datasets`, each from one chosen at random.

        Args:
            datasets: datasets of compatible elements.
            weights: probabilities of the datasets; equal by default.
            seed: of the choices.
            stop_on_empty_dataset: whether to end when a dataset that is chosen has ended.
            rerandomize_each_iteration: whether each iteration makes other choices.

        Raises:
            ValueError: there are not as many weights as datasets, or one is negative.
        """
        datasets = _several(datasets)
        shares: Any = (
            np.ones(len(datasets)) if weights is None else np.asarray(weights, np.float64)
        )
        if shares.shape != (len(datasets),):
            raise ValueError(
                f"Invalid `weights`. `weights` should be None or of shape [{len(datasets)}], "
                f"one per dataset, but its shape is {list(shares.shape)}."
            )
        if (shares < 0).any() or not shares.sum() > 0:
            raise ValueError(f"`weights` must not be negative or all 0, got {shares.tolist()}")
        if not stop_on_empty_dataset:
            kept = np.flatnonzero(shares)
            datasets, shares = [datasets[i] for i in kept], shares[kept]
        seeds = unsigned(get_seed(None if seed is None else as_int("seed", seed)))
        source = user_line()
        choice = RandomNode(
            seeds, tuple(shares.tolist()), bool(rerandomize_each_iteration), source=source
        )
        nodes = tuple(d._node for d in datasets)
        node = ChooseNode(choice, nodes, bool(stop_on_empty_dataset), source=source)
        node.element_spec  # noqa: B018  raises TypeError here, not while iterating
        return Dataset(node, merged_options(datasets))

    @staticmethod
    def counter(
        start: Any = 0, step: Any = 1, dtype: Any = dtypes.int64, name: str | None = None
    ) -> Dataset:
        """``start, start + step, ...`` without end."""
        first, by = as_int("start", start), as_int("step", step)
        return Dataset(
            CounterNode(first, by, dtypes.as_dtype(dtype), name=name, source=user_line())
        )

    @staticmethod
    def random(
        seed: Any = None,
        rerandomize_each_iteration: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Random int64 numbers of [0, 2**32), without end."""
        seeds = unsigned(get_seed(None if seed is None else as_int("seed", seed)))
        node = RandomNode(
            seeds, None, bool(rerandomize_each_iteration), name=name, source=user_line()
        )
        return Dataset(node)


DatasetBase._plain = Dataset


def _several(datasets: Any) -> list[Any]:
    datasets = list(datasets)
    if not datasets:
        raise ValueError("Invalid `datasets`. `datasets` should not be empty.")
    for one in datasets:
        if not isinstance(one, DatasetBase):
            raise TypeError(f"`datasets` must be Datasets, got {type(one).__name__}")
    return datasets


def range_of(n: int) -> list[int]:
    """``[0, ..., n - 1]`` (`Dataset.range` hides the built-in in its class)."""
    return list(range(n))


def _range_of(args: Any, kind: Any) -> Dataset:
    return Dataset.range(*args, output_type=kind)


def _has_list(structure: Any) -> bool:
    if isinstance(structure, list):
        return True
    if isinstance(structure, dict):
        return any(map(_has_list, structure.values()))
    return isinstance(structure, tuple) and any(map(_has_list, structure))


def _paths(what: str, value: Any) -> list[str]:
    """File names given as a string, path, list, or string tensor."""
    if isinstance(value, Tensor):
        value = value._value
    elif hasattr(value, "__fspath__"):
        value = value.__fspath__()
    elif isinstance(value, (list, tuple)):
        value = [v.__fspath__() if hasattr(v, "__fspath__") else v for v in value]
    if not isinstance(value, StringArray):
        if isinstance(value, (list, tuple)) and not value:
            return []
        value = convert_to_tensor(value)._value
    if not isinstance(value, StringArray):
        raise TypeError(f"`{what}` must be strings, got dtype {value.dtype}")
    flat = value.ravel().numpy().tolist()
    return [f.decode("utf-8", "surrogateescape") for f in flat]


def _reading(make: Callable[..., FilesNode], filenames: Any, reads: Any, common: Any) -> Node:
    """The node that reads `filenames`: a list, a dataset of names, or a symbolic tensor."""
    count = None if reads is None else as_int("num_parallel_reads", reads)
    if count is not None and count < 1 and count != AUTOTUNE:
        raise InvalidArgumentError(
            f"num_parallel_reads must be AUTOTUNE (-1) or positive, got {count}"
        )
    if isinstance(filenames, SymbolicTensor):
        recipe = (_reading, make, filenames, None, common)
        node = SymbolicNode(TensorSpec([], dtypes.string), recipe, **common)
        object.__setattr__(node, "reads_files", True)
        return node
    if not isinstance(filenames, DatasetBase):
        files = tuple(_paths("filenames", filenames))
        if count is None or len(files) <= 1:
            return make(files, **common)
        names: Node = tensor_slices(Components(np.array(files, object)), **common)
    else:
        names = filenames._node
        spec = names.element_spec
        if not isinstance(spec, TensorSpec) or spec.dtype is not dtypes.string:
            raise TypeError(
                "The `filenames` argument must contain `hr.string` elements. Got a dataset of "
                f"{spec!r} elements."
            )

    def read(files: Any) -> Dataset:
        return Dataset(_reading(make, files, None, common))

    function = DatasetFunction(
        read, names.element_spec, what="interleave", line=common["source"]
    )
    if count is None:
        return FlatMapNode(names, function, **common)
    cycle = count if count > 0 else usable_cpus()
    return InterleaveNode(names, function, cycle, 1, count, **common)


class TFRecordDataset(Dataset):
    """The records of TFRecord files, as scalar strings.

    Args:
        filenames: a path, several, or a dataset of them.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        buffer_size: accepted; reading is always by large chunks.
        num_parallel_reads: files read at a time, their records then come in turn; None reads
            one after the other.
        name: of the source.

    Raises:
        NotFoundError: (while iterating) a file does not exist.
        DataLossError: (while iterating) a file is damaged, truncated or no TFRecord file; the
            text names file, record and byte offset.
    """

    def __init__(
        self,
        filenames: Any,
        compression_type: Any = None,
        buffer_size: Any = None,
        num_parallel_reads: Any = None,
        name: str | None = None,
    ):
        compression = check_compression(compression_type)

        def make(files: tuple[str, ...], **common: Any) -> FilesNode:
            return TFRecordNode(files, compression, **common)

        common: dict[str, Any] = {"name": name, "source": user_line()}
        super().__init__(_reading(make, filenames, num_parallel_reads, common))


class TextLineDataset(Dataset):
    """The lines of text files, as scalar strings without their ends.

    Args:
        filenames: a path, several, or a dataset of them.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        buffer_size: accepted; reading is always by large chunks.
        num_parallel_reads: files read at a time; None reads one after the other.
        name: of the source.
    """

    def __init__(
        self,
        filenames: Any,
        compression_type: Any = None,
        buffer_size: Any = None,
        num_parallel_reads: Any = None,
        name: str | None = None,
    ):
        compression = check_compression(compression_type)

        def make(files: tuple[str, ...], **common: Any) -> FilesNode:
            return TextLineNode(files, compression, **common)

        common: dict[str, Any] = {"name": name, "source": user_line()}
        super().__init__(_reading(make, filenames, num_parallel_reads, common))


class FixedLengthRecordDataset(Dataset):
    """Records of a fixed number of bytes, as scalar strings.

    Args:
        filenames: a path, several, or a dataset of them.
        record_bytes: bytes of a record.
        header_bytes: bytes to skip at the beginning of each file.
        footer_bytes: bytes to ignore at the end of each file.
        buffer_size: accepted; reading is always by large chunks.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        num_parallel_reads: files read at a time; None reads one after the other.
        name: of the source.
    """

    def __init__(
        self,
        filenames: Any,
        record_bytes: Any,
        header_bytes: Any = None,
        footer_bytes: Any = None,
        buffer_size: Any = None,
        compression_type: Any = None,
        num_parallel_reads: Any = None,
        name: str | None = None,
    ):
        compression = check_compression(compression_type)
        size = as_int("record_bytes", record_bytes)
        header = as_int("header_bytes", header_bytes or 0)
        footer = as_int("footer_bytes", footer_bytes or 0)
        if size <= 0:
            raise InvalidArgumentError(f"record_bytes must be positive, got {size}")
        for what, value in (("header_bytes", header), ("footer_bytes", footer)):
            if value < 0:
                raise InvalidArgumentError(f"{what} must not be negative, got {value}")

        def make(files: tuple[str, ...], **common: Any) -> FilesNode:
            return FixedLengthRecordNode(files, compression, size, header, footer, **common)

        common: dict[str, Any] = {"name": name, "source": user_line()}
        super().__init__(_reading(make, filenames, num_parallel_reads, common))
