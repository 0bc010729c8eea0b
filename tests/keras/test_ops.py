"""keras.ops: values, dtypes, signatures, shapes of placeholders and files are Keras's."""

import inspect
import json
import math

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(5)
F = RNG.normal(size=(3, 4)).astype("float32")
G = RNG.normal(size=(3, 4)).astype("float32")
P = np.abs(F) + np.float32(0.5)
U = (RNG.random((3, 4)) * 1.8 - 0.9).astype("float32")  # within (-1, 1)
I = RNG.integers(-5, 6, (3, 4)).astype("int32")  # noqa: E741
J = RNG.integers(1, 6, (3, 4)).astype("int32")
B = RNG.random((3, 4)) < 0.5
C = RNG.random((3, 4)) < 0.5
N = np.where(RNG.random((3, 4)) < 0.3, np.nan, F).astype("float32")
E = np.array([[0.0, np.inf, -np.inf, np.nan], [1, -2, 0.5, -0.0], [3, 4, 5, 6]], "float32")
V = RNG.normal(size=7).astype("float32")
W = RNG.normal(size=3).astype("float32")
S = (RNG.normal(size=(4, 4)) + 4 * np.eye(4)).astype("float32")
SPD = (S @ S.T).astype("float32")
T3 = RNG.normal(size=(2, 3, 4)).astype("float32")
IMAGES = RNG.random((2, 6, 7, 3)).astype("float32")
LABELS = np.array([1, 0, 3], "int32")
SHARES = np.exp(F) / np.exp(F).sum(-1, keepdims=True)
ONE_HOT = np.eye(4, dtype="float32")[LABELS]
MAPS = np.array(
    [[1, 0.1, 0.5, -0.1, 1, 0.2, 0, 0], [0.9, 0, 1, 0, 1.1, -1, 0.01, 0]], "float32"
)
CORNERS = np.array([[[0, 0], [0, 5], [6, 0], [6, 5]]] * 2, "float32")

UNARY = (
    "abs absolute angle arccos arcsin arctan arcsinh arctanh cbrt ceil conj conjugate copy cos "
    "cosh deg2rad exp exp2 expm1 fabs floor i0 imag isfinite isinf isnan isneginf isposinf "
    "isreal negative rad2deg ravel real round sign signbit sin sinc sinh size square tan tanh "
    "trunc relu relu6 sigmoid sparse_sigmoid softplus softsign silu swish log_sigmoid "
    "hard_sigmoid hard_silu hard_swish selu tanh_shrink hard_tanh sparse_plus erf erfc erfinv "
    "stop_gradient convert_to_tensor nonzero ones_like zeros_like "
    "flipud fliplr transpose corrcoef logical_not"
).split()
POSITIVE = "log log10 log1p log2 sqrt rsqrt reciprocal arccosh".split()
BINARY = (
    "add subtract multiply divide true_divide divide_no_nan maximum minimum fmax fmin arctan2 "
    "hypot logaddexp logaddexp2 heaviside nextafter equal not_equal greater greater_equal less "
    "less_equal logical_and logical_or logical_xor isclose allclose append outer inner vdot "
    "isin cross kron floor_divide mod fmod"
).split()
INTEGERS = (
    "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift left_shift "
    "right_shift gcd lcm floor_divide mod fmod power add multiply divide less maximum"
).split()
REDUCTIONS = (
    "all any amax amin max min mean sum prod std var ptp logsumexp median nansum nanprod "
    "nanmax nanmin nanmean nanmedian nanstd nanvar argmax argmin nanargmax nanargmin"
).split()
ALONG = [{}, {"axis": 1}, {"axis": 0, "keepdims": True}]

