"""Lookup tables and hashes: TensorFlow's results; kernels, blocks and traces give the same."""

import itertools
import operator
import subprocess
import sys

import numpy as np
import pytest

import headrace as hr
from headrace.io import jit
from headrace.ops import lookup_index
from headrace.ops.lookup_fingerprint import fingerprint64
from headrace.ops.lookup_index import KeyIndex
from headrace.ops.string_array import StringArray

WORDS = ["emerson", "lake", "palmer"]


@pytest.fixture(params=["plain", "kernels"])
def form(request, monkeypatch):
    """Each test runs with the NumPy forms and with the compiled ones."""
    if request.param == "plain":
        monkeypatch.setattr(lookup_index, "_kernels", {})
    else:
        assert set(lookup_index._kernels) == {"find", "fingerprints", "place"}, (
            "hr.lookup announces"
        )
        jit.ensure_compiled(300)
    return request.param


def table(m, keys, values, default, value_dtype=None):
    init = m.lookup.KeyValueTensorInitializer(keys, values, value_dtype=value_dtype)
    return m.lookup.StaticHashTable(init, default)


def same(ours, theirs):
    got, want = np.asarray(ours.numpy()), np.asarray(theirs.numpy())
    assert got.tolist() == want.tolist()
    assert ours.dtype.name == theirs.dtype.name
    assert list(ours.shape) == list(theirs.shape)


def kind_of(call):
    """What a call raises: the class's name."""
    with pytest.raises(Exception) as caught:
        call()
    return type(caught.value).__name__


# -- hashes -----------------------------------------------------------------------------------

_RNG = np.random.default_rng(3)
STRINGS = [_RNG.bytes(n) for n in itertools.chain(range(140), (191, 192, 193, 256, 257, 4097))]
BUCKETS = 2**61 - 1  # nearly all bits of a hash show


@pytest.mark.parametrize(
    "hash_of",
    [
        lambda m, x: m.strings.to_hash_bucket_fast(x, BUCKETS),
        lambda m, x: m.strings.to_hash_bucket(x, BUCKETS),
        lambda m, x: m.strings.to_hash_bucket_strong(x, BUCKETS, [7, -(2**62)]),
        lambda m, x: m.strings.to_hash_bucket_fast(x, 10),
        lambda m, x: m.fingerprint(x),
        lambda m, x: m.fingerprint([[b"a", b"bc"], [b"", b"\0"]]),
        lambda m, x: m.fingerprint(np.arange(12, dtype=np.int32).reshape(3, 2, 2)),
    ],
    ids=[
        "fast",
        "legacy",
        "strong",
        "ten buckets",
        "fingerprint",
        "rows of strings",
        "numbers",
    ],
)
def test_hashes_are_tensorflows(tf, form, hash_of):
    same(hash_of(hr, STRINGS), hash_of(tf, STRINGS))


def test_hashes_do_not_depend_on_where_a_string_lies(form):
    data = np.frombuffer(b"".join(STRINGS), np.uint8)
    ends = np.cumsum([len(s) for s in STRINGS])
    packed = StringArray(data, ends - [len(s) for s in STRINGS], ends)
    alone = [lookup_index.tags_of(StringArray.from_values([s])).item() for s in STRINGS]
    assert lookup_index.tags_of(packed).tolist() == alone
    assert fingerprint64(packed[::-1]).view(np.int64).tolist() == alone[::-1]


def test_hashes_of_a_block_in_a_trace_and_in_a_map():
    def bucket(x):
        return hr.strings.to_hash_bucket_fast(x, 97)

    want = bucket(STRINGS).numpy().tolist()
    assert hr.function(bucket)(hr.constant(STRINGS)).numpy().tolist() == want
    dataset = hr.data.Dataset.from_tensor_slices(STRINGS).map(bucket)
    assert "by the block" in dataset.explain()
    assert [int(x) for x in dataset] == want


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.strings.to_hash_bucket_fast(["a"], 0),
        lambda m: m.strings.to_hash_bucket_strong(["a"], 9, [1]),
        lambda m: m.fingerprint("a"),
        lambda m: m.fingerprint(["a"], method="md5"),
    ],
    ids=["no bucket", "half a key", "a scalar", "method"],
)
def test_errors_of_hashes_are_of_tensorflows_kind(tf, call):
    assert kind_of(lambda: call(hr)) == kind_of(lambda: call(tf))


