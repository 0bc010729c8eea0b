"""ForwardAccumulator: Jacobian-vector products.

What happens inside the block is recorded as on a tape.  The gradient of a target is linear in
the gradient it starts from; differentiating it by that once more and applying the result to the
tangents gives the product (two reverse passes, no rules of its own).
"""

from __future__ import annotations

from typing import Any

from . import nest
from .array_basics import zeros_like
from .convert import to_tensor
from .tape import GradientTape, UnconnectedGradients, carries_gradient, gradients_of

__all__ = ["ForwardAccumulator"]


class ForwardAccumulator:
    """Computes how results change when `primals` change along `tangents`.

    Args:
        primals: tensors or variables, nested.
        tangents: tensors of the same structure, shapes and dtypes.

    Raises:
        ValueError: a tangent has another shape or dtype, or a primal is given twice.

    >>> x = to_tensor([2.0, 3.0], None)
    >>> with ForwardAccumulator(x, to_tensor([1.0, 0.0], None)) as acc:
    ...     y = x * x
    >>> acc.jvp(y).numpy()
    array([4., 0.], dtype=float32)
    """

    def __init__(self, primals: Any, tangents: Any):
        self._tape = GradientTape(persistent=True, watch_accessed_variables=False)
        nest.assert_same_structure(primals, tangents)
        self._primals = nest.flatten(primals)
        self._tangents = []
        if len({id(p) for p in self._primals}) < len(self._primals):
            raise ValueError("Tensor was given more than once as a primal.")
        for primal, tangent in zip(self._primals, nest.flatten(tangents), strict=True):
            tangent = to_tensor(tangent, primal.dtype)
            if not carries_gradient(primal.dtype):
                raise ValueError(
                    f"The dtype of a primal must be floating (e.g. hr.float32), got "
                    f"{primal.dtype!r}"
                )
            if not primal.shape.is_compatible_with(tangent.shape):
                raise ValueError(
                    f"A tangent must have the shape of its primal {primal.shape}, got "
                    f"{tangent.shape}"
                )
            self._tangents.append(tangent)

    def __enter__(self) -> ForwardAccumulator:
        self._tape.__enter__()
        self._tape.watch(self._primals)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._tape.__exit__(*exc)

    def jvp(self, primals: Any, unconnected_gradients: str = UnconnectedGradients.NONE) -> Any:
        """The product for each of `primals`, results of what was computed in the block; None
        (or zeros) where they do not depend on the accumulator's primals."""
        if not self._tape._recording:
            return self._products(primals, unconnected_gradients)
        with self._tape.stop_recording():
            return self._products(primals, unconnected_gradients)

    def _products(self, primals: Any, unconnected: Any) -> Any:
        zero = getattr(unconnected, "value", unconnected) == UnconnectedGradients.ZERO
        return nest.map_structure(lambda t: self._product(t, zero), primals)

    def _product(self, target: Any, zero: bool) -> Any:
        for primal, tangent in zip(self._primals, self._tangents, strict=True):
            if target is primal:
                return tangent
        assert self._tape._ops is not None
        if not carries_gradient(target.dtype):
            return zeros_like(target) if zero else None
        start = zeros_like(target)
        with GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(start)
            found = gradients_of(self._tape._ops, [target], [start], self._primals)
            pairs = [
                (to_tensor(g, None), t)
                for g, t in zip(found, self._tangents, strict=True)
                if g is not None
            ]
        if not pairs:
            return zeros_like(target) if zero else None
        grads, tangents = zip(*pairs, strict=True)
        product = tape.gradient(list(grads), start, output_gradients=list(tangents))
        return zeros_like(target) if product is None else product
