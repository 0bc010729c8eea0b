"""Object files placed by our loader: the same functions as by LLVM's, and only whole ones."""

import ctypes
import functools
import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from headrace.ops import kernel_cache, object_code, object_file
from headrace.ops.graph import llvm

pytestmark = pytest.mark.skipif(
    not object_code._runs_here(), reason="the loader is for POSIX systems on x86-64"
)

# Each makes a function "run" of an i64, which gives an i64, and needs relocations of its kind.
CODE = {
    "constants": """
        define i64 @run(i64 %x) {
            %a = sitofp i64 %x to double
            %b = fmul double %a, 0x3FF3C0CA428C1D2B
            %c = bitcast double %b to i64
            ret i64 %c
        }""",
    "functions of the C library": """
        declare double @exp(double)
        declare ptr @memcpy(ptr, ptr, i64)
        define i64 @run(i64 %x) {
            %from = alloca [500 x i64]
            %to = alloca [500 x i64]
            %a = sitofp i64 %x to double
            %b = fdiv double %a, 1.0e3
            %c = call double @exp(double %b)
            store double %c, ptr %from
            %n = add i64 %x, 2000
            call ptr @memcpy(ptr %to, ptr %from, i64 %n)
            %r = load i64, ptr %to
            ret i64 %r
        }""",
    "the address of a function elsewhere": """
        declare i64 @labs(i64)
        define i64 @run(i64 %x) {
            %bits = ptrtoint ptr @labs to i64
            %r = xor i64 %bits, %x
            ret i64 %r
        }""",
    "functions of its own": """
        define internal i64 @twice(i64 %x) noinline { %r = mul i64 %x, 2
            ret i64 %r }
        define i64 @thrice(i64 %x) noinline { %r = mul i64 %x, 3
            ret i64 %r }
        define i64 @run(i64 %x) {
            %a = call i64 @twice(i64 %x)
            %b = call i64 @thrice(i64 %a)
            ret i64 %b
        }""",
    "a table of functions": """
        @table = constant [2 x ptr] [ptr @less, ptr @more]
        define i64 @less(i64 %x) { %r = sub i64 %x, 7
            ret i64 %r }
        define i64 @more(i64 %x) { %r = add i64 %x, 9
            ret i64 %r }
        define i64 @run(i64 %x) {
            %i = and i64 %x, 1
            %at = getelementptr [2 x ptr], ptr @table, i64 0, i64 %i
            %f = load ptr, ptr %at
            %r = call i64 %f(i64 %x)
            ret i64 %r
        }""",
    "variables": """
        @set = global i64 12
        @zero = global [2000 x i64] zeroinitializer
        @common = common global i64 0, align 64
        @hidden = internal global i64 3, align 32
        define i64 @run(i64 %x) {
            store volatile i64 %x, ptr @common
            store volatile i64 %x, ptr getelementptr ([2000 x i64], ptr @zero, i64 0, i64 1999)
            %a = load volatile i64, ptr @set
            %b = load volatile i64, ptr @zero
            %c = load volatile i64, ptr @common
            %d = load volatile i64, ptr @hidden
            %ab = add i64 %a, %b
            %cd = mul i64 %c, %d
            %r = add i64 %ab, %cd
            store volatile i64 5, ptr @hidden
            store volatile i64 3, ptr @hidden
            ret i64 %r
        }""",
    "a jump table": "define i64 @run(i64 %x) {\n%i = and i64 %x, 7\n"
    + "switch i64 %i, label %other ["
    + "".join(f"i64 {i}, label %case{i}\n" for i in range(7))
    + "]\nother: ret i64 %x\n"
    + "".join(
        f"case{i}:\ncall void asm sideeffect \"\", \"\"()\n%r{i} = mul i64 %x, {i * i + 11}\n"
        f"%s{i} = xor i64 %r{i}, {7919 * i}\nret i64 %s{i}\n"
        for i in range(7)
    )
    + "}",
}  # fmt: skip
MODELS = {"pic": ("pic", "default"), "large": ("default", "large")}  # ours and Numba's
ARGUMENTS = (-1999, -1000, -3, *range(17), 1000)