# -- the index --------------------------------------------------------------------------------


@pytest.mark.parametrize("strings", [False, True], ids=["numbers", "strings"])
@pytest.mark.parametrize("seed", range(3))
def test_an_index_is_a_dictionary(form, strings, seed):
    """Random additions, removals and renumberings, many keys alike, against a dict."""
    rng = np.random.default_rng(seed)
    index, rows, count = KeyIndex(strings), {}, 0

    def column(keys):
        if not strings:
            return np.array(keys, np.int64)
        return StringArray.from_values([b"k" * (abs(k) % 40) + b"%d" % k for k in keys])

    for _ in range(150):
        keys = rng.integers(-150, 150, rng.integers(0, 60)).tolist()
        action = rng.choice(["add", "find", "remove", "compact"], p=[0.5, 0.25, 0.2, 0.05])
        if action == "add":
            got = index.add(column(keys)).tolist()
            for key, row in zip(keys, got, strict=True):
                if key not in rows:
                    rows[key], count = count, count + 1
                assert row == rows[key]
        elif action == "find":
            assert index.find(column(keys)).tolist() == [rows.get(k, -1) for k in keys]
        elif action == "remove":
            index.remove(column(keys))
            for key in keys:
                rows.pop(key, None)
        else:
            new = {old: row for row, old in enumerate(index.compact().tolist())}
            rows, count = {k: new[r] for k, r in rows.items()}, len(new)
        assert len(index) == len(rows)


def test_keys_of_one_tag_are_told_apart(form, monkeypatch):
    """Two strings of one fingerprint: nobody has found any, so the index is given them."""
    if form == "kernels":
        pytest.skip("the kernel computes fingerprints itself")
    tags = lambda keys: np.zeros(len(keys), np.int64)  # noqa: E731
    monkeypatch.setattr(lookup_index, "tags_of", tags)
    index = KeyIndex(True)
    words = StringArray.from_values(["a", "b", "a", "cc", "b"])
    assert index.add(words).tolist() == [0, 1, 0, 2, 1]
    index.remove(words[1:2])
    assert index.find(StringArray.from_values(["cc", "b", "a", "d"])).tolist() == [2, -1, 0, -1]


# -- static tables ----------------------------------------------------------------------------

KINDS = {
    "string to int64": (WORDS, np.array([3, 5, 9]), -1, ["lake", "", "palmer"]),
    "string to string": (WORDS, ["x", "", "zz"], "none", ["lake", "", "palmer"]),
    "string to bool": (WORDS, [True, False, True], False, ["lake", "", "palmer"]),
    "int64 to float32": (np.array([1, -2, 2**40]), [0.5, 1.5, -2.5], 9.0, np.array([-2, 0, 1])),
    "int64 to string": (np.array([1, -2, 2**40]), ["a", "b", "c"], "", np.array([2**40, 0, 1])),
    "int32 to int32": ([1, -2, 7], [4, 5, 6], 0, np.array([7, 0, 1], np.int32)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3,), (3, 1), ()], ids=str)
def test_static_tables_are_tensorflows(tf, form, kind, shape):
    keys, values, default, queries = KINDS[kind]
    queries = np.asarray(queries, object if isinstance(queries, list) else None)
    queries = queries[0] if shape == () else queries.reshape(shape)
    ours, theirs = (table(m, keys, values, default) for m in (hr, tf))
    same(ours[hr.constant(queries)], theirs[tf.constant(queries)])
    same(ours.size(), theirs.size())
    pairs = [
        dict(zip(*(x.numpy().tolist() for x in t.export()), strict=True))
        for t in (ours, theirs)
    ]
    assert pairs[0] == pairs[1]
    assert (ours.key_dtype.name, ours.value_dtype.name) == (
        theirs.key_dtype.name,
        theirs.value_dtype.name,
    )


