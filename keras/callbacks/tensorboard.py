"""TensorBoard: event files of what `fit` and `evaluate` do.

The training writer's folder is ``<log_dir>/train``, the validation's ``<log_dir>/validation``,
as with Keras.  What a file looks like is left to `io/summary.py`, a profile's to
`io/profile_files.py`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from typing import Any

import numpy as np

from ...io import summary
from ...io.profiler import start_at, stop
from ...io.summary_state import create_file_writer, record_if
from ...ops import api as hr
from ..engine.serialization import serialize_keras_object
from .callback import Callback, known_logs, reads_logs_late

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes what TensorBoard shows: metrics, graphs, weights, embeddings, a profile.

    With `update_freq` other than ``"epoch"``, summaries that the model's own code writes
    (``hr.summary.scalar`` in a layer) are recorded too, with the number of the batch as step.

    Args:
        log_dir: folder or URL.
        histogram_freq: epochs between histograms of the weights; 0 for none.
        write_graph: write the traced train step, grouped by layer, and the layers' graph.
        write_images: with the histograms, also write weights as images.
        write_steps_per_second: write how many steps ran per second.
        update_freq: ``"epoch"``, ``"batch"``, or a number of batches between the batches' logs.
        profile_batch: the batch to profile (steps, operations, the pipeline's stages), or the
            first and the last (a pair or ``"2,5"``), counted from 1; 0 for none.
        embeddings_freq: epochs between files of the embedding layers; 0 for none.
        embeddings_metadata: file with a label per row, or a dictionary layer name -> file.

    Raises:
        ValueError: `profile_batch` is not one or two batch numbers; `embeddings_metadata`
            names layers that are no embeddings.
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ):
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        self._first, self._last = _profiled(profile_batch)
        self._writers: dict[str, Any] = {}
        self._defaults: list[contextlib.ExitStack] = []
        self._profiling = False
        self._train_batch = 0
        self._test_batch = 0
        self._graph_due = False

    def set_model(self, model: Any) -> None:
        """Take the model; its layers' graph is written now."""
        super().set_model(model)
        self._writers = {}
        self._step = _step_variable()
        self._graph_due = self.write_graph
        if self.write_graph and getattr(model, "_graph", None) is not None:
            self._write_layers()
        if self.embeddings_freq:
            self._configure_projector()

    def _writer(self, name: str) -> Any:
        found = self._writers.get(name)
        if found is None:
            found = create_file_writer(os.path.join(self.log_dir, name))
            self._writers[name] = found
        return found

    # -- the default writer of the model's own summaries ----------------------------------

    def _push(self, name: str) -> None:
        if self.update_freq == "epoch":
            return
        step, every = self._step, int(self.update_freq)
        stack = contextlib.ExitStack()
        stack.enter_context(self._writer(name).as_default(step))
        stack.enter_context(record_if(lambda: hr.equal(step % every, 0)))
        self._defaults.append(stack)

    def _pop(self) -> None:
        if self._defaults:
            self._defaults.pop().close()

    def _due(self, batch: int) -> bool:
        return self.update_freq != "epoch" and batch % int(self.update_freq) == 0

    # -- batches --------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Start counting batches."""
        self._train_batch = 0
        self._push("train")
        if self._first == 1:
            self._begin_profile()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Count the batch; write the profile if the one before was its last."""
        self._end_profile_if_due()
        self._train_batch += 1
        if self.update_freq != "epoch":
            self._step.assign(self._train_batch)
        if self.write_steps_per_second:
            self._batch_began_s = time.perf_counter()

    @reads_logs_late
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the batch's logs, if it is one of those; the graph after the first.  A profile
        begins here, with the next batch's wait for its input."""
        if self._graph_due:
            self._write_train_graph()
        if self._due(self._train_batch):
            writer = self._writer("train")
            with writer_only(writer):
                if self.write_steps_per_second:
                    took = time.perf_counter() - self._batch_began_s
                    summary.scalar("batch_steps_per_second", 1 / took, self._train_batch)
                for name, value in known_logs(logs).items():
                    summary.scalar(f"batch_{name}", value, self._train_batch)
        if self._first and self._train_batch == self._first - 1:
            self._begin_profile()

    def on_test_begin(self, logs: Any = None) -> None:
        """The validation's writer takes over."""
        self._end_profile_if_due()
        self._push("validation")

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Count the batch."""
        self._test_batch += 1
        if self.update_freq != "epoch":
            self._step.assign(self._test_batch)

    def on_test_end(self, logs: Any = None) -> None:
        """Write the evaluation's metrics over the optimizer's iterations."""
        iterations = getattr(self.model.optimizer, "iterations", None)
        if iterations is not None and logs:
            with writer_only(self._writer("validation")):
                for name, value in logs.items():
                    summary.scalar(f"evaluation_{name}_vs_iterations", value, iterations)
            self._writer("validation").flush()
        self._pop()

    def on_train_end(self, logs: Any = None) -> None:
        """Finish the files."""
        self._pop()
        if self._profiling:
            self._end_profile()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    # -- epochs ---------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note when it began."""
        self._epoch_began_s = time.perf_counter()
        self._epoch_began_at = self._train_batch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write metrics; weights and embeddings if it is their turn."""
        self._end_profile_if_due()
        train = {k: v for k, v in (logs or {}).items() if not k.startswith("val_")}
        found = {k[4:]: v for k, v in (logs or {}).items() if k.startswith("val_")}
        if train:
            train.update(self._rates())
            if self.write_steps_per_second:
                took = time.perf_counter() - self._epoch_began_s
                train["steps_per_second"] = (self._train_batch - self._epoch_began_at) / took
        for name, values in (("train", train), ("validation", found)):
            if values:
                with writer_only(self._writer(name)):
                    for key, value in values.items():
                        summary.scalar(f"epoch_{key}", value, epoch)
                self._writer(name).flush()
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)

    def _rates(self) -> dict[str, float]:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        many = getattr(optimizer, "optimizers", None)
        if many:
            return {f"learning_rate_{o.name}": float(np.asarray(o.learning_rate)) for o in many}
        rate = getattr(optimizer, "learning_rate", None)
        return {} if rate is None else {"learning_rate": float(np.asarray(rate))}

    def _write_weights(self, epoch: int) -> None:
        writer = self._writer("train")
        with writer_only(writer):
            for layer in self.model.layers:
                for weight in getattr(layer, "weights", ()):
                    name = weight.name.split(":")[0]
                    summary.histogram(f"{name}/histogram", weight, epoch)
                    images = _as_images(np.asarray(weight)) if self.write_images else None
                    if images is not None:
                        summary.image(f"{name}/image", images, epoch)
        writer.flush()

    # -- graphs ---------------------------------------------------------------------------

    def _write_layers(self) -> None:
        """The model's config, which the graph tab shows as the conceptual graph."""
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

        try:
            text = json.dumps(serialize_keras_object(self.model))
        except (TypeError, ValueError, NotImplementedError):
            return  # a layer without a config: the traced graph must do
        metadata = SummaryMetadata()
        metadata.plugin_data.plugin_name = "graph_keras_model"
        metadata.plugin_data.content = b"1"
        with writer_only(self._writer("train")):
            summary.write("keras", text, 0, metadata)

    def _write_train_graph(self) -> None:
        self._graph_due = False
        graph = getattr(self.model.train_function, "graph", None)
        if graph is not None:  # not of a step that runs eagerly
            with writer_only(self._writer("train")):
                summary.graph(graph)

    # -- embeddings -----------------------------------------------------------------------

    def _embeddings(self) -> list[Any]:
        from ..layers.embedding import Embedding

        return [layer for layer in self.model.layers if isinstance(layer, Embedding)]

    def _configure_projector(self) -> None:
        from google.protobuf import text_format
        from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

        config = ProjectorConfig()
        named = self.embeddings_metadata
        named = dict(named) if isinstance(named, dict) else named
        for layer in self._embeddings():
            entry = config.embeddings.add(
                tensor_name=f"{layer.name}/embeddings", tensor_path=_table(layer)
            )
            label = named.pop(layer.name, None) if isinstance(named, dict) else named
            if label is not None:
                entry.metadata_path = os.fspath(label)
        if isinstance(named, dict) and named:
            raise ValueError(
                "Unrecognized `Embedding` layer names passed to `keras.callbacks.TensorBoard` "
                f"`embeddings_metadata` argument: {list(named)}; the model's are "
                f"{[layer.name for layer in self._embeddings()]}"
            )
        os.makedirs(self.log_dir, exist_ok=True)
        with open(os.path.join(self.log_dir, "projector_config.pbtxt"), "w") as file:
            file.write(text_format.MessageToString(config))

    def _write_embeddings(self, epoch: int) -> None:
        """The latest table of each layer, and (as Keras does) the weights of this epoch."""
        for layer in self._embeddings():
            path = os.path.join(self.log_dir, _table(layer))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            np.savetxt(path, np.asarray(layer.embeddings), fmt="%.8g", delimiter="\t")
        folder = os.path.join(self.log_dir, "train")
        os.makedirs(folder, exist_ok=True)
        self.model.save_weights(
            os.path.join(folder, f"keras_embedding.ckpt-{epoch}.weights.h5")
        )

    # -- profile --------------------------------------------------------------------------

    def _begin_profile(self) -> None:
        start_at(os.path.join(self.log_dir, "train"), None, self._first)
        self._profiling = True

    def _end_profile_if_due(self) -> None:
        # Not at the end of the last batch: its step ends, for the loop, after the callbacks.
        if self._profiling and self._train_batch >= self._last:
            self._end_profile()

    def _end_profile(self) -> None:
        self._profiling = False
        stop()