def emitted(ir, reloc="pic", model="default"):
    import llvmlite.binding as binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    with object_code.compiler_lock:
        target = binding.Target.from_default_triple()
        machine = target.create_target_machine(jit=True, reloc=reloc, codemodel=model)
        return llvm._compile(binding, machine, ir)


def function(address):
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)


@pytest.fixture
def only_ours(monkeypatch):
    monkeypatch.setattr(object_code, "_linked_by_llvm", lambda code, names: pytest.fail("LLVM"))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("ir", CODE.values(), ids=CODE.keys())
def test_both_loaders_give_the_same_function(ir, model, monkeypatch):
    code = emitted(ir, *model)
    (theirs,) = object_code._linked_by_llvm(code, ("run",))
    monkeypatch.setattr(object_code, "_linked_by_llvm", lambda code, names: pytest.fail("LLVM"))
    (ours,) = object_code.load(code, "run")
    assert ours != theirs
    for x in ARGUMENTS:
        assert function(ours)(x) == function(theirs)(x)


def test_the_cases_cover_the_relocations():
    kinds = set()
    for ir in CODE.values():
        for model in MODELS.values():
            kinds |= {r.kind for r in object_file.parse(emitted(ir, *model)).relocations}
    assert kinds >= {1, 2, 4, 42}  # 64, PC32, PLT32, REX_GOTPCRELX


@pytest.mark.parametrize("kind", [9, 41, 42])  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
def test_addresses_are_read_from_the_table(kind, only_ours):
    code = bytearray(emitted(CODE["the address of a function elsewhere"]))
    at = code.index((42).to_bytes(4, "little"), code.index(b"\x7fELF") + 64)
    code[at] = kind
    (run,) = object_code.load(bytes(code), "run")
    labs = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value
    assert function(run)(0) == labs


def permissions(address):
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, kinds = line.split()[:2]
        start, _, end = span.partition("-")
        if int(start, 16) <= address < int(end, 16):
            return kinds
    return None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_nothing_is_writable_and_executable():
    symbols = object_code._linked(emitted(CODE["variables"]))
    assert permissions(symbols["run"]) == "r-xp"
    assert permissions(symbols["set"]) == permissions(symbols["zero"]) == "rw-p"


def test_threads_load_at_the_same_time(only_ours):
    codes = [emitted(ir) for ir in CODE.values()]
    expected = [function(object_code._linked(code)["run"])(6) for code in codes]
    found, start = {}, threading.Barrier(8)

    def work(i):
        start.wait()
        found[i] = [function(object_code.load(c, "run")[0])(6) for c in codes * 10]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected * 10] * 8


# -- what goes to LLVM -----------------------------------------------------------------------


def with_unknown_relocation(code):
    file = object_file.parse(code)
    relocation = file.relocations[0]
    entry = relocation.offset.to_bytes(8, "little") + relocation.kind.to_bytes(4, "little")
    at = code.index(entry) + 8
    return code[:at] + (200).to_bytes(4, "little") + code[at + 4 :]