CASES = [
    *[(n, (U,), {}) for n in UNARY],
    *[(n, (P,), {}) for n in POSITIVE if n != "arccosh"],
    *[(n, (I,), {}) for n in (*UNARY, "square") if n not in (
        "arccos", "arcsin", "arctanh", "erfinv", "tan", "relu", "relu6", "sigmoid",
        "sparse_sigmoid", "softplus", "softsign", "silu", "swish", "log_sigmoid",
        "hard_sigmoid", "hard_silu", "hard_swish", "selu", "tanh_shrink", "hard_tanh",
        "sparse_plus", "erf", "erfc", "reciprocal")],
    *[(n, (B,), {}) for n in ("square", "ceil", "floor", "isnan", "signbit", "exp", "sqrt")],
    *[(n, (E,), {}) for n in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit",
                              "nan_to_num", "trunc", "sign", "logical_not", "nonzero")],
    ("arccosh", (P + 1,), {}),
    *[(n, (F[:, :3], G[:, :3]) if n == "cross" else (F, G), {}) for n in BINARY],
    *[(n, (I, J), {}) for n in INTEGERS],
    *[(n, (B, C), {}) for n in ("equal", "divide")],
    *[(n, (I, F), {}) for n in ("add", "divide", "maximum", "power", "where", "less")
      if n != "where" and n != "power"],
    ("power", (P, G), {}), ("ldexp", (F, J), {}),
    ("add", (F, 2), {}), ("subtract", (1, I), {}), ("multiply", (I, 0.5), {}),
    ("maximum", (F, 0), {}), ("power", (F, 2), {}), ("greater", (I, 1.5), {}),
    *[(n, (x,), kw) for n in REDUCTIONS for kw in ALONG
      for x in ((N, F) if n.startswith("nan") else (F,))],
    *[(n, (x,), {"axis": 0}) for n in REDUCTIONS for x in (I, B) if not (
        n == "logsumexp" or (n == "nanmedian" or (x is B and n in ("ptp", "nanprod", "nanvar",
         "nanstd", "nanargmax",
                                              "nanargmin"))))],
    ("max", (F,), {"initial": 1.0}), ("min", (F,), {"axis": 1, "initial": -1.0}),
    ("count_nonzero", (I,), {}), ("count_nonzero", (I,), {"axis": 1}),
    ("average", (F,), {"axis": 1}), ("average", (F,), {"axis": 1, "weights": P}),
    ("average", (F,), {"axis": 0, "weights": np.abs(W)}),
    ("cumsum", (F,), {}), ("cumsum", (I,), {"axis": 1}), ("cumsum", (B,), {"axis": 0}),
    ("cumprod", (F,), {"axis": 0}), ("cumsum", (I,), {"dtype": "float32"}),
    ("nancumsum", (N,), {"axis": 1}), ("nancumprod", (N,), {}),
    ("trapezoid", (F,), {}), ("trapezoid", (F,), {"dx": 0.5, "axis": 0}),
    ("diff", (F,), {}), ("diff", (I,), {"n": 2, "axis": 0}),
    ("clip", (F, -0.5, 0.5), {}), ("clip", (I, -1, 2), {}), ("round", (F,), {"decimals": 2}),
    ("nan_to_num", (E,), {"nan": 1.0, "posinf": 7.0, "neginf": -7.0}),
    # arranging
    ("reshape", (F, (2, 6)), {}), ("reshape", (F, (-1, 3)), {}),
    ("transpose", (T3, (1, 0, 2)), {}),
    ("moveaxis", (T3, 0, -1), {}), ("moveaxis", (T3, (0, 1), (2, 0)), {}),
    ("swapaxes", (T3, 0, 2), {}), ("expand_dims", (F, 1), {}), ("expand_dims", (F, (0, 2)), {}),
    ("squeeze", (F[:, :1],), {}), ("squeeze", (F[:, :1],), {"axis": 1}),
    ("broadcast_to", (W, (2, 3)), {}), ("tile", (F, (2, 1)), {}), ("tile", (W, (2, 2)), {}),
    ("repeat", (F, 2), {}), ("repeat", (F, 2), {"axis": 1}),
    ("repeat", (W, [1, 0, 2]), {"axis": 0}),
    ("flip", (T3,), {}), ("flip", (T3,), {"axis": 1}), ("roll", (F, 2), {}),
    ("roll", (F, (1, 2)), {"axis": (0, 1)}),
    *[("rot90", (T3,), {"k": k}) for k in (1, 3)], ("rot90", (T3,), {"axes": (1, 2)}),
    ("concatenate", ([F, G],), {"axis": 1}), ("concatenate", ([F, I],), {}),
    ("append", (F, G), {"axis": 0}), ("stack", ([F, G],), {"axis": 1}),
    ("hstack", ([F, G],), {}), ("vstack", ([F, G],), {}), ("dstack", ([F, G],), {}),
    ("hstack", ([V, W],), {}),
    ("split", (F, 2), {"axis": 1}), ("split", (F, [1, 3]), {"axis": 1}),
    ("array_split", (V, 3), {}), ("hsplit", (F, 2), {}), ("vsplit", (F, 3), {}),
    ("dsplit", (T3, 2), {}),
    ("pad", (F, ((1, 0), (0, 2))), {"constant_values": 3.0}),
    ("pad", (F, ((1, 0), (0, 2))), {"mode": "reflect"}),
    ("pad", (F, ((1, 0), (0, 2))), {"mode": "symmetric"}),
    ("tril", (F,), {}), ("triu", (T3,), {"k": 1}), ("diag", (W,), {"k": 1}),
    ("diag", (F,), {"k": -1}), ("diagflat", (F[:2, :2],), {}), ("diagonal", (T3,), {}),
    ("diagonal", (T3,), {"offset": 1, "axis1": 1, "axis2": 2}), ("trace", (F,), {}),
    ("trace", (I,), {"offset": -1}), ("meshgrid", (V, W), {}),
    ("meshgrid", (V, W), {"indexing": "ij"}),
    ("view", (F,), {"dtype": "int32"}), ("view", (F,), {"dtype": "uint8"}),
    ("full_like", (F, 2), {}), ("empty_like", (F,), {}), ("array", (I,), {"dtype": "float32"}),
    ("full", ((2, 3), 1.5), {}), ("full", ((2,), 3), {"dtype": "int64"}),
    # making
    ("arange", (5,), {}), ("arange", (1, 7, 2), {}), ("arange", (0.0, 1.0, 0.25), {}),
    ("arange", (4,), {"dtype": "float16"}),
    ("linspace", (0, 10), {"num": 5}), ("linspace", (0.0, 1.0), {"num": 4, "endpoint": False}),
    ("linspace", (W, W + 2), {"num": 3, "axis": -1}),
    ("linspace", (0, 10), {"num": 5, "dtype": "int32"}),
    ("linspace", (0.0, 1.0), {"num": 4, "retstep": True}),
    ("logspace", (0, 2), {"num": 4}), ("geomspace", (1.0, 100.0), {"num": 5}),
    ("zeros", ((2, 3),), {}), ("ones", ((2,),), {"dtype": "int32"}), ("eye", (3,), {}),
    ("eye", (3, 4), {"k": 1}), ("identity", (3,), {}), ("tri", (3, 4), {"k": 1}),
    *[(n, (m,), {}) for n in ("bartlett", "blackman", "hamming", "hanning") for m in (1, 5)],
    ("kaiser", (6, 3.0), {}),
    # ordering
    ("sort", (F,), {}), ("sort", (I,), {"axis": 0}), ("argsort", (F,), {}),
    ("argsort", (I,), {"axis": 0}),
    ("argsort", (F,), {"axis": None}),
    ("searchsorted", (np.sort(V), F[0]), {}),
    ("searchsorted", (np.sort(V), V), {"side": "right"}),
    ("digitize", (F, np.sort(V)), {}), ("bincount", (np.array([1, 2, 2, 0]),), {}),
    ("bincount", (np.array([1, 2, 2, 0]),), {"weights": np.array([0.5, 1, 2, 3.0], "float32")}),
    ("bincount", (np.array([[1, 2], [2, 0]]),), {"minlength": 5}),
    ("histogram", (F[0],), {"bins": 4}),
    ("histogram", (F[0],), {"bins": 3, "range": (-1.0, 1.0)}),
    ("unique", (I,), {}),
    ("unique", (I,), {"return_index": True, "return_inverse": True, "return_counts": True}),
    *[(n, (N if "nan" in n else F, q), {"axis": a, "keepdims": a == 1})
      for n, q in (("quantile", 0.3), ("quantile", np.array([0.1, 0.9], "float32")),
                   ("percentile", 30.0), ("nanquantile", 0.5), ("nanpercentile", 60.0))
      for a in (None, 1)],
    *[("quantile", (F, 0.4), {"axis": 0, "method": m})
      for m in ("lower", "higher", "midpoint", "nearest")],
    ("top_k", (F, 2), {}), ("in_top_k", (LABELS, F, 2), {}),
    # products
    ("matmul", (F, S), {}), ("matmul", (T3, S), {}), ("matmul", (V, V), {}),
    ("matmul", (F, S[0]), {}),
    ("matmul", (I, I.T), {}), ("dot", (T3, S), {}), ("dot", (V, V), {}), ("dot", (F, 2.0), {}),
    ("tensordot", (T3, F), {"axes": ((1, 2), (0, 1))}), ("tensordot", (F, S), {"axes": 1}),
    ("einsum", ("ij,jk->ik", F, S), {}), ("einsum", ("bij->bji", T3), {}),
    ("correlate", (V, W), {}), ("correlate", (V, W), {"mode": "same"}),
    ("correlate", (V, W), {"mode": "full"}), ("correlate", (W, V), {"mode": "full"}),
    ("vander", (W,), {}), ("vander", (W,), {"N": 4, "increasing": True}),
    ("cross", (F[:, :2], G[:, :2]), {}),
    ("cross", (T3.transpose(0, 2, 1), T3.transpose(0, 2, 1) + 1), {}),
    # picking
    ("take", (F, np.array([0, -1])), {}),
    ("take", (F, np.array([[0, 2], [1, -1]])), {"axis": 1}),
    ("take_along_axis", (F, np.array([[0, 1], [2, 3], [1, -1]])), {"axis": 1}),
    ("where", (B, F, G), {}), ("where", (B, F, 0.0), {}), ("where", (B, I, F), {}),
    ("where", (B,), {}),
    ("select", ([B, C], [F, G], 3.0), {}), ("get_item", (F, (slice(None), 1)), {}),
    ("unravel_index", (np.array([1, 5, 11]), (3, 4)), {}),
    # math
    *[(f"segment_{k}", (F, np.array([0, 2, 0])), {"num_segments": 3}) for k in ("sum", "max",
     "min", "prod")],
    *[(f"segment_{k}", (F, np.array([0, 0, 1])), {"sorted": True}) for k in ("sum", "max",
     "min", "prod")],
    ("logsumexp", (T3,), {"axis": (0, 2)}), ("cdist", (F, G), {}),
    ("extract_sequences", (V, 3, 2), {}),
    ("fft", ((F, G),), {}), ("fft2", ((F, G),), {}), ("ifft2", ((F, G),), {}),
    ("rfft", (F,), {}),
    ("rfft", (F,), {"fft_length": 6}), ("irfft", ((F, G),), {}),
    ("stft", (np.sin(np.arange(40, dtype="float32")), 8, 4, 16), {}),
    ("stft", (np.sin(np.arange(40, dtype="float32")), 8, 4, 8), {"window": "hamming",
     "center": False}),
    ("logdet", (SPD,), {}), ("view_as_complex", (F[:, :2],), {}),
    ("view_as_real", (F[:, :2] + 1j * G[:, :2],), {}),
    # linalg
    ("cholesky", (SPD,), {}), ("cholesky", (SPD,), {"upper": True}), ("det", (S,), {}),
    ("inv", (S,), {}),
    ("cholesky_inverse", (np.linalg.cholesky(SPD),), {}), ("solve", (S, F.T), {}),
    ("solve", (S, V[:4]), {}),
    ("solve_triangular", (np.tril(S), F.T), {"lower": True}), ("slogdet", (S,), {}),
    ("lu_factor", (S,), {}), ("matrix_rank", (S,), {}), ("pinv", (F,), {}),
    ("lstsq", (S, V[:4]), {}),
    ("svd", (F,), {"compute_uv": False}),
    *[("norm", (F,), {"ord": o}) for o in (None, "fro", "nuc", 1, -1, 2, -2, math.inf,
     -math.inf)],
    *[("norm", (F,), {"ord": o, "axis": 1, "keepdims": True}) for o in (None, 0, 1, 3,
     math.inf)],
    # core
    ("cast", (F, "int32"), {}), ("cast", (I, "float16"), {}),
    ("saturate_cast", (F * 300, "uint8"), {}),
    ("scatter", (np.array([[0], [2]]), F[:2], (4, 4)), {}),
    *[("scatter_update", (F, np.array([[0, 1], [2, 2]]), W[:2]), {"reduction": r})
      for r in (None, "add", "max", "min")],
    ("slice", (F, (1, 0), (2, 3)), {}), ("slice_update", (F, (1, 1), G[:2, :2]), {}),
    ("unstack", (F,), {"axis": 1}), ("unstack", (F,), {"num": 3}),
    # nn
    ("leaky_relu", (F,), {"negative_slope": 0.1}), ("elu", (F,), {"alpha": 0.5}),
    ("gelu", (F,), {}),
    ("gelu", (F,), {"approximate": False}), ("celu", (F,), {"alpha": 2.0}), ("glu", (F,), {}),
    ("soft_shrink", (F,), {"threshold": 0.3}), ("hard_shrink", (F,), {}),
    ("squareplus", (F,), {"b": 2}),
    ("threshold", (F, 0.1, -1.0), {}), ("softmax", (F,), {"axis": 0}),
    ("softmax", (T3,), {"axis": (1, 2)}),
    ("log_softmax", (F,), {}),
    ("max_pool", (IMAGES, 2), {}), ("max_pool", (IMAGES, 3, 2, "same"), {}),
    ("average_pool", (IMAGES, 2), {"padding": "same"}), ("max_pool", (T3, 2), {}),
    ("average_pool", (IMAGES, (2, 3), 1), {"data_format": "channels_first"}),
    ("adaptive_average_pool", (IMAGES, (3, 2)), {}), ("adaptive_max_pool", (IMAGES, 4), {}),
    ("conv", (IMAGES, RNG.normal(size=(3, 2, 3, 4)).astype("f")), {"strides": 2,
     "padding": "same"}),
    ("conv", (T3, RNG.normal(size=(2, 4, 5)).astype("f")), {"dilation_rate": 2}),
    ("depthwise_conv", (IMAGES, RNG.normal(size=(3, 3, 3, 2)).astype("f")), {"strides": 2}),
    ("depthwise_conv", (T3, RNG.normal(size=(2, 4, 2)).astype("f")), {"padding": "same"}),
    ("depthwise_conv", (IMAGES, RNG.normal(size=(2, 2, 3, 1)).astype("f")),
     {"strides": 2, "dilation_rate": 2, "padding": "same"}),
    ("separable_conv", (IMAGES, RNG.normal(size=(3, 3, 3, 2)).astype("f"),
                        RNG.normal(size=(1, 1, 6, 4)).astype("f")), {}),
    ("conv_transpose", (IMAGES, RNG.normal(size=(3, 3, 4, 3)).astype("f")), {"strides": 2}),
    ("conv_transpose", (IMAGES, RNG.normal(size=(3, 3, 4, 3)).astype("f")),
     {"strides": 2, "padding": "same", "output_padding": 1}),
    ("one_hot", (LABELS, 4), {}), ("one_hot", (LABELS, 5), {"axis": 0, "dtype": "int32"}),
    ("multi_hot", (np.array([[0, 2], [1, 1]]), 4), {}), ("multi_hot", (LABELS, 4), {}),
    ("binary_crossentropy", (B.astype("f"), SHARES), {}),
    ("binary_crossentropy", (B.astype("f"), F), {"from_logits": True}),
    ("categorical_crossentropy", (ONE_HOT, SHARES), {}),
    ("categorical_crossentropy", (ONE_HOT, F), {"from_logits": True}),
    ("sparse_categorical_crossentropy", (LABELS, SHARES), {}),
    ("sparse_categorical_crossentropy", (LABELS, F), {"from_logits": True}),
    ("moments", (T3, [0, 1]), {}), ("moments", (F, [1]), {"keepdims": True}),
    ("batch_normalization", (T3, W, np.abs(W), 1), {}),
    ("batch_normalization", (F, V[:4], np.abs(V[:4]), -1, V[:4], V[1:5]), {}),
    ("normalize", (F,), {}), ("normalize", (F,), {"axis": 0, "order": 3}),
    ("psnr", (F, G, 1.0), {}),
    ("rms_normalization", (F,), {}), ("rms_normalization", (F, V[:4]), {"epsilon": 1e-3}),
    ("layer_normalization", (T3,), {}),
    ("layer_normalization", (F, V[:4], V[1:5]), {"epsilon": 1e-3}),
    ("layer_normalization", (T3,), {"axis": (1, 2)}), ("polar", (P, F), {}),
    ("ctc_loss", (np.array([[1, 2, 1], [1, 2, 0]]), RNG.normal(size=(2, 6, 4)).astype("f"),
                  np.array([3, 2]), np.array([6, 5])), {}),
    ("ctc_decode", (RNG.normal(size=(2, 6, 4)).astype("f"), np.array([6, 5])), {}),
    ("ctc_decode", (RNG.normal(size=(2, 6, 4)).astype("f"), np.array([6, 5])),
     {"strategy": "beam_search", "beam_width": 5, "top_paths": 2}),
    *[("dot_product_attention", tuple(RNG.normal(size=(2, 4, 3,
     5)).astype("f") for _ in range(3)), kw)
      for kw in ({}, {"is_causal": True}, {"scale": 0.3},
                 {"mask": RNG.random((2, 3, 4, 4)) < 0.7},
                 {"bias": RNG.normal(size=(2, 3, 4, 4)).astype("f")})],
    ("unfold", (IMAGES, (2, 3)), {"padding": 1, "stride": 2}),
    ("unfold", (IMAGES, 2), {"dilation": 2}),
    ("fold", (RNG.normal(size=(2, 12, 20)).astype("f"), (5, 6), 2), {}),
    ("depth_to_space", (RNG.random((2, 3, 2, 8)).astype("f"), 2), {}),
    ("space_to_depth", (IMAGES[:, :, :6], 2), {}), ("rearrange", (T3, "b h c -> c (b h)"), {}),
    ("rearrange", (F, "a (b c) -> c b a"), {"b": 2}),
    # image
    ("image.rgb_to_grayscale", (IMAGES,), {}), ("image.rgb_to_hsv", (IMAGES,), {}),
    ("image.hsv_to_rgb", (IMAGES,), {}), ("image.resize", (IMAGES, (4, 5)), {}),
    ("image.resize", (IMAGES, (9, 4)), {"interpolation": "bicubic", "antialias": True}),
    ("image.resize", (IMAGES, (5, 5)), {"crop_to_aspect_ratio": True}),
    ("image.resize", ((IMAGES * 255).astype("uint8"), (4, 9)), {}),
    ("image.affine_transform", (IMAGES, MAPS), {}),
    ("image.affine_transform", (IMAGES, MAPS), {"interpolation": "nearest",
     "fill_mode": "wrap"}),
    ("image.perspective_transform", (IMAGES, CORNERS, CORNERS * 0.8 + 0.3), {}),
    ("image.extract_patches", (IMAGES, 2), {}),
    ("image.extract_patches", (IMAGES, (2, 3)), {"strides": 1, "padding": "same"}),
    ("image.extract_patches_3d", (RNG.random((1, 4, 4, 4, 2)).astype("f"), 2), {}),
    *[("image.map_coordinates", (F, RNG.random((2, 5)).astype("f") * 5 - 1), {"order": o,
     "fill_mode": m})
      for o in (0, 1) for m in ("constant", "nearest", "wrap", "reflect")],
    ("image.pad_images", (IMAGES, 1, 2, 3, 0), {}),
    ("image.pad_images", (IMAGES, 1, 2), {"target_height": 9, "target_width": 12}),
    ("image.crop_images", (IMAGES, 1, 2, 1, 1), {}),
    ("image.gaussian_blur", (IMAGES,), {}),
    ("image.gaussian_blur", (IMAGES, (5, 5), (0.7, 1.5)), {}),
    *[("image.scale_and_translate",
       (IMAGES, (2, 4, 9, 3), np.array([0.7, 1.3], "f"), np.array([0.2, -0.5], "f"), (1, 2),
        m), {})
      for m in ("linear", "cubic", "lanczos3", "lanczos5")],
    ("image.sobel_edges", (IMAGES,), {}),
    ("image.ssim", (RNG.random((1, 12, 12, 3)).astype("f"),) * 2, {}),
]  # fmt: skip

