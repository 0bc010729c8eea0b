"""The input pipelines compared, each a function of `lib`: headrace or tensorflow.

`files_...` read the records of `records.py`; the others make their elements themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import records

BATCH = 128
SHUFFLED = 10_000
N = records.RECORDS


def image_features(lib: Any) -> dict[str, Any]:
    return {
        "image": lib.io.FixedLenFeature([], lib.string),
        "label": lib.io.FixedLenFeature([], lib.int64),
    }


def number_features(lib: Any) -> dict[str, Any]:
    ints = {key: lib.io.FixedLenFeature([], lib.int64) for key in records.INTS}
    floats = {key: lib.io.FixedLenFeature([], lib.float32) for key in records.FLOATS}
    return ints | floats


def images_as_written(lib: Any, data: Path, parallel: bool = False) -> Any:
    features = image_features(lib)

    def parse(record):
        example = lib.io.parse_single_example(record, features)
        image = lib.cast(lib.io.decode_raw(example["image"], lib.uint8), lib.float32) / 255.0
        return image, example["label"]

    return (
        lib.data.TFRecordDataset(records.image_files(data))
        .map(parse, num_parallel_calls=lib.data.AUTOTUNE if parallel else None)
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )


def images_as_written_parallel(lib: Any, data: Path) -> Any:
    return images_as_written(lib, data, parallel=True)


def images_best(lib: Any, data: Path) -> Any:
    features = image_features(lib)

    def parse(serialized):
        example = lib.io.parse_example(serialized, features)
        image = lib.cast(lib.io.decode_raw(example["image"], lib.uint8), lib.float32) / 255.0
        return image, example["label"]

    return _batched_interleave(lib, records.image_files(data), parse)


def images_shuffled(lib: Any, data: Path) -> Any:
    """What users write, the records shuffled."""
    features = image_features(lib)

    def parse(record):
        example = lib.io.parse_single_example(record, features)
        image = lib.cast(lib.io.decode_raw(example["image"], lib.uint8), lib.float32) / 255.0
        return image, example["label"]

    return (
        lib.data.TFRecordDataset(records.image_files(data))
        .shuffle(SHUFFLED)
        .map(parse)
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )


def images_shuffled_best(lib: Any, data: Path) -> Any:
    """tf.data's fastest of seven: records shuffled, batched in parallel, then parsed.

    Reading the files in parallel or in interleaved batches that are unbatched for the shuffle
    was no faster.
    """
    features = image_features(lib)

    def parse(serialized):
        example = lib.io.parse_example(serialized, features)
        image = lib.cast(lib.io.decode_raw(example["image"], lib.uint8), lib.float32) / 255.0
        return image, example["label"]

    return (
        lib.data.TFRecordDataset(records.image_files(data))
        .shuffle(SHUFFLED)
        .batch(BATCH, num_parallel_calls=lib.data.AUTOTUNE)
        .map(parse, num_parallel_calls=lib.data.AUTOTUNE)
        .prefetch(lib.data.AUTOTUNE)
    )


def numbers_as_written(lib: Any, data: Path, batch: int = BATCH) -> Any:
    features = number_features(lib)
    return (
        lib.data.TFRecordDataset(records.number_files(data))
        .map(lambda record: lib.io.parse_single_example(record, features))
        .batch(batch)
        .prefetch(lib.data.AUTOTUNE)
    )


def numbers_as_written_1024(lib: Any, data: Path) -> Any:
    return numbers_as_written(lib, data, 1024)


def numbers_best(lib: Any, data: Path, batch: int = BATCH) -> Any:
    features = number_features(lib)
    return _batched_interleave(
        lib,
        records.number_files(data),
        lambda serialized: lib.io.parse_example(serialized, features),
        batch,
    )


def numbers_best_1024(lib: Any, data: Path) -> Any:
    return numbers_best(lib, data, 1024)


def features_full(lib: Any, data: Path) -> Any:
    """All 28 features of a click log, as users write it."""
    ints = {key: lib.io.FixedLenFeature([], lib.int64) for key in records.INTS}
    features = ints | {"price": lib.io.FixedLenFeature([], lib.float32)}
    return (
        lib.data.TFRecordDataset(records.click_files(data))
        .map(lambda record: lib.io.parse_single_example(record, features))
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )


def features_used(lib: Any, data: Path) -> Any:
    """The same, of which a second map uses three."""
    ints = {key: lib.io.FixedLenFeature([], lib.int64) for key in records.INTS}
    features = ints | {"price": lib.io.FixedLenFeature([], lib.float32)}
    return (
        lib.data.TFRecordDataset(records.click_files(data))
        .map(lambda record: lib.io.parse_single_example(record, features))
        .map(lambda row: {key: row[key] for key in ("i3", "i17", "price")})
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )


def _batched_interleave(lib: Any, files: list[str], parse: Any, batch: int = BATCH) -> Any:
    return (
        lib.data.Dataset.from_tensor_slices(files)
        .interleave(
            lambda file: lib.data.TFRecordDataset(file).batch(batch),
            num_parallel_calls=lib.data.AUTOTUNE,
        )
        .map(parse, num_parallel_calls=lib.data.AUTOTUNE)
        .prefetch(lib.data.AUTOTUNE)
    )


def range_map(lib: Any, data: Path) -> Any:
    return lib.data.Dataset.range(N).map(lambda x: x * 2 + 1).batch(BATCH)


def range_filter(lib: Any, data: Path) -> Any:
    return lib.data.Dataset.range(N).filter(lambda x: x % 3 == 0).batch(BATCH)


def range_shuffle(lib: Any, data: Path) -> Any:
    return lib.data.Dataset.range(N).shuffle(10_000).batch(BATCH)


def scalars(lib: Any, data: Path) -> Any:
    return lib.data.Dataset.range(N)


def slices(lib: Any, data: Path) -> Any:
    rng = np.random.Generator(np.random.PCG64(3))
    x = rng.standard_normal((N, 64), np.float32)
    y = rng.integers(0, 10, N)
    return (
        lib.data.Dataset.from_tensor_slices((x, y))
        .shuffle(10_000)
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )
