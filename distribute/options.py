"""How strategies communicate, feed input and run steps: plain settings, as `tf.distribute` has
them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

__all__ = [
    "CommunicationImplementation",
    "CommunicationOptions",
    "InputOptions",
    "InputReplicationMode",
    "RunOptions",
]

MIB = 1 << 20


class CommunicationImplementation(enum.Enum):
    """By what means workers communicate."""

    AUTO = "AUTO"
    RING = "RING"
    NCCL = "NCCL"


@dataclass(frozen=True)
class CommunicationOptions:
    """How gradients are reduced.

    Attributes:
        bytes_per_pack: size in bytes of a bucket of gradients that is reduced together; 0 for
            the default of 25 MiB.
        timeout_seconds: how long to wait for the other replicas before the run fails with the
            names of those missing; None for the strategy's default.
        implementation: by what means; AUTO takes MPI between CPUs, NCCL between GPUs.
        bytes_of_first_pack: size of the first bucket, which is small so that reducing begins
            early; by default the smaller of 1 MiB and `bytes_per_pack`.  Headrace only.
        compression: None, or ``"fp16"`` or ``"bf16"``: float32 and float64 gradients travel in
            that type, and what rounding lost is added to the next step's.  Headrace only.
        overlap: whether a thread of its own reduces while the backward pass goes on; None
            where there is a CPU core to spare.  Between GPUs NCCL does so always.  Headrace
            only.

    Raises:
        ValueError: a size or time out of range, or another compression.
    """

    bytes_per_pack: int = 0
    timeout_seconds: float | None = None
    implementation: Any = CommunicationImplementation.AUTO
    bytes_of_first_pack: int | None = None
    compression: str | None = None
    overlap: bool | None = None

    def __post_init__(self) -> None:
        for name in ("bytes_per_pack", "bytes_of_first_pack"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be >= 0, got {value}")
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise ValueError(
                f"timeout_seconds must be positive or None, got {self.timeout_seconds}"
            )
        if self.compression not in (None, "fp16", "bf16"):
            raise ValueError(
                f"compression must be None, 'fp16' or 'bf16', got {self.compression!r}"
            )

    @property
    def bucket_bytes(self) -> tuple[int, int]:
        """Sizes in bytes of the first bucket and of the others."""
        size = self.bytes_per_pack or 25 * MIB
        first = self.bytes_of_first_pack
        return (min(MIB, size) if first is None else first), size


class InputReplicationMode(enum.Enum):
    """Whether a dataset function builds one pipeline per worker or one per replica."""

    PER_WORKER = "PER_WORKER"
    PER_REPLICA = "PER_REPLICA"


@dataclass(frozen=True)
class InputOptions:
    """How `experimental_distribute_dataset` feeds the replicas.

    Attributes:
        experimental_fetch_to_device: whether batches are copied to the devices ahead.
        experimental_replication_mode: see `InputReplicationMode`.
        experimental_place_dataset_on_device: accepted for compatibility.
        experimental_per_replica_buffer_size: batches copied ahead per replica.
    """

    experimental_fetch_to_device: bool | None = None
    experimental_replication_mode: InputReplicationMode = InputReplicationMode.PER_WORKER
    experimental_place_dataset_on_device: bool = False
    experimental_per_replica_buffer_size: int = 1


@dataclass(frozen=True)
class RunOptions:
    """Options of `Strategy.run`, accepted for compatibility: TPUs need them."""

    experimental_enable_dynamic_batch_size: bool = True
    experimental_bucketizing_dynamic_shape: bool = False
    experimental_xla_options: Any = None
