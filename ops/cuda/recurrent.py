"""LSTM and GRU by cuDNN, through its C API.

cuDNN keeps a layer's weights in one piece: the matrices of the inputs, gate by gate and
transposed, then those of the state, then the biases.  LSTM's gates are in Keras's order (i, f,
g, o); GRU's are r, z, g where Keras has z, r, g.  What the forward pass keeps for the way back
is opaque: it stands in the place of the primitive's kept gates, as a vector, by which the way
back knows it.

A call is cuDNN's if dtype and sizes are its own, and its mask, if there is one, shows one run
of steps in each row (`recurrent_masks`).  All others take the generic form.

Descriptors are made once per layer and kept within a bound; a mask's lengths are set at each
call in descriptors that are used again.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..devices import devices
from ..errors import InternalError
from . import recurrent_masks
from .device import current
from .libraries import Handles, cudnn

__all__ = ["Sizes", "backward", "forward", "pack_weights", "unpack_weights"]

_DTYPES = {"float32": 0, "float16": 2, "bfloat16": 9}
_MODES = {"LSTM": 2, "GRU": 3}
_SINGLE_BIAS, _DOUBLE_BIAS = 1, 2
_TRAINING, _PADDED_IO, _ADD, _BATCH_MAJOR = 1, 1, 0, 2


class Sizes(NamedTuple):
    """A layer's sizes and kind, "LSTM" or "GRU"."""

    kind: str
    batch: int
    steps: int
    features: int
    units: int
    dtype: str

    @property
    def gates(self) -> int:
        """How many gates it has."""
        return 4 if self.kind == "LSTM" else 3


def _swapped(array: Any, sizes: Sizes, axis: int) -> Any:
    """GRU's first two gates in the other order, which is its own reverse."""
    if sizes.kind == "LSTM":
        return array
    xp = current().xp
    u = sizes.units
    z, r, g = (array[(slice(None),) * axis + (slice(i * u, (i + 1) * u),)] for i in range(3))
    return xp.concatenate([r, z, g], axis)


def pack_weights(kernel: Any, recurrent: Any, bias: Any, sizes: Sizes) -> Any:
    """Keras's weights as cuDNN's one vector.

    Args:
        kernel: [features, gates * units].
        recurrent: [units, gates * units].
        bias: [gates * units] for LSTM, [2, gates * units] for GRU.
        sizes: of the layer.
    """
    parts = [_swapped(w, sizes, 1).T.reshape(-1) for w in (kernel, recurrent)]
    both = bias.reshape((-1, sizes.gates * sizes.units))
    return current().xp.concatenate([*parts, _swapped(both, sizes, 1).reshape(-1)])


def unpack_weights(packed: Any, sizes: Sizes) -> tuple[Any, Any, Any]:
    """The reverse of `pack_weights`."""
    wide = sizes.gates * sizes.units
    cut = [sizes.features * wide, (sizes.features + sizes.units) * wide]
    xp = current().xp

    def matrix(flat: Any, rows: int) -> Any:
        return xp.ascontiguousarray(_swapped(flat.reshape((wide, rows)).T, sizes, 1))

    bias = _swapped(packed[cut[1] :].reshape((-1, wide)), sizes, 1)
    return (
        matrix(packed[: cut[0]], sizes.features),
        matrix(packed[cut[0] : cut[1]], sizes.units),
        bias[0] if sizes.kind == "LSTM" else bias,
    )


# -- descriptors ------------------------------------------------------------------------------


def _call(function: str, *args: Any) -> None:
    library = cudnn()
    assert library is not None
    library.call(function, *args)


def _new(kind: str) -> ctypes.c_void_p:
    made = ctypes.c_void_p()
    _call(f"cudnnCreate{kind}", ctypes.byref(made))
    return made


_handles = Handles(
    lambda: _new(""),
    lambda handle, stream: _call("cudnnSetStream", handle, ctypes.c_void_p(stream)),
)