def test_ragged_and_sparse_keys_give_ragged_and_sparse_values():
    ids = table(hr, WORDS, [1, 2, 3], -1)
    ragged = hr.ragged.constant([[["lake"], []], [["x", "palmer"]]])
    assert ids[ragged].to_list() == [[[2], []], [[-1, 3]]]
    sparse = hr.sparse.from_dense([["lake", ""], ["x", "emerson"]])
    found = ids[sparse]
    assert found.values.numpy().tolist() == [2, -1, 1]
    assert found.indices.numpy().tolist() == sparse.indices.numpy().tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda m: table(m, ["a", "a"], [1, 2], 0),
        lambda m: table(m, ["a", "b"], [1], 0),
        lambda m: table(m, ["a"], [1], [0, 0]),
        lambda m: table(m, ["a"], [1], "x"),
        lambda m: table(m, ["a"], [1], 0)[m.constant([1])],
        lambda m: table(m, np.array([1]), [1], 0)[m.constant([1])],
    ],
    ids=["two values", "lengths", "default's shape", "default's dtype", "keys' dtype", "int32"],
)
def test_errors_of_static_tables_are_of_tensorflows_kind(tf, call):
    assert kind_of(lambda: call(hr)) == kind_of(lambda: call(tf))


def test_a_key_may_come_twice_with_one_value():
    assert int(table(hr, ["a", "b", "a"], ["x", "y", "x"], "").size()) == 2
    with pytest.raises(hr.errors.FailedPreconditionError, match=r"Key b has y.*add value z"):
        table(hr, ["a", "b", "b"], ["x", "y", "z"], "")


def test_a_table_cannot_be_made_of_traced_keys():
    with pytest.raises(TypeError, match="make the table outside"):
        hr.function(lambda x: table(hr, x, [1], 0)[x])(hr.constant(["a"]))


# -- buckets for other keys -------------------------------------------------------------------


def vocabulary(m, **options):
    init = m.lookup.KeyValueTensorInitializer(WORDS, [0, 1, 2], value_dtype=m.int64)
    return m.lookup.StaticVocabularyTable(init, 5, **options)


def test_buckets_are_tensorflows(tf, form):
    queries = [w.encode() for w in WORDS] + STRINGS
    same(vocabulary(hr)[hr.constant(queries)], vocabulary(tf)[tf.constant(queries)])
    same(vocabulary(hr).size(), vocabulary(tf).size())
    lone, theirs = (m.lookup.StaticVocabularyTable(None, 7) for m in (hr, tf))
    same(lone[hr.constant(queries)], theirs[tf.constant(queries)])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_buckets_of_numbers_are_tensorflows(tf, form, dtype):
    queries = np.array([10, 20, 0, 100, 99, 7], dtype)

    def ids(m):
        init = m.lookup.KeyValueTensorInitializer(np.array([10, 20]), np.array([0, 1]))
        made = m.lookup.StaticVocabularyTable(init, 3, lookup_key_dtype=m.as_dtype(dtype))
        return made[m.constant(queries)]

    same(ids(hr), ids(tf))


def test_ids_that_are_no_row_numbers_are_as_in_tensorflow(tf):
    """A vocabulary id of -1 is the default's: TensorFlow takes such a key for unknown."""

    def ids(m):
        init = m.lookup.KeyValueTensorInitializer(WORDS, [7, -1, 0], value_dtype=m.int64)
        return m.lookup.StaticVocabularyTable(init, 4)[m.constant([*WORDS, "other"])]

    same(ids(hr), ids(tf))


def test_errors_of_vocabularies_are_of_tensorflows_kind(tf):
    def calls(m):
        init = m.lookup.KeyValueTensorInitializer(WORDS, [0, 1, 2], value_dtype=m.int64)
        short = m.lookup.KeyValueTensorInitializer(WORDS, [0, 1, 2])
        new = m.lookup.StaticVocabularyTable
        return [
            lambda: new(init, 0),
            lambda: new(short, 1),
            lambda: new(init, 1, lookup_key_dtype=m.int64),
            lambda: new(init, 1, lookup_key_dtype=m.float32),
            lambda: new(init, 1)[m.constant([1])],
        ]

    assert [kind_of(c) for c in calls(hr)] == [kind_of(c) for c in calls(tf)]


