"""Whether float32 products and convolutions may use TF32, tensor cores' 19-bit floats."""

from __future__ import annotations

__all__ = ["TF32", "tf32"]


class TF32:
    """The setting; `hr.config.experimental.enable_tensor_float_32_execution` is its face.

    Attributes:
        on: True at first, as in TensorFlow.
    """

    def __init__(self) -> None:
        self.on = True


tf32 = TF32()
