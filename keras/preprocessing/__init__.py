"""`keras.preprocessing`: older names of what `keras.utils` has."""

from ..utils.array_datasets import timeseries_dataset_from_array
from ..utils.directory_datasets import (
    image_dataset_from_directory,
    text_dataset_from_directory,
)
from . import image, sequence

__all__ = [
    "image",
    "image_dataset_from_directory",
    "sequence",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
]
