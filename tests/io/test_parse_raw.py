"""The parsing kernel against the exact parser, TensorFlow and the bounds of its memory."""

import random
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from io_parity import assert_same, attempt, flat
from io_records import entry, example, field, mutated, varint

import headrace as hr
from headrace.io import jit
from headrace.io.parse_plan import ParsePlan
from headrace.io.parse_raw import ParseError, parse_raw
from headrace.ops.string_array import StringArray


def describe(m):
    return {
        "i": m.io.FixedLenFeature([], m.int64),
        "f": m.io.FixedLenFeature([2], m.float32, [1.0, 2.0]),
        "s": m.io.FixedLenFeature([], m.string, "default"),
        "vi": m.io.VarLenFeature(m.int64),
        "vs": m.io.VarLenFeature(m.string),
        "vf": m.io.VarLenFeature(m.float32),
        "ri": m.io.RaggedFeature(m.int64),
        "q": m.io.FixedLenSequenceFeature([2], m.int64, allow_missing=True),
        "a_longer_name": m.io.FixedLenFeature([3], m.int64, [7, 8, 9]),
        "k": m.io.FixedLenFeature([], m.float32, 0.5),
    }


PLAN = ParsePlan.from_features(describe(hr))
INTS = [0, 1, 5, 127, 128, 300, 1 << 31, 1 << 56, 1 << 62, -1, -(1 << 63), (1 << 63) - 1]


def random_record(rng):
    def ints(n):
        return [rng.choice([*INTS, rng.randrange(-(2**63), 2**63)]) for _ in range(n)]

    def floats(n):
        return [rng.random() for _ in range(n)]

    def strings(n):
        return [rng.randbytes(rng.choice([0, 1, 3, 10, 200])) for _ in range(n)]

    makers = {
        "f": lambda: floats(2), "s": lambda: strings(1),
        "vi": lambda: ints(rng.randrange(1, 9)),
        "vs": lambda: strings(rng.randrange(1, 4)), "vf": lambda: floats(rng.randrange(1, 4)),
        "ri": lambda: ints(rng.randrange(1, 12)), "q": lambda: ints(2 * rng.randrange(1, 4)),
        "a_longer_name": lambda: ints(3), "k": lambda: floats(1), "unused": lambda: strings(1),
    }  # fmt: skip
    keys = [key for key in makers if rng.random() < 0.7]
    rng.shuffle(keys)
    record = example(i=ints(1), **{key: makers[key]() for key in keys})
    if rng.random() < 0.2:
        record += example(**{key: makers[key]() for key in keys[:2]})
    return record


def lists(column):
    """A raw column as comparable parts."""
    parts = column if isinstance(column, tuple) else (column,)
    return [np.asarray(p) for p in parts]


def outcome(records, plan=PLAN, single=False):
    try:
        columns = parse_raw(StringArray.from_values(records), plan, single)
        return [lists(c) for c in columns]
    except ParseError as error:
        return error.element_index, str(error)


def plainly(monkeypatch, *args):
    with monkeypatch.context() as patch:
        patch.setattr(jit, "kernel", lambda name: None)
        return outcome(*args)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_records_as_tensorflow_takes_them(tf, compiled, seed):
    rng = random.Random(seed)
    theirs = describe(tf)
    ours = describe(hr)
    for _ in range(200):
        record = random_record(rng)
        if rng.random() < 0.9:
            record = mutated(record, rng)
        if rng.random() < 0.5:
            assert_same(
                flat(attempt(lambda r=record: hr.io.parse_example([r], ours))),
                flat(attempt(lambda r=record: tf.io.parse_example([r], theirs))),
            )
        else:
            assert_same(
                flat(attempt(lambda r=record: hr.io.parse_single_example(r, ours))),
                flat(attempt(lambda r=record: tf.io.parse_single_example(r, theirs))),
            )


