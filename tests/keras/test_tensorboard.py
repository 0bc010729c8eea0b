"""The TensorBoard callback: its tags are Keras's, and a real TensorBoard shows them."""

from __future__ import annotations

import glob
import gzip
import json
import re

import numpy as np
import pytest

import headrace as hr
from headrace.io.event_files import read_events

RNG = np.random.default_rng(0)
X = RNG.standard_normal((32, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def model_of(lib=hr.keras):
    model = lib.Sequential(
        [lib.Input((4,)), lib.layers.Dense(3, name="hidden"), lib.layers.Dense(1, name="top")]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def fit(model, folder, epochs=2, **options):
    board = hr.keras.callbacks.TensorBoard(folder, **options)
    model.fit(X, Y, 8, epochs, verbose=0, callbacks=[board], validation_data=(X, Y))
    return board


def values(folder):
    """``(tag, step, value)`` of every summary in a folder, in order."""
    return [
        (v.tag, e.step, v)
        for path in sorted(glob.glob(f"{folder}/events*"))
        for e in read_events(path)
        for v in e.summary.value
    ]


def tags(folder):
    return {(tag, step) for tag, step, _ in values(folder)}


def graph_of(folder):
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    (path,) = glob.glob(f"{folder}/events*")
    (found,) = [e.graph_def for e in read_events(path) if e.graph_def]
    return GraphDef.FromString(found)


def test_epochs_have_metrics_and_the_learning_rate(tmp_path):
    history = None
    model = model_of()
    fit(model, tmp_path)
    history = model.history.history
    found = {(t, s): np.frombuffer(v.tensor.tensor_content, np.float32)
             for t, s, v in values(tmp_path / "train") if t.startswith("epoch")}  # fmt: skip
    assert set(found) == {(f"epoch_{n}", e) for n in ("loss", "mae", "learning_rate")
                          for e in (0, 1)}  # fmt: skip
    for epoch in (0, 1):
        assert found["epoch_loss", epoch] == np.float32(history["loss"][epoch])
    assert {("epoch_loss", 1), ("evaluation_mae_vs_iterations", 8)} <= tags(
        tmp_path / "validation"
    )


@pytest.mark.parametrize("freq, steps", [("batch", range(1, 9)), (3, (3, 6)), ("epoch", ())])
def test_batches(tmp_path, freq, steps):
    fit(model_of(), tmp_path, update_freq=freq, write_graph=False)
    found = {s for t, s in tags(tmp_path / "train") if t == "batch_loss"}
    assert found == set(steps)


def test_a_layers_own_summaries_go_to_the_writer_of_the_loop(tmp_path):
    class Watched(hr.keras.layers.Layer):
        def call(self, x):
            hr.summary.scalar("mean", hr.reduce_mean(x))
            return x

    model = hr.keras.Sequential([hr.keras.Input((4,)), Watched(), hr.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    for name in "ab":  # the second time with a trace made for the first
        fit(model, tmp_path / name, update_freq=2)
    for name in "ab":
        found = {s for t, s in tags(tmp_path / name / "train") if t.endswith("mean")}
        assert found == {2, 4, 6, 8}
        assert any(t.endswith("mean") for t, _ in tags(tmp_path / name / "validation"))
    assert hr.summary.experimental.get_step() is None


def test_the_graph_is_grouped_by_layer(tmp_path):
    model = model_of()
    fit(model, tmp_path, epochs=1)
    names = [n.name for n in graph_of(tmp_path / "train").node]
    for scope in (f"{model.name}/hidden/", f"gradient_tape/{model.name}/top/", "loss/",
                  f"{model.optimizer.name}/", f"{model.name}/hidden/kernel"):  # fmt: skip
        assert any(n.startswith(scope) for n in names), (scope, names)
    ((_, _, layers),) = [v for v in values(tmp_path / "train") if v[0] == "keras"]
    described = json.loads(layers.tensor.string_val[0])
    assert described["class_name"] == "Sequential"


def test_weights_as_histograms_and_images(tmp_path):
    model = model_of()
    fit(model, tmp_path, epochs=3, histogram_freq=2, write_images=True)
    names = [w.name[:-2] for w in model.weights if w.shape != (1,)]  # one pixel is no image
    wanted = {(f"{n}/{kind}", e) for n in names for kind in ("histogram", "image")
              for e in (0, 2)}  # fmt: skip
    assert wanted <= tags(tmp_path / "train")
    (image,) = [
        v for t, s, v in values(tmp_path / "train") if s == 2 and "hidden/kernel/im" in t
    ]
    assert image.tensor.string_val[:2] == [b"4", b"3"]


def test_eager_steps_have_no_graph(tmp_path):
    model = model_of()
    model.compile("sgd", "mse", run_eagerly=True)
    fit(model, tmp_path, epochs=1)
    assert not [
        e for p in glob.glob(f"{tmp_path}/train/events*") for e in read_events(p) if e.graph_def
    ]


def test_steps_per_second(tmp_path):
    fit(model_of(), tmp_path, write_steps_per_second=True, update_freq=1)
    found = tags(tmp_path / "train")
    assert ("epoch_steps_per_second", 1) in found and ("batch_steps_per_second", 8) in found


def test_embeddings(tmp_path):
    model = hr.keras.Sequential(
        [hr.keras.Input((2,)), hr.keras.layers.Embedding(5, 3, name="words"),
         hr.keras.layers.Flatten(), hr.keras.layers.Dense(1)]
    )  # fmt: skip
    model.compile("sgd", "mse")
    board = hr.keras.callbacks.TensorBoard(
        tmp_path, embeddings_freq=1, embeddings_metadata={"words": "words.tsv"}
    )
    ids = RNG.integers(0, 5, (8, 2))
    model.fit(ids, np.zeros((8, 1), np.float32), verbose=0, callbacks=[board])
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'metadata_path: "words.tsv"' in config
    table = np.loadtxt(tmp_path / "embeddings" / "words.tsv", delimiter="\t")
    np.testing.assert_allclose(table, model.layers[0].embeddings.numpy(), rtol=1e-6)
    assert (tmp_path / "train" / "keras_embedding.ckpt-0.weights.h5").exists()
    wrong = hr.keras.callbacks.TensorBoard(
        tmp_path, embeddings_freq=1, embeddings_metadata={"wrods": "words.tsv"}
    )
    with pytest.raises(ValueError, match=r"\['wrods'\].*the model's are \['words'\]"):
        wrong.set_model(model)


def chrome_events(folder):
    """Name -> the events of it, of the only profile in a folder."""
    (path,) = glob.glob(f"{folder}/plugins/profile/*/*.trace.json.gz")
    with gzip.open(path, "rt") as file:
        made = json.load(file)["traceEvents"]
    found = {}
    for event in made:
        if event["ph"] == "X":
            found.setdefault(event["name"], []).append(event)
    return found


@pytest.mark.parametrize(
    "batches, steps",
    [
        (1, [1]),
        (2, [2]),
        ((2, 4), [2, 3, 4]),
        ("1,3", [1, 2, 3]),
        ((4, 5), [4, 5]),
        ((7, 99), [7, 8]),
    ],
)
def test_profile(tmp_path, batches, steps):
    model = model_of()
    dataset = hr.data.Dataset.from_tensor_slices((X, Y)).map(lambda x, y: (x + 1, y)).batch(8)
    board = hr.keras.callbacks.TensorBoard(tmp_path, profile_batch=batches, write_graph=False)
    model.fit(dataset, epochs=2, verbose=0, callbacks=[board], validation_data=(X, Y))
    found = chrome_events(tmp_path / "train")
    assert [e["args"]["step_num"] for e in found["train"]] == steps
    products = found[f"{model.name}/hidden/MatMul:MatMul"]
    assert len(products) >= len(steps)
    for step in found["train"]:  # waits for its input, once, and computes
        inside = (step["ts"], step["ts"] + step["dur"])
        assert 1 == sum(
            inside[0] <= wait["ts"] and wait["ts"] + wait["dur"] <= inside[1]
            for wait in found["IteratorGetNext"]
        )
    if steps == [4, 5]:  # the second epoch begins in it
        assert any(name.startswith("Iterator::") for name in found)
    assert glob.glob(f"{tmp_path}/train/plugins/profile/*/*.xplane.pb")


def test_a_profile_of_batches_that_never_come(tmp_path):
    fit(model_of(), tmp_path, profile_batch=100)
    assert not glob.glob(f"{tmp_path}/train/plugins")


@pytest.mark.parametrize("wrong", [-1, (3, 2), (1, 2, 3), "a", "1,2,3", None])
def test_profile_batch_is_checked(wrong):
    with pytest.raises(ValueError, match=r"profile_batch must be.*Found"):
        hr.keras.callbacks.TensorBoard(profile_batch=wrong)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_tags_are_keras_own(tmp_path):
    import keras

    options = {"histogram_freq": 1, "write_images": True, "update_freq": 2,
               "write_steps_per_second": True, "write_graph": True}  # fmt: skip
    for lib, name in ((hr.keras, "ours"), (keras, "theirs")):
        board = lib.callbacks.TensorBoard(str(tmp_path / name), **options)
        model = model_of(lib)
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[board],
                  validation_data=(X, Y))  # fmt: skip
    for part in ("train", "validation"):
        ours, theirs = (
            # Keras puts a Sequential model's name before its layers' weights.
            {(re.sub(r"^sequential[_0-9]*/", "", t), s) for t, s in tags(tmp_path / n / part)}
            for n in ("ours", "theirs")
        )
        # Keras counts the speed of batches whose scalars it does not write.
        assert ours - theirs == set()
        assert {t for t in theirs - ours if "per_second" not in t[0]} == set()


@pytest.fixture(scope="module")
def board(tmp_path_factory, tensorboard_client):
    """A real TensorBoard that shows a training with everything on."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    folder = tmp_path_factory.mktemp("logs")
    with hr.summary.create_file_writer(folder / "train").as_default(step=0):
        hr.summary.experimental.write_raw_pb(
            hparams_pb({"units": 3, "rate": 0.1}, trial_id="first").SerializeToString()
        )
    model = hr.keras.Sequential(
        [hr.keras.Input((2,)), hr.keras.layers.Embedding(5, 3, name="words"),
         hr.keras.layers.Flatten(), hr.keras.layers.Dense(4, name="hidden"),
         hr.keras.layers.Dense(1, name="top")], name="reader"
    )  # fmt: skip
    model.compile("sgd", "mse")
    ids, y = RNG.integers(0, 5, (32, 2)), np.zeros((32, 1), np.float32)
    data = hr.data.Dataset.from_tensor_slices((ids, y)).map(lambda i, y: (i, y + 1)).batch(8)
    shown = hr.keras.callbacks.TensorBoard(
        folder, histogram_freq=1, write_images=True, embeddings_freq=1, profile_batch=(4, 6)
    )
    model.fit(data, epochs=2, verbose=0, callbacks=[shown], validation_data=(ids, y))
    client = tensorboard_client(folder)
    client.wait("plugin/scalars/tags", lambda r: "epoch_loss" in r.get("validation", ()))
    client.table = model.layers[0].embeddings.numpy()
    client.kernel = model.get_layer("hidden").kernel.numpy()
    return client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorBoard's own
class TestRealTensorBoard:
    """The data of each tab, as the browser asks for it."""

    def test_scalars(self, board):
        assert "epoch_learning_rate" in board.json("plugin/scalars/tags")["train"]
        rows = board.json("plugin/scalars/scalars", run="train", tag="epoch_loss")
        assert [r[1] for r in rows] == [0, 1]

    def test_time_series(self, board):
        tags = board.json("plugin/timeseries/tags")
        assert "epoch_loss" in tags["scalars"]["runTagInfo"]["validation"]

    def test_histograms_and_distributions(self, board):
        tag = "hidden/kernel/histogram"
        assert tag in board.json("plugin/histograms/tags")["train"]
        rows = board.json("plugin/histograms/histograms", run="train", tag=tag)
        assert [step for _, step, _ in rows] == [0, 1]
        assert sum(count for _, _, count in rows[-1][2]) == board.kernel.size
        assert tag in board.json("plugin/distributions/tags")["train"]
        rows = board.json("plugin/distributions/distributions", run="train", tag=tag)
        low, high = rows[-1][2][0][1], rows[-1][2][-1][1]
        np.testing.assert_allclose((low, high), (board.kernel.min(), board.kernel.max()), 1e-5)

    def test_images(self, board):
        tag = "hidden/kernel/image"
        assert tag in board.json("plugin/images/tags")["train"]
        found = board.json("plugin/images/images", run="train", tag=tag, sample=0)
        assert [entry["step"] for entry in found] == [0, 1]
        image = board.get("plugin/images/individualImage?" + found[-1]["query"])
        assert image.startswith(b"\x89PNG")

    def test_graphs(self, board):
        info = board.json("plugin/graphs/info")["train"]
        assert info["run_graph"] and info["tags"]["keras"]["conceptual_graph"]
        conceptual = board.get(
            "plugin/graphs/graph", run="train", tag="keras", conceptual="true"
        ).decode()
        assert "hidden" in conceptual and "top" in conceptual
        graph = board.get("plugin/graphs/graph", run="train").decode()
        assert "gradient_tape/reader/hidden" in graph and "reader/words" in graph

    def test_hparams(self, board):
        experiment = board.post("plugin/hparams/experiment", {})
        assert {h["name"] for h in experiment["hparamInfos"]} == {"units", "rate"}

    def test_projector(self, board):
        (run,) = board.json("plugin/projector/runs")
        (entry,) = board.json("plugin/projector/info", run=run)["embeddings"]
        assert entry["tensorShape"] == [5, 3]
        raw = board.get("plugin/projector/tensor", run=run, name=entry["tensorName"])
        table = np.frombuffer(raw, np.float32).reshape(5, 3)
        np.testing.assert_allclose(table, board.table, rtol=1e-6)

    def test_profile(self, board):
        pytest.importorskip("xprof", reason="needs the plugin of the profile tab, xprof")
        (run,) = board.json("plugin/profile/runs")
        assert "input_pipeline_analyzer" in board.json("plugin/profile/run_tools", run=run)
        (host,) = board.json("plugin/profile/hosts", run=run, tag="overview_page")

        def tool(tag):
            return board.json("plugin/profile/data", run=run, tag=tag, host=host["hostname"])

        tables = {
            t["cols"][0]["id"]: t["rows"] for t in tool("input_pipeline_analyzer") if t["cols"]
        }
        steps = {r["c"][0]["v"].split()[-1] for r in tables["stepnum"]}
        assert steps == {"4", "5", "6", "0"}  # and the first of the validation between them
        assert "Iterator::Batch" in {r["c"][0]["v"] for r in tables["opName"]}
        names = {r["c"][3]["v"] for r in tool("framework_op_stats")[0]["rows"]}
        assert "reader/hidden/MatMul" in names
