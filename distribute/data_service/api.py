"""What users call: `distribute`, `register_dataset`, `from_dataset_id`.

Names, arguments, defaults and errors are those of ``tf.data.experimental.service``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...data.dataset import Dataset
from ...data.fingerprint import fingerprint
from ...data.node import INFINITE
from ...data.values import to_raw
from ...ops import dtypes
from ...ops.convert import convert_to_tensor
from ...ops.errors import FailedPreconditionError, InvalidArgumentError
from ...ops.user_line import user_line
from .consumer import DataServiceNode
from .dispatcher import Dispatcher
from .ledger import JobTerms, StoredDataset
from .sharding import ShardingPolicy, count_splits
from .shipping import ship

__all__ = ["CrossTrainerCache", "distribute", "from_dataset_id", "register_dataset"]

_COMPRESSIONS = ("AUTO", None, "SNAPPY")
_TARGETS = ("AUTO", "ANY", "LOCAL")


class CrossTrainerCache:
    """Lets trainers that read one job (`job_name`) share what the workers made: each is given
    all of it, as far as it keeps up.

    Args:
        trainer_id: this trainer's; a trainer is given an element once.

    Raises:
        ValueError: `trainer_id` is empty.
    """

    def __init__(self, trainer_id: str):
        if not trainer_id:
            raise ValueError(
                "tf.data service cross-trainer cache requires a non-empty trainer ID."
            )
        self.trainer_id = trainer_id


def distribute(
    processing_mode: Any,
    service: str,
    job_name: str | None = None,
    consumer_index: int | None = None,
    num_consumers: int | None = None,
    max_outstanding_requests: int | None = None,
    data_transfer_protocol: str | None = None,
    compression: str | None = "AUTO",
    cross_trainer_cache: CrossTrainerCache | None = None,
    target_workers: str = "AUTO",
) -> Callable[[Dataset], Dataset]:
    """For `Dataset.apply`: the elements of the dataset, made by the workers of a data service.

    Everything before it runs on the workers, everything behind it here.

    Args:
        processing_mode: a `ShardingPolicy`, or "parallel_epochs" (OFF), or "distributed_epoch"
            (DYNAMIC).
        service: the dispatcher's `target`.
        job_name: consumers that give the same name share a job: each element comes to one of
            them.  Without it, each iteration has its own.
        consumer_index, num_consumers: coordinated reads: in each round every consumer is given
            one of consecutive elements of one worker.  The dataset must be endless.
        max_outstanding_requests: how many elements may be on their way, at most.
        data_transfer_protocol, compression: accepted; blocks come through shared memory.
        cross_trainer_cache: a `CrossTrainerCache`.  The dataset must be endless.
        target_workers: "AUTO", "ANY", or "LOCAL" for those on this machine only.

    Raises:
        ValueError: an argument is not one of those above.
        ModuleNotFoundError: Ray is not installed.
        UnavailableError: no dispatcher answers.
        InvalidArgumentError: the dataset cannot be sent to others, or sharded like that.
    """
    _validate(processing_mode, job_name, consumer_index, num_consumers, compression,
              target_workers, max_outstanding_requests)  # fmt: skip
    _address(service)

    def transform(dataset: Dataset) -> Dataset:
        dataset_id = register_dataset(service, dataset, compression)
        made = from_dataset_id(
            processing_mode, service, dataset_id, dataset.element_spec, job_name,
            consumer_index, num_consumers, max_outstanding_requests, data_transfer_protocol,
            cross_trainer_cache, target_workers,
        )  # fmt: skip
        return Dataset(made._node, dataset._own_options)

    return transform


def register_dataset(
    service: str, dataset: Dataset, compression: str | None = "AUTO", dataset_id: Any = None
) -> Any:
    """The id, a scalar tensor, under which other processes find `dataset` at the dispatcher.

    Args:
        service: the dispatcher's `target`.
        dataset: what the workers are to run.
        compression: accepted.
        dataset_id: an id to use; by default equal datasets get the same one.

    Raises:
        UnavailableError: no dispatcher answers.
        InvalidArgumentError: the dataset cannot be sent to others; the id is taken.
    """
    _validate_compression(compression)
    dispatcher = Dispatcher(_address(service), start=False)
    plan, options = dataset._node, dataset._own_options
    shipment = ship(plan, options)
    try:
        splits: tuple[int, ...] | str = tuple(count_splits(plan))
    except InvalidArgumentError as error:
        splits = error.message
    stored = StoredDataset(
        shipment.data, fingerprint(plan), plan.element_spec, plan.cardinality, splits,
        shipment.notes,
    )  # fmt: skip
    name = None if dataset_id is None else _id(dataset_id)
    found = dispatcher("register_dataset", stored, name)
    if dataset_id is None:
        return convert_to_tensor(int(found), dtype=dtypes.int64)
    return convert_to_tensor(dataset_id)


def from_dataset_id(
    processing_mode: Any,
    service: str,
    dataset_id: Any,
    element_spec: Any = None,
    job_name: str | None = None,
    consumer_index: int | None = None,
    num_consumers: int | None = None,
    max_outstanding_requests: int | None = None,
    data_transfer_protocol: str | None = None,
    cross_trainer_cache: CrossTrainerCache | None = None,
    target_workers: str = "AUTO",
) -> Dataset:
    """The elements of a dataset that some process registered; see `distribute`.

    Args:
        processing_mode: a `ShardingPolicy` or its older names.
        service: the dispatcher's `target`.
        dataset_id: what `register_dataset` gave.
        element_spec: what is expected; the dispatcher knows it.
        job_name, consumer_index, num_consumers, max_outstanding_requests,
        data_transfer_protocol, cross_trainer_cache, target_workers: as in `distribute`.

    Raises:
        NotFoundError: no dataset has that id.
        ValueError: an argument is not allowed, or the elements are of another spec.
        UnavailableError: no dispatcher answers.
    """
    policy = _validate(processing_mode, job_name, consumer_index, num_consumers, "AUTO",
                       target_workers, max_outstanding_requests)  # fmt: skip
    address = _address(service)
    name = _id(dataset_id)
    dispatcher = Dispatcher(address)
    stored: StoredDataset = dispatcher("dataset", name)
    if element_spec is not None and repr(element_spec) != repr(stored.spec):
        raise InvalidArgumentError(
            f"element_spec is {element_spec!r}, but the elements of dataset {name} are "
            f"{stored.spec!r}"
        )
    if policy is ShardingPolicy.DYNAMIC and isinstance(stored.splits, str):
        raise InvalidArgumentError(stored.splits)
    if num_consumers is not None and stored.cardinality != INFINITE:
        raise FailedPreconditionError(
            "Round robin reads require that the input dataset has infinite cardinality, but "
            f"the dataset has cardinality {stored.cardinality}. Consider adding a `.repeat()` "
            "to the dataset."
        )
    if cross_trainer_cache is not None:
        if not isinstance(cross_trainer_cache, CrossTrainerCache):
            raise ValueError(
                f"cross_trainer_cache must be a CrossTrainerCache, got {cross_trainer_cache!r}"
            )
        if num_consumers is not None:
            raise InvalidArgumentError(
                "Cross-trainer caching does not support coordinated reads: give either "
                "cross_trainer_cache or num_consumers"
            )
        if stored.cardinality != INFINITE:
            raise InvalidArgumentError(
                "Cross-trainer caching requires the input dataset to be infinite, but it has "
                f"cardinality {stored.cardinality}. Consider adding a `.repeat()` to the "
                "dataset."
            )
        if job_name is None:
            raise InvalidArgumentError("Cross-trainer caching requires non-empty job names.")
    cached = cross_trainer_cache is not None
    target_workers = str(target_workers).upper()
    if max_outstanding_requests == -1:  # AUTOTUNE
        max_outstanding_requests = None
    terms = JobTerms(name, policy, num_consumers or 0, cached, target_workers)
    trainer = cross_trainer_cache.trainer_id if cross_trainer_cache is not None else None
    spec = stored.spec if element_spec is None else element_spec
    node = DataServiceNode(
        address, terms, spec, job_name, consumer_index, max_outstanding_requests, trainer,
        stored.cardinality, stored.notes, source=user_line(),
    )  # fmt: skip
    return Dataset(node)


# -- arguments --------------------------------------------------------------------------------


def _policy(processing_mode: Any) -> ShardingPolicy:
    if isinstance(processing_mode, ShardingPolicy):
        return processing_mode
    if processing_mode == "parallel_epochs":
        return ShardingPolicy.OFF
    if processing_mode == "distributed_epoch":
        return ShardingPolicy.DYNAMIC
    raise ValueError(
        "tf.data service processing mode should be a "
        '`hr.data.experimental.service.ShardingPolicy`, `"parallel_epochs"`, or '
        f'`"distributed_epoch"`. Got {processing_mode!r}.'
    )


def _validate_compression(compression: Any) -> None:
    if compression not in _COMPRESSIONS:
        raise ValueError(
            f"Invalid `compression` argument: {compression}. Must be one of "
            f"{list(_COMPRESSIONS)}."
        )


def _validate(
    processing_mode: Any, job_name: Any, consumer_index: Any, num_consumers: Any,
    compression: Any, target_workers: Any, most: Any,
) -> ShardingPolicy:  # fmt: skip
    policy = _policy(processing_mode)
    if job_name is not None and not isinstance(job_name, str):
        raise ValueError(
            "`job_name` must be a string, but `job_name` was of type "
            f"{type(job_name)}. job_name={job_name}"
        )
    if job_name == "":
        raise ValueError("`job_name` must not be empty")
    _validate_compression(compression)
    if (consumer_index is None) != (num_consumers is None):
        raise ValueError(
            "Must either set both `consumer_index` and `num_consumers`, or neither. "
            f"consumer_index={consumer_index}, num_consumers={num_consumers}"
        )
    if num_consumers is not None:
        if job_name is None:
            raise ValueError(
                "`job_name` must be set when setting `num_consumers`. num_consumers was set to "
                f"{num_consumers}."
            )
        if not 0 <= consumer_index < num_consumers:
            raise ValueError(
                f"consumer_index must be in [0, num_consumers), got {consumer_index} of "
                f"{num_consumers}"
            )
        if policy.is_static:
            raise ValueError(
                f"coordinated reads need ShardingPolicy.OFF or DYNAMIC, got {policy.name}"
            )
    if str(target_workers).upper() not in _TARGETS:
        raise ValueError(
            f"target_workers must be 'AUTO', 'ANY' or 'LOCAL', got {target_workers!r}"
        )
    if most is not None and most != -1 and most < 1:
        raise ValueError(f"max_outstanding_requests must be positive, got {most}")
    return policy


def _address(service: Any) -> str:
    """The dispatcher's address in ``[protocol://]address``."""
    if isinstance(service, tuple) and len(service) == 2:
        service = "://".join(service)
    if not isinstance(service, str):
        raise ValueError(
            "`service` must be a string, but `service` was of type "
            f"{type(service)}. service={service}"
        )
    if not service:
        raise ValueError("`service` must not be empty")
    parts = service.split("://")
    if len(parts) > 2:
        raise ValueError(f"Malformed `service` string has multiple '://': {service}.")
    return parts[-1]


def _id(dataset_id: Any) -> str:
    if hasattr(dataset_id, "numpy"):
        dataset_id = to_raw(dataset_id)
        dataset_id = dataset_id.numpy() if hasattr(dataset_id, "numpy") else dataset_id
        dataset_id = dataset_id.item() if hasattr(dataset_id, "item") else dataset_id
    return dataset_id.decode() if isinstance(dataset_id, bytes) else str(dataset_id)
