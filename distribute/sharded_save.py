"""`Dataset.save` in shards: each written by a task of its own, here or on a Ray cluster.

Shard i holds the elements whose number is i modulo the number of shards, whatever the pipeline
does; rules push that towards the source, so that work is divided, too, as far as the pipeline
allows.  A task that is killed is run again by Ray; its file appears when it is whole.  What
names all the files appears last: ``metadata.json`` for Headrace's own format, ``manifest.json``
for TFRecord and Parquet.  Until then, and after a crash, there is nothing new to be seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import secrets
import shutil
from collections.abc import Callable
from typing import Any

from ..data.block import Block
from ..data.dataset_function import DatasetFunction
from ..data.functions import UserFunction
from ..data.iterator import RawIterator
from ..data.node import Node
from ..data.rules import optimize
from ..data.rules.common import walk
from ..data.storage.element_file import ElementWriter
from ..data.storage.library import Library
from ..data.structure import Structure
from ..data.transforms.shard import ShardNode
from ..io.filesystems import is_remote
from ..ops import dtypes
from ..ops.errors import (
    AlreadyExistsError,
    CancelledError,
    InvalidArgumentError,
    UnavailableError,
    UnimplementedError,
)
from ..ops.random_ops import FreshSeed
from ..ops.string_array import StringArray
from ..ops.tensor_spec import TensorSpec
from .data_service.shipping import pack_error, ship, unpack_error, unship
from .ray_cluster import connect

__all__ = ["FORMATS", "ShardOrder", "save_shards", "write_shard"]

FORMATS = ("elements", "tfrecord", "parquet")
_RETRIES = 3
_ROWS = 4096


@dataclasses.dataclass(frozen=True)
class ShardOrder:
    """What a task is to do: the shipped plan's shard `index` to a file in `folder`.

    Attributes:
        data: the shipped plan.
        index, shards: which of how many.
        salt: what draws that nobody seeded begin with, in all shards.
        folder: where the file goes.
        file_format: one of `FORMATS`.
        compression: of the format.
    """

    data: bytes
    index: int
    shards: int
    salt: int
    folder: str
    file_format: str
    compression: str

    @property
    def name(self) -> str:
        """The file's."""
        if self.file_format == "elements":
            return f"{self.index:08d}.elements"
        return f"part-{self.index:05d}-of-{self.shards:05d}.{self.file_format}"


def save_shards(
    dataset: Any, folder: str, compression: str, shards: int, runner: str | None,
    file_format: str,
) -> None:  # fmt: skip
    """Write `dataset` to `folder` in `shards` files; see `Dataset.save`.

    Raises:
        InvalidArgumentError: the dataset cannot be shipped, or has no such format.
        AlreadyExistsError: somebody is writing there, or (TFRecord, Parquet) has done so.
        UnavailableError: a task died more often than it is retried.
        ModuleNotFoundError: Ray is not installed.
    """
    _check_format(dataset.element_spec, file_format)
    run = _run_here if runner is None else _run_on_ray
    shipment = ship(dataset._node, dataset._own_options)
    salt = secrets.randbits(31)

    def orders(place: str) -> list[ShardOrder]:
        return [
            ShardOrder(shipment.data, i, shards, salt, place, file_format, compression)
            for i in range(shards)
        ]

    if file_format != "elements":
        _publish_files(folder, orders, run)
        return
    writer = Library(folder).writer(dataset._node.structure, compression)
    if writer is None:
        raise AlreadyExistsError(
            f"{folder}; another process is saving a dataset there; choose another path"
        )
    try:
        rows = run(orders(writer.shared_folder()))
        writer.commit_shared([(o.name, n) for o, n in zip(orders(""), rows, strict=True)])
    finally:
        writer.abort()


def _check_format(spec: Any, file_format: str) -> None:
    if file_format == "tfrecord":
        fits = isinstance(spec, TensorSpec) and spec.shape.rank == 0
        if not (fits and spec.dtype == dtypes.string):
            raise InvalidArgumentError(
                f"file_format 'tfrecord' takes datasets of scalar strings, got elements "
                f"{spec!r}; turn them into records first, e.g. with hr.io.serialize_tensor or "
                "hr.train.Example"
            )
    elif file_format == "parquet":
        from ..data.arrow_specs import arrow_schema

        arrow_schema(spec)


def _publish_files(
    folder: str, orders: Callable[[str], list[ShardOrder]],
    run: Callable[[list[ShardOrder]], list[int]],
) -> None:  # fmt: skip
    """Files of other formats: made in a folder beside, renamed when all are there."""
    from ..data.storage.durable import publish, write_json

    if is_remote(folder):
        raise UnimplementedError(
            f"{folder}; TFRecord and Parquet shards are written to file systems only; save to "
            "one and copy, or leave file_format out"
        )
    os.makedirs(folder, exist_ok=True)
    manifest = os.path.join(folder, "manifest.json")
    names = [o.name for o in orders("")]
    if taken := [n for n in [*names, "manifest.json"] if os.path.exists(f"{folder}/{n}")]:
        raise AlreadyExistsError(
            f"{folder}; there is {taken[0]} of another save; choose another path or delete it"
        )
    place = os.path.join(folder, f".writing-{secrets.token_hex(8)}")
    os.mkdir(place)
    try:
        rows = run(orders(place))
        for name in names:
            publish(os.path.join(place, name), os.path.join(folder, name))
        write_json(manifest, {"version": 1, "files": list(zip(names, rows, strict=True))})
    finally:
        shutil.rmtree(place, ignore_errors=True)