@functools.cache
def _step_variable() -> Any:
    """The number of the batch at work; one for all, as a traced step goes on reading it in the
    next training."""
    return hr.Variable(0, trainable=False, dtype="int64", name="tensorboard_step")


@contextlib.contextmanager
def writer_only(writer: Any) -> Any:
    """`writer` as the default one, whatever the condition and without a flush at the end."""
    from ...io.summary_state import current

    before = current.writer, current.condition
    current.writer, current.condition = writer, True
    try:
        yield
    finally:
        current.writer, current.condition = before


def _table(layer: Any) -> str:
    return f"embeddings/{layer.name}.tsv"


def _profiled(batches: Any) -> tuple[int, int]:
    """The first and the last batch to profile; (0, 0) for none."""
    given = batches
    if isinstance(batches, str):
        try:
            batches = [int(part) for part in batches.split(",")]
        except ValueError:
            batches = ()
        batches = batches[0] if len(batches) == 1 else batches
    if isinstance(batches, int):
        batches = (batches, batches)
    if isinstance(batches, (tuple, list)) and len(batches) == 2:
        first, last = batches
        if 0 <= first <= last:
            return first, last
    raise ValueError(
        "profile_batch must be a non-negative integer or 2-tuple of positive integers. A pair "
        f"of positive integers signifies a range of batches to profile. Found: {given}"
    )


def _as_images(weight: np.ndarray) -> np.ndarray | None:
    """A weight as images [k, height, width, channels], or None if it makes none."""
    array = np.squeeze(weight).astype(np.float32)
    if array.ndim == 1:
        return array.reshape(1, -1, 1, 1)
    if array.ndim == 2:
        array = array.T if array.shape[0] > array.shape[1] else array
        return array[None, :, :, None]
    if array.ndim == 3:
        return np.moveaxis(array, -1, 0)[..., None]
    return array if array.ndim == 4 and array.shape[-1] in (1, 3, 4) else None
