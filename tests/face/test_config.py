"""`hr.config`: devices, and running functions eagerly."""

import pytest

import headrace as hr


def test_devices_are_listed_as_tensorflow_lists_them(tf):
    ours = hr.config.list_physical_devices("CPU")
    theirs = tf.config.list_physical_devices("CPU")
    assert [tuple(each) for each in ours] == [tuple(each) for each in theirs]
    assert [tuple(each) for each in hr.config.list_logical_devices()] == [
        tuple(each) for each in tf.config.list_logical_devices("CPU")
    ]
    assert hr.config.list_physical_devices("TPU") == []


def test_functions_run_eagerly_only_while_told_to():
    traces = []

    @hr.function
    def double(x):
        traces.append(hr.executing_eagerly())
        return x + x

    assert hr.config.functions_run_eagerly() is False
    hr.config.run_functions_eagerly(True)
    try:
        assert hr.config.functions_run_eagerly() is True
        double(hr.constant(1))
        double(hr.constant(2))
    finally:
        hr.config.run_functions_eagerly(False)
    double(hr.constant(1))
    double(hr.constant(2))
    assert traces == [True, True, False]


def test_threads():
    threading = hr.config.threading
    assert threading.get_intra_op_parallelism_threads() == 0
    try:
        threading.set_intra_op_parallelism_threads(3)
        threading.set_inter_op_parallelism_threads(2)
        assert threading.get_intra_op_parallelism_threads() == 3
        assert threading.get_inter_op_parallelism_threads() == 2
        with pytest.raises(ValueError, match="-1"):
            threading.set_intra_op_parallelism_threads(-1)
    finally:
        threading.set_intra_op_parallelism_threads(0)
        threading.set_inter_op_parallelism_threads(0)
