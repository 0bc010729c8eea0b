"""Datasets of files in folders: images, texts, sounds; a class is a folder.

Files are listed and shuffled as Keras does for the same seed, so that a validation split is the
same one.  They are read and decoded by the pipeline.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ...data.dataset import Dataset
from ...io.file_ops import read_file
from ...ops import api as hr
from ...ops.image_decode import decode_image
from ...ops.image_resize import resize, resize_with_pad
from ...ops.signal_wav import decode_wav
from .progbar import print_line

__all__ = [
    "audio_dataset_from_directory",
    "image_dataset_from_directory",
    "text_dataset_from_directory",
]

_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian",
            "mitchellcubic")  # fmt: skip


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    verbose: bool = True,
) -> Any:
    """A Dataset of float32 images ``[batch, height, width, channels]`` and their labels.

    Args:
        directory: with a folder per class (with ``labels="inferred"``), or with images.
        labels: ``"inferred"``, None, or one for each file in the order of their names.
        label_mode: ``"int"``, ``"binary"`` (float32 ``[batch, 1]``), ``"categorical"`` (one-hot
            rows), or None for no labels.
        class_names: the folders, in the order of their labels; in that of their names if None.
        color_mode: ``"rgb"``, ``"rgba"`` or ``"grayscale"``.
        batch_size: images per batch; None for no batches.
        image_size: height and width that images are resized to.
        shuffle: whether files come in random order.
        seed: for the order and the split.
        validation_split: share of the files that is kept for validation.
        subset: ``"training"``, ``"validation"`` or ``"both"``.
        interpolation: see `image.resize`.
        follow_links: whether to follow symbolic links to folders.
        crop_to_aspect_ratio: cut images to the new aspect instead of distorting them.
        pad_to_aspect_ratio: pad them instead.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        verbose: whether to print how many files there are.

    Returns:
        A Dataset, or two with ``subset="both"``.

    Raises:
        ValueError: arguments do not fit each other, or there are no images.
    """
    if color_mode not in _CHANNELS:
        raise ValueError(
            '`color_mode` must be one of {"rgb", "rgba", "grayscale"}. Received: '
            f"color_mode={color_mode}"
        )
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2:
        raise ValueError(
            "Invalid `image_size` value. Expected a tuple of 2 integers. Received: "
            f"{image_size}"
        )
    if interpolation not in _METHODS:
        raise ValueError(
            f"Argument `interpolation` should be one of {_METHODS}. Received: "
            f"interpolation={interpolation}"
        )
    channels = _CHANNELS[color_mode]

    def load(path: Any) -> Any:
        image = decode_image(read_file(path), channels=channels, expand_animations=False)
        image = hr.ensure_shape(image, [None, None, channels])
        if pad_to_aspect_ratio:
            image = resize_with_pad(image, *size, method=interpolation)
        else:
            image = _cut(image, size) if crop_to_aspect_ratio else image
            image = resize(image, list(size), method=interpolation)
        image = hr.cast(hr.ensure_shape(image, [*size, channels]), hr.float32)
        return hr.transpose(image, [2, 0, 1]) if data_format == "channels_first" else image

    return _from_directory(
        directory, _IMAGES, "images", load, labels, label_mode, class_names, batch_size,
        shuffle, seed, validation_split, subset, follow_links, verbose,
    )  # fmt: skip


def _cut(image: Any, size: tuple[int, int]) -> Any:
    """The middle of an image with the aspect of `size`."""
    sizes = hr.shape(image)
    height, width = sizes[0], sizes[1]
    high = hr.cast(hr.cast(width * size[0], hr.float32) / size[1], hr.int32)
    wide = hr.cast(hr.cast(height * size[1], hr.float32) / size[0], hr.int32)
    high = hr.maximum(hr.minimum(height, high), 1)
    wide = hr.maximum(hr.minimum(width, wide), 1)
    begin = hr.stack([(height - high) // 2, (width - wide) // 2, 0])
    return hr.slice(image, begin, hr.stack([high, wide, -1]))


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """A Dataset of the texts ``[batch]`` of ``.txt`` files and their labels.

    Args:
        max_length: bytes after which texts are cut.
        directory, labels, label_mode, class_names, batch_size, shuffle, seed,
            validation_split, subset, follow_links, verbose: see
            `image_dataset_from_directory`.
    """

    def load(path: Any) -> Any:
        text = read_file(path)
        if max_length is None:
            return text
        return hr.substr(text, 0, max_length)

    return _from_directory(
        directory, (".txt",), "text files", load, labels, label_mode, class_names, batch_size,
        shuffle, seed, validation_split, subset, follow_links, verbose,
    )  # fmt: skip


def audio_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """A Dataset of the sounds ``[batch, samples, channels]`` of ``.wav`` files, and labels.

    Args:
        sampling_rate: must be None; files are not resampled.
        output_sequence_length: samples that sounds are cut or padded to; else each batch is
            padded to its longest.
        ragged: give ragged batches instead of padding.
        directory, labels, label_mode, class_names, batch_size, shuffle, seed,
            validation_split, subset, follow_links, verbose: see
            `image_dataset_from_directory`.

    Raises:
        NotImplementedError: a `sampling_rate` is given.
    """
    if ragged and output_sequence_length is not None:
        raise ValueError(
            "Cannot set both `ragged` and `output_sequence_length`. Received: ragged="
            f"{ragged}, output_sequence_length={output_sequence_length}"
        )
    if sampling_rate is not None:
        raise NotImplementedError("audio files are not resampled: leave `sampling_rate` None")

    def load(path: Any) -> Any:
        wanted = -1 if output_sequence_length is None else output_sequence_length
        return decode_wav(read_file(path), -1, wanted)[0]

    def batched(dataset: Any, size: int) -> Any:
        if ragged:
            return dataset.ragged_batch(size)
        return dataset.batch(size) if output_sequence_length else dataset.padded_batch(size)

    return _from_directory(
        directory, (".wav",), "audio files", load, labels, label_mode, class_names, batch_size,
        shuffle, seed, validation_split, subset, follow_links, verbose, batched,
    )  # fmt: skip


# -- what they share --------------------------------------------------------------------------


def _from_directory(
    directory: Any,
    formats: tuple[str, ...],
    what: str,
    load: Callable[[Any], Any],
    labels: Any,
    label_mode: str | None,
    class_names: Any,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    split: float | None,
    subset: str | None,
    follow_links: bool,
    verbose: bool,
    batched: Callable[[Any, int], Any] | None = None,
) -> Any:
    _check(labels, label_mode, class_names, split, subset, shuffle, seed)
    if labels is None or label_mode is None:
        labels = label_mode = None
    seed = int(np.random.randint(10**6)) if seed is None else seed
    paths, found, names = _indexed(
        os.fspath(directory), labels, formats, class_names, follow_links
    )
    if verbose:
        classes = f" belonging to {len(names)} classes" if names is not None else ""
        print_line(f"Found {len(paths)} files{classes}.")
    if label_mode == "binary" and len(names) != 2:
        raise ValueError(
            'When passing `label_mode="binary"`, there must be exactly 2 class_names. '
            f"Received: class_names={names}"
        )
    if shuffle:
        for column in (paths, found):
            if column is not None:
                np.random.RandomState(seed).shuffle(column)
    made = []
    for part in ("training", "validation") if subset == "both" else (subset,):
        some, some_labels = _subset(paths, found, split, part)
        if not some:
            kind = "" if part is None else f"{part} "
            raise ValueError(
                f"No {kind}{what} found in directory {directory}. Allowed formats: {formats}"
            )
        dataset = _dataset(some, some_labels, label_mode, len(names or ()))
        if shuffle:
            dataset = dataset.shuffle(batch_size * 8 if batch_size else 1024, seed=seed)
        if some_labels is None:
            dataset = dataset.map(load)
        else:
            dataset = dataset.map(lambda path, label: (load(path), label))
        if batch_size is not None:
            dataset = (batched or (lambda d, n: d.batch(n)))(dataset, batch_size)
        dataset.class_names = names
        dataset.file_paths = some
        made.append(dataset)
    return made if subset == "both" else made[0]


def _check(
    labels: Any, mode: Any, names: Any, split: Any, subset: Any, shuffle: bool, seed: Any
) -> None:
    if labels not in ("inferred", None):
        if not isinstance(labels, (list, tuple)):
            raise ValueError(
                "`labels` argument should be a list/tuple of integer labels, of the same "
                "size as the number of files in the target directory, or 'inferred', or "
                f"None. Received: labels={labels}"
            )
        if names:
            raise ValueError(
                'You can only pass `class_names` if `labels="inferred"`. Received: '
                f"labels={labels}, and class_names={names}"
            )
    if mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            '`label_mode` argument must be one of "int", "categorical", "binary", or None. '
            f"Received: label_mode={mode}"
        )
    if split and not 0 < split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {split}")
    if (split or subset) and not (split and subset):
        raise ValueError("If `subset` is set, `validation_split` must be set, and inversely.")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(
            f'`subset` must be either "training", "validation" or "both", received: {subset}'
        )
    if split and shuffle and seed is None:
        raise ValueError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` "
            "argument, to make sure that there is no overlap between the training and "
            "validation subset."
        )


def _indexed(
    directory: str, labels: Any, formats: tuple[str, ...], class_names: Any, follow: bool
) -> tuple[list[str], Any, Any]:
    """Files, their labels, and the names of the classes."""
    folders = [""]
    if labels == "inferred":
        folders = sorted(
            name
            for name in os.listdir(directory)
            if os.path.isdir(os.path.join(directory, name)) and not name.startswith(".")
        )
        if class_names is not None:
            if not set(class_names).issubset(folders):
                raise ValueError(
                    "The `class_names` passed did not match the names of the subdirectories of "
                    f"the target directory. Expected: {folders} (or a subset of it), but "
                    f"received: class_names={class_names}"
                )
            folders = list(class_names)
    paths, numbers = [], []
    for number, folder in enumerate(folders):
        top = os.path.join(directory, folder) if folder else directory
        for root, _, names in sorted(os.walk(top, followlinks=follow), key=lambda w: w[0]):
            for name in sorted(names):
                if name.lower().endswith(formats):
                    paths.append(os.path.join(root, name))
                    numbers.append(number)
    if labels == "inferred":
        return paths, np.array(numbers, np.int32), folders
    if labels is None:
        return paths, None, None
    if len(labels) != len(paths):
        raise ValueError(
            "Expected the lengths of `labels` to match the number of files in the target "
            f"directory. len(labels) is {len(labels)} while we found {len(paths)} files in "
            f"directory {directory}."
        )
    return paths, np.array(labels), [str(label) for label in sorted(set(labels))]


def _subset(paths: list[str], labels: Any, split: Any, subset: Any) -> tuple[list[str], Any]:
    if not split:
        return paths, labels
    held = int(split * len(paths))
    part = slice(None, -held or None) if subset == "training" else slice(-held or None, None)
    part = part if held or subset == "training" else slice(0, 0)
    return paths[part], None if labels is None else labels[part]


def _dataset(paths: list[str], labels: Any, mode: str | None, classes: int) -> Any:
    files = hr.constant(paths)
    if labels is None:
        return Dataset.from_tensor_slices(files)
    values = np.asarray(labels, np.int32)
    if mode == "binary":
        values = values.astype(np.float32)[:, None]
    elif mode == "categorical":
        values = np.eye(classes, dtype=np.float32)[values]
    return Dataset.from_tensor_slices((files, values))