@pytest.mark.parametrize("seed", range(4))
def test_kernel_equals_exact_parser(compiled, monkeypatch, seed):
    rng = random.Random(seed)
    for _ in range(60):
        records = [random_record(rng) for _ in range(rng.randrange(1, 12))]
        if rng.random() < 0.5:
            at = rng.randrange(len(records))
            records[at] = mutated(records[at], rng)
        single = rng.random() < 0.5
        assert_same(outcome(records, PLAN, single), plainly(monkeypatch, records, PLAN, single))


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes(data):
    jit.ensure_compiled()
    got = outcome([data])
    keep = jit.kernel
    jit.kernel = lambda name: None
    try:
        assert_same(got, outcome([data]))
    finally:
        jit.kernel = keep


def test_kernel_handles_what_serializers_write(compiled, monkeypatch):
    """The exact parser is not consulted for well-formed records, whatever they hold."""
    rng = random.Random(0)
    records = [random_record(rng) for _ in range(300)]
    # Merged Examples may hold a key twice, which is unusual.
    records = [r for r in records if r.count(b"\x0a\x01i\x12") == 1 and len(r) < 4000]
    plain = {"n": 0}
    import headrace.io.parse_raw as module

    real = module.parse_row

    def counting(*args):
        plain["n"] += 1
        return real(*args)

    monkeypatch.setattr(module, "parse_row", counting)
    outcome(records)
    assert plain["n"] < 0.25 * len(records)
    plain["n"] = 0
    outcome([example(i=[3], s=[b"x"], vi=[1, 2], unused=[b"y"])] * 10)
    assert plain["n"] == 0


