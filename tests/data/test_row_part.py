"""Functions of which a part has no batched form give the same elements, by the block."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

import headrace as hr
from headrace.data.functions import UserFunction
from headrace.ops.errors import InvalidArgumentError


def jpeg(height, width, seed):
    pixels = np.random.default_rng(seed).integers(
        0, 256, (height // 8, width // 8, 3), np.uint8
    )
    out = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(out, "JPEG")
    return out.getvalue()


FILES = [jpeg(40 + k % 7 * 8, 64 + k % 5 * 8, k) for k in range(30)]
LABELS = np.arange(30)


def source():
    return hr.data.Dataset.from_tensor_slices((FILES, LABELS))


def train(file, label):
    image = hr.image.resize(hr.io.decode_jpeg(file, channels=3), [32, 24])
    return (image - 127.5) / 58.0, hr.one_hot(label, 30)


def by_the_block(function, elements=None):
    """The function in its block form; fails if it has none."""
    spec = (elements or source()).element_spec
    made = UserFunction(function, spec).vectorized()
    assert made.mode == "block", made.why_not
    return made


def eagerly(function):
    return [
        function(hr.constant(f), hr.constant(n)) for f, n in zip(FILES, LABELS, strict=True)
    ]


def equal(got, want):
    for a, b in zip(got, want, strict=True):
        for x, y in zip(hr.nest.flatten(a), hr.nest.flatten(b), strict=True):
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-5, atol=1e-5)


def test_decode_and_resize_run_by_the_block():
    by_the_block(train)
    equal(source().map(train), eagerly(train))
    images = [image.shape for image, _ in source().map(train).batch(8)]
    assert images == [(8, 32, 24, 3)] * 3 + [(6, 32, 24, 3)]


def test_images_of_different_sizes_are_results():
    def decode(file, label):
        return hr.io.decode_jpeg(file), label * 2

    by_the_block(decode)
    equal(source().map(decode), eagerly(decode))
    shapes = {image.shape.as_list()[0] for image, _ in source().map(decode)}
    assert len(shapes) == 7


def test_sizes_computed_from_the_image_stay_with_it():
    def middle(file, label):
        image = hr.io.decode_jpeg(file, channels=3)
        size = hr.shape(image)[:2] // 2
        image = hr.image.resize(hr.image.central_crop(image, 0.5), size)
        return hr.image.resize_with_crop_or_pad(image, 20, 20), hr.reduce_max(size), label

    by_the_block(middle)
    equal(source().map(middle), eagerly(middle))


def test_small_results_and_what_does_not_touch_the_image_are_batched():
    calls = []

    def note(x):
        calls.append(x.shape)
        return x + 1

    def mixed(file, label):
        mean = hr.reduce_mean(hr.cast(hr.io.decode_jpeg(file), hr.float32))
        return mean * 2.0 + 1.0, hr.numpy_function(
            note, [label], hr.int64
        ) if False else label + 1

    by_the_block(mixed)
    equal(source().map(mixed), eagerly(mixed))


def test_each_image_has_its_own_draws_whatever_the_blocks():
    hr.random.set_seed(4)

    def flip(file, label):
        image = hr.image.resize(hr.io.decode_jpeg(file, channels=3), [16, 16])
        return hr.image.random_flip_left_right(image, seed=3), label

    plain = [image.numpy() for image, _ in source().map(flip)]
    batched = np.concatenate([image.numpy() for image, _ in source().map(flip).batch(7)])
    np.testing.assert_array_equal(np.stack(plain), batched)
    still = [hr.image.resize(hr.io.decode_jpeg(f, channels=3), [16, 16]).numpy() for f in FILES]
    kept = [np.array_equal(a, b) for a, b in zip(plain, still, strict=True)]
    turned = [np.array_equal(a[:, ::-1], b) for a, b in zip(plain, still, strict=True)]
    assert all(a != b for a, b in zip(kept, turned, strict=True))
    assert 5 < sum(kept) < 25


def test_a_bad_image_is_named_and_those_before_it_are_delivered():
    files = [*FILES[:20], b"\xff\xd8\xff broken", *FILES[20:]]
    dataset = hr.data.Dataset.from_tensor_slices((files, np.arange(31))).map(train)
    seen = []
    with pytest.raises(InvalidArgumentError, match=r"Invalid JPEG data.*element 20 of train"):
        for _, label in dataset:
            seen.append(int(np.argmax(label)))
    assert seen == list(range(20))
    rest = [int(np.argmax(n)) for _, n in dataset.ignore_errors()]
    assert rest == [*range(20), *range(21, 30), 0]  # one_hot of 30 is all zeros


def test_parsed_records_are_decoded_by_the_block(tmp_path):
    path = str(tmp_path / "images.tfrecord")
    with hr.io.TFRecordWriter(path) as writer:
        for file, label in zip(FILES, LABELS.tolist(), strict=True):
            feature = {
                "image": hr.train.Feature(bytes_list=hr.train.BytesList(value=[file])),
                "label": hr.train.Feature(int64_list=hr.train.Int64List(value=[label])),
            }
            example = hr.train.Example(features=hr.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    features = {
        "image": hr.io.FixedLenFeature([], hr.string),
        "label": hr.io.FixedLenFeature([], hr.int64),
    }

    def parse(record):
        example = hr.io.parse_single_example(record, features)
        return train(example["image"], example["label"])

    records = hr.data.TFRecordDataset(path)
    by_the_block(parse, records)
    equal(records.map(parse), eagerly(train))


def test_batches_that_are_kept_keep_their_values():
    """The arrays of batches nobody holds are used again, and only those."""
    dataset = hr.data.Dataset.from_tensor_slices((FILES * 8, np.tile(LABELS, 8)))
    big = dataset.map(lambda f, n: (hr.image.resize(hr.io.decode_jpeg(f), [128, 128]), n))
    for part in (slice(None), slice(3, 4)):
        kept = [(image[part], image.numpy()[part]) for image, _ in big.batch(16)]
        for image, copy in kept:
            np.testing.assert_array_equal(image.numpy(), copy)


def test_the_rest_after_any_element_is_the_same():
    whole = [int(np.argmax(n)) for _, n in source().map(train)]
    for position in (0, 1, 11, 29, 30):
        iterator = iter(source().map(train))
        for _ in range(position):
            next(iterator)
        fresh = iter(source().map(train))
        fresh.restore(iterator.state())
        assert [int(np.argmax(n)) for _, n in fresh] == whole[position:]


def test_decoding_does_not_hold_the_lock_of_python():
    """Another thread goes on while a large image is decoded."""
    large = hr.constant(jpeg(2048, 2048, 1))
    hr.io.decode_jpeg(large)
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = counted[0]
        for _ in range(3):
            hr.io.decode_jpeg(large)
        during = counted[0] - before
    finally:
        stop.set()
        thread.join()
    # With the lock held throughout, the other thread would get a turn between calls at most.
    assert during > 2000


def test_batches_are_whole_blocks_though_the_source_gives_fewer_rows(monkeypatch, tmp_path):
    """Inputs are joined before images are made of them; an error in between comes in its place
    and after any element the state has all that is left."""
    good = [FILES[k % 30] for k in range(100)]
    path = tmp_path / "images.tfrecord"
    with hr.io.TFRecordWriter(str(path)) as writer:
        for file in good:
            writer.write(file + b"\0" * 40_000)  # few records to a chunk of the file

    def small(file):
        return hr.image.resize(hr.io.decode_jpeg(file, channels=3), [8, 8])

    dataset = hr.data.TFRecordDataset(str(path)).map(small)
    sizes = []
    run = UserFunction.run_block
    monkeypatch.setattr(
        UserFunction,
        "run_block",
        lambda self, block, first=0: sizes.append(block.num_rows) or run(self, block, first),
    )
    whole = np.concatenate([b.numpy() for b in dataset.batch(32)])
    assert max(sizes) == 32
    assert sum(sizes) == 100
    equal(whole, [small(hr.constant(f)) for f in good])

    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 255  # a damaged record
    path.write_bytes(data)
    for position in (0, 33, 60):
        iterator = iter(dataset.batch(1))
        for k in range(position):
            np.testing.assert_array_equal(next(iterator).numpy()[0], whole[k])
        fresh = iter(dataset.batch(1))
        fresh.restore(iterator.state())
        seen = position
        with pytest.raises(hr.errors.DataLossError):
            for batch in fresh:
                np.testing.assert_array_equal(batch.numpy()[0], whole[seen])
                seen += 1
        assert 70 <= seen <= 76


def flipped(image):
    return hr.image.random_flip_left_right(image, seed=3)


@pytest.mark.parametrize(
    "finish",
    [
        lambda image: image,
        lambda image: image / 255.0,
        lambda image: (image - 127.5) / 58.0,
        lambda image: flipped(image),
        lambda image: (flipped(image) - 127.5) / 58.0,
        lambda image: (image - hr.constant([120.0, 110.0, 100.0])) / 60.0,
        lambda image: hr.cast(image, "uint8"),
        lambda image: hr.image.flip_up_down(image) * 2.0,
        lambda image: hr.reduce_mean(image),
    ],
    ids=[
        "plain",
        "scaled",
        "normal",
        "flip",
        "flip_normal",
        "channels",
        "cast",
        "up",
        "number",
    ],
)
@pytest.mark.parametrize("side", [40, 64])
def test_results_written_into_the_column_have_the_bits_of_single_ones(finish, side):
    """Also for the images that already have the size."""

    def function(file):
        image = hr.io.decode_jpeg(file, channels=3)
        return finish(hr.image.resize(image, [side, 64]))

    files = hr.data.Dataset.from_tensor_slices(FILES)
    options = hr.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    one_by_one = [x.numpy() for x in files.map(function).with_options(options)]
    for _ in range(2):  # kernels may come in between
        by_blocks = np.concatenate([b.numpy() for b in files.map(function).batch(7)])
        np.testing.assert_array_equal(by_blocks, one_by_one)


def test_an_error_in_the_last_operation_of_a_row_names_element_and_operation():
    def function(file):
        image = hr.io.decode_jpeg(file, channels=3)
        return hr.ensure_shape(hr.image.resize(image, hr.shape(image)[:2]), [40, 64, 3]) / 2.0

    dataset = hr.data.Dataset.from_tensor_slices(FILES[:4]).map(function)
    with pytest.raises(InvalidArgumentError, match="element 1"):
        list(dataset)
