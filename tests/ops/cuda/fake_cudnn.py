"""cuDNN's frontend without cuDNN: its graphs compute with NumPy what their nodes are documented
to compute, from the memory and the layouts that they are given.

What engines there are was asked of cuDNN 9.28 for sm_80 and sm_90 (`check_support` with the
description of a device): attention takes 16-bit floats and sizes of heads that are multiples of
8, its way back no single query with a single key; batch normalization in training takes
channels of a multiple of 16 bytes, and in inference nothing.
"""

import ctypes
import enum
import itertools

import ml_dtypes
import numpy as np


class NotSupported(RuntimeError):
    """`cudnnGraphNotSupportedError`."""


class data_type(enum.Enum):
    """Kinds of numbers."""

    HALF, BFLOAT16, FLOAT = np.float16, ml_dtypes.bfloat16, np.float32


class heur_mode(enum.Enum):
    """Where plans come from."""

    A, FALLBACK = range(2)


class numerical_note(enum.Enum):
    """What may be left out."""

    TENSOR_CORE, NONDETERMINISTIC = range(2)


class Tensor:
    """A tensor of a graph."""

    _uids = itertools.count(1)

    def __init__(self, dim=(), stride=(), data_type=None, name="", is_pass_by_value=False):
        self.dim, self.stride, self.data_type, self.name = dim, stride, data_type, name
        self.is_output, self.by_value, self.uid = False, is_pass_by_value, next(self._uids)

    def __getattr__(self, name):
        """``set_dim(x)`` and the like, which give the tensor back, and ``get_dim()``."""
        if name.startswith("set_"):
            field = {"set_output": "is_output"}.get(name, name[4:])
            return lambda value: (setattr(self, field, value), self)[1]
        if name.startswith("get_"):
            return lambda: getattr(self, name[4:])
        raise AttributeError(name)

    def at(self, address):
        """Its array in memory."""
        kind = np.dtype(self.data_type.value)
        size = 1 + sum((d - 1) * s for d, s in zip(self.dim, self.stride, strict=True))
        memory = (ctypes.c_char * (size * kind.itemsize)).from_address(address)
        flat = np.frombuffer(memory, kind)
        steps = [s * kind.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat, self.dim, steps, writeable=True)