@pytest.mark.parametrize("value", [v for n in range(64) for v in (1 << n, (1 << n) - 1)] + INTS)
def test_every_size_of_varint(form, value):
    if value >= 1 << 63:
        value -= 1 << 64
    records = [example(i=[value], vi=[value, 1, value])]
    out = dict(zip((c.key for c in PLAN.columns), outcome(records), strict=True))
    assert out["i"][0].tolist() == [value]
    assert out["vi"][0].tolist() == [value, 1, value]


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 8, 13, 14, 15, 100, 127, 128, 300])
def test_keys_of_every_size(form, size):
    plan = ParsePlan.from_features({"k" * size: hr.io.FixedLenFeature([], "int64")})
    records = [example(**{"k" * size: [n]}) for n in range(5)]
    # A key that differs in its last byte only must not be taken for it.
    if size:
        other = b"k" * (size - 1) + b"j"
        records.insert(2, field(1, entry(other, field(3, field(1, varint(9))))))
        records[2] += example(**{"k" * size: [77]})
        assert outcome(records, plan)[0][0].tolist() == [0, 1, 77, 2, 3, 4]
    else:
        assert outcome(records, plan)[0][0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", range(0, 140, 7))
def test_strings_around_the_length_bytes(form, size):
    text = bytes(range(size))
    columns = outcome([example(i=[1], s=[text]), example(i=[1])])
    out = dict(zip((c.key for c in PLAN.columns), columns, strict=True))
    assert out["s"][0].tolist() == [text, b"default"]


def test_many_features_and_changing_orders(form):
    rng = random.Random(3)
    keys = [f"feature_{n}" for n in range(700)]
    plan = ParsePlan.from_features({k: hr.io.FixedLenFeature([], "int64", -1) for k in keys})
    rows = []
    records = []
    for _ in range(4):
        chosen = rng.sample(keys, 650)
        rows.append({k: rng.randrange(1000) for k in chosen})
        records.append(b"".join(example(**{k: [rows[-1][k]]}) for k in chosen))
    got = outcome(records, plan)
    for column, (values,) in zip(plan.columns, got, strict=True):
        assert values.tolist() == [row.get(column.key, -1) for row in rows]


def test_strings_are_views_of_the_chunk(compiled):
    chunk = StringArray.from_values([example(i=[1], s=[b"abc" * 50], vs=[b"x"])] * 3)
    columns = dict(zip((c.key for c in PLAN.columns), parse_raw(chunk, PLAN), strict=True))
    assert columns["s"].data is chunk.data
    assert columns["vs"][0].data is chunk.data


def test_any_selection_of_a_chunk_can_be_parsed(form):
    records = [example(i=[n], vi=[n] * n) for n in range(10)]
    chunk = StringArray.from_values(records)
    for picked in (slice(None, None, 3), slice(None, None, -1), [4, 4, 1], slice(0, 0)):
        expected = np.arange(10)[picked].tolist()
        columns = dict(zip((c.key for c in PLAN.columns), parse_raw(chunk[picked], PLAN),
                           strict=True))  # fmt: skip
        assert columns["i"].tolist() == expected
        values, splits = columns["vi"]
        assert np.diff(splits).tolist() == expected
        assert values.tolist() == [n for n in expected for _ in range(n)]


def test_bounds_outside_the_buffer_are_not_followed(compiled):
    data = StringArray.from_values([example(i=[1])]).data
    for start, end in ((0, len(data) + 1000), (-5, 3), (4, 2)):
        bad = StringArray(data, np.array([start]), np.array([end]))
        try:
            parse_raw(bad, PLAN)
        except ParseError:
            pass


def test_an_error_tells_the_first_bad_record(form):
    records = [example(i=[n]) for n in range(100)]
    records[70] = example()
    records[80] = b"\xff"
    with pytest.raises(ParseError, match="Feature: i") as caught:
        parse_raw(StringArray.from_values(records), PLAN)
    assert caught.value.element_index == 70
    good = parse_raw(StringArray.from_values(records)[:70], PLAN)
    assert len(good[0]) == 70


def test_threads_share_a_plan(compiled):
    records = StringArray.from_values([example(i=[n], vi=[n, n]) for n in range(500)])
    expected = [lists(c) for c in parse_raw(records, PLAN)]
    failures = []

    def work():
        for _ in range(30):
            try:
                assert_same([lists(c) for c in parse_raw(records, PLAN)], expected)
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_outside_a_record_is_read():
    """Each record ends right before, or starts right after, a page that must not be touched."""
    script = textwrap.dedent(
        """
        import ctypes, mmap, random, sys
        import numpy as np
        import headrace as hr
        sys.path.append(sys.argv[1])
        from io_records import example, mutated, sequence
        from test_parse_raw import PLAN, random_record
        from test_parse_sequence import fuzzed
        from headrace.io import jit
        from headrace.io.parse_raw import ParseError, parse_raw
        from headrace.ops.string_array import StringArray
        from headrace.ops.tensor import Tensor

        jit.ensure_compiled()
        page = mmap.PAGESIZE
        memory = mmap.mmap(-1, 3 * page)
        whole = np.frombuffer(memory, np.uint8)
        address = whole.ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        for guard in (address, address + 2 * page):
            assert libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
        inside = whole[page : 2 * page]
        context, lists = fuzzed(hr)
        rng = random.Random(int(sys.argv[2]))
        crc = jit.kernel("crc_update")
        for n in range(4000):
            if n % 2:
                record = random_record(rng)
            else:
                record = sequence({"c": [rng.randrange(300)]}, a=[[1, 2]] * rng.randrange(3),
                                  b=[[0.5]], s=[[1, 2]] * rng.randrange(3))
            if rng.random() < 0.8:
                record = mutated(record, rng)
            record = record[:page]
            size = len(record)
            low = page - size if rng.random() < 0.7 else 0
            inside[low : low + size] = np.frombuffer(record, np.uint8)
            bounds = np.array([low]), np.array([low + size])
            one = StringArray(inside, *bounds)
            crc(address + page, low, low + size, 0)
            try:
                if n % 2:
                    parse_raw(one, PLAN)
                else:
                    hr.io.parse_sequence_example(Tensor.of(one), context, lists)
            except hr.errors.InvalidArgumentError:
                pass
        print("done")
        """
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script, here, seed],
            capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout == "done\n"
