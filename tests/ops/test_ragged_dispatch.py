"""Public functions on ragged tensors give what TensorFlow's do."""

import numpy as np
import pytest

import headrace as hr

ROWS = [[1.0, 2.0, -3.0], [], [4.0], [0.5, -6.0]]
DEEP = [[[1, 2], []], [], [[3], [4, 5], [6]]]
INTS = [[3, 1], [], [2]]

CASES = {
    "add": lambda lib, r: lib.add(r(ROWS), 1.0),
    "add-both": lambda lib, r: lib.add(r(ROWS), r(ROWS)),
    "add-column": lambda lib, r: lib.add(r(ROWS), lib.constant([[1.0], [2.0], [3.0], [4.0]])),
    "reflected": lambda lib, r: lib.subtract(2.0, r(ROWS)),
    "exp": lambda lib, r: lib.exp(r(ROWS)),
    "abs": lambda lib, r: lib.abs(r(ROWS)),
    "greater": lambda lib, r: lib.greater(r(ROWS), 0.0),
    "maximum": lambda lib, r: lib.maximum(r(ROWS), 0.0),
    "clip": lambda lib, r: lib.clip_by_value(r(ROWS), -1.0, 1.0),
    "add_n": lambda lib, r: lib.add_n([r(ROWS), r(ROWS)]),
    "cast": lambda lib, r: lib.cast(r(INTS), lib.float32),
    "zeros_like": lambda lib, r: lib.zeros_like(r(ROWS)),
    "ones_like": lambda lib, r: lib.ones_like(r(INTS)),
    "deep": lambda lib, r: lib.multiply(r(DEEP), 2),
    "relu": lambda lib, r: lib.nn.relu(r(ROWS)),
    "lower": lambda lib, r: lib.strings.lower(r([["A", "bC"], []])),
    "concat": lambda lib, r: lib.concat([r(ROWS), r(ROWS)], 1),
    "stack": lambda lib, r: lib.stack([r(ROWS), r(ROWS)]),
    "expand-0": lambda lib, r: lib.expand_dims(r(ROWS), 0),
    "expand-1": lambda lib, r: lib.expand_dims(r(ROWS), 1),
    "expand-2": lambda lib, r: lib.expand_dims(r(ROWS), -1),
    "size": lambda lib, r: lib.size(r(ROWS)),
    "rank": lambda lib, r: lib.rank(r(DEEP)),
    "one_hot": lambda lib, r: lib.one_hot(r(INTS), 4),
    "where": lambda lib, r: lib.where(
        lib.greater(r(ROWS), 0.0), r(ROWS), lib.zeros_like(r(ROWS))
    ),
    "reverse": lambda lib, r: lib.reverse(r(ROWS), [1]),
    "gather": lambda lib, r: lib.gather(r(ROWS), [3, 0]),
}
for _name in ("sum", "prod", "max", "min", "mean"):
    for _axis in (None, 0, 1, [0, 1]):
        CASES[f"reduce_{_name}-{_axis}"] = lambda lib, r, n=_name, a=_axis: getattr(
            lib, f"reduce_{n}"
        )(r(ROWS if n in ("sum", "prod") or a == 0 else [ROWS[0], ROWS[2]]), axis=a)
    CASES[f"reduce_{_name}-keep"] = lambda lib, r, n=_name: getattr(lib, f"reduce_{n}")(
        r([[1.0, 2.0], [3.0]]), axis=1, keepdims=True
    )
CASES["reduce_any"] = lambda lib, r: lib.reduce_any(lib.greater(r(ROWS), 3.0), axis=1)
CASES["reduce_all"] = lambda lib, r: lib.reduce_all(lib.greater(r(ROWS), -4.0), axis=1)
CASES["reduce-deep"] = lambda lib, r: lib.reduce_sum(r(DEEP), axis=2)

BLOCKS = [[[1.0, 2.0]], [], [[3.0, 4.0], [-5.0, 6.0], [0.5, 0.25]]]  # [3, (rows), 2]
LEVELS = [[[1.0, 2.0], [3.0, 1.0]], [], [[4.0, 5.0, 6.0]]]  # [3, (rows), (columns)]


def _blocks(lib):
    return lib.ragged.constant(BLOCKS, ragged_rank=1, inner_shape=(2,))


