"""Hashes of strings as operations: to_hash_bucket and its kin, fingerprint."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .convert import to_tensor
from .errors import InvalidArgumentError
from .lookup_fingerprint import legacy_hash64, sip_hash64
from .lookup_index import tags_of
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "fingerprint",
    "string_to_hash_bucket",
    "string_to_hash_bucket_fast",
    "string_to_hash_bucket_strong",
]


def hashes(hasher: str, keys: StringArray, key: Any = None) -> np.ndarray:
    """uint64 [n]: hashes of a vector of strings by "fasthash", "legacy" or "stronghash"."""
    if hasher == "fasthash":
        return tags_of(keys).view(np.uint64)
    if hasher == "legacy":
        return legacy_hash64(keys)
    if hasher == "stronghash":
        return sip_hash64(keys, key)
    raise ValueError(f"Found unknown hasher {hasher} in `hasher_spec`")


def _buckets(name: str, hasher: str) -> Primitive:
    def impl(x: StringArray, *, num_buckets: int, key: Any = None) -> np.ndarray:
        found = hashes(hasher, x.ravel(), key) % np.uint64(num_buckets)
        return found.astype(np.int64).reshape(x.shape)

    def shape(x: Any, *, num_buckets: int, key: Any = None) -> TensorSpec:
        if num_buckets < 1:
            raise InvalidArgumentError(
                f"Value for attr 'num_buckets' of {num_buckets} must be at least minimum 1 "
                f"[Op:{name}]",
                op=name,
            )
        if hasher == "stronghash" and (key is None or len(key) != 2):
            raise InvalidArgumentError(f"Key must have 2 elements [Op:{name}]", op=name)
        return TensorSpec(x.shape, dtypes.int64)

    return Primitive(
        name,
        "string_tensor: string" if hasher == "legacy" else "input: string",
        impl=impl,
        shape=shape,
        batch=batch_rules.unary,
        check_first=True,
    )


StringToHashBucketFast = _buckets("StringToHashBucketFast", "fasthash")
StringToHashBucket = _buckets("StringToHashBucket", "legacy")
StringToHashBucketStrong = _buckets("StringToHashBucketStrong", "stronghash")


def string_to_hash_bucket_fast(input: Any, num_buckets: int, name: str | None = None) -> Tensor:
    """int64: each string's Fingerprint64 modulo `num_buckets`; TensorFlow's ids.

    Raises:
        InvalidArgumentError: `num_buckets` is not positive.

    >>> string_to_hash_bucket_fast(["Hello", "TensorFlow"], 3).numpy().tolist()
    [0, 2]
    """
    return StringToHashBucketFast(input, num_buckets=int(num_buckets))


def string_to_hash_bucket(input: Any, num_buckets: int, name: str | None = None) -> Tensor:
    """int64: each string's hash modulo `num_buckets`; TensorFlow's older hash."""
    return StringToHashBucket(input, num_buckets=int(num_buckets))


def string_to_hash_bucket_strong(
    input: Any, num_buckets: int, key: Any, name: str | None = None
) -> Tensor:
    """int64: each string's SipHash under `key`, two integers, modulo `num_buckets`.

    Who does not know the key cannot choose strings that fall into one bucket.
    """
    key = tuple(int(k) for k in key)
    return StringToHashBucketStrong(input, num_buckets=int(num_buckets), key=key)


def fingerprint(data: Any, method: Any = "farmhash64", name: str | None = None) -> Tensor:
    """uint8 [n, 8]: Fingerprint64 of the bytes of each row of `data` [n, ...], low byte first.

    Raises:
        InvalidArgumentError: `data` is a scalar, or `method` is not "farmhash64".
    """
    data = to_tensor(data, None)
    if method not in ("farmhash64", b"farmhash64"):
        raise InvalidArgumentError(f"Unsupported fingerprint method: {method}")
    return Fingerprint(data)


def _fingerprint_impl(x: Any) -> np.ndarray:
    if isinstance(x, StringArray):
        rows = x.ravel()
        if x.ndim > 1:  # TensorFlow hashes the little-endian fingerprints of the row's strings
            width = 8 * int(np.prod(x.shape[1:], dtype=np.int64))
            rows = _rows_of_bytes(tags_of(rows).view(np.uint8), len(x), width)
    else:
        data = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        rows = _rows_of_bytes(data, len(x), data.size // max(len(x), 1))
    return tags_of(rows).astype("<i8").view(np.uint8).reshape(len(x), 8)


def _rows_of_bytes(data: np.ndarray, count: int, width: int) -> StringArray:
    starts = np.arange(count, dtype=np.int64) * width
    return StringArray(data, starts, starts + width)


def _fingerprint_shape(x: Any) -> TensorSpec:
    if x.shape.rank == 0:
        raise InvalidArgumentError("Fingerprint: data must have an axis, got a scalar")
    return TensorSpec([x.shape[0] if x.shape.rank else None, 8], dtypes.uint8)


Fingerprint = Primitive(
    "Fingerprint", "data: T", impl=_fingerprint_impl, shape=_fingerprint_shape, check_first=True
)
