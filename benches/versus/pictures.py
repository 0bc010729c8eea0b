"""JPEG pipelines: decode, resize, flip at random, normalise, batches of 64.

`jpeg` is a row of the comparison with tf.data (`jobs.py`).  Run as a script,
`python benches/versus/pictures.py [--torch PYTHON]` alternates Headrace with a torch
`DataLoader` over Pillow and two workers, in processes of their own; `PYTHON` is an interpreter
that has torch and Pillow, as torch is too large for the extra `peers`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = 2048
BATCH = 64
SIDE = 224
MEAN, SPREAD = 127.5, 58.0


def file(folder: Path) -> str:
    """Path of the records: one JPEG of about 256 x 256 and its label each."""
    return str(folder / "pictures.tfrecord")


def jpegs() -> Any:
    """`IMAGES` JPEG files, the same ones always."""
    import simplejpeg

    for k in range(IMAGES):
        rng = np.random.Generator(np.random.PCG64([3, k]))
        height, width = (int(n) for n in rng.integers(224, 289, 2))
        y, x = np.mgrid[:height, :width]
        waves = [
            127 + 90 * np.sin(x / a + c) * np.cos(y / b)
            for c, a, b in zip(range(3), *rng.uniform(5, 40, (2, 3)), strict=True)
        ]
        noisy = np.stack(waves, -1) + rng.normal(0, 8, (height, width, 3))
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        yield simplejpeg.encode_jpeg(pixels, quality=90, colorsubsampling="420"), k % 1000


def write(lib: Any, folder: Path) -> str:
    """Writes the records where they are missing; returns their path."""
    path = file(folder)
    if not os.path.exists(path):
        folder.mkdir(parents=True, exist_ok=True)
        partial = f"{path}.{os.getpid()}.partial"
        with lib.io.TFRecordWriter(partial) as writer:
            for image, label in jpegs():
                feature = {
                    "image": lib.train.Feature(bytes_list=lib.train.BytesList(value=[image])),
                    "label": lib.train.Feature(int64_list=lib.train.Int64List(value=[label])),
                }
                features = lib.train.Features(feature=feature)
                writer.write(lib.train.Example(features=features).SerializeToString())
        os.replace(partial, path)
    return path


def jpeg(lib: Any, data: Path, flip: bool = True) -> Any:
    """The pipeline, as users write it for either library."""
    features = {
        "image": lib.io.FixedLenFeature([], lib.string),
        "label": lib.io.FixedLenFeature([], lib.int64),
    }

    def parse(record):
        example = lib.io.parse_single_example(record, features)
        image = lib.io.decode_jpeg(example["image"], channels=3)
        image = lib.image.resize(image, [SIDE, SIDE])
        if flip:
            image = lib.image.random_flip_left_right(image, seed=1)
        return (image - MEAN) / SPREAD, example["label"]

    return (
        lib.data.TFRecordDataset(write(lib, data))
        .map(parse, num_parallel_calls=lib.data.AUTOTUNE)
        .batch(BATCH)
        .prefetch(lib.data.AUTOTUNE)
    )


# -- torch ------------------------------------------------------------------------------------

TORCH = f"""
import io, sys, time
import numpy as np
import torch
from PIL import Image

class Pictures(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.files = np.load(folder + "/pictures.npy", allow_pickle=True)
    def __len__(self):
        return len(self.files)
    def __getitem__(self, k):
        image = Image.open(io.BytesIO(self.files[k])).convert("RGB")
        image = image.resize(({SIDE}, {SIDE}), Image.BILINEAR)
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).float()
        return (pixels - {MEAN}) / {SPREAD}, k % 1000

if __name__ == "__main__":
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        Pictures(sys.argv[1]), batch_size={BATCH}, num_workers=2, persistent_workers=True)
    for _ in loader: pass
    for line in sys.stdin:
        start = time.perf_counter()
        count = sum(len(x) for x, _ in loader)
        print(count / (time.perf_counter() - start), flush=True)
"""


def against_torch(python: str, rounds: int, data: Path) -> None:
    """Prints the rates of both, alternating, and the median of the rounds' ratios."""
    import headrace as hr

    dataset = jpeg(hr, data)
    files = np.array([image for image, _ in jpegs()], object)
    np.save(data / "pictures.npy", files, allow_pickle=True)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "loader.py"
        script.write_text(TORCH)
        peer = subprocess.Popen(
            [python, str(script), str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1,
        )  # fmt: skip
        assert peer.stdin and peer.stdout
        for _ in range(2):
            for _ in dataset:
                pass
        ratios = []
        for _ in range(rounds):
            peer.stdin.write("\n")
            theirs = float(peer.stdout.readline())
            start = time.perf_counter()
            count = sum(image.shape[0] for image, _ in dataset)
            ours = count / (time.perf_counter() - start)
            ratios.append(ours / theirs)
            print(f"headrace {ours:,.0f} images/s, torch {theirs:,.0f}: {ratios[-1]:.2f}x")
        peer.stdin.close()
        peer.wait()
    print(f"median {statistics.median(ratios):.2f}x, aim 1.5x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "out/versus")
    chosen = parser.parse_args()
    against_torch(chosen.torch, chosen.rounds, chosen.data)
