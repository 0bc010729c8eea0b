"""hr.debugging: the same outcome eagerly and in a trace, TensorFlow's kinds of errors."""

import numpy as np
import pytest

import headrace as hr

GOOD = [
    ("assert_equal", ([1, 2], [1, 2])), ("assert_none_equal", ([1, 2], [3, 4])),
    ("assert_less", ([1, 2], 3)), ("assert_less_equal", ([1, 3], 3)),
    ("assert_greater", ([4, 5], [3, 2])), ("assert_greater_equal", ([3, 5], 3)),
    ("assert_positive", ([1, 2],)), ("assert_negative", ([-1.0],)),
    ("assert_non_negative", ([0, 2],)), ("assert_non_positive", ([0, -2],)),
    ("assert_near", ([1.0, 2.0], [1.0, 2.0000002])),
]  # fmt: skip
BAD = [
    ("assert_equal", ([1, 2], [1, 3])), ("assert_none_equal", ([1, 2], [3, 2])),
    ("assert_less", ([1, 3], 3)), ("assert_less_equal", ([1, 4], 3)),
    ("assert_greater", ([3, 5], 3)), ("assert_greater_equal", ([2, 5], 3)),
    ("assert_positive", ([0, 2],)), ("assert_negative", ([0.5],)),
    ("assert_non_negative", ([0, -2],)), ("assert_non_positive", ([1, -2],)),
    ("assert_near", ([1.0, 2.0], [1.0, 2.1])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), GOOD)
def test_what_holds_passes(name, args):
    check = getattr(hr.debugging, name)
    check(*args)
    hr.function(lambda *a: check(*a))(*[hr.constant(a) for a in args])


@pytest.mark.parametrize(("name", "args"), BAD)
def test_what_does_not_hold_raises(tf, name, args):
    check, peer = getattr(hr.debugging, name), getattr(tf.debugging, name)
    with pytest.raises(tf.errors.InvalidArgumentError):
        peer(*args)
    with pytest.raises(hr.errors.InvalidArgumentError, match="my message"):
        check(*args, message="my message")
    f = hr.function(lambda *a: check(*a, message="my message"))
    with pytest.raises(hr.errors.InvalidArgumentError, match="my message"):
        f(*[hr.constant(a) for a in args])


def test_assert_summarizes():
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"b'text'\n0 1 2\.\.\.") as caught:
        hr.Assert(False, ["text", hr.range(9)])
    assert "Expected 'False' to be true" in str(caught.value)
    with pytest.raises(hr.errors.InvalidArgumentError, match="0 1 2 3 4 5 6 7 8"):
        hr.function(lambda p: hr.Assert(p, [hr.range(9)], -1))(hr.constant(False))


SHAPES = [
    ("assert_rank", (X := np.zeros((2, 3), "f"), 2), (X, 1)),
    ("assert_rank_at_least", (X, 1), (X, 3)),
    ("assert_rank_in", (X, [1, 2]), (X, [0, 3])),
    ("assert_scalar", (np.float32(1),), (X,)),
    ("assert_type", (X, "float32"), (X, "int32")),
    ("assert_integer", (np.int32(1),), (X,)),
    ("assert_proper_iterable", ([X],), (X,)),
    ("assert_shapes", ([(X, ("N", 3)), (X.T, (3, "N"))],), ([(X, ("N", 3)), (X.T, ("N", 2))],)),
    ("assert_shapes", ([(X, ("...", 3))],), ([(X, ("A", "B", "C"))],)),
    ("assert_same_float_dtype", ([X],), ([X.astype("i4")],)),
]


def _tensors(lib, args):
    if isinstance(args, np.ndarray):
        return lib.constant(args)
    kinds = (list, tuple)
    return type(args)(_tensors(lib, a) for a in args) if isinstance(args, kinds) else args


@pytest.mark.parametrize(("name", "good", "bad"), SHAPES)
def test_dtypes_and_shapes_raise_tensorflows_kinds(tf, name, good, bad):
    kinds = []
    for lib in (hr, tf):
        check = getattr(lib.debugging, name)
        check(*_tensors(lib, good))
        with pytest.raises((TypeError, ValueError)) as caught:
            check(*_tensors(lib, bad))
        kinds.append([k for k in (ValueError, TypeError) if isinstance(caught.value, k)])
    assert kinds[0] == kinds[1]


def test_check_numerics_names_what_it_found_also_in_gradients():
    f = hr.function(lambda x: hr.debugging.check_numerics(x, "here"))
    assert f(hr.constant([1.0])).numpy().tolist() == [1.0]
    with pytest.raises(hr.errors.InvalidArgumentError, match="here : Tensor had Inf and NaN"):
        f(hr.constant([np.inf, np.nan]))
    x = hr.constant(0.0)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.sqrt(hr.debugging.check_numerics(x, "here"))
    with pytest.raises(hr.errors.InvalidArgumentError, match="gradient"):
        tape.gradient(y, x)


@pytest.mark.parametrize(
    "value",
    [np.arange(20), np.array([[1.5, 2.0], [0.1, 1e-7]], "f"), np.float32(0.1), np.array(True),
     np.array([b"a", b"bc"], object), np.arange(200).reshape(10, 4, 5)],
)  # fmt: skip
def test_print_writes_what_tensorflow_writes(tf, value, tmp_path):
    texts = []
    for lib in (hr, tf):
        path = tmp_path / lib.__name__

        def show(v, lib=lib, path=path):
            lib.print("x:", v, {"a": v}, sep="|", output_stream=f"file://{path}")

        lib.function(show)(lib.constant(value))
        texts.append(path.read_text())
    assert texts[0] == texts[1]
