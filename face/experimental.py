"""`hr.experimental`: what TensorFlow keeps under that name."""

from . import experimental_dlpack as dlpack

__all__ = ["dlpack"]
