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
