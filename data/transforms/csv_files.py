"""CSV files as a source of tuples of scalars, with tf.data's semantics."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...io.arrow_files import ArrowReader
from ...io.csv_reader import CsvReader
from ...io.csv_records import CsvFormat
from ...ops.tensor_spec import TensorSpec
from ..parts_reader import PartsReader
from ..pool import usable_cpus
from ..stage import Context, Stage
from .arrow_source import ArrowFilesNode, ArrowStage

__all__ = ["CsvNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class CsvNode(ArrowFilesNode):
    """Records of CSV files.

    Attributes:
        form: how they are laid out.
        used: the indices of the components that are wanted.
    """

    form: CsvFormat = dataclasses.field(repr=False, kw_only=True)
    used: tuple[int, ...] = dataclasses.field(repr=False, kw_only=True)
    format = "csv"

    @property
    def columns(self) -> list[str]:
        """The components read, by number."""
        return [str(k) for k in self.used]

    @property
    def leaf_columns(self) -> list[str]:
        """The same: a component is a column."""
        return self.columns

    def select(self, columns: list[str]) -> CsvNode:
        """The same records with fewer components."""
        used = tuple(k for k in self.used if str(k) in columns)
        total = self.all_columns or len(self.used)
        return dataclasses.replace(self, used=used, all_columns=total)

    def open_batches(self, part: str, position: list[int] | None) -> CsvReader:
        """A `CsvReader`."""
        return CsvReader(
            part, self.form, self.compression_type, position or (0, 1), self.used
        )  # fmt: skip

    def pack(self, batch: Any) -> list[Any]:
        """The components, in order."""
        return list(batch.columns)

    def _element_spec(self) -> Any:
        return tuple(TensorSpec([], self.form.columns[k].dtype) for k in self.used)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _CsvStage(self, inputs, context)


class _CsvStage(ArrowStage):
    """Converts parts of a large file on several threads."""

    node: CsvNode
    _done_s = 0.0  # what the threads of readers that are closed worked

    def _open(self, part: str, position: list[int] | None) -> ArrowReader:
        options = self.context.options
        threads = (options.num_threads if options is not None else 0) or usable_cpus()
        return PartsReader(lambda at: self.node.open_batches(part, at), position, threads)

    @property
    def threads(self) -> int:
        """Threads that may work at a time; 0 while there are none."""
        return self._reader.threads if isinstance(self._reader, PartsReader) else 0

    @property
    def work_s(self) -> float:
        """Seconds that threads have worked."""
        now = self._reader.work_s if isinstance(self._reader, PartsReader) else 0.0
        return self._done_s + now

    def _close(self) -> None:
        self._done_s = self.work_s
        super()._close()