# Results that the two compute by different orders of summation or of equal values.
LOOSE = {"corrcoef": 1e-3, "lstsq": 1e-3, "pinv": 1e-3, "cholesky_inverse": 1e-3}
# Where Keras on TensorFlow fails or departs from its documentation NumPy is the oracle.
NUMPY = [
    *[(n, (B,), {}) for n in ("sign", "bitwise_not")],
    *[(n, (B, C), {}) for n in ("bitwise_and", "bitwise_or", "bitwise_xor", "add", "multiply",
                                "maximum", "minimum", "less", "greater_equal")],
    ("rot90", (T3,), {"k": 2}), ("vstack", ([W, W],), {}), ("pad", (F, 1), {}),
    ("searchsorted", (np.sort(V), F), {}), ("nanmedian", (I,), {"axis": 0}),
    ("dot", (F, np.float32(2)), {}),
]  # fmt: skip


def find(root, name):
    for part in name.split("."):
        root = getattr(root, part)
    return root


def flat(value):
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


def check(got, want, rtol=2e-5, atol=2e-6):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        dtype = getattr(theirs.dtype, "name", theirs.dtype)
        assert getattr(ours.dtype, "name", ours.dtype) == dtype
        a, b = np.asarray(ours), np.asarray(theirs)
        assert a.shape == b.shape
        if dtype in ("float16", "bfloat16"):
            rtol, atol, a, b = 2e-2, 2e-2, a.astype("f"), b.astype("f")
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.fixture(scope="module")
def real(tf):
    return pytest.importorskip("keras")