class _Layer:
    """Descriptors of a layer, made once per sizes and device, and destroyed with it."""

    def __init__(self, sizes: Sizes, exact: bool):
        dtype = _DTYPES[sizes.dtype]
        handle = _handles.get()
        self._owned: list[tuple[str, ctypes.c_void_p]] = []
        weakref.finalize(self, _destroy, self._owned).atexit = False
        self._sizes = sizes
        self._spare: list[tuple[Any, Any]] = []
        self.rnn, dropout = self._own("RNNDescriptor"), self._own("DropoutDescriptor")
        _call("cudnnSetDropoutDescriptor", dropout, handle, ctypes.c_float(0), None,
              ctypes.c_size_t(0), ctypes.c_ulonglong(0))  # fmt: skip
        math = 1 if sizes.dtype != "float32" else 3 if exact else 0
        bias = _SINGLE_BIAS if sizes.kind == "LSTM" else _DOUBLE_BIAS
        _call("cudnnSetRNNDescriptor_v8", self.rnn, 0, _MODES[sizes.kind], bias, 0, 0, dtype,
              _DTYPES["float32"], math, sizes.features, sizes.units, sizes.units, 1, dropout,
              _PADDED_IO)  # fmt: skip
        self.x, self.y = self._sequences([sizes.steps] * sizes.batch)
        self.state = self._own("TensorDescriptor")
        dims = (ctypes.c_int * 3)(1, sizes.batch, sizes.units)
        strides = (ctypes.c_int * 3)(sizes.batch * sizes.units, sizes.units, 1)
        _call("cudnnSetTensorNdDescriptor", self.state, dtype, 3, dims, strides)
        found = [ctypes.c_size_t() for _ in range(3)]
        _call("cudnnGetRNNTempSpaceSizes", handle, self.rnn, _TRAINING, self.x,
              ctypes.byref(found[0]), ctypes.byref(found[1]))  # fmt: skip
        _call("cudnnGetRNNWeightSpaceSize", handle, self.rnn, ctypes.byref(found[2]))
        self.workspace, self.reserve, self.weights = (n.value for n in found)
        self.fits = self._as_packed(handle, sizes)

    def _own(self, kind: str) -> ctypes.c_void_p:
        made = _new(kind)
        self._owned.append((kind, made))
        return made

    def _sequences(self, lengths: Sequence[int], pair: Any = None) -> tuple[Any, Any]:
        """Descriptors of inputs and outputs whose rows have lengths of their own."""
        pair = pair or (self._own("RNNDataDescriptor"), self._own("RNNDataDescriptor"))
        sizes = self._sizes
        array = (ctypes.c_int * sizes.batch)(*[int(n) for n in lengths])
        fill = ctypes.c_float(0)
        for made, width in zip(pair, (sizes.features, sizes.units), strict=True):
            _call("cudnnSetRNNDataDescriptor", made, _DTYPES[sizes.dtype], _BATCH_MAJOR,
                  sizes.steps, sizes.batch, width, array, ctypes.byref(fill))  # fmt: skip
        return pair

    @contextlib.contextmanager
    def of_lengths(self, lengths: Sequence[int]) -> Iterator[tuple[Any, Any]]:
        """Descriptors of inputs and outputs, the caller's alone inside of the context."""
        try:
            pair = self._spare.pop()
        except IndexError:
            pair = None
        pair = self._sequences(lengths, pair)
        try:
            yield pair
        finally:
            self._spare.append(pair)

    def _as_packed(self, handle: Any, sizes: Sizes) -> bool:
        """Whether cuDNN's weights stand where `pack_weights` puts them."""
        itemsize = 4 if sizes.dtype == "float32" else 2
        u, f, gates = sizes.units, sizes.features, sizes.gates
        base = 1 << 20
        biases = (f + u) * gates * u
        wanted = [i * u * f for i in range(gates)]
        wanted += [gates * u * f + i * u * u for i in range(gates)]
        matrix, bias = self._own("TensorDescriptor"), self._own("TensorDescriptor")
        for layer, offset in enumerate(wanted):
            at, bias_at = ctypes.c_void_p(), ctypes.c_void_p()
            _call("cudnnGetRNNWeightParams", handle, self.rnn, 0,
                  ctypes.c_size_t(self.weights), ctypes.c_void_p(base), layer, matrix,
                  ctypes.byref(at), bias, ctypes.byref(bias_at))  # fmt: skip
            if at.value != base + offset * itemsize:
                return False
            # LSTM's only biases are those of the inputs' product.
            if sizes.kind == "LSTM" and layer >= gates:
                continue
            if bias_at.value != base + (biases + layer * u) * itemsize:
                return False
        return True


