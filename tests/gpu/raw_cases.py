"""Cases, for `test_ops`, of primitives that no other table of cases calls; and those that have
none, with the reason."""

import numpy as np
from harness import Case

import headrace as hr
from headrace.ops.primitive import get_primitive

_rng = np.random.default_rng(17)
X = _rng.normal(size=(4, 6))
POSITIVE = np.abs(X) + 0.5
INTS = _rng.integers(-40, 40, (3, 4))
OTHER = _rng.integers(1, 7, (3, 4))
IMAGES = _rng.normal(size=(2, 7, 8, 3))
VOLUME = _rng.normal(size=(1, 4, 4, 4, 2))
PLACES = np.array([[0, 1], [1, 2], [2, 0]])
BOXES = np.array([[0.1, 0.2, 0.85, 0.7], [0.05, 0.1, 0.9, 0.95]], np.float32)
PLAIN = {"grad": False, "batch": False}
FIRST = {"second": False, "batch": False}


def raw(name, **attrs):
    """The primitive with attributes filled in."""
    return lambda *tensors: get_primitive(name)(*tensors, **attrs)


def _listed(name, **attrs):
    """The same of a primitive that takes a list of tensors."""
    return lambda *tensors: get_primitive(name)(list(tensors), **attrs)


def _recurrent(kind, gates, masked=False, batch=3, steps=4, features=5, units=6):
    """A layer's call: results and, by `grad`, gradients of inputs, weights and states."""
    rng = np.random.default_rng(gates)
    shapes = [(batch, steps, features), (features, gates * units), (units, gates * units)]
    bias = (gates * units,) if kind == "_LSTM" else (2, gates * units)
    shapes += [bias, *[(batch, units)] * (2 if kind == "_LSTM" else 1)]
    kept = 3 if kind == "_LSTM" else 2
    mask = np.arange(steps) < np.array([[4], [2], [3]])

    def call(*tensors):
        more = [hr.constant(mask, tensors[0].dtype)] if masked else []
        return get_primitive(kind)([*tensors, *more])[:kept]

    name = f"{kind[1:].lower()}{'-masked' if masked else ''}"
    args = tuple((rng.normal(size=s) * 0.4).astype(np.float32) for s in shapes)
    return Case(name, call, args, tolerance=2e-4, **FIRST)


def _crop_and_resize(images, boxes):
    return hr.image.crop_and_resize(images, boxes, [0, 1], [4, 5])


def _pools(depth, grad_grad):
    """The second gradient of a pool, by what picks values at maxima."""
    ones = (1,) * depth
    pool = hr.nn.max_pool2d if depth == 2 else hr.nn.max_pool3d
    y = pool(hr.constant(VOLUME[:, 0] if depth == 2 else VOLUME), 2, 2, "VALID").numpy()
    attrs = {"ksize": [1, *(2 * n for n in ones), 1], "strides": [1, *(2 * n for n in ones), 1],
             "padding": "VALID", "data_format": "NHWC" if depth == 2 else "NDHWC"}  # fmt: skip

    def call(x, g):
        return getattr(hr.raw_ops, grad_grad)(
            orig_input=x, orig_output=hr.constant(y, x.dtype), grad=g, **attrs
        )

    x = VOLUME[:, 0] if depth == 2 else VOLUME
    return Case(grad_grad, call, (x, _rng.normal(size=x.shape)), **PLAIN)


class _Trained:
    """Two variables after three steps of an optimizer; they are new in every call."""

    def __init__(self, kind, arguments, sparse):
        self._kind, self._arguments, self._sparse = kind, arguments, sparse

    def __call__(self, x):
        with hr.init_scope():  # also while tracing
            variables = [hr.Variable(hr.ones([4, 6], x.dtype)) for _ in "ab"]
            optimizer = self._kind(0.1, **self._arguments)
            optimizer.build(variables)
        for _ in range(3):
            grads = [x, -x]
            if self._sparse:
                grads = [hr.IndexedSlices(g[:2], hr.constant([3, 1]), [4, 6]) for g in grads]
            optimizer.apply_gradients(zip(grads, variables, strict=True))
        return [v.read_value() for v in variables]


