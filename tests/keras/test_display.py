"""What is printed: progress bar and summary."""

import io
import re

import numpy as np
import pytest

from headrace import keras
from headrace.keras.utils import progbar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progbar, "time", clock)
    return clock


def plain(text):
    return re.sub(r"\x1b\[\d+m", "", text)


def test_bar_shows_count_bar_eta_and_metrics(monkeypatch, clock):
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    bar = keras.utils.Progbar(4)
    clock.now += 1
    bar.update(1, [("loss", 0.5)])
    clock.now += 2
    bar.update(2, [("loss", 0.25), ("tiny", 1e-5)])
    assert plain(out.getvalue()).split("\r")[1:] == [
        "1/4 " + "━" * 20 + " 3s 1s/step - loss: 0.5000",
        "2/4 " + "━" * 20 + " 4s 2s/step - loss: 0.2500 - tiny: 1.0000e-05",
    ]
    clock.now += 2
    bar.update(4, [("loss", 0.125)])
    last = plain(out.getvalue()).split("\r")[-1]
    assert (
        last.startswith("4/4 " + "━" * 20 + " 5s 1s/step - loss: 0.1250") and last[-1] == "\n"
    )


def test_bar_is_not_redrawn_too_often(monkeypatch, clock):
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    bar = keras.utils.Progbar(100, interval=0.05)
    for step in range(1, 50):
        clock.now += 0.01
        bar.update(step)
    assert 9 <= out.getvalue().count("\r") <= 11


def test_file_gets_finished_lines_only(capsys):
    bar = keras.utils.Progbar(3)
    for step in (1, 2, 3):
        bar.update(step, [("loss", 1.0)])
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "\x1b" not in out and out.startswith("3/3 ━")


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_verbosity_of_fit(capsys, verbose):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((64, 2)), np.ones((64, 1)), epochs=2, verbose=verbose)
    lines = capsys.readouterr().out.splitlines()
    if verbose == 0:
        assert lines == []
        return
    assert lines[0] == "Epoch 1/2" and lines[2] == "Epoch 2/2" and len(lines) == 4
    pattern = {
        1: r"2/2 ━{20} 0s \d+[um]s/step - loss: ",
        2: r"2/2 - 0s - \d+[um]s/step - loss: ",
    }
    assert re.match(pattern[verbose], lines[1])


def test_unknown_length_becomes_known(capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = ((np.ones((4, 2)), np.ones((4, 1))) for _ in range(5))
    model.fit(batches, verbose=2)
    assert capsys.readouterr().out.startswith("5/5 - ")


def test_summary_of_a_stack(capsys):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="d"),
            keras.layers.BatchNormalization(name="a_rather_long_name_for_it"),
        ],
        name="net",
    )
    model.summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "net"'
    assert lines[2].split() == [
        "┃",
        "Layer",
        "(type)",
        "┃",
        "Output",
        "Shape",
        "┃",
        "Param",
        "#",
        "┃",
    ]
    assert lines[4].split() == ["│", "d", "(Dense)", "│", "(None,", "3)", "│", "15", "│"]
    assert lines[-3:] == [
        " Total params: 27 (108.00 B)",
        " Trainable params: 21 (84.00 B)",
        " Non-trainable params: 6 (24.00 B)",
    ]
    assert len({len(line) for line in lines[1:-3]}) == 1  # the frame is straight


def test_summary_of_a_graph_shows_connections():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    out = keras.layers.Concatenate(name="c")([keras.layers.Dense(2, name="d")(a), b])
    text = []
    keras.Model([a, b], out).summary(print_fn=text.append, show_trainable=True)
    assert (
        "Connected to" in text[0] and "d[0][0], b[0][0]" in text[0] and "Trainable" in text[0]
    )


def test_summary_of_a_subclass():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, name="dd")

        def call(self, x):
            return self.dense(x)

    net, text = Net(), []
    net.summary(print_fn=text.append)
    assert "0 (unbuilt)" in text[0]
    net(np.ones((1, 3)))
    net.summary(print_fn=text.append)
    assert "(None, 2)" in text[1] or "(1, 2)" in text[1]


def test_to_categorical():
    np.testing.assert_array_equal(
        keras.utils.to_categorical([0, 2, 1]), [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    )
    assert keras.utils.to_categorical([[1], [0]], 4).shape == (2, 4)
    with pytest.raises(ValueError, match="from 0 to 1, got numbers from 0 to 2"):
        keras.utils.to_categorical([0, 2], 2)


def test_normalize():
    got = keras.utils.normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(got, [[0.6, 0.8], [0.0, 0.0]])


def test_summary_of_chosen_layers_and_nested_models():
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner"
    )
    model = keras.Sequential(
        [
            keras.Input((4,)),
            inner,
            keras.layers.Dense(2, name="b"),
            keras.layers.Dense(1, name="c"),
        ]
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_weights)
    text = []
    model.summary(
        print_fn=text.append, expand_nested=True, layer_range=["inner", "b"], line_length=100
    )
    assert "│    └ deep (Dense)" in text[0] and "c (Dense)" not in text[0]
    assert "Optimizer params: 54" in text[0]
    assert {len(line) for line in text[0].splitlines() if "│" in line} == {100}
    with pytest.raises(ValueError, match="layer_range must be the names"):
        model.summary(layer_range=["inner", "nope"])


def test_bar_of_unknown_length(monkeypatch, clock):
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    bar = keras.utils.Progbar(None, stateful_metrics=["s", "odd", "none"])
    bar.update(1, [("mean", 1.0), ("s", 1.0)])
    clock.now += 1
    bar.add(1, [("mean", 3.0), ("s", 3.0), ("odd", "text"), ("none", None)])
    shown = plain(out.getvalue()).split("\r")[-1]
    assert shown.startswith("2/Unknown 1s 1s/step - mean: 2.0000 - s: 3.0000 - odd: text")


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (65, "1:05"), (3725, "1:02:05")], ids=str
)
def test_durations(seconds, text):
    assert progbar._duration(seconds) == text


def test_step_times():
    assert [progbar._step_time(s) for s in (2.4, 0.0123, 0.000045)] == ["2s", "12ms", "45us"]