REFUSED = {
    "another relocation": (with_unknown_relocation, "relocation of type 200"),
    "another machine": (lambda code: code[:18] + b"\xb7\0" + code[20:], "not a relocatable"),
    "32 bits": (lambda code: code[:4] + b"\1" + code[5:], "not a relocatable"),
    "Mach-O": (lambda code: b"\xcf\xfa\xed\xfe" + code[4:], "not a relocatable"),
    "nothing": (lambda code: b"", "damaged"),
    "half of it": (lambda code: code[: len(code) // 2], "damaged"),
    "text": (lambda code: b"no object file" * 50, "not a relocatable"),
}


@pytest.mark.parametrize(("change", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_known_is_refused(change, match, monkeypatch):
    code = change(emitted(CODE["constants"]))
    with pytest.raises(object_file.UnknownObjectError, match=match):
        object_code._linked(code)
    monkeypatch.setattr(object_code, "_linked_by_llvm", lambda code, names: (len(names),))
    assert object_code.load(code, "run") == (1,)


REFUSED_CODE = {
    "a thread's variable": "@t = thread_local global i64 4\n"
    "define i64 @run(i64 %x) { %r = load i64, ptr @t\nret i64 %r }",
    "a symbol nobody has": "declare i64 @headrace_has_no_such_function(i64)\n"
    "define i64 @run(i64 %x) { %r = call i64 @headrace_has_no_such_function(i64 %x)\n"
    "ret i64 %r }",
}


@pytest.mark.parametrize("ir", REFUSED_CODE.values(), ids=REFUSED_CODE.keys())
def test_code_that_takes_more_than_placing_is_refused(ir):
    with pytest.raises(object_file.UnknownObjectError):
        object_code._linked(emitted(ir))


def test_what_is_refused_runs_by_llvm():
    code = emitted(CODE["functions of its own"], "pic", "large")
    with pytest.raises(object_file.UnknownObjectError, match="relocation of type"):
        object_code._linked(code)
    (run,) = object_code.load(code, "run")
    assert function(run)(7) == 42


def test_a_system_that_forbids_executable_memory_leaves_it_to_llvm(monkeypatch):
    def refuse(address, size):
        raise PermissionError(13, "mprotect")

    code = emitted(CODE["constants"])
    expected = function(object_code.load(code, "run")[0])(5)
    monkeypatch.setattr(object_code, "_make_executable", refuse)
    with pytest.raises(object_file.UnknownObjectError, match="cannot be placed"):
        object_code._linked(code)
    assert function(object_code.load(code, "run")[0])(5) == expected


def test_a_function_that_is_not_there():
    with pytest.raises(KeyError, match="walk"):
        object_code.load(emitted(CODE["constants"]), "walk")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_object_is_placed_or_refused(data):
    code = bytearray(whole_object())
    for at in data.draw(st.lists(st.integers(0, len(code) - 1), min_size=1, max_size=4)):
        code[at] = data.draw(st.integers(0, 255))
    code = code[: data.draw(st.integers(0, len(code)))] if data.draw(st.booleans()) else code
    with pytest.MonkeyPatch.context() as patch:
        for module in (object_code, object_file):
            patch.setattr(module, "LARGEST", 1 << 16)
        try:
            object_code._linked(bytes(code))  # not run
        except object_file.UnknownObjectError:
            pass


@functools.cache
def whole_object():
    return emitted(CODE["variables"])


# -- the cache -------------------------------------------------------------------------------


DAMAGE = {
    "the first byte": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "a byte of code": lambda data: data[:120] + bytes([data[120] ^ 4]) + data[121:],
    "the last byte": lambda data: data[:-1] + bytes([data[-1] ^ 128]),
    "its end": lambda data: data[:-10],
    "everything": lambda data: b"",
    "a file without a check": lambda data: data[32:],
}


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """The kernels compiled while a test runs, with a cache of its own."""
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path))
    found, compile_ = [], llvm._compile
    monkeypatch.setattr(llvm, "_compile", lambda *a: found.append(1) or compile_(*a))
    return found


def loaded():
    addresses = []
    llvm.load("run", CODE["constants"], addresses.append)
    return function(addresses[0])


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_made_again_and_never_loaded(damage, compiled, tmp_path, only_ours):
    expected = loaded()(3)
    assert loaded()(3) == expected
    assert len(compiled) == 1
    (path,) = tmp_path.rglob("*.o")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert loaded()(3) == expected
    assert len(compiled) == 2
    assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]


def test_another_cpu_or_compiler_has_kernels_of_its_own(compiled, monkeypatch, tmp_path):
    loaded()
    monkeypatch.setattr(kernel_cache, "machine", lambda: "another")
    loaded()
    assert len(compiled) == len(list(tmp_path.rglob("*.o"))) == 2


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    kernel_cache.write(tmp_path / "a" / "k", b"first")

    def full(self, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            kernel_cache.write(tmp_path / "a" / "k", b"second")
    assert kernel_cache.read(tmp_path / "a" / "k") == b"first"
    assert os.listdir(tmp_path / "a") == ["k"]


def test_the_machine_is_known_without_llvm_as_with_it(monkeypatch):
    """What code asks for means the same on systems that do not describe the CPU."""
    here = kernel_cache.cpu_features()
    monkeypatch.setattr(kernel_cache, "_cpu_of_linux", dict)
    by_llvm = kernel_cache.cpu_features.__wrapped__()
    for feature in ("avx2", "fma", "avx512f"):
        assert (feature in here) == (feature in by_llvm)
    assert "llvmlite" in sys.modules and kernel_cache.machine.__wrapped__()


# -- a warm start ----------------------------------------------------------------------------

WARM = """
    import hashlib, sys
    import numpy as np
    import headrace as hr
    from headrace.io import jit
    from headrace.ops import object_code
    from headrace.ops.graph import llvm

    class Block:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("llvmlite", "numba"):
                raise ImportError(f"{name} is blocked")

    blocked, path = sys.argv[1] == "blocked", sys.argv[2]
    if blocked:
        sys.meta_path.insert(0, Block())
    names, place = [], object_code._linked
    def linked(code):
        names.extend(found := place(code))
        return found
    object_code._linked = linked
    assert jit.ensure_compiled()

    out = hashlib.sha256()

    @hr.function
    def chain(x):
        return hr.tanh(x * 2.0 + 1.0) / (1.0 + hr.exp(-x))

    x = hr.constant(np.linspace(-4, 4, 100_000, dtype=np.float32))
    chain(x)
    llvm.wait()
    out.update(chain(x).numpy().tobytes())

    features = {
        "image": hr.io.FixedLenFeature([], hr.string),
        "label": hr.io.FixedLenFeature([], hr.int64),
    }
    def parse(record):
        example = hr.io.parse_single_example(record, features)
        image = hr.cast(hr.io.decode_raw(example["image"], hr.uint8), hr.float32) / 255.0
        return image, example["label"]

    for _ in range(2):  # by the plain forms, while kernels come, and by the kernels
        dataset = hr.data.TFRecordDataset(path).map(parse).shuffle(100, seed=7).batch(64)
        for image, label in dataset:
            out.update(image.numpy().tobytes() + label.numpy().tobytes())
        ints = hr.data.Dataset.range(30_000).shuffle(1000, seed=3).batch(1000)
        out.update(np.concatenate([b.numpy() for b in ints]).tobytes())
        llvm.wait()
    assert any(name.startswith("k") for name in names), names
    assert {"exchange"} < set(names), names
    assert any("parse_examples" in name for name in names), names
    if blocked:
        assert not {"llvmlite", "numba"} & set(sys.modules)
    print(out.hexdigest())
"""


@pytest.mark.processes
@pytest.mark.slow
def test_a_warm_start_needs_neither_llvmlite_nor_numba(tmp_path):
    import headrace as hr

    path = str(tmp_path / "images.tfrecord")
    with hr.io.TFRecordWriter(path) as writer:
        for i in range(600):
            image = hashlib.sha256(bytes([i % 256])).digest() * 4
            feature = {
                "image": hr.train.Feature(bytes_list=hr.train.BytesList(value=[image])),
                "label": hr.train.Feature(int64_list=hr.train.Int64List(value=[i])),
            }
            example = hr.train.Example(features=hr.train.Features(feature=feature))
            writer.write(example.SerializeToString())

    def run(mode):
        source = textwrap.dedent(WARM)
        done = subprocess.run(
            [sys.executable, "-c", source, mode, path],
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run("open") == run("blocked")


def test_a_place_too_large_for_the_machine_is_damage():
    code = bytearray(whole_object())
    code[40:48] = b"\xff" * 8  # where the section headers begin
    with pytest.raises(object_file.UnknownObjectError, match="damaged"):
        object_file.parse(bytes(code))