class pygraph:
    """A graph of one node."""

    executed: list[str] = []  # nodes, in order
    fails: str | None = None  # the text of an error when it is run

    def __init__(self, *, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert intermediate_data_type is compute_data_type is data_type.FLOAT
        assert handle in handles
        self.kind, self.steps, self.left_out = io_data_type, [], set()

    def tensor(self, *, dim, stride, data_type, name="", is_pass_by_value=False):
        assert len(dim) == len(stride)
        return Tensor(list(dim), list(stride), data_type, name, is_pass_by_value)

    def _node(self, name, run, outputs, unsupported):
        made = [Tensor(data_type=self.kind) for _ in range(outputs)]
        self.name, self.run, self.made, self.unsupported = name, run, made, unsupported
        return made

    def conv_fprop(self, *, image, weight, **geometry):
        def run(at):
            x, w = at(image), at(weight)
            y = np.zeros(self.made[0].dim, np.float32)
            for seen, own in _places(x, y, w, **geometry):
                y += np.einsum("ngd...,gkd->ngk...", seen, own).reshape(y.shape)
            yield y

        made = self._node("conv_fprop", run, 1, None)
        sizes = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, p, s, d in zip(
                image.dim[2:], weight.dim[2:], *(geometry[g] for g in _GEOMETRY), strict=True
            )
        ]
        return made[0].set_dim([image.dim[0], weight.dim[0], *sizes])

    def conv_dgrad(self, *, loss, filter, **geometry):
        def run(at):
            g, w = at(loss), at(filter)
            x = np.zeros(self.made[0].dim, np.float32)
            yield _unfolded(x, g, w, geometry, "ngk...,gkd->ngd...")

        return self._node("conv_dgrad", run, 1, None)[0]

    def conv_wgrad(self, *, image, loss, **geometry):
        def run(at):
            x, g = at(image), at(loss)
            w = np.zeros(self.made[0].dim, np.float32)
            groups = x.shape[1] // w.shape[1]
            slopes = g.reshape(g.shape[0], groups, g.shape[1] // groups, -1)
            for seen, own in _places(x, g, w, **geometry):
                flat = seen.reshape(*seen.shape[:3], -1)
                own += np.einsum("ngds,ngks->gkd", flat, slopes)
            yield w

        return self._node("conv_wgrad", run, 1, None)[0]

    def sdpa(self, *, q, k, v, generate_stats, attn_scale, bias=None, use_causal_mask=False):
        assert generate_stats is True and type(attn_scale) is float

        def run(at):
            p, sums = _softmax(at, q, k, bias, attn_scale, use_causal_mask)
            yield p @ at(v)
            yield sums

        return self._node("sdpa", run, 2, _no_attention(self.kind, q, v))

    def sdpa_backward(self, *, q, k, v, o, dO, stats, attn_scale, use_deterministic_algorithm,
                      bias=None, dBias=None, use_causal_mask=False):  # fmt: skip
        def run(at):
            p = np.exp(_scores(at, q, k, bias, attn_scale, use_causal_mask) - at(stats))
            total = (at(dO) * at(o)).sum(-1, keepdims=True)
            ds = p * (at(dO) @ at(v).swapaxes(2, 3) - total)
            yield ds @ at(k) * attn_scale
            yield ds.swapaxes(2, 3) @ at(q) * attn_scale
            yield p.swapaxes(2, 3) @ at(dO)
            if dBias is not None:
                assert dBias.dim[2:] == list(ds.shape[2:])
                axes = tuple(i for i in (0, 1) if dBias.dim[i] == 1)
                yield ds.sum(axes, keepdims=True)

        why = _no_attention(self.kind, q, v)
        if q.dim[2] == k.dim[2] == 1:
            why = "s_q = s_kv = 1 is not supported."
        made = self._node("sdpa_backward", run, 3, why)
        if dBias is not None:
            self.made = [*made, dBias]
        return made

    def batchnorm(self, *, input, scale, bias, in_running_mean, in_running_var, epsilon,
                  momentum):  # fmt: skip
        assert in_running_mean is in_running_var is momentum is None and epsilon.by_value

        def run(at):
            x = at(input)
            axes = (0, *range(2, x.ndim))
            mean = x.mean(axes, keepdims=True)
            inverse = 1 / np.sqrt(x.var(axes, keepdims=True) + at(epsilon))
            yield (x - mean) * inverse * at(scale) + at(bias)
            yield mean
            yield inverse

        made = self._node("batchnorm", run, 3, _no_norm(self.kind, input))
        return [*made, None, None]

    def batchnorm_backward(self, *, grad, input, scale, mean, inv_variance):
        def run(at):
            x, g = at(input), at(grad)
            axes = (0, *range(2, x.ndim))
            normal = (x - at(mean)) * at(inv_variance)
            of_bias, of_scale = (t.sum(axes, keepdims=True) for t in (g, g * normal))
            count = x.size / x.shape[1]
            rest = g - of_bias / count - normal * of_scale / count
            yield rest * at(scale) * at(inv_variance)
            yield of_scale
            yield of_bias

        return self._node("batchnorm_backward", run, 3, _no_norm(self.kind, input))

    def validate(self):
        """Nothing."""

    build_operation_graph = build_plans = validate

    def create_execution_plans(self, modes):
        assert modes

    def deselect_numeric_notes(self, notes):
        self.left_out |= set(notes)

    def check_support(self):
        if self.unsupported:
            raise NotSupported(self.unsupported)

    def get_workspace_size(self):
        return 100

    def execute(self, places, workspace, handle):
        assert workspace and handle in handles
        if self.fails:
            raise RuntimeError(self.fails)
        self.executed.append(self.name)

        def at(tensor):
            return tensor.at(places[tensor.uid]).astype(np.float32)

        for tensor, value in zip(self.made, list(self.run(at)), strict=True):
            assert tensor.is_output
            tensor.at(places[tensor.uid])[...] = value


_GEOMETRY = ("padding", "stride", "dilation")


def _places(x, y, w, padding, stride, dilation):
    """For each place of the window: what it sees of x, [n, groups, depth, *out], and a view of
    its part of w, [groups, filters of a group, depth]."""
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    groups = x.shape[1] // w.shape[1]
    for place in np.ndindex(*w.shape[2:]):
        cut = tuple(
            slice(i * d, i * d + s * (n - 1) + 1, s)
            for i, d, s, n in zip(place, dilation, stride, y.shape[2:], strict=True)
        )
        seen = padded[(slice(None), slice(None), *cut)]
        own = w[(slice(None), slice(None), *place)]
        yield (
            seen.reshape(x.shape[0], groups, w.shape[1], *seen.shape[2:]),
            own.reshape(groups, -1, w.shape[1]),
        )


def _unfolded(x, g, w, geometry, equation):
    """The transpose of a convolution: `g` into the places of x that it came from."""
    padding = geometry["padding"]
    padded = np.zeros(
        (*x.shape[:2], *(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))), x.dtype
    )
    groups = x.shape[1] // w.shape[1]
    slopes = g.reshape(g.shape[0], groups, -1, *g.shape[2:])
    for place in np.ndindex(*w.shape[2:]):
        cut = tuple(
            slice(i * d, i * d + s * (n - 1) + 1, s)
            for i, d, s, n in zip(
                place, geometry["dilation"], geometry["stride"], g.shape[2:], strict=True
            )
        )
        own = w[(slice(None), slice(None), *place)].reshape(groups, -1, w.shape[1])
        made = np.einsum(equation, slopes, own)
        padded[(slice(None), slice(None), *cut)] += made.reshape(*x.shape[:2], *g.shape[2:])
    inside = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True))
    return padded[(slice(None), slice(None), *inside)]


def _scores(at, q, k, bias, scale, causal):
    s = at(q) @ at(k).swapaxes(2, 3) * np.float32(scale)
    s = s if bias is None else s + at(bias)
    rows, columns = s.shape[2:]
    return np.where(np.tri(rows, columns, dtype=bool), s, -np.inf) if causal else s


def _softmax(at, *given):
    s = _scores(at, *given)
    high = s.max(-1, keepdims=True)
    assert np.isfinite(high).all()
    e = np.exp(s - high)
    return e / e.sum(-1, keepdims=True), high + np.log(e.sum(-1, keepdims=True))


def _no_attention(kind, q, v):
    if q.dim[3] % 8 or v.dim[3] % 8:
        return "hidden_dim should be multiple of 8"
    return "No valid engine configs" if kind is data_type.FLOAT else None


def _no_norm(kind, x):
    bytes_ = x.dim[1] * np.dtype(kind.value).itemsize
    return "No valid engine configs" if bytes_ % 16 else None


handles: dict[int, int] = {}  # their streams
cudnnGraphNotSupportedError = NotSupported


def backend_version():
    return 92800


def create_handle():
    handles[len(handles) + 1] = -1
    return len(handles)


def set_stream(*, handle, stream):
    handles[handle] = stream