OPTIMIZERS = {
    "SGD": {},
    "SGD, momentum": {"momentum": 0.9},
    "SGD, nesterov": {"momentum": 0.9, "nesterov": True},
    "Adam": {},
    "Adam, amsgrad": {"amsgrad": True},
    "AdamW": {},
    "Adamax": {},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Ftrl": {},
    "Nadam": {},
    "Lion": {},
}


def _optimizer_cases():
    found = []
    for name, arguments in OPTIMIZERS.items():
        kind = getattr(hr.keras.optimizers, name.split(",")[0])
        for sparse in (False, True):
            title, call = f"{name}{', rows' * sparse}", _Trained(kind, arguments, sparse)
            found.append(Case(title, call, (X.astype(np.float32),), tolerance=1e-5, **PLAIN))
    return found


def _strided(x, begin):
    """A part whose beginning is computed, where nothing is known while tracing."""
    return hr.strided_slice(x, begin, begin + 2, hr.ones_like(begin))


CASES = [
    *[Case(n, raw(n), (INTS, OTHER), **PLAIN)
      for n in ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift",
                "TruncateDiv", "TruncateMod")],
    Case("Invert", raw("Invert"), (INTS,), **PLAIN),
    Case("Div", raw("Div"), (X, POSITIVE)),
    Case("NextAfter", raw("NextAfter"), (X, POSITIVE), **PLAIN),
    Case("Bitcast", lambda x: hr.bitcast(x, hr.uint8), (X,), **PLAIN),
    Case("CheckNumerics", lambda x: hr.debugging.check_numerics(x, "here"), (X,)),
    Case("ComplexAbs", lambda x: hr.abs(hr.complex(x, x * 2.0)), (POSITIVE,), batch=False),
    Case("Bucketize", raw("Bucketize", boundaries=(-1.0, 0.0, 0.5)), (X,), **PLAIN),
    Case(
        "Bincount",
        lambda x: hr.raw_ops.Bincount(arr=hr.constant([1, 0, 3, 1], hr.int32), size=5,
                                      weights=x[:, 0]),
        (X.astype(np.float32),), **PLAIN,
    ),
    Case("UpperBound", lambda x, v: hr.searchsorted(hr.sort(x), v, "right"), (X, X[:, :3]),
         **PLAIN),
    Case("SequenceMask", lambda i: hr.sequence_mask(i, 5), (np.array([1, 0, 4]),), **PLAIN),
    Case("SequenceMask, the longest", lambda i: hr.sequence_mask(i), (np.array([1, 0, 4]),),
         notes={"dynamic_shape": True}, **PLAIN),
    Case("StridedSlice, computed", _strided, (X, np.array([1, 2])), batch=False),
    Case("BroadcastLike", lambda x, r: hr.reduce_sum(x * r, 0) * x, (X, X[:1]), batch=False),
    Case("approximate top",
         lambda x: hr.nn.approx_max_k(hr.cast(x, hr.float32), 2)[0], (X.astype(np.float32),),
         batch=False),
    # Transforms of several axes.
    Case("FFTND", lambda x: hr.math.real(hr.signal.ifftnd(hr.complex(x, x), axes=[0, 1])),
         (X,), batch=False),
    Case("RFFTND", lambda x: hr.abs(hr.signal.rfftnd(x, axes=[0, 1])), (X,), batch=False),
    Case("IRFFTND", lambda x: hr.signal.irfftnd(hr.complex(x, x), axes=[0, 1]), (X,),
         batch=False),
    Case("rfft", lambda x: hr.abs(hr.signal.rfft(x)), (POSITIVE,), batch=False),
    Case("irfft", lambda x: hr.signal.irfft(hr.complex(x, x)), (X,), batch=False),
    Case(
        "casts at once",
        lambda x, y: get_primitive("_GroupedCast")([x, y], DstT=hr.float64),
        (X.astype(np.float32), IMAGES.astype(np.float32)),
        **PLAIN,
    ),
    # Pictures.
    Case("crop and resize", _crop_and_resize, (IMAGES.astype(np.float32), BOXES),
         tolerance=1e-4, **FIRST),
    Case("crop at", lambda x: raw("_CropAt", height=3, width=4)(x, hr.constant([1, 2])),
         (IMAGES,), batch=False),
    Case("crop at places",
         lambda x: raw("_CropAt", height=3, width=4)(x, hr.constant([[1, 2], [0, 3]])),
         (IMAGES,), **PLAIN),
    Case("dilation",
         lambda x, f: hr.nn.dilation2d(x, f, [1, 1, 1, 1], "SAME", "NHWC", [1, 1, 1, 1]),
         (IMAGES, _rng.normal(size=(2, 3, 3))), batch=False),
    _pools(2, "MaxPoolGradGrad"),
    _pools(3, "MaxPool3DGradGrad"),
    # Layers.
    Case(
        "convolution, bias, relu",
        lambda x, w, b: raw(
            "_ConvolutionBiasActivation", relu=True, strides=(1, 1, 1, 1), padding="SAME",
            explicit_paddings=(), data_format="NHWC", dilations=(1, 1, 1, 1),
        )(x, w, b),
        (IMAGES, _rng.normal(size=(3, 3, 3, 4)), _rng.normal(size=4)),
        batch=False,
    ),
    Case("attention", lambda q, k, v: _listed("_Attention", scale=0.5)(q, k, v)[0],
         tuple(_rng.normal(size=(2, n, 2, 4)).astype(np.float32) for n in (5, 6, 6)),
         tolerance=2e-4, **FIRST),
    Case("attention, masked",
         lambda q, k, v: _listed("_Attention", scale=0.5)(
             q, k, v, hr.constant(np.tri(5, 6, dtype=np.float32)[None, None]))[0],
         tuple(_rng.normal(size=(2, n, 2, 4)).astype(np.float32) for n in (5, 6, 6)),
         tolerance=2e-4, **FIRST),
    _recurrent("_LSTM", 4),
    _recurrent("_LSTM", 4, masked=True),
    _recurrent("_GRU", 3),
    _recurrent("_GRU", 3, masked=True),
    # What batch rules make.
    Case("rows in a block", lambda x: hr.vectorized_map(lambda r: hr.fill([2, 3], r[0]), x),
         (X,), **PLAIN),
    Case("a block of broadcasts",
         lambda x: hr.vectorized_map(lambda r: hr.concat([r, hr.cast(X[0], r.dtype)], 0), x),
         (X,), **PLAIN),
    Case("axes in a block",
         lambda x, m: hr.vectorized_map(lambda r: r * m, x), (X, _rng.normal(size=(2, 6))),
         **FIRST),
    Case("singular values in a block",
         lambda x: hr.vectorized_map(
             lambda r: hr.linalg.svd(hr.reshape(r, [2, 3]), compute_uv=False), x),
         (X,), **PLAIN),
    Case("_EmptyRows", raw("_EmptyRows"), (np.zeros((0, 2)), X), **PLAIN),
    Case("windows in a block",
         lambda x, b: hr.vectorized_map(lambda t: hr.slice(t[0], t[1], [3]), (x, b)),
         (X, np.array([[0], [3], [1], [2]])), **PLAIN),
    Case("_SqueezeBlock", lambda x: raw("_SqueezeBlock", count=1)(
        raw("_ExpandBlock", count=1)(x)), (X,), batch=False),
    *_optimizer_cases(),
]  # fmt: skip

NO_CASE = {
    "a chain, made by a pass where kernels run: tests/ops/cuda/test_loops.py": "_Fused",
    "a pass makes it of graphs for CPUs only": """
        _PooledConvolution _PooledConvolutionFilterGrad
        _PooledConvolutionInputGrad _ResizeFlipIf""",
}
"""Reason -> primitives with a form for devices that no case calls."""
