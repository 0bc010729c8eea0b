"""`keras.applications.resnet50`: ResNet50 under the name of older scripts."""

from .resnet import ResNet50, decode_predictions, preprocess_input

__all__ = ["ResNet50", "decode_predictions", "preprocess_input"]
