"""EinsumDense: a product along any axes, with a bias."""

from __future__ import annotations

import string
from typing import Any, NamedTuple

from ...ops import api as hr
from .. import activations, constraints, initializers, regularizers
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer
from .dense import refuse_extras

__all__ = ["EinsumDense"]


class EinsumDense(Layer):
    """``activation(einsum(equation, inputs, kernel) + bias)``.

    Args:
        equation: such as ``"ab,bc->ac"``, ``"...x,xy->...y"`` or ``"ab...,bc->ac..."``.
        output_shape: sizes of the output without the batch and without what the ellipsis
            stands for; None for sizes of the input.
        activation: function or its name; None for none.
        bias_axes: labels of the output's axes that the bias has; None for no bias.
        kernel_initializer: of the kernel.
        bias_initializer: of the bias.
        kernel_regularizer: penalty on the kernel.
        bias_regularizer: penalty on the bias.
        kernel_constraint: projection of the kernel.
        bias_constraint: projection of the bias.
        **kwargs: see `Layer`.

    Raises:
        ValueError: the equation is of another form, or does not fit the shapes.

    >>> EinsumDense("abc,cde->abde", output_shape=(None, 2, 4))(hr.zeros([1, 3, 5])).shape
    TensorShape([1, 3, 2, 4])
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ):
        refuse_extras(lora_rank=lora_rank, quantization_config=quantization_config)
        super().__init__(**kwargs)
        self.equation = equation
        sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.partial_output_shape = tuple(sizes)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias for inputs of this rank."""
        found = self._shapes(input_shape)
        init = self.kernel_initializer
        if isinstance(init, initializers.VarianceScaling) and init.input_axes is None:
            # The fans are products over axes, which only the equation tells.
            config = {**init.get_config(), "seed": init.seed}
            axes = {"input_axes": found.kernel_inputs, "output_axes": found.kernel_outputs}
            init = type(init).from_config({**config, **axes})
        self.kernel = self.add_weight(
            name="kernel",
            shape=found.kernel,
            initializer=init,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if found.bias is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=found.bias,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape))
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        """The outputs."""
        x = hr.einsum(self.equation, inputs, hr.cast(self.kernel, self.compute_dtype))
        if self.bias is not None:
            x = x + hr.cast(self.bias, self.compute_dtype)
        return self.activation(x)

    def _shapes(self, input_shape: Any) -> _Shapes:
        return _resolved(
            self.equation, self.bias_axes, tuple(input_shape), self.partial_output_shape
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The output's shape."""
        return self._shapes(input_shape).output

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "quantization_config": None,
        }


class _Shapes(NamedTuple):
    kernel: tuple[int, ...]
    bias: tuple[int, ...] | None
    output: tuple[int | None, ...]
    kernel_inputs: list[int]
    kernel_outputs: list[int]


def _resolved(
    equation: str, bias_axes: str | None, inputs: tuple[Any, ...], outputs: tuple[Any, ...]
) -> _Shapes:
    """The shapes that an equation gives for inputs of shape `inputs`."""
    in_labels, kernel_labels, out_labels, left = _labels(equation, len(inputs))
    # The first size is the batch; those that an ellipsis stands for are the input's.
    elided = len(inputs) - len(in_labels.replace("...", ""))
    if not elided:
        full = [inputs[0], *outputs]
    elif left:
        full = [*inputs[:elided], *outputs]
    else:
        full = [inputs[0], *outputs, *inputs[-elided:]]
    spare = "".join([c for c in string.ascii_letters if c not in equation][:elided])
    in_labels = in_labels.replace("...", spare)
    out_labels = out_labels.replace("...", spare)
    if len(full) != len(out_labels):
        raise ValueError(
            f"`output_shape` does not fit the equation '{equation}': its output has "
            f"{len(out_labels)} axes, {len(full)} sizes were found. Received: "
            f"output_shape={outputs}, input_shape={inputs}"
        )
    have = dict(zip(in_labels, inputs, strict=True))
    made = dict(zip(out_labels, full, strict=True))
    for label, size in have.items():
        if made.get(label) is not None and size is not None and made[label] != size:
            raise ValueError(
                f"Input shape and output shape do not match at shared dimension '{label}'. "
                f"Input shape is {size}, and output shape is {made[label]}."
            )
    for label in out_labels:
        if label not in have and label not in kernel_labels:
            raise ValueError(
                f"Dimension '{label}' was specified in the output '{out_labels}' but has no "
                f"corresponding dim in the input spec '{in_labels}' or weight spec "
                f"'{kernel_labels}'"
            )
    kernel, kernel_inputs, kernel_outputs = [], [], []
    for i, label in enumerate(kernel_labels):
        if label in made:
            kernel.append(made[label])
            kernel_outputs.append(i)
        elif label in have:
            kernel.append(have[label])
            kernel_inputs.append(i)
        else:
            raise ValueError(
                f"Weight dimension '{label}' did not have a match in either the input spec "
                f"'{in_labels}' or the output spec '{out_labels}'. For this layer, the weight "
                "must be fully specified."
            )
    bias = None
    if bias_axes is not None:
        for label in bias_axes:
            if label not in made:
                raise ValueError(
                    f"Bias dimension '{label}' was requested, but is not part of the output "
                    f"spec '{out_labels}'"
                )
        first = min(out_labels.index(label) for label in bias_axes)
        bias = tuple(made[c] if c in bias_axes else 1 for c in out_labels[first:])
    output = tuple(have.get(c) if made[c] is None else made[c] for c in out_labels)
    return _Shapes(tuple(kernel), bias, output, kernel_inputs, kernel_outputs)


def _labels(equation: str, rank: int) -> tuple[str, str, str, bool | None]:
    """Labels of input, kernel and output; whether an ellipsis stands on their left."""
    operands, _, output = equation.replace(" ", "").partition("->")
    inputs, _, kernel = operands.partition(",")
    dots = [part.count("...") for part in (inputs, kernel, output)]
    plain = [part.replace("...", "") for part in (inputs, kernel, output)]
    sides = [part.startswith("...") for part in (inputs, output)]
    edges = all(part.startswith("...") or part.endswith("...") for part in (inputs, output))
    good = all(p.isalpha() and p.isascii() for p in plain) and dots in ([0, 0, 0], [1, 0, 1])
    if not good or (dots[0] and not (edges and sides[0] == sides[1])):
        raise ValueError(
            f"Invalid einsum equation '{equation}'. Equations must be in the form "
            "[X],[Y]->[Z], ...[X],[Y]->...[Z], or [X]...,[Y]->[Z]...."
        )
    if rank < len(plain[0]) or (not dots[0] and rank != len(plain[0])):
        raise ValueError(
            f"The equation '{equation}' takes inputs of {len(plain[0])} axes"
            f"{' or more' if dots[0] else ''}, got {rank}"
        )
    return inputs, kernel, output, sides[0] if dots[0] else None