def label(case):
    return case[0]


@pytest.mark.peers
@pytest.mark.parametrize("case", CASES, ids=label)
def test_values_and_dtypes_are_keras(real, case):
    name, args, kwargs = case
    peers_args = args
    if name.startswith("adaptive"):  # Keras wants tensors here
        peers_args = (real.ops.convert_to_tensor(args[0]), *args[1:])
    want = find(real.ops, name)(*peers_args, **kwargs)
    tolerance = LOOSE.get(name, 2e-5)
    check(find(keras.ops, name)(*args, **kwargs), want, tolerance, tolerance / 10)


@pytest.mark.parametrize("case", NUMPY, ids=label)
def test_values_are_numpys(case):
    name, args, kwargs = case
    got = find(keras.ops, name)(*args, **kwargs).numpy()
    if name == "sign":
        args = (args[0].astype("int32"),)
    np.testing.assert_allclose(got, getattr(np, name)(*args, **kwargs), rtol=1e-6)


def test_sparsemax_is_a_point_of_the_simplex():
    found = keras.ops.sparsemax(F).numpy()
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)
    assert (found >= 0).all() and (found == 0).any()
    # The nearest point: what is left over is the same wherever the point is inside.
    rest = np.where(found > 0, F - found, np.nan)
    assert np.nanmax(np.nanmax(rest, -1) - np.nanmin(rest, -1)) < 1e-6