DENSE = np.arange(12.0, dtype="f").reshape(3, 2, 2)
CASES |= {
    "tile": lambda lib, r: lib.tile(r(ROWS), [2, 3]),
    "tile-none": lambda lib, r: lib.tile(r(ROWS), [1, 0]),
    "tile-blocks": lambda lib, r: lib.tile(_blocks(lib), [2, 2, 3]),
    "tile-deep": lambda lib, r: lib.tile(r(DEEP), [2, 3, 2]),
    "cumsum-deep": lambda lib, r: lib.cumsum(r(DEEP), 1),
    "softmax": lambda lib, r: lib.nn.softmax(r(ROWS)),
    "softmax-deep": lambda lib, r: lib.nn.softmax(r(LEVELS)),
    "softmax-blocks": lambda lib, r: lib.nn.softmax(_blocks(lib)),
    "lookup": lambda lib, r: lib.nn.embedding_lookup(lib.constant(DENSE[0].repeat(2, 0)),
                                                     r(INTS)),
    "matmul-dense": lambda lib, r: lib.matmul(_blocks(lib), DENSE),
    "matmul-dense-b": lambda lib, r: lib.matmul(_blocks(lib), DENSE, transpose_b=True),
    "matmul-dense-first": lambda lib, r: lib.matmul(DENSE, _blocks(lib), transpose_b=True),
    "matmul-both-t": lambda lib, r: lib.matmul(_blocks(lib), _blocks(lib), transpose_b=True),
    "matmul-t-both": lambda lib, r: lib.matmul(_blocks(lib), _blocks(lib), transpose_a=True),
    "matmul-levels": lambda lib, r: lib.matmul(r(LEVELS), r(LEVELS), transpose_b=True),
    "matmul-levels-t": lambda lib, r: lib.matmul(r(LEVELS), r(LEVELS), transpose_a=True),
    "matmul-matrix": lambda lib, r: lib.matmul(r(LEVELS[0]), DENSE[0]),
    "matmul-more": lambda lib, r: lib.matmul(
        lib.stack([_blocks(lib)] * 2), lib.stack([_blocks(lib)] * 2), transpose_b=True
    ),
}  # fmt: skip
for _more in ({}, {"exclusive": True}, {"reverse": True}, {"exclusive": True, "reverse": True}):
    for _axis in (0, 1, -1):
        CASES[f"cumsum-{_axis}-{len(_more)}-{'reverse' in _more}"] = (
            lambda lib, r, a=_axis, m=_more: lib.cumsum(r(ROWS), a, **m)
        )
    CASES[f"cumsum-blocks-{len(_more)}-{'reverse' in _more}"] = lambda lib, r, m=_more: (
        lib.cumsum(_blocks(lib), 2, **m)
    )
for _part in range(2):
    for _sizes, _along in ((2, 0), ([1, 3], 0), ([0, 4], 0)):
        CASES[f"split-{_sizes}-{_part}"] = lambda lib, r, n=_sizes, a=_along, k=_part: (
            lib.split(r(ROWS), n, a)[k]
        )
    CASES[f"split-blocks-{_part}"] = lambda lib, r, k=_part: lib.split(_blocks(lib), 2, 2)[k]
    CASES[f"split-inner-{_part}"] = lambda lib, r, k=_part: lib.split(_blocks(lib), [2, 0], -1)[
        k
    ]


@pytest.mark.parametrize("name", CASES)
def test_ragged_forms_are_tensorflows(tf, name):
    ours, theirs = (CASES[name](lib, lib.ragged.constant) for lib in (hr, tf))
    if hasattr(theirs, "to_list"):
        assert hasattr(ours, "to_list"), f"{ours} is not ragged"
        if theirs.dtype.is_floating:
            np.testing.assert_allclose(
                ours.flat_values.numpy(), theirs.flat_values.numpy(), rtol=1e-6
            )
            splits = [s.numpy().tolist() for s in theirs.nested_row_splits]
            assert [s.numpy().tolist() for s in ours.nested_row_splits] == splits
        else:
            assert ours.to_list() == theirs.to_list()
    else:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
    assert ours.dtype.name == theirs.dtype.name


def test_gradients_and_traces():
    @hr.function
    def loss(x):
        return hr.reduce_sum(hr.square(hr.reduce_sum(hr.multiply(x, 2.0), axis=1)))

    rt = hr.ragged.constant(ROWS)
    assert loss(rt).numpy() == pytest.approx(0 + 64 + 121)
    with hr.GradientTape() as tape:
        tape.watch(rt.flat_values)
        y = hr.reduce_sum(hr.square(rt), axis=1)
    grad = tape.gradient(y, rt.flat_values)
    np.testing.assert_allclose(grad.numpy(), 2 * rt.flat_values.numpy())


