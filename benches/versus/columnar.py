"""Comparisons of columnar files: Parquet against pyarrow's loops, CSV and text against tf.data.

The files are written where they are missing, by whichever side comes first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 1_000_000
LINES, LINE_FILES = 10_000_000, 4
CSV_ROWS = 500_000
BATCH = 1024
INTS = [f"i{k}" for k in range(8)]
FLOATS = [f"f{k}" for k in range(10)]
USED = ["i0", "i1", "f0", "f1", "f2"]


def parquet_file(data: Path) -> str:
    """20 columns (8 int64, 10 float32, 2 strings) in row groups of 100,000."""
    path = data / "columns.parquet"
    if not path.exists():
        import pyarrow as pa
        from pyarrow import parquet

        rng = np.random.default_rng(0)
        words = np.array([f"category {k}" for k in range(100)])
        columns = {
            **{name: rng.integers(0, 1000, ROWS) for name in INTS},
            **{name: rng.random(ROWS, np.float32) for name in FLOATS},
            **{f"s{k}": words[rng.integers(0, 100, ROWS)] for k in range(2)},
        }
        partial = path.with_suffix(".partial")
        parquet.write_table(pa.table(columns), partial, row_group_size=100_000)
        os.replace(partial, path)
    return str(path)


def csv_file(data: Path) -> str:
    """10 columns: 4 integers, 4 decimal fractions, 2 words; with a header."""
    path = data / "columns.csv"
    if not path.exists():
        import pyarrow as pa
        from pyarrow import csv

        rng = np.random.default_rng(1)
        words = np.array([f"word{k}" for k in range(100)])
        columns = {
            **{f"i{k}": rng.integers(0, 1000, CSV_ROWS) for k in range(4)},
            **{f"f{k}": rng.random(CSV_ROWS).round(5) for k in range(4)},
            **{f"s{k}": words[rng.integers(0, 100, CSV_ROWS)] for k in range(2)},
        }
        partial = path.with_suffix(".partial")
        options = csv.WriteOptions(quoting_style="none")
        csv.write_csv(pa.table(columns), str(partial), options)
        os.replace(partial, path)
    return str(path)


def parquet(lib: Any, data: Path) -> Callable[[], int]:
    """Batches of the 5 columns used; the peer is a loop over pyarrow's batches."""
    path = parquet_file(data)
    if lib.__name__ == "tensorflow":
        return lambda: _pyarrow_loop(path)
    dataset = (
        lib.data.ParquetDataset(path)
        .map(lambda row: {name: row[name] for name in USED})
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )
    return lambda: sum(len(batch["i0"]) for batch in dataset.as_numpy_iterator())


def _pyarrow_loop(path: str) -> int:
    """What pyarrow's manual suggests, and faster than without its threads' overhead."""
    from pyarrow import parquet

    rows = 0
    file = parquet.ParquetFile(path)
    for batch in file.iter_batches(BATCH, columns=USED, use_threads=False):
        arrays = {name: batch.column(name).to_numpy() for name in USED}
        rows += len(arrays["i0"])
    return rows


def parquet_dataset(lib: Any, data: Path) -> Callable[[], int]:
    """The same against `pyarrow.dataset`'s `to_batches`."""
    if lib.__name__ != "tensorflow":
        return parquet(lib, data)
    path = parquet_file(data)

    def run() -> int:
        from pyarrow import dataset

        rows = 0
        for batch in dataset.dataset(path).to_batches(columns=USED, batch_size=BATCH):
            arrays = {name: batch.column(name).to_numpy() for name in USED}
            rows += len(arrays["i0"])
        return rows

    return run


def _defaults(lib: Any) -> list[Any]:
    kinds = [lib.int32] * 4 + [lib.float32] * 4 + [lib.string] * 2
    return [lib.constant([], kind) for kind in kinds]


