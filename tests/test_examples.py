"""The examples run as a user would run them and reach what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

import headrace as hr

EXAMPLES = Path(hr.__file__).parent / "examples"

# Each example asserts its own results; here stands what it must have said, and its options.
SAID = {
    "click_features": (["parses 6 of 41 components", "accuracy"], []),
    "images": (
        ["by the block", "epoch 2: 100 images", "mean of the last"],
        ["--images", "100"],
    ),
    "parquet": (
        ["4 of 20 columns", "row groups with distance_km > 0.5", "resumed", "written"],
        [],
    ),
    "resuming": (["exit -9", "goes on at step 98", "equal, bit for bit"], []),
    "sql": (["accuracy", "257 digits whose writer is known"], []),
    "text": (["words; ids come in batches", "the same, ragged", "lines told apart"], []),
    "image_classifier": (["always the commonest kind", "taken for a"], []),
    "text_classifier": (["46 words", "A bag of words", "LSTM "], []),
    "seq2seq": (["of the dates are right"], []),
    "autoencoder": (["principal components", "shuffled pictures"], []),
    "transformer": (["bits per letter", "a dataset "], []),
    "custom_training": (["steps a second", "radii are off"], []),
    "transfer": (["from scratch", "frozen base"], []),
    "two_tower": (["recall at ten", "nearest to one of their topic"], []),
    "tabular": (["always the mean", "'bicycle': 'cargo'"], []),
    "time_series": (["as the day before", "in 12 hours"], []),
    "digits": (["label", "tf_record", "accuracy", "bottleneck", "again"], []),
}
NEEDS = {
    "digits": ("sklearn", "matplotlib"),
    "sql": ("sklearn",),
    "autoencoder": ("sklearn",),
    "transfer": ("sklearn",),
}
LEAVES = {
    "digits": ["curves.png", "digits.weights.h5", "train-00003-of-00004.tfrecord"],
    "images": ["thumbnail.png"],
    "parquet": ["dear.parquet"],
    "text": ["vocabulary.txt"],
    "text_classifier": ["reviews.keras"],
    "seq2seq": ["dates.weights.h5"],
    "autoencoder": ["encoder.keras", "decoder.keras"],
    "transformer": ["writer.keras"],
    "transfer": ["reader.keras"],
    "time_series": ["forecast.keras"],
    "tabular": ["journeys.keras"],
}


def test_every_example_is_tried():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(300)  # some train for ten seconds, on a machine of their own
@pytest.mark.parametrize("name", SAID)
def test_example(name, tmp_path):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module, reason="needs the extra `demo`")
    said, options = SAID[name]
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    command += ["--out", str(tmp_path), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for text in said:
        assert text in done.stdout, f"{text!r} is missing from the output:\n{done.stdout}"
    for file in LEAVES.get(name, ()):
        found = (tmp_path / file).read_bytes()
        assert found and (not file.endswith(".png") or found.startswith(b"\x89PNG"))