# -- by the block -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [lambda: table(hr, WORDS, [1, 2, 3], -1), lambda: vocabulary(hr)]
)
def test_a_block_is_looked_up_at_once(form, make):
    queries = [*WORDS * 3, "x", "", "lake"]
    made = make()
    dataset = hr.data.Dataset.from_tensor_slices(queries).map(lambda w: made[w])
    assert "by the block" in dataset.explain()
    want = made[queries].numpy().tolist()
    assert [int(x) for x in dataset] == want
    assert [int(made[q]) for q in queries] == want
    assert hr.function(lambda w: made[w])(hr.constant(queries)).numpy().tolist() == want


def test_a_plans_fingerprint_covers_its_tables():
    def of(ids):
        made = table(hr, WORDS, ids, -1)
        words = hr.data.Dataset.from_tensor_slices(WORDS)
        return int(words.map(lambda w: made[w]).fingerprint())

    assert of([1, 2, 3]) == of([1, 2, 3])
    assert of([1, 2, 3]) != of([1, 2, 4])


# -- tables that change -----------------------------------------------------------------------


def _mutable(m, *args):
    return m.lookup.experimental.MutableHashTable(*args)


def _dense(m, key, value, default):
    special = ("", "$") if key == "string" else (0, -1)
    return m.lookup.experimental.DenseHashTable(key, value, default, *special)


@pytest.mark.parametrize("make", [_mutable, _dense], ids=["mutable", "dense"])
@pytest.mark.parametrize("key", ["int64", "string"])
@pytest.mark.parametrize("width", [(), (2,)], ids=["scalars", "vectors"])
def test_tables_that_change_are_tensorflows(tf, form, make, key, width):
    """Random insertions and removals; every lookup and size agrees."""
    rng = np.random.default_rng(5)
    default = np.full(width, -1.0, np.float32)
    both = [(m, make(m, m.as_dtype(key), m.float32, default)) for m in (hr, tf)]
    for step in range(60):
        numbers = rng.integers(1, 60, rng.integers(1, 12))
        keys = numbers if key == "int64" else np.array([f"k{n}" for n in numbers], object)
        values = rng.random((len(keys), *width), np.float32)
        found = []
        for m, t in both:
            if step % 3 == 0:
                t.remove(m.constant(keys))
            else:
                t.insert(m.constant(keys), m.constant(values))
            found.append((t.lookup(m.constant(keys)), t.size()))
        same(found[0][0], found[1][0])
        same(found[0][1], found[1][1])


def test_string_values_are_replaced_and_forgotten():
    words = _mutable(hr, "int64", "string", "none")
    for step in range(200):
        words.insert([step % 10, 100 + step], [f"value {step}" * 20, "once"])
        words.remove(np.array([100 + step]))
    assert int(words.size()) == 10
    assert words[np.array([3, 103])].numpy().tolist() == [b"value 193" * 20, b"none"]
    assert sorted(words.export()[0].numpy().tolist()) == list(range(10))
    assert words._store._values.data.size < 100_000  # what was replaced is not kept


@pytest.mark.parametrize("default", [7, [7, 8, 9]], ids=["one", "one per key"])
@pytest.mark.parametrize("value", ["int64", "string"])
def test_default_values_of_a_call_are_tensorflows(tf, default, value):
    if value == "string":
        default = "d" if default == 7 else ["d", "e", "f"]

    def found(m):
        key = "string" if value == "int64" else "int64"
        t = _mutable(m, key, value, -1 if value == "int64" else "")
        keys = ["a", "b", "c"] if key == "string" else [1, 2, 3]
        t.insert(keys[1:2], [5] if value == "int64" else ["five"])
        return t.lookup(keys, m.constant(default, value))

    same(found(hr), found(tf))