# -- placeholders, configs -------------------------------------------------------------------


# Results that no placeholder has (sizes that depend on values), and functions of numbers.
def symbolic_cases():
    seen = set()
    without = {
        "nonzero", "unique", "bincount", "histogram", "corrcoef", "convert_to_tensor", "arange",
        "linspace", "logspace", "geomspace", "zeros", "ones", "eye", "identity", "tri", "full",
        "bartlett", "blackman", "hamming", "hanning", "kaiser", "ndim", "image.resize", "array",
        "view_as_real", "get_item", "ctc_decode", "meshgrid", "full_like",
    }  # fmt: skip
    for case in CASES:
        name, args, kwargs = case
        key = (name, *kwargs)
        shaped = isinstance(args[0], np.ndarray) and args[0].ndim > 1 and len(args[0]) > 1
        if key in seen or name in without or not shaped or args[0].dtype.kind not in "f":
            continue
        if name in ("where", "cross", "diff", "scatter") or {"axis", "sorted"} & set(kwargs):
            continue
        seen.add(key)
        yield case


def as_model(family, name, args, kwargs):
    first = args[0]
    inputs = family.Input(batch_shape=first.shape, dtype=str(first.dtype))
    return family.Model(inputs, find(family.ops, name)(inputs, *args[1:], **kwargs))