def csv(lib: Any, data: Path) -> Any:
    """`CsvDataset` as users write it."""
    kinds = [lib.int32] * 4 + [lib.float32] * 4 + [lib.string] * 2
    dataset = lib.data.experimental.CsvDataset(csv_file(data), kinds, header=True)
    return dataset.batch(BATCH).prefetch(lib.data.AUTOTUNE)


def csv_best(lib: Any, data: Path) -> Any:
    """tf.data's fastest way: lines in batches, decoded on several threads."""
    defaults = _defaults(lib)
    return (
        lib.data.TextLineDataset(csv_file(data))
        .skip(1)
        .batch(BATCH)
        .map(
            lambda lines: tuple(lib.io.decode_csv(lines, defaults)),
            num_parallel_calls=lib.data.AUTOTUNE,
        )
        .prefetch(lib.data.AUTOTUNE)
    )


def line_files(data: Path) -> list[str]:
    """10 million lines of 20 to 180 bytes, 1 GB in all, in 4 files."""
    paths = [data / f"lines-{k}.txt" for k in range(LINE_FILES)]
    for k, path in enumerate(paths):
        if path.exists():
            continue
        rng = np.random.default_rng(k)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            for _ in range(20):
                ends = np.cumsum(rng.integers(21, 182, LINES // LINE_FILES // 20))
                text = rng.integers(97, 123, int(ends[-1]), np.uint8)
                text[rng.integers(0, len(text), len(text) // 6)] = ord(" ")
                text[ends - 1] = ord("\n")
                file.write(text.tobytes())
        os.replace(partial, path)
    return [str(path) for path in paths]


def lines(lib: Any, data: Path) -> Any:
    """`TextLineDataset` as users write it."""
    return lib.data.TextLineDataset(line_files(data)).batch(BATCH).prefetch(lib.data.AUTOTUNE)


def lines_best(lib: Any, data: Path) -> Any:
    """tf.data's fastest way: the files at the same time, batches made within each."""
    return (
        lib.data.Dataset.from_tensor_slices(line_files(data))
        .interleave(
            lambda file: lib.data.TextLineDataset(file, buffer_size=1 << 20).batch(BATCH),
            cycle_length=LINE_FILES,
            num_parallel_calls=lib.data.AUTOTUNE,
            deterministic=False,
        )
        .prefetch(lib.data.AUTOTUNE)
    )


def jobs(job: Any) -> dict[str, Any]:
    """The rows of the table, made with the class `job`."""

    def batches(
        build: Callable[[Any, Path], Any], count: int = CSV_ROWS
    ) -> Callable[[Any, Path], Callable[[], int]]:
        def prepare(lib: Any, data: Path) -> Callable[[], int]:
            dataset = build(lib, data)

            def run() -> int:
                for _ in dataset:
                    pass
                return count

            return run

        return prepare

    def csv_against_best(lib: Any, data: Path) -> Callable[[], int]:
        return batches(csv_best if lib.__name__ == "tensorflow" else csv)(lib, data)

    def lines_against_best(lib: Any, data: Path) -> Callable[[], int]:
        build = lines_best if lib.__name__ == "tensorflow" else lines
        return batches(build, LINES)(lib, data)

    found = (
        job("parquet", "Parquet, 5 of 20 columns, batch 1024, against pyarrow's `iter_batches`",
            2, "rows", parquet),
        job("parquet-dataset", "the same against `pyarrow.dataset`'s `to_batches`",
            2, "rows", parquet_dataset),
        job("csv", "`CsvDataset`, 10 columns, batch 1024", 5, "rows", batches(csv), csv,
            same="batches"),
        job("csv-best", "the same against tf.data's best formulation", 5, "rows",
            csv_against_best, csv, csv_best, same="batches"),
        job("lines", "`TextLineDataset`, 1 GB, batch 1024", 5, "rows", batches(lines, LINES),
            lines),
        job("lines-best", "the same against tf.data's best formulation", 5, "rows",
            lines_against_best, lines, lines_best),
    )  # fmt: skip
    return {one.name: one for one in found}