def test_errors_of_tables_that_change_are_of_tensorflows_kind(tf):
    def calls(m):
        t = _mutable(m, m.string, m.int64, -1)
        wide = _mutable(m, m.int64, m.float32, [0.0, 0.0])
        d = _dense(m, "int64", m.int64, -1)
        dense = m.lookup.experimental.DenseHashTable
        zero, one = m.constant([0], m.int64), m.constant([-1], m.int64)
        return [
            lambda: t.insert(["a", "b"], [1]),
            lambda: t.insert([1], [1]),
            lambda: t.insert(["a"], m.constant([1])),
            lambda: t.remove(m.constant([1])),
            lambda: t.lookup(["a", "b"], m.constant([1, 2, 3], m.int64)),
            lambda: t.lookup(["a"], m.constant([1])),
            lambda: wide.insert([1], [[1.0, 2.0, 3.0]]),
            lambda: d.insert(zero, zero),
            lambda: d.insert(one, zero),
            lambda: d.lookup(zero),
            lambda: d.remove(one),
            lambda: dense(m.int64, m.int64, -1, 0, 0),
            lambda: dense(m.int64, m.int64, -1, 0, -1, initial_num_buckets=3),
            lambda: _mutable(m, m.string, m.int64, "x"),
            lambda: m.raw_ops.LookupTableFindV2(
                table_handle=t.resource_handle, keys=m.constant([1]), default_value=zero
            ),
        ]

    assert [kind_of(c) for c in calls(hr)] == [kind_of(c) for c in calls(tf)]


def test_vectors_as_keys_are_tensorflows(tf):
    def found(m):
        t = m.lookup.experimental.DenseHashTable(m.int64, m.int64, -1, [0, 0], [-1, -1])
        t.insert([[1, 2], [3, 4], [1, 0]], [5, 6, 7])
        t.remove(m.constant([[3, 4]], m.int64))
        return t.lookup(m.constant([[1, 2], [3, 4], [2, 1], [1, 0]], m.int64))

    same(found(hr), found(tf))


def test_a_traced_function_changes_a_table_in_order(tf):
    def seen(m):
        count = _mutable(m, m.string, m.int64, 0)

        @m.function
        def visit(word):
            before = count.lookup(word)
            count.insert(word, before + 1)
            return before, count.lookup(word), count.size()

        return [[int(x) for x in visit(m.constant(w))] for w in ("a", "b", "a", "a")]

    assert seen(hr) == seen(tf)


def test_a_map_that_changes_a_table_runs_in_order():
    count = _mutable(hr, "string", "int64", 0)

    def visit(word):
        before = count.lookup(word)
        count.insert(word, before + 1)
        return before

    words = ["a", "b", "a", "a", "b", "c"] * 50
    numbers = [int(x) for x in hr.data.Dataset.from_tensor_slices(words).map(visit)]
    assert numbers == [words[:k].count(w) for k, w in enumerate(words)]


def test_raw_operations_are_tensorflows(tf):
    def found(m):
        handle = _mutable(m, m.string, m.int64, -1).resource_handle
        raw = m.raw_ops
        ids = m.constant([1, 2], m.int64)
        raw.LookupTableImportV2(table_handle=handle, keys=m.constant(["x", "y"]), values=ids)
        raw.LookupTableInsertV2(table_handle=handle, keys=m.constant(["z", "x"]), values=ids)
        raw.LookupTableRemoveV2(table_handle=handle, keys=m.constant(["y"]))
        keys, values = raw.LookupTableExportV2(
            table_handle=handle, **({"Tkeys": m.string, "Tvalues": m.int64} if m is tf else {})
        )
        none = m.constant(-1, m.int64)
        got = raw.LookupTableFindV2(
            table_handle=handle, keys=m.constant(["x", "y", "z"]), default_value=none
        )
        pairs = sorted(zip(keys.numpy().tolist(), values.numpy().tolist(), strict=True))
        return pairs, got.numpy().tolist(), int(raw.LookupTableSizeV2(table_handle=handle))

    assert found(hr) == found(tf)


