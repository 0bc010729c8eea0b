"""Cases of ops whose own tests keep no table of them, for `test_ops`."""

import numpy as np
from harness import Case

import headrace as hr

_rng = np.random.default_rng(11)
X = _rng.normal(size=(4, 6))
IMAGES = _rng.normal(size=(2, 8, 8, 3))
IDS = np.array([2, 0, 3], np.int32)
PLAIN = {"grad": False, "batch": False}

CASES = [
    Case("fill", lambda v: hr.fill([2, 3], v), (np.array(1.5),)),
    Case("like", lambda x: hr.zeros_like(x) + hr.ones_like(x) * x, (X,)),
    Case("split", lambda x: hr.split(x, [1, 2, 3], axis=1), (X,)),
    Case("slices", lambda x: x[1:3, ::-2] * x[0, 1], (X,)),
    Case("computed-slice", lambda x, i: x[i[1] : i[0], 1:], (X, IDS), **PLAIN),
    Case("sort", lambda x: hr.sort(x, axis=0), (X,)),
    Case("argsort", lambda x: hr.argsort(x, direction="DESCENDING"), (X,), **PLAIN),
    Case("top-k", lambda x: hr.math.top_k(x, 3).values, (X,)),
    Case("searchsorted", lambda x, v: hr.searchsorted(hr.sort(x), v), (X, X[:, :2]), **PLAIN),
    Case("one-hot", lambda i: hr.one_hot(i, 5), (IDS,), **PLAIN),
    Case("mask", lambda i: hr.sequence_mask(i, 4), (IDS,), **PLAIN),
    Case("boolean-mask", lambda x: hr.boolean_mask(x, x > 0), (X,), batch=False),
    Case("reverse", lambda x: hr.reverse_sequence(x, [1, 3, 6, 0], 1), (X,)),
    Case("partition", lambda x: hr.dynamic_partition(x, [0, 1, 0, 1], 2), (X,), batch=False),
    Case(
        "stitch",
        lambda x: hr.dynamic_stitch([[0, 2], [1, 3]], [x[:2], x[2:]]),
        (X,),
        batch=False,
    ),
    Case("unique", lambda i: hr.unique(i).y, (IDS,), **PLAIN),
    Case("cumulative", lambda x: hr.cumsum(x, 1, exclusive=True, reverse=True), (X,)),
    Case("scatter", lambda x: hr.tensor_scatter_nd_add(x, [[0], [0], [2]], x[:3]), (X,)),
    Case(
        "sparse",
        lambda x: hr.sparse.to_dense(
            hr.sparse.SparseTensor([[0, 1], [2, 0]], x[0, :2], [3, 4])
        ),
        (X,),
        batch=False,
    ),
    Case(
        "ragged",
        lambda x: hr.RaggedTensor.from_row_lengths(x, [1, 0, 3]).to_tensor(),
        (X,),
        batch=False,
    ),
    Case(
        "batch-norm",
        lambda x: hr.keras.layers.BatchNormalization()(x, training=True),
        (X,),
        tolerance=1e-5,
    ),
    Case("layer-norm", lambda x: hr.keras.layers.LayerNormalization()(x), (X,), batch=False),
    Case("gelu", lambda x: hr.nn.gelu(x) + hr.nn.silu(x), (X,)),
    Case("fft", lambda x: hr.math.real(hr.signal.fftnd(hr.complex(x, x), axes=[0, 1])), (X,)),
    Case("resize", lambda x: hr.image.resize(x, [5, 11], "bicubic"), (IMAGES,), tolerance=1e-5),
    Case(
        "resize-down",
        lambda x: hr.image.resize(x, [3, 3], antialias=True),
        (IMAGES,),
        tolerance=1e-5,
    ),
    Case(
        "crops",
        lambda x: hr.image.crop_and_resize(
            x, [[0.1, 0.2, 0.9, 0.7], [0.0, 0.0, 1.2, 1.0]], [0, 1], [4, 4]
        ),
        (IMAGES.astype(np.float32),),
        **PLAIN,
    ),
    Case("flips", lambda x: hr.image.flip_left_right(hr.image.rot90(x)), (IMAGES,)),
    Case(
        "projective",
        lambda x: hr.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=[[1.0, 0.1, 0.5, 0.0, 0.9, 0.2, 0.0, 0.0]],
            output_shape=[8, 8],
            fill_value=0.0,
            interpolation="BILINEAR",
        ),
        (IMAGES.astype(np.float32),),
        **PLAIN,
    ),
    Case(
        "while",
        lambda x: hr.while_loop(
            lambda i, v: i < 3, lambda i, v: (i + 1, v * 1.5), (hr.constant(0), x)
        )[1],
        (X,),
        batch=False,
    ),
    Case("map", lambda x: hr.map_fn(lambda v: v * hr.reduce_max(v), x), (X,), batch=False),
    Case("vectorized-map", lambda x: hr.vectorized_map(hr.reduce_sum, x), (X,), batch=False),
    Case("scan", lambda x: hr.scan(lambda a, v: a + v, x), (X,), batch=False),
]