def _destroy(owned: Sequence[tuple[str, Any]]) -> None:
    for kind, made in owned:
        _call(f"cudnnDestroy{kind}", made)


@functools.lru_cache(256)
def _layer(sizes: Sizes, exact: bool, device: Any) -> _Layer:
    return _Layer(sizes, exact)


def _found(sizes: Sizes) -> _Layer | None:
    if cudnn() is None or sizes.dtype not in _DTYPES:
        return None
    if not all((sizes.batch, sizes.steps, sizes.features, sizes.units)):
        return None
    layer = _layer(sizes, not devices.tensor_float_32, current())
    return layer if layer.fits else None


def _sizes(kind: str, x: Any, h: Any) -> Sizes:
    batch, steps, features = x.shape
    return Sizes(kind, batch, steps, features, h.shape[1], x.dtype.name)


def _at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else current().address(array))


def _room(size: int) -> Any:
    return current().xp.empty((max(size, 1),), np.uint8)


@contextlib.contextmanager
def _told(way: str, sizes: Sizes) -> Iterator[None]:
    """Errors of cuDNN name the layer, its sizes and dtype."""
    try:
        yield
    except RuntimeError as error:
        raise InternalError(f"cuDNN could not run {way} {sizes}: {error}") from error


def _sequences(layer: Any, runs: Any) -> Any:
    """A context with the descriptors of inputs and outputs."""
    if runs is None:
        return contextlib.nullcontext((layer.x, layer.y))
    return layer.of_lengths(runs.lengths)


# -- the calls --------------------------------------------------------------------------------


