"""GradientTape: records operations on watched tensors and differentiates through them.

The backward pass runs the primitives' `vjp` rules, which are written in operations: what it
computes can itself be recorded, by an outer tape or by a trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import nest
from .array_basics import fill, ones_like, reshape, shape as shape_of, zeros, zeros_like
from .array_join import concat, stack
from .array_shape import transpose
from .context import current, recording
from .convert import to_tensor
from .dtypes import DType, int32, variant
from .errors import UnimplementedError
from .indexed_slices import IndexedSlices
from .math_ops import add
from .primitive import Op, get_primitive
from .tensor import SymbolicTensor, Tensor
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["GradientTape", "UnconnectedGradients", "gradients_of"]


class UnconnectedGradients:
    """What `gradient` gives for a source the target does not depend on."""

    NONE = "none"
    ZERO = "zero"


class GradientTape:
    """Records what happens inside its ``with`` block, for differentiation.

    Args:
        persistent: allow several calls of `gradient`.
        watch_accessed_variables: watch trainable variables when they are read.

    >>> x = to_tensor(3.0, None)
    >>> with GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> tape.gradient(y, x).numpy()
    np.float32(6.0)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True):
        self._persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._ops: list[Op] | None = []
        # Keys are ids; the values keep the objects alive, so that an id is never reused.
        self._watched: dict[int, Any] = {}
        self._variables: dict[int, Variable] = {}
        self._recording = False

    # -- recording ------------------------------------------------------------------------

    def __enter__(self) -> GradientTape:
        self._start()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._recording:
            self._stop()

    def _start(self) -> None:
        if self._recording:
            raise ValueError("Tape is already recording.")
        self._recording = True
        current.tapes = (*current.tapes, self)
        recording.enter()

    def _stop(self) -> None:
        if not self._recording:
            raise ValueError("Tape is not recording.")
        self._recording = False
        current.tapes = tuple(t for t in current.tapes if t is not self)
        recording.leave()

    def watch(self, tensor: Any) -> None:
        """Record what is computed from `tensor` (or every tensor of a nested structure).

        Raises:
            ValueError: it is not a tensor or variable.
        """
        for t in nest.flatten(tensor):
            if isinstance(t, Variable):
                self._variables[id(t)] = t
            elif isinstance(t, Tensor):
                self._watched[id(t)] = t
            elif hasattr(t, "_components"):
                for part in t._components():
                    if part.dtype.is_floating or part.dtype.is_complex:
                        self._watched[id(part)] = part
            else:
                raise ValueError(
                    f"Passed in object {t!r} of type {type(t).__name__!r}, not hr.Tensor "
                    "or hr.Variable."
                )

    def wants(self, tensors: tuple[Any, ...]) -> bool:
        """Whether any of the inputs is watched."""
        watched = self._watched
        return any(id(t) in watched for t in tensors)

    def record(self, op: Op) -> None:
        """Keep one call; its outputs are watched from now on."""
        assert self._ops is not None
        self._ops.append(op)
        for t in op.outputs:
            if carries_gradient(t.dtype):
                self._watched[id(t)] = t

    def record_read(self, variable: Variable, tensor: Tensor) -> None:
        """Keep the read of a variable that is watched or, being trainable, is to be."""
        key = id(variable)
        if key not in self._variables:
            if not (self._watch_variables and variable.trainable):
                return
            self._variables[key] = variable
        self._watched[id(tensor)] = tensor
        self._ops.append(Op(_READ, (variable,), {}, (tensor,)))  # type: ignore[union-attr]

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables watched so far, in the order they were first used."""
        return tuple(self._variables.values())

    def stop_recording(self) -> Any:
        """A ``with`` block whose operations are not recorded on this tape."""
        return _Paused(self)

    def reset(self) -> None:
        """Forget everything recorded so far."""
        self._ops = []
        self._watched = {}
        self._variables = {}

    # -- differentiating ------------------------------------------------------------------

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = UnconnectedGradients.NONE,
    ) -> Any:
        """Gradient of the sum of `target` with respect to each of `sources`, in the sources'
        structure; None (or zeros) where there is no path.

        Args:
            target: tensor or nested tensors.
            sources: tensors or variables, nested.
            output_gradients: gradients of the targets to start from; ones by default.
            unconnected_gradients: ``"none"`` or ``"zero"``.

        Raises:
            RuntimeError: a second call on a tape that is not persistent.
        """
        if self._ops is None:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of "
                "gradients (or jacobians)"
            )
        if self._recording and not self._persistent:
            self._stop()
        targets = nest.flatten(target)
        starts = (
            [None] * len(targets)
            if output_gradients is None
            else nest.flatten(output_gradients)
        )
        flat_sources = nest.flatten(sources)
        ops = self._ops
        if not self._persistent:
            self._ops = None
            self._watched = {}
        paused = _Paused(self) if self._recording else None
        if paused:
            paused.__enter__()
        try:
            found = gradients_of(ops, targets, starts, flat_sources)
        finally:
            if paused:
                paused.__exit__()
        if _is_zero(unconnected_gradients):
            found = [
                zeros_like(s) if g is None else g
                for g, s in zip(found, flat_sources, strict=True)
            ]
        return nest.pack_sequence_as(sources, found)

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: str = UnconnectedGradients.NONE,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """d target / d sources: shape target.shape + source.shape, for each source.

        All rows are computed together; row by row (which also needs a persistent tape or a
        scalar target) where an operation has no batched form.

        Raises:
            ValueError: the target's shape is not known.
        """
        target = to_tensor(target, None)
        size = target.shape.num_elements()
        if size is None:
            raise ValueError(f"jacobian needs a target of known shape, got {target.shape}")
        seeds = reshape(_unit_rows(size, target.dtype), [size, *target.shape.as_list()])
        flat = nest.flatten(sources)
        found = self._rows_of_gradients(target, flat, seeds, experimental_use_pfor)
        out = []
        for g, source in zip(found, flat, strict=True):
            if g is None and _is_zero(unconnected_gradients):
                g = zeros([*target.shape.as_list(), *source.shape.as_list()], source.dtype)
            elif g is not None:
                tail = shape_of(source)
                g = reshape(g, concat([to_tensor(target.shape.as_list(), int32), tail], 0))
            out.append(g)
        return nest.pack_sequence_as(sources, out)

    def batch_jacobian(
        self,
        target: Any,
        source: Any,
        unconnected_gradients: str = UnconnectedGradients.NONE,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """d target[b] / d source[b] for every b: ``[b, *target.shape[1:], *source.shape[1:]]``.

        Row b of `target` must depend on row b of `source` only.

        Raises:
            ValueError: a shape behind the first axis is not known, or the first axes differ.
        """
        target, source_ = to_tensor(target, None), source
        if not source_.shape[:1].is_compatible_with(target.shape[:1]):
            raise ValueError(
                "Need first dimension of target shape and source shape to match: "
                f"{target.shape} and {source_.shape}"
            )
        size = target.shape[1:].num_elements()
        if size is None:
            raise ValueError(
                f"batch_jacobian needs a target of known shape behind its first axis, got "
                f"{target.shape}"
            )
        rows = shape_of(target)[:1]
        one = reshape(_unit_rows(size, target.dtype), [size, 1, *target.shape.as_list()[1:]])
        seeds = one + zeros_like(target)
        (found,) = self._rows_of_gradients(target, [source_], seeds, experimental_use_pfor)
        ends = [to_tensor(target.shape.as_list()[1:], int32), shape_of(source_)[1:]]
        whole = concat([rows, *ends], 0)
        if found is None:
            return (
                fill(whole, zeros([], target.dtype))
                if _is_zero(unconnected_gradients)
                else None
            )
        order = [1, 0, *range(2, 1 + source_.shape.rank)]
        return reshape(transpose(found, order), whole)

    def _rows_of_gradients(
        self, target: Any, sources: list[Any], seeds: Any, together: bool
    ) -> list[Any]:
        """For each source, the gradients for all rows of `seeds` stacked, or None."""
        from .functional_ops import run_batched  # stands above the tape, as loops do

        if self._ops is None:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of "
                "gradients (or jacobians)"
            )
        if self._recording and not self._persistent:
            self._stop()
        ops = self._ops
        if not self._persistent:
            self._ops = None
            self._watched = {}
        paused = _Paused(self) if self._recording else None
        if paused:
            paused.__enter__()
        try:
            connected: list[bool] = []

            def one(seed: Any) -> list[Any]:
                found = gradients_of(ops, [target], [seed], sources)
                connected[:] = [g is not None for g in found]
                return [to_tensor(g, None) for g in found if g is not None]

            spec = TensorSpec(target.shape, target.dtype)
            try:
                if not together:
                    raise UnimplementedError("asked for one by one")
                _, made = run_batched(one, [spec], [seeds], self)
            except UnimplementedError:
                rows = [one(seeds[k]) for k in range(seeds.shape[0])]
                made = [stack(list(column)) for column in zip(*rows, strict=True)]
        finally:
            if paused:
                paused.__exit__()
        parts = iter(made)
        return [next(parts) if c else None for c in connected]


class _ReadRule:
    """Stands in an `Op` for the read of a variable: the gradient goes to the variable."""

    name = "ReadVariable"
    partial_grads = False

    @staticmethod
    def gradient(op: Op, grads: list[Any]) -> tuple[Any, ...]:
        return (grads[0],)


_READ: Any = _ReadRule()


class _Paused:
    def __init__(self, tape: GradientTape):
        self.tape = tape

    def __enter__(self) -> None:
        self.tape._stop()

    def __exit__(self, *exc: Any) -> None:
        self.tape._start()


def _unit_rows(size: int, dtype: DType) -> Any:
    return Tensor.of(np.eye(size, dtype=dtype.np_dtype))


def _is_zero(unconnected_gradients: Any) -> bool:
    kind = getattr(unconnected_gradients, "value", unconnected_gradients)
    return kind == UnconnectedGradients.ZERO


def gradients_of(
    ops: list[Op], targets: list[Any], starts: list[Any], sources: list[Any]
) -> list[Any]:
    """Reverse accumulation over recorded calls: one gradient, or None, per source."""
    grads: dict[int, Any] = {}
    keep: list[Any] = []  # whatever ids refer to stays alive until the end
    for target, start in zip(targets, starts, strict=True):
        if isinstance(target, Variable):
            tensor: Any = target
        else:
            tensor = target
        if not carries_gradient(tensor.dtype):
            continue
        seed = ones_like(tensor) if start is None else to_tensor(start, tensor.dtype)
        _accumulate(grads, tensor, seed)
        keep.append(tensor)
    wanted = _depends_on(ops, sources)
    for op in reversed(ops):
        out_grads = [grads.get(id(t)) for t in op.outputs]
        if not any(g is not None for g in out_grads):
            continue
        needs = tuple(id(t) in wanted for t in op.inputs)
        if not any(needs):
            continue
        op.needs = needs
        if len(out_grads) > 1 and not op.primitive.partial_grads:
            out_grads = [
                zeros_like(t)
                if g is None and (t.dtype.is_floating or t.dtype.is_complex)
                else g
                for g, t in zip(out_grads, op.outputs, strict=True)
            ]
        trace = current.trace
        if trace is not None and trace.place_of_next is None:
            # What computes a gradient stands for the line whose gradient it is.
            scope = trace.scope
            trace.place_of_next, trace.scope = _place_of(op)
            found = op.primitive.gradient(op, out_grads)
            trace.place_of_next, trace.scope = None, scope
        else:
            found = op.primitive.gradient(op, out_grads)
        for t, g, needed in zip(op.inputs, found, needs, strict=False):
            if g is not None and needed:
                _accumulate(grads, t, g)
    result = []
    for source in sources:
        result.append(grads.get(id(source)))
    return result


def _place_of(op: Op) -> tuple[Any, str]:
    """The user's line of a traced call, and the scope of what computes its gradient."""
    for t in op.outputs:
        if type(t) is SymbolicTensor:
            return t.node.place, f"gradient_tape/{t.node.scope}".rstrip("/")
    return None, "gradient_tape"


def _depends_on(ops: list[Op], sources: list[Any]) -> set[int]:
    """Ids of everything on a path from a source."""
    wanted = {id(s) for s in sources}
    for op in ops:
        if any(id(t) in wanted for t in op.inputs):
            wanted.update(id(t) for t in op.outputs)
    return wanted


def _accumulate(grads: dict[int, Any], tensor: Any, grad: Any) -> None:
    key = id(tensor)
    have = grads.get(key)
    if have is None:
        grads[key] = grad
    elif isinstance(have, IndexedSlices) and isinstance(grad, IndexedSlices):
        grads[key] = IndexedSlices(
            concat([have.values, grad.values], 0),
            concat([have.indices, grad.indices], 0),
            have.dense_shape,
        )
    elif tensor.dtype is variant:
        grads[key] = get_primitive("_TensorListAdd").call_flat((have, grad), {})
    else:
        grads[key] = add(to_tensor(have, None), to_tensor(grad, None))


def carries_gradient(dtype: DType) -> bool:
    """Whether gradients flow through tensors of `dtype`: floats, complex numbers, and lists of
    tensors."""
    return dtype.is_floating or dtype.is_complex or dtype is variant