def test_threads_may_change_a_table_together():
    from concurrent.futures import ThreadPoolExecutor

    t = _mutable(hr, "int64", "int64", -1)

    def work(k):
        keys = np.arange(k * 100, k * 100 + 100)
        t.insert(keys, keys * 2)
        return (t.lookup(keys).numpy() == keys * 2).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert int(t.size()) == 4000


# -- files ------------------------------------------------------------------------------------

LINE, NUMBER = hr.lookup.TextFileIndex.WHOLE_LINE, hr.lookup.TextFileIndex.LINE_NUMBER


@pytest.mark.parametrize(
    "text,key,value,options",
    [
        ("a\nb\nc\n", ("string", LINE), ("int64", NUMBER), {}),
        ("a\nb\r\nc", ("string", LINE), ("int64", NUMBER), {"vocab_size": 2}),
        ("a\nb\nc", ("string", LINE), ("int64", NUMBER), {"value_index_offset": 3}),
        ("a 10\nb -2\n", ("string", 0), ("int64", 1), {"delimiter": " "}),
        ("a\t1.5\tx\nb\t2\ty\n", ("string", 2), ("float32", 1), {}),
        ("1,a\n2,b\n", ("int64", 0), ("string", 1), {"delimiter": ","}),
        ("7\n9\n", ("int64", LINE), ("int64", NUMBER), {}),
        ("a\nb\n", ("int64", NUMBER), ("string", LINE), {}),
        ("\xff\xe9\nb\n", ("string", LINE), ("int64", NUMBER), {}),
        ("a\n\nb\n", ("string", LINE), ("int64", NUMBER), {}),
        ("a\nb\n", ("string", LINE), ("int64", NUMBER), {"vocab_size": 3}),
        ("a b\nc\n", ("string", 0), ("int64", 1), {"delimiter": " "}),
        ("a b\n", ("string", 0), ("int64", 1), {"delimiter": " "}),
        ("a b\n", ("string", 0), ("string", 1), {"delimiter": "::"}),
        ("a\n", ("int32", NUMBER), ("string", LINE), {}),
        ("a\n", ("string", -3), ("string", LINE), {}),
        ("a\n", ("string", LINE), ("float32", LINE), {}),
        (None, ("string", LINE), ("int64", NUMBER), {}),
    ],
    ids=lambda x: repr(x) if isinstance(x, str) else None,
)
def test_tables_from_files_are_tensorflows(tf, tmp_path, text, key, value, options):
    path = tmp_path / "words.txt"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))

    def content(m):
        (kd, ki), (vd, vi) = key, value
        try:
            init = m.lookup.TextFileInitializer(
                str(path), m.as_dtype(kd), ki, m.as_dtype(vd), vi, **options
            )
            made = m.lookup.StaticHashTable(init, "" if vd == "string" else -1)
        except Exception as error:
            return type(error).__name__
        keys, values = (x.numpy().tolist() for x in made.export())
        return sorted(zip(keys, values, strict=True), key=operator.itemgetter(0))

    assert content(hr) == content(tf)


def test_errors_of_files_name_file_and_line(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("a 1\nb x\n")
    init = hr.lookup.TextFileInitializer(str(path), "string", 0, "int64", 1, delimiter=" ")
    with pytest.raises(hr.errors.InvalidArgumentError, match="Field x in line 1 is not"):
        hr.lookup.StaticHashTable(init, -1)
    init = hr.lookup.TextFileInitializer(str(path), "string", 0, "int64", 2, delimiter=" ")
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"ids.txt line 0 \(a 1\)"):
        hr.lookup.StaticHashTable(init, -1)


def test_names(tf):
    for path in ("lookup", "lookup.experimental"):
        ours, theirs = operator.attrgetter(path)(hr), operator.attrgetter(path)(tf)
        public = {n for n in dir(theirs) if not n.startswith("_")}
        assert public <= set(dir(ours))
        for name in public - {"experimental"}:
            members = {n for n in dir(getattr(theirs, name)) if not n.startswith("_")}
            assert members <= set(dir(getattr(ours, name)))


def test_importing_tables_imports_no_compiler():
    code = (
        "import headrace as hr, sys; hr.lookup.experimental; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