def values(model, x):
    return [np.asarray(v) for v in flat(model(x))]


@pytest.mark.parametrize("case", list(symbolic_cases()), ids=label)
def test_models_of_operations_go_through_configs(case):
    name, args, kwargs = case
    model = as_model(keras, name, args, kwargs)
    want = [np.asarray(v) for v in flat(find(keras.ops, name)(*args, **kwargs))]
    again = keras.models.model_from_json(json.dumps(json.loads(model.to_json())))
    for each in (model, again):
        for got, value, placeholder in zip(
            values(each, args[0]), want, flat(model.output), strict=True
        ):
            np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)
            assert placeholder.shape == got.shape


# Keras itself cannot run or read back its models with these.
KERAS_FAILS = {
    "view_as_complex",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "conv_transpose",
}


@pytest.mark.peers
@pytest.mark.parametrize(
    "case", [c for c in symbolic_cases() if c[0] not in KERAS_FAILS], ids=label
)
def test_configs_of_operations_go_both_ways(real, case):
    name, args, kwargs = case
    want = [np.asarray(v) for v in flat(find(keras.ops, name)(*args, **kwargs))]
    ours, theirs = (as_model(family, name, args, kwargs) for family in (keras, real))
    crossed = [
        real.models.model_from_json(ours.to_json()),
        keras.models.model_from_json(theirs.to_json()),
    ]
    for model in crossed:
        for got, value in zip(values(model, args[0]), want, strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("family", ["ops", "ops.numpy", "ops.nn", "ops.linalg", "ops.image"])
def test_names_and_signatures_are_keras(real, family):
    ours, theirs = find(keras, family), find(real, family)
    for name in (n for n in dir(theirs) if n[0] != "_"):
        mine, peers = getattr(ours, name), getattr(theirs, name)
        if callable(peers) and name not in ("ctc_decode",):
            a, b = (
                [(p.name, p.default) for p in inspect.signature(f).parameters.values()]
                for f in (mine, peers)
            )
            assert a == b, name


@pytest.mark.peers
def test_result_types_are_keras(real):
    names = [
        "bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "bfloat16",
        "float16", "float32", "float64", int, float, None,
    ]  # fmt: skip
    for a in names:
        for b in names:
            assert keras.backend.result_type(a, b) == real.backend.result_type(a, b), (a, b)
        assert keras.backend.result_type(a) == real.backend.result_type(a)


# -- control flow ----------------------------------------------------------------------------


def test_control_flow():
    ops = keras.ops
    assert ops.cond(True, lambda: ops.ones(2), lambda: ops.zeros(2)).numpy().tolist() == [1, 1]
    assert int(ops.switch(7, [lambda x: x + 1, lambda x: x * 10], 3)) == 30
    assert int(ops.while_loop(lambda i: i < 5, lambda i: i + 2, 0)) == 6
    assert int(ops.fori_loop(0, 4, lambda i, v: v + i, 10)) == 16
    np.testing.assert_allclose(ops.map(lambda x: x * 2, F), F * 2)
    np.testing.assert_allclose(ops.vectorized_map(lambda x: ops.sum(x), F), F.sum(1), rtol=1e-5)
    carry, ys = ops.scan(lambda c, x: (c + x, c * x), 1.0, np.arange(1.0, 4.0, dtype="f"))
    assert float(carry) == 7 and ys.numpy().tolist() == [1, 4, 12]
    carry, ys = ops.scan(lambda c, x: (c + x, c), 0.0, np.arange(3.0, dtype="f"), reverse=True)
    assert float(carry) == 3 and ys.numpy().tolist() == [3, 2, 0]
    for reverse in (False, True):
        got = ops.associative_scan(lambda a, b: a + b, F, reverse=reverse, axis=1)
        want = F[:, ::-1].cumsum(1)[:, ::-1] if reverse else F.cumsum(1)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    multiplied = ops.scatter_update(F, [[0, 0], [0, 0], [2, 1]], [2.0, 3.0, 5.0], "mul").numpy()
    want = F.copy()
    want[0, 0] *= 6
    want[2, 1] *= 5
    np.testing.assert_allclose(multiplied, want, rtol=1e-6)


def test_derivatives():
    value, change = keras.ops.jvp(lambda x: x * x, (3.0,), (2.0,))
    assert float(value) == 9 and float(change) == 12
    with hr.GradientTape() as tape:
        x = hr.constant(F)
        tape.watch(x)
        y = keras.ops.sum(
            keras.ops.quantile(x, 0.3, axis=1) * keras.ops.logaddexp(x, 1.0)[:, 0]
        )
    assert tape.gradient(y, x).shape == F.shape


def test_vectorize_applies_a_function_to_elements():
    twice = keras.ops.vectorize(lambda a, b: keras.ops.where(a > b, a, b * 2))
    np.testing.assert_allclose(twice(F, G[:1]), np.where(F > G[:1], F, G[:1] * 2))
    rows = keras.ops.vectorize(lambda m, v: keras.ops.sum(m * v), signature="(n),(n)->()")
    np.testing.assert_allclose(rows(F, V[:4]), (F * V[:4]).sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda o: o.squeeze(F, axis=0), ValueError, "not 1"),
        (lambda o: o.take_along_axis(F, [0], axis=1), ValueError, "number of axes"),
        (lambda o: o.rearrange(F, "a b -> a c"), ValueError, "same names"),
        (lambda o: o.split(F, 3, axis=1), ValueError, "divisible"),
        (lambda o: o.norm(F, ord="bad"), ValueError, "ord"),
        (lambda o: o.stft(I, 4, 2, 8), TypeError, "float32"),
        (lambda o: o.image.resize(IMAGES, (2, 2), "wrong"), ValueError, "interpolation"),
        (lambda o: o.image.pad_images(IMAGES, 1, 2, 3), ValueError, "exactly two"),
        (lambda o: o.dot_product_attention(F, F, F), ValueError, "4D"),
        (lambda o: o.ctc_decode(T3, [1, 1], strategy="x"), ValueError, "greedy"),
        (lambda o: o.where(B, F), ValueError, "both"),
        (lambda o: o.ldexp(F, G), TypeError, "integer"),
        (lambda o: o.add(np.zeros(2, "complex64"), np.array(["a"])), ValueError, "dtype"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call(keras.ops)
