"""Images from files to batches: write JPEGs, then decode, resize, flip and normalise them.

Everything in the function given to `map` runs on the engine's threads: the decoder works
without Python's lock, random flips differ from image to image, and `explain()` shows how.

    python examples/images.py [--out FOLDER] [--images COUNT]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import headrace as hr

SIDE = 96


def write_images(folder: Path, count: int) -> list[str]:
    """Discs and squares of random colours and sizes as JPEG files, named after their label."""
    rng = np.random.default_rng(0)
    paths = []
    for k in range(count):
        height, width = rng.integers(80, 160, 2)
        y, x = np.mgrid[:height, :width]
        middle, radius = (height // 2, width // 2), min(height, width) // 3
        distance = np.stack([abs(y - middle[0]), abs(x - middle[1])])
        label = k % 2
        inside = (distance.max(0) if label else np.hypot(*distance)) < radius
        image = np.where(inside[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3))
        path = folder / f"{'square' if label else 'disc'}-{k:04d}.jpeg"
        path.write_bytes(hr.io.encode_jpeg(image.astype(np.uint8), quality=90).numpy())
        paths.append(str(path))
    return paths


def train_dataset(paths: list[str]) -> hr.data.Dataset:
    """Batches of ([64, SIDE, SIDE, 3] float32, [64] int64)."""
    files = [Path(path).read_bytes() for path in paths]
    labels = [int(Path(path).name.startswith("square")) for path in paths]

    def prepare(file, label):
        image = hr.io.decode_jpeg(file, channels=3)  # its size is not known yet
        image = hr.image.resize_with_pad(image, SIDE, SIDE, antialias=True)
        image = hr.image.random_flip_left_right(image, seed=1)
        image = hr.image.random_brightness(image / 255.0, 0.1, seed=2)
        return hr.image.per_image_standardization(image), label

    return (
        hr.data.Dataset.from_tensor_slices((files, labels))
        .map(prepare, num_parallel_calls=hr.data.AUTOTUNE)
        .batch(64)
        .prefetch(hr.data.AUTOTUNE)
    )


def main() -> None:
    """Writes the images, shows the plan, and reads them twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/images"))
    parser.add_argument("--images", type=int, default=512)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    dataset = train_dataset(write_images(options.out, options.images))
    print(dataset.element_spec)
    print(dataset.explain())
    for epoch in range(2):
        start, count = time.perf_counter(), 0
        for images, labels in dataset:
            assert images.shape[1:] == (SIDE, SIDE, 3)
            count += len(labels)
        rate = count / (time.perf_counter() - start)
        print(f"epoch {epoch + 1}: {count} images, {rate:,.0f} a second")
    mean = float(hr.reduce_mean(images))
    print(f"mean of the last batch: {mean:.4f}")

    # One image by hand: every function works eagerly too.
    picture = hr.io.decode_jpeg(next(options.out.glob("disc-*.jpeg")).read_bytes())
    thumbnail = hr.image.resize(picture, [32, 32], method="lanczos3", antialias=True)
    small = hr.cast(hr.clip_by_value(thumbnail, 0.0, 255.0), hr.uint8)
    (options.out / "thumbnail.png").write_bytes(hr.io.encode_png(small).numpy())
    print("thumbnail.png written")


if __name__ == "__main__":
    main()
