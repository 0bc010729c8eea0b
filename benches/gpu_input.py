"""Files that feed a network: how much of the time the GPU works: ``python gpu_input.py``.

TFRecord files are written (bytes of 28 x 28 images for the MLP, JPEGs for ResNet-50), parsed,
decoded, batched and given to `fit`, which sends batches through the ring.  Events on the
compute stream around every step and on the copy stream around every copy tell

* busy: the part of the time, from the first step's begin to the last one's end, that steps
  take on the compute stream; in between it waits for a batch, or for the host;
* hidden: the part of the copies' time during which a step runs;
* of resident: how fast that is, compared with steps on a batch that lies on the GPU.

``gpu_input_<job>.trace.json`` next to the results shows both streams in chrome://tracing.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gpu_device import cupy_or_exit, describe, measured, rate, results_folder, write
from gpu_networks import NETWORKS, Network

__all__ = ["AIMS", "covered", "dataset_of", "fitted", "rows_for", "shared", "trace_of"]

AIMS = {"mlp": 0.95, "resnet50": 0.98}
_STORED = 256  # pixels a side of the JPEGs

Span = tuple[float, float]


# -- spans of time ----------------------------------------------------------------------------


def covered(spans: Sequence[Span]) -> float:
    """The time in which at least one of the spans runs."""
    return sum(end - begin for begin, end in _joined(spans))


def shared(spans: Sequence[Span], others: Sequence[Span]) -> float:
    """The time in which one of each runs."""
    return covered(spans) + covered(others) - covered([*spans, *others])


def _joined(spans: Sequence[Span]) -> list[Span]:
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def trace_of(streams: dict[str, Sequence[Span]]) -> dict[str, Any]:
    """Spans in milliseconds, by stream, as a trace of Chrome's."""
    events: list[dict[str, Any]] = []
    for row, (name, spans) in enumerate(streams.items()):
        about = {"pid": 0, "tid": row}
        events.append({"name": "thread_name", "ph": "M", "args": {"name": name}, **about})
        events += [
            {"name": f"{name} {i}", "ph": "X", "ts": 1e3 * a, "dur": 1e3 * (b - a), **about}
            for i, (a, b) in enumerate(spans)
        ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


# -- the pipeline -----------------------------------------------------------------------------


def write_files(job: str, folder: Path, records: int, files: int = 8) -> list[str]:
    """TFRecord files of examples with an image and a label."""
    import headrace as hr

    rng = np.random.default_rng(0)
    classes = NETWORKS[job].classes
    paths = []
    for k in range(files):
        paths.append(str(folder / f"{job}-{k}"))
        with hr.io.TFRecordWriter(paths[-1]) as writer:
            for _ in range(-(-records // files)):
                image = rng.integers(0, 256, 784, np.uint8).tobytes()
                if job != "mlp":
                    image = _jpeg(rng)
                feature = {
                    "image": hr.train.Feature(bytes_list=hr.train.BytesList(value=[image])),
                    "label": hr.train.Feature(
                        int64_list=hr.train.Int64List(value=[int(rng.integers(classes))])
                    ),
                }
                example = hr.train.Example(features=hr.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return paths


def _jpeg(rng: np.random.Generator) -> bytes:
    from PIL import Image

    coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    out = io.BytesIO()
    coarse.resize((_STORED, _STORED), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def dataset_of(job: str, paths: Sequence[str], batch: int) -> Any:
    """Batches of float32 images and labels, without end."""
    import headrace as hr

    spec = {
        "image": hr.io.FixedLenFeature([], hr.string),
        "label": hr.io.FixedLenFeature([], hr.int64),
    }

    def parsed(record: Any) -> Any:
        found = hr.io.parse_single_example(record, spec)
        if job == "mlp":
            image = hr.reshape(hr.io.decode_raw(found["image"], hr.uint8), [784])
        else:
            image = hr.io.decode_jpeg(found["image"], 3)
            image = hr.image.random_crop(image, [224, 224, 3])
        return hr.cast(image, hr.float32) / 255, found["label"]

    files = hr.data.TFRecordDataset(list(paths), num_parallel_reads=len(paths))
    shuffled = files.shuffle(1024).repeat()
    return shuffled.map(parsed, hr.data.AUTOTUNE).batch(batch, drop_remainder=True)


def model_of(network: Network) -> Any:
    """The network, compiled."""
    import headrace as hr

    policy = "mixed_bfloat16" if network.bf16 else "float32"
    hr.keras.mixed_precision.set_global_policy(policy)
    model = network.keras(hr.keras)
    loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(hr.keras.optimizers.SGD(0.01, momentum=0.9), loss)
    return model


def fitted(
    model: Any, dataset: Any, warmup: int, steps: int, mark: Callable[[], Any]
) -> list[tuple[Any, Any]]:
    """Train; a mark before and one behind every step after the first `warmup`."""
    import headrace as hr

    marks: list[tuple[Any, Any]] = []

    class Marks(hr.keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        begun: Any = None

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun = mark() if batch >= warmup else None

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.begun is not None:
                marks.append((self.begun, mark()))

    model.fit(dataset, steps_per_epoch=warmup + steps, epochs=1, verbose=0, callbacks=[Marks()])
    return marks


def rows_for(
    job: str, steps: Sequence[Span], copies: Sequence[Span], moved: int, batch: int,
    resident: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a job.

    Args:
        job: its name.
        steps, copies: in milliseconds; copies that began before the first step are left out.
        moved: bytes of these copies.
        batch: examples per step.
        resident: steps a second on a batch that lies on the GPU.
    """
    window = steps[-1][1] - steps[0][0]
    per_s = 1e3 * len(steps) / window
    working, copying = covered(steps), covered(copies)
    told = {
        "steps": len(steps), "examples/s": batch * per_s, "step_ms": working / len(steps),
        "copy_ms": copying / len(steps), "gb/s": moved / 1e6 / max(copying, 1e-9),
    }  # fmt: skip
    rows = [measured(job, "GPU busy", working / window, AIMS[job], **told)]
    if copies:
        rows.append(measured(job, "copies hidden", shared(steps, copies) / copying))
    rows.append(measured(job, "of resident", per_s / resident))
    return rows


def _measure(cupy: Any, job: str, options: Any, folder: Path) -> list[dict[str, Any]]:
    from headrace.data.device_copies import CupyCopies
    from headrace.keras.engine import device_input

    network = NETWORKS[job]
    batch = options.batch or network.batch
    steps = options.steps or (600 if job == "mlp" else 60)
    paths = write_files(job, folder, max(8 * batch, 4096 if job == "mlp" else 1024))
    copies: list[tuple[Any, Any, int]] = []

    class Timed(CupyCopies):
        """Copies with an event before and behind each."""

        def copy(self, to: Any, source: np.ndarray) -> None:
            begun, ended = cupy.cuda.Event(), cupy.cuda.Event()
            begun.record(self._stream)
            super().copy(to, source)
            ended.record(self._stream)
            copies.append((begun, ended, source.nbytes))

    def mark() -> Any:
        event = cupy.cuda.Event()
        event.record()
        return event

    model = model_of(network)
    dataset = dataset_of(job, paths, batch)
    device_input.CupyCopies = Timed  # type: ignore[misc]
    try:
        cupy.cuda.Device().synchronize()
        start = mark()
        found = fitted(model, dataset, 30 if job == "mlp" else 10, steps, mark)
    finally:
        device_input.CupyCopies = CupyCopies  # type: ignore[misc]
    cupy.cuda.Device().synchronize()

    def span(begun: Any, ended: Any) -> Span:
        since = cupy.cuda.get_elapsed_time
        return since(start, begun), since(start, ended)

    worked = [span(*each) for each in found]
    began = worked[0][0]
    moved = [(span(a, b), n) for a, b, n in copies if span(a, b)[0] >= began]
    spans = [each for each, _ in moved]
    trace = trace_of({"compute": worked, "copies": spans})
    (results_folder() / f"gpu_input_{job}.trace.json").write_text(json.dumps(trace))
    resident = _resident(cupy, model, dataset, steps)
    return rows_for(job, worked, spans, sum(n for _, n in moved), batch, resident)


def _resident(cupy: Any, model: Any, dataset: Any, steps: int) -> float:
    """Steps a second on one batch that lies on the GPU."""
    import headrace as hr

    with hr.device("gpu:0"):
        batch = tuple(hr.identity(part) for part in next(iter(dataset)))
    step = model.make_train_function()
    for _ in range(10):
        step(batch)
    return rate(lambda: step(batch), cupy.cuda.Device().synchronize, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", nargs="*", choices=sorted(AIMS), default=sorted(AIMS))
    parser.add_argument("--batch", type=int, help="examples per step")
    parser.add_argument("--steps", type=int, help="that are measured")
    options = parser.parse_args()
    cupy = cupy_or_exit()
    results_folder().mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for job in options.job:
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows += _measure(cupy, job, options, Path(folder))
            except Exception as error:  # the other job is still measured
                rows.append({"job": job, "failed": f"{type(error).__name__}: {error}"})
        write("input", rows, describe(cupy))
    if any("failed" in row for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