# -- running the tasks ----------------------------------------------------------------------


def _run_here(orders: list[ShardOrder]) -> list[int]:
    return [write_shard(order) for order in orders]


def _run_on_ray(orders: list[ShardOrder]) -> list[int]:
    ray = connect("Dataset.save(runner='ray')", start=True)
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_shard_or_error)
    shared = ray.put(orders[0].data)  # once for all, not with every order
    waiting = {
        task.remote(shared, dataclasses.replace(order, data=b"")): order for order in orders
    }
    rows = [0] * len(orders)
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=1.0)
            for one in done:
                order = waiting.pop(one)
                try:
                    found = ray.get(one)
                except ray.exceptions.RayError as error:
                    first = str(error).partition("\n")[0]
                    raise UnavailableError(
                        f"the task that writes shard {order.index} died more than {_RETRIES} "
                        f"times: {first}; see Ray's log, or use more shards if memory ran out"
                    ) from error
                if isinstance(found, bytes):
                    raise unpack_error(found)
                rows[order.index] = found
    finally:
        for one in waiting:
            ray.cancel(one, force=True)
        if waiting:  # nobody writes any more when the folder is removed
            ray.wait(list(waiting), num_returns=len(waiting), timeout=30.0)
    return rows


def _shard_or_error(data: bytes, order: ShardOrder) -> int | bytes:
    try:
        return write_shard(dataclasses.replace(order, data=data))
    except Exception as error:
        return pack_error(error)


# -- one task ---------------------------------------------------------------------------------


def write_shard(order: ShardOrder, is_off: Callable[[], bool] = lambda: False) -> int:
    """Write one shard; the number of its elements.

    Args:
        order: which.
        is_off: whether nobody wants it any more; asked now and then.

    Raises:
        CancelledError: nobody wants it.
    """
    from ..ops import api  # noqa: F401  the primitives that graphs name

    drawn = random.Random(order.salt)  # all shards draw the same
    plan, options = unship(order.data, lambda: (drawn.getrandbits(63), drawn.getrandbits(63)))
    _settle_seeds(plan, order.salt)
    plan = ShardNode(plan, order.shards, order.index, source=plan.source)
    make: Any = {"elements": _Elements, "tfrecord": _Records, "parquet": _Table}[
        order.file_format
    ]
    sink = make(os.path.join(order.folder, order.name), plan.structure, order.compression)
    rows = 0
    try:
        with RawIterator(optimize(plan, options)[0], options) as iterator:
            while (block := iterator.next_block(_ROWS)) is not None:
                sink.write(block)
                rows += block.num_rows
                if is_off():
                    raise CancelledError("the files are not wanted any more")
        sink.commit()
    except BaseException:
        sink.abort()
        raise
    return rows


def _settle_seeds(plan: Node, salt: int) -> None:
    """Have random operations that nobody seeded draw the same in all shards."""
    for node in walk(plan):
        for field in dataclasses.fields(node):
            value = getattr(node, field.name)
            functions = [value] if isinstance(value, UserFunction) else []
            if isinstance(value, DatasetFunction) and value.made_by is not None:
                functions = value.made_by.functions
            traced = [f.traced.graph for f in functions if f.traced is not None]
            for call in itertools.chain.from_iterable(graph.nodes for graph in traced):
                call.attrs = {
                    k: (int(v) ^ salt) if type(v) is FreshSeed else v
                    for k, v in call.attrs.items()
                }


class _Elements:
    """A file of Headrace's own format."""

    def __init__(self, path: str, structure: Structure, compression: str):
        self._writer = ElementWriter(path, structure, compression)
        self.write = self._writer.write
        self.commit = self._writer.commit
        self.abort = self._writer.abort


class _Renamed:
    """A file that appears by being renamed."""

    def __init__(self, path: str, structure: Structure, compression: str):
        self._path = path
        self._temporary = f"{path}.tmp-{os.getpid()}"
        self._structure = structure
        self._compression = compression
        self._file: Any = self._opened()

    def _opened(self) -> Any:
        raise NotImplementedError

    def commit(self) -> None:
        """Let the file appear."""
        self._file.close()
        os.replace(self._temporary, self._path)

    def abort(self) -> None:
        """Delete what was written."""
        with contextlib.suppress(Exception):
            self._file.close()
        with contextlib.suppress(OSError):
            os.remove(self._temporary)


class _Records(_Renamed):
    """A TFRecord file of the elements, which are records."""

    def _opened(self) -> Any:
        from ..io.tfrecord_writer import TFRecordWriter

        return TFRecordWriter(self._temporary, self._compression or None)

    def write(self, block: Block) -> None:
        """Append the rows of `block`."""
        (column,) = block.columns
        rows = column.numpy() if isinstance(column, StringArray) else column
        for record in rows:
            self._file.write(record)


class _Table(_Renamed):
    """A Parquet file, a column per component."""

    def _opened(self) -> Any:
        import pyarrow.parquet as pq

        from ..data.arrow_specs import arrow_schema

        codec = self._compression or "NONE"
        return pq.ParquetWriter(
            self._temporary, arrow_schema(self._structure.spec), compression=codec
        )

    def write(self, block: Block) -> None:
        """Append the rows of `block`."""
        from ..data.arrow_export import columns_to_arrow

        columns = list(block.columns)
        self._file.write_batch(columns_to_arrow(columns, self._structure.spec, block.num_rows))
