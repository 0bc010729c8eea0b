"""`hr.config`: devices, and running functions eagerly."""

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
