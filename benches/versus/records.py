"""The files every comparison reads: 100,000 records of images, of ints and floats, of clicks.

Written once per folder by Headrace itself (the writer is an argument only so that the same
code can be tried with TensorFlow's), the same bytes on every machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

RECORDS = 100_000
SHARDS = 4
PIXELS = 784
INTS = tuple(f"i{k}" for k in range(27))
FLOATS = tuple(f"f{k}" for k in range(13))


def image_files(folder: Path) -> list[str]:
    """Paths of the shards with `image` (784 bytes) and `label` (int64)."""
    return _shards(folder, "images")


def number_files(folder: Path) -> list[str]:
    """Paths of the shards with the scalar features `INTS` (int64) and `FLOATS` (float32)."""
    return _shards(folder, "numbers")


def click_files(folder: Path) -> list[str]:
    """Paths of the shards with 28 scalar features: `INTS` (int64) and `price` (float32)."""
    return _shards(folder, "clicks")


def write(lib: Any, folder: Path) -> None:
    """Writes whichever shards `folder` lacks, each appearing under its name when complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard, path in enumerate(image_files(folder)):
        _write_shard(lib, path, _images(lib, shard))
    for shard, path in enumerate(number_files(folder)):
        _write_shard(lib, path, _numbers(lib, shard))
    for shard, path in enumerate(click_files(folder)):
        _write_shard(lib, path, _numbers(lib, shard, ("price",)))


def _shards(folder: Path, kind: str) -> list[str]:
    return [
        str(folder / f"{kind}-{shard:05d}-of-{SHARDS:05d}.tfrecord") for shard in range(SHARDS)
    ]


def _write_shard(lib: Any, path: str, examples: Any) -> None:
    if os.path.exists(path):
        return
    with lib.io.TFRecordWriter(path + ".partial") as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    os.replace(path + ".partial", path)


def images(shard: int) -> Any:
    """(uint8 [784], int64) of each record of a shard of images."""
    rng = np.random.Generator(np.random.PCG64([1, shard]))
    count = RECORDS // SHARDS
    pixels = rng.integers(0, 256, (count, PIXELS), np.uint8)
    return zip(pixels, rng.integers(0, 10, count), strict=True)


def _images(lib: Any, shard: int) -> Any:
    for image, label in images(shard):
        feature = {"image": _bytes(lib, image.tobytes()), "label": _ints(lib, int(label))}
        yield _example(lib, feature)


def _numbers(lib: Any, shard: int, float_keys: tuple[str, ...] = FLOATS) -> Any:
    rng = np.random.Generator(np.random.PCG64([2, shard]))
    count = RECORDS // SHARDS
    # Sizes of a click log: small counts, hashed categories, a few large values.
    ints = rng.integers(0, 1 << rng.integers(1, 40, len(INTS)), (count, len(INTS)))
    floats = rng.standard_normal((count, len(float_keys)), np.float32)
    for int_row, float_row in zip(ints.tolist(), floats.tolist(), strict=True):
        features = {key: _ints(lib, value) for key, value in zip(INTS, int_row, strict=True)}
        for key, value in zip(float_keys, float_row, strict=True):
            features[key] = lib.train.Feature(float_list=lib.train.FloatList(value=[value]))
        yield _example(lib, features)


def _bytes(lib: Any, value: bytes) -> Any:
    return lib.train.Feature(bytes_list=lib.train.BytesList(value=[value]))


def _ints(lib: Any, value: int) -> Any:
    return lib.train.Feature(int64_list=lib.train.Int64List(value=[value]))


def _example(lib: Any, features: dict[str, Any]) -> Any:
    return lib.train.Example(features=lib.train.Features(feature=features))
