"""cuDNN's recurrent layers without cuDNN: its C functions, computed with NumPy from the memory
and descriptors that they are given.

Formulas and orders are those of NVIDIA's documentation of cudnnRNNForward: gates i, f, g, o of
LSTM, r, z, n of GRU; rows of data descriptors end after their lengths, and what is behind them
is read by nobody and written as the padding's fill.
"""

import ctypes

import ml_dtypes
import numpy as np

KINDS = {0: np.float32, 2: np.float16, 9: ml_dtypes.bfloat16}


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


class FakeCudnn:
    """The library, as `headrace.ops.cuda.libraries.Library`.

    Attributes:
        calls: names of the functions that computed.
        alive: descriptors that were created and not destroyed.
        fails: a function that fails.
    """

    def __init__(self):
        self.calls, self.fails, self._made = [], None, 0
        self.alive = {}

    def call(self, name, *args):
        if name == self.fails:
            raise RuntimeError(f"cuDNN: {name} failed: CUDNN_STATUS_EXECUTION_FAILED")
        if name.startswith("cudnnCreate"):
            self._made += 1
            args[0]._obj.value = self._made
            self.alive[self._made] = {"kind": name[len("cudnnCreate") :]}
        elif name.startswith("cudnnDestroy"):
            assert self.alive.pop(args[0].value)["kind"] == name[len("cudnnDestroy") :]
        else:
            getattr(self, name)(*args)

    def _of(self, descriptor):
        return self.alive[descriptor.value]

    def cudnnSetStream(self, handle, stream):
        self._of(handle)

    def cudnnSetDropoutDescriptor(self, descriptor, handle, *rest):
        self._of(descriptor)

    def cudnnSetRNNDescriptor_v8(self, rnn, algorithm, mode, bias, direction, into, dtype, math,
                                 math_type, features, units, projected, layers, dropout,
                                 flags):  # fmt: skip
        assert direction == into == 0 and layers == 1 and projected == units and flags == 1
        assert (mode, bias) in ((2, 1), (3, 2)), "LSTM of one bias, GRU of two"
        self._of(rnn).update(mode=mode, dtype=dtype, features=features, units=units)

    def cudnnSetRNNDataDescriptor(self, data, dtype, layout, steps, batch, size, lengths, fill):
        assert layout == 2
        lengths = list(lengths)
        assert len(lengths) == batch and all(0 < n <= steps for n in lengths), lengths
        self._of(data).update(dtype=dtype, shape=(batch, steps, size), lengths=lengths,
                              fill=fill._obj.value)  # fmt: skip

    def cudnnSetTensorNdDescriptor(self, tensor, dtype, rank, dims, strides):
        assert list(strides) == [dims[1] * dims[2], dims[2], 1]
        self._of(tensor).update(dtype=dtype, shape=tuple(dims))

    def cudnnGetRNNTempSpaceSizes(self, handle, rnn, mode, data, workspace, reserve):
        batch, steps, _ = self._of(data)["shape"]
        workspace._obj.value = 64
        reserve._obj.value = batch * steps * self._of(rnn)["units"] * 8 * 4

    def _weights(self, rnn):
        rnn = self._of(rnn)
        gates, u, f = (4 if rnn["mode"] == 2 else 3), rnn["units"], rnn["features"]
        biases = 1 if rnn["mode"] == 2 else 2
        return gates, u, f, [gates * u * f, gates * u * u, biases * gates * u]

    def cudnnGetRNNWeightSpaceSize(self, handle, rnn, size):
        item = np.dtype(KINDS[self._of(rnn)["dtype"]]).itemsize
        size._obj.value = sum(self._weights(rnn)[3]) * item + 32  # more than is used

    def cudnnGetRNNWeightParams(self, handle, rnn, layer, size, base, number, matrix_of, matrix,
                                bias_of, bias):  # fmt: skip
        gates, u, f, parts = self._weights(rnn)
        item = np.dtype(KINDS[self._of(rnn)["dtype"]]).itemsize
        place = number * u * f if number < gates else parts[0] + (number - gates) * u * u
        matrix._obj.value = base.value + place * item
        bias._obj.value = base.value + (parts[0] + parts[1] + number * u) * item

    # -- computing ------------------------------------------------------------------------

    def _array(self, pointer, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_char * size).from_address(pointer.value)
        return np.frombuffer(memory, dtype).reshape(shape)

    def _data(self, descriptor, pointer):
        found = self._of(descriptor)
        return self._array(pointer, found["shape"], KINDS[found["dtype"]]), found["lengths"]

    def _matrices(self, rnn, size, pointer):
        gates, u, f, parts = self._weights(rnn)
        kind = np.dtype(KINDS[self._of(rnn)["dtype"]])
        assert size.value >= sum(parts) * kind.itemsize
        flat = self._array(pointer, (sum(parts),), kind)
        cut = np.cumsum(parts)
        return (
            flat[: cut[0]].reshape(gates, u, f), flat[cut[0] : cut[1]].reshape(gates, u, u),
            flat[cut[1] :].reshape(-1, gates, u),
        )  # fmt: skip

    def _kept(self, rnn, data, size, pointer):
        batch, steps, _ = self._of(data)["shape"]
        assert size.value % 16 == 0
        return self._array(pointer, (8, batch, steps, self._of(rnn)["units"]), np.float32)

    def cudnnRNNForward(self, handle, rnn, mode, device_lengths, of_x, x, of_y, y, of_h, h,
                        last_h, of_c, c, last_c, weight_size, weights, work_size, work,
                        reserve_size, reserve):  # fmt: skip
        self.calls.append("cudnnRNNForward")
        assert mode == 1 and device_lengths is None and work.value and of_h is of_c
        (x, lengths), (y, others) = self._data(of_x, x), self._data(of_y, y)
        assert lengths == others
        wx, wh, biases = (m.astype("f4") for m in self._matrices(rnn, weight_size, weights))
        kept = self._kept(rnn, of_x, reserve_size, reserve)
        state = y.shape[0], y.shape[2]
        kind = y.dtype
        h, last_h = (self._array(p, state, kind) for p in (h, last_h))
        lstm = self._of(rnn)["mode"] == 2
        if lstm:
            c, last_c = (self._array(p, state, kind) for p in (c, last_c))
        y[...] = self._of(of_y)["fill"]
        for b, length in enumerate(lengths):
            now = h[b].astype("f4")
            memory = c[b].astype("f4") if lstm else None
            for t in range(length):
                a = wx @ x[b, t].astype("f4") + biases[0]
                r = wh @ now + (0 if lstm else biases[1])
                if lstm:
                    i, f, o = (sigmoid(a[k] + r[k]) for k in (0, 1, 3))
                    g = np.tanh(a[2] + r[2])
                    kept[:6, b, t] = i, f, g, o, memory, now
                    memory = f * memory + i * g
                    now = o * np.tanh(memory)
                    kept[6, b, t] = memory
                else:
                    reset, z = sigmoid(a[0] + r[0]), sigmoid(a[1] + r[1])
                    n = np.tanh(a[2] + reset * r[2])
                    kept[:5, b, t] = reset, z, n, r[2], now
                    now = (1 - z) * n + z * now
                y[b, t] = now
            last_h[b] = now
            if lstm:
                last_c[b] = memory

    def cudnnRNNBackwardData_v8(self, handle, rnn, device_lengths, of_y, y, dy, of_x, dx, of_h,
                                h, dlast_h, dh, of_c, c, dlast_c, dc, weight_size, weights,
                                work_size, work, reserve_size, reserve):  # fmt: skip
        self.calls.append("cudnnRNNBackwardData_v8")
        y, lengths = self._data(of_y, y)
        dy, dx = self._data(of_y, dy)[0], self._data(of_x, dx)[0]
        wx, wh, _ = (m.astype("f4") for m in self._matrices(rnn, weight_size, weights))
        kept = self._kept(rnn, of_x, reserve_size, reserve)
        state, kind = (y.shape[0], y.shape[2]), y.dtype
        dlast_h, dh = (self._array(p, state, kind) for p in (dlast_h, dh))
        lstm = self._of(rnn)["mode"] == 2
        if lstm:
            dlast_c, dc = (self._array(p, state, kind) for p in (dlast_c, dc))
        dx[...] = 77  # nobody may read what is behind a row
        for b, length in enumerate(lengths):
            slope = dlast_h[b].astype("f4")
            memory = dlast_c[b].astype("f4") if lstm else None
            for t in reversed(range(length)):
                slope = slope + dy[b, t].astype("f4")
                if lstm:
                    i, f, g, o, before, _, after = kept[:7, b, t]
                    high = np.tanh(after)
                    memory = memory + slope * o * (1 - high**2)
                    sums = np.stack([
                        memory * g * i * (1 - i), memory * before * f * (1 - f),
                        memory * i * (1 - g**2), slope * high * o * (1 - o),
                    ])  # fmt: skip
                    of_inputs = of_state = sums
                    memory, straight = memory * f, 0
                    kept[:4, b, t] = sums
                else:
                    reset, z, n, inner, before = kept[:5, b, t]
                    dn = slope * (1 - z) * (1 - n**2)
                    dz = slope * (before - n) * z * (1 - z)
                    dr = dn * inner * reset * (1 - reset)
                    of_inputs, of_state = np.stack([dr, dz, dn]), np.stack([dr, dz, dn * reset])
                    straight = slope * z
                    kept[:4, b, t] = dr, dz, dn, dn * reset
                dx[b, t] = np.einsum("gu,guf->f", of_inputs, wx)
                slope = np.einsum("gu,guv->v", of_state, wh) + straight
            dh[b] = slope
            if lstm:
                dc[b] = memory

    def cudnnRNNBackwardWeights_v8(self, handle, rnn, add, device_lengths, of_x, x, of_h, h,
                                   of_y, y, weight_size, slopes, work_size, work, reserve_size,
                                   reserve):  # fmt: skip
        self.calls.append("cudnnRNNBackwardWeights_v8")
        assert add == 0
        (x, lengths), (y, _) = self._data(of_x, x), self._data(of_y, y)
        made = self._matrices(rnn, weight_size, slopes)
        of_wx, of_wh, of_bias = (np.zeros(m.shape, "f4") for m in made)
        kept = self._kept(rnn, of_x, reserve_size, reserve)
        h = self._array(h, (y.shape[0], y.shape[2]), y.dtype)
        lstm = self._of(rnn)["mode"] == 2
        for b, length in enumerate(lengths):
            assert not y[b, length:].any(), "behind a row stands the fill"
            for t in range(length):
                before = (h[b] if t == 0 else y[b, t - 1]).astype("f4")
                of_inputs = kept[:4, b, t] if lstm else kept[:3, b, t]
                of_state = of_inputs if lstm else kept[[0, 1, 3], b, t]
                of_wx += of_inputs[:, :, None] * x[b, t].astype("f4")
                of_wh += of_state[:, :, None] * before
                of_bias[0] += of_inputs
                if not lstm:
                    of_bias[1] += of_state
        for to, values in zip(made, (of_wx, of_wh, of_bias), strict=True):
            to += values.astype(to.dtype)