def test_other_errors_stay():
    with pytest.raises(hr.errors.InvalidArgumentError, match="broadcast"):
        hr.add(hr.ragged.constant(ROWS), hr.ones([4, 3]))
    with pytest.raises((TypeError, ValueError)):
        hr.add(object(), 1)


REFUSED = {
    "split ragged": lambda lib, r: lib.split(r(ROWS), 2, 1),
    "split none": lambda lib, r: lib.split(r(ROWS), 0),
    "split uneven": lambda lib, r: lib.split(r(ROWS), 3),
    "split short": lambda lib, r: lib.split(r(ROWS), [1, 2]),
    "split negative": lambda lib, r: lib.split(r(ROWS), [-1, 5]),
    "argmax": lambda lib, r: lib.argmax(r(ROWS), 1),
    "matmul ragged": lambda lib, r: lib.matmul(r(ROWS), r(ROWS)),
    "matmul ranks": lambda lib, r: lib.matmul(_blocks(lib), DENSE[0]),
    "matmul dtypes": lambda lib, r: lib.matmul(_blocks(lib), lib.cast(_blocks(lib), "float64")),
    "matmul sizes": lambda lib, r: lib.matmul(_blocks(lib), _blocks(lib)),
    "matmul both": lambda lib, r: lib.matmul(
        _blocks(lib), DENSE, transpose_a=True, adjoint_a=True
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_of_tensorflows_kind(tf, name):
    with pytest.raises(Exception) as theirs:
        REFUSED[name](tf, tf.ragged.constant)
    kind = getattr(hr.errors, type(theirs.value).__name__, type(theirs.value))
    with pytest.raises(kind):
        REFUSED[name](hr, hr.ragged.constant)


FORMS = {
    "tile": lambda x: hr.tile(x, [1, 2]),
    "cumsum": lambda x: hr.cumsum(x, 1),
    "softmax": lambda x: hr.nn.softmax(x, -1),
    "softmax-0": lambda x: hr.nn.softmax(x, 0),
    "split": lambda x: hr.split(x, 2)[1],
    "matmul": lambda x: hr.matmul(hr.expand_dims(x, 2), hr.expand_dims(x, 2), False, True),
}


@pytest.mark.parametrize("name", FORMS)
def test_gradients_of_forms_are_the_same_in_a_trace(name):
    """With unknown numbers of rows; and equal to differences."""
    weights = np.random.default_rng(2).normal(size=100)

    def loss(values, splits):
        x = hr.RaggedTensor.from_row_splits(values, splits)
        with hr.GradientTape() as tape:
            tape.watch(values)
            flat = FORMS[name](
                hr.RaggedTensor.from_row_splits(values, x.row_splits)
            ).flat_values
            total = hr.reduce_sum(flat * weights[: hr.size(flat)])
        return total, hr.convert_to_tensor(tape.gradient(total, values))

    values, splits = np.array([0.3, -1.0, 2.0, 0.5, 1.5]), np.array([0, 2, 2, 3, 5])
    total, gradient = loss(hr.constant(values), hr.constant(splits))
    specs = [hr.TensorSpec([None], hr.float64), hr.TensorSpec([None], hr.int64)]
    traced = hr.function(
        lambda v, s: FORMS[name](hr.RaggedTensor.from_row_splits(v, s)).flat_values,
        input_signature=specs,
    )(values, splits)
    assert float(total) == pytest.approx(
        float((traced.numpy() * weights[: traced.shape[0]]).sum())
    )
    for k in range(5):
        ends = []
        for step in (1e-6, -1e-6):
            moved = values.copy()
            moved[k] += step
            ends.append(float(loss(hr.constant(moved), hr.constant(splits))[0]))
        assert float(gradient[k]) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_softmax_across_rows():
    """TensorFlow refuses this where rows differ in length."""
    weights = hr.exp(hr.ragged.constant(ROWS)).to_tensor().numpy()
    with np.errstate(invalid="ignore"):
        want = weights / weights.sum(0)
    found = hr.nn.softmax(hr.ragged.constant(ROWS), 0)
    np.testing.assert_allclose(found.to_tensor().numpy(), np.nan_to_num(want), rtol=1e-6)