def forward(
    kind: str, x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any = None,
    mask: Any = None,
) -> Any:  # fmt: skip
    """The outputs [batch, steps, units], the last states, and a vector kept for `backward`;
    NotImplemented where cuDNN does not do it.

    Args:
        kind: "LSTM" or "GRU".
        x: [batch, steps, features].
        kernel, recurrent, bias: as `pack_weights` takes them.
        h, c: [batch, units], the states before; no c for GRU.
        mask: [batch, steps], above 0 where a step is shown, or None.
    """
    sizes = _sizes(kind, x, h)
    layer = _found(sizes)
    if layer is None:
        return NotImplemented
    xp = current().xp
    weights = pack_weights(kernel, recurrent, bias, sizes)
    if weights.nbytes > layer.weights:
        return NotImplemented
    weights = _padded_to(weights, layer.weights)
    runs = None
    if mask is not None:
        runs = recurrent_masks.read(mask, kind)
        if runs is None:
            return NotImplemented
        x = runs.packed(x)
    x, h = xp.ascontiguousarray(x), xp.ascontiguousarray(h)
    c = None if c is None else xp.ascontiguousarray(c)
    y = xp.empty((*x.shape[:2], sizes.units), x.dtype)
    last_h = xp.empty(h.shape, x.dtype)
    last_c = None if c is None else xp.empty(h.shape, x.dtype)
    workspace, reserve = _room(layer.workspace), _room(-(-layer.reserve // 16) * 16)
    with _told("forward", sizes), _sequences(layer, runs) as (of_x, of_y):
        _call(
            "cudnnRNNForward", _handles.get(), layer.rnn, _TRAINING, None, of_x, _at(x), of_y,
            _at(y), layer.state, _at(h), _at(last_h), layer.state, _at(c), _at(last_c),
            ctypes.c_size_t(layer.weights), _at(weights), ctypes.c_size_t(layer.workspace),
            _at(workspace), ctypes.c_size_t(layer.reserve), _at(reserve),
        )  # fmt: skip
    if runs is not None:
        y = runs.outputs(y, h, last_h)
    return y, last_h, last_c, reserve.view(x.dtype)


def backward(
    kind: str, x: Any, weights: Sequence[Any], h: Any, c: Any, y: Any, reserve: Any,
    g_out: Any, g_last: Any, g_memory: Any = None, mask: Any = None,
) -> Any:  # fmt: skip
    """Gradients of x, kernel, recurrent kernel, bias, h and c (None for GRU).

    Args:
        kind, x, h, c, mask: as in `forward`.
        weights: kernel, recurrent kernel and bias.
        y, reserve: of `forward`.
        g_out, g_last, g_memory: gradients of outputs and last states.
    """
    sizes = _sizes(kind, x, h)
    layer = _found(sizes)
    assert layer is not None, "cuDNN made the outputs but cannot go back"
    xp = current().xp
    kernel, recurrent, bias = weights
    packed = pack_weights(kernel, recurrent, bias, sizes)
    length = packed.size
    packed = _padded_to(packed, layer.weights)
    runs = of_first = None
    if mask is not None:
        runs = recurrent_masks.remembered(mask, kind)
        assert runs is not None, "cuDNN made the outputs of a mask that it does not take"
        of_first, of_last = runs.of_states(g_out)
        x, y, g_out, g_last = (*(runs.packed(a) for a in (x, y, g_out)), g_last + of_last)
    x, h, y, g_out, g_last = (xp.ascontiguousarray(a) for a in (x, h, y, g_out, g_last))
    if c is not None:
        c, g_memory = xp.ascontiguousarray(c), xp.ascontiguousarray(g_memory)
    dx, dh = xp.empty_like(x), xp.empty_like(h)
    dc = None if c is None else xp.empty_like(h)
    workspace = _room(layer.workspace)
    sizes_of = [ctypes.c_size_t(n) for n in (layer.weights, layer.workspace, layer.reserve)]
    handle = _handles.get()
    # It writes into the reserve, which another tape may read again.
    reserve = reserve.copy()
    with _told("backward", sizes), _sequences(layer, runs) as (of_x, of_y):
        _call(
            "cudnnRNNBackwardData_v8", handle, layer.rnn, None, of_y, _at(y), _at(g_out), of_x,
            _at(dx), layer.state, _at(h), _at(g_last), _at(dh), layer.state, _at(c),
            _at(g_memory), _at(dc), sizes_of[0], _at(packed), sizes_of[1], _at(workspace),
            sizes_of[2], _at(reserve),
        )  # fmt: skip
        slopes = xp.zeros_like(packed)
        _call(
            "cudnnRNNBackwardWeights_v8", handle, layer.rnn, _ADD, None, of_x, _at(x),
            layer.state, _at(h), of_y, _at(y), sizes_of[0], _at(slopes), sizes_of[1],
            _at(workspace), sizes_of[2], _at(reserve),
        )  # fmt: skip
    if runs is not None:
        dx = runs.spread(dx)
        dh = dh if of_first is None else dh + of_first
    return dx, *unpack_weights(slopes[:length], sizes), dh, dc


def _padded_to(weights: Any, size_bytes: int) -> Any:
    """`weights`, with zeros behind it up to the size that cuDNN asks for."""
    missing = size_bytes // weights.itemsize - weights.size
    if not missing:
        return weights
    xp = current().xp
    return xp.concatenate([weights, xp.zeros(missing, weights.dtype)])
