"""The distribution and the public face: what is installed, what importing costs, the names."""

import importlib
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import headrace as hr

ROOT = Path(hr.__file__).parent
LAZY = (
    "numba",
    "llvmlite",
    "tensorboard",
    "cupy",
    "h5py",
    "pyarrow",
    "google.protobuf",
    "rich",
)
NAMESPACES = (
    "bitwise",
    "config",
    "linalg",
    "math",
    "nn",
    "ragged",
    "random",
    "raw_ops",
    "sparse",
    "strings",
    "train",
)
ROOMS = ("data", "distribute", "io", "keras")


def python(code: str) -> str:
    """What a fresh interpreter prints, run away from the checkout."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.processes
def test_importing_is_quick_and_loads_no_optional_library():
    code = (
        "import time; start = time.process_time(); import headrace, sys;"
        "print(time.process_time() - start);"
        f"print([name for name in {LAZY} if name in sys.modules])"
    )
    seconds, loaded = min(
        (python(code).splitlines() for _ in range(5)), key=lambda o: float(o[0])
    )
    assert float(seconds) < 0.3
    assert loaded == "[]"


@pytest.mark.processes
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_loads_no_compiler_and_no_optional_library(room):
    code = (
        f"import headrace as hr, sys; hr.{room}; hr.add;"
        f"print([name for name in {LAZY} if name in sys.modules])"
    )
    assert python(code).strip() == "[]"


@pytest.mark.processes
@pytest.mark.slow
def test_the_wheel_holds_only_the_package(tmp_path):
    """Built from a copy in a folder of another name, as a clone may be."""
    source = tmp_path / "any-name"
    ignored = shutil.ignore_patterns(
        ".*", "build", "dist", "out", "*.egg-info", "__pycache__", "htmlcov"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("headrace-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [Path(name) for name in archive.namelist()]
    metadata = [name for name in names if name.parts[0].endswith(".dist-info")]
    held = {name.relative_to("headrace") for name in names if name not in metadata}
    assert Path("py.typed") in held
    assert held - {Path("py.typed")} == {
        path.relative_to(source)
        for path in (source / "__init__.py", *source.glob("*/**/*.py"))
        if path.relative_to(source).parts[0] not in ("tests", "benches", "examples", "docs")
        and "build" not in path.parts
    }
    assert any(name.name == "LICENSE" for name in metadata)


def test_every_name_of_the_face_exists():
    listed = dir(hr)
    assert listed == sorted(set(listed))
    assert {"add", "Tensor", "Variable", "GradientTape", "function", "float32"} <= {*listed}
    assert {*ROOMS, *NAMESPACES, "errors", "dtypes", "nest"} <= {*listed}
    assert [name for name in listed if not hasattr(hr, name)] == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_of_a_namespace_exists(namespace):
    module = getattr(hr, namespace)
    listed = dir(module)
    assert module.__doc__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert {*module.__all__} <= {*listed}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("reduce_meen", "hr.reduce_mean"),
        ("uniform", "hr.random.uniform"),
        ("zzzzzz", r"dir\(headrace\)"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(wrong, hint):
    with pytest.raises(AttributeError, match=hint):
        getattr(hr, wrong)


@pytest.mark.processes
def test_star_import_and_from_import_reach_lazy_names():
    code = "from headrace import nn, reduce_mean, data; print(data.__name__, nn.__name__)"
    assert python(code).split() == ["headrace.data", "headrace.face.nn"]


def test_every_module_says_its_purpose():
    modules = pkgutil.walk_packages([str(ROOT)], "headrace.")
    undocumented = [
        module.name
        for module in modules
        if module.name.split(".")[1] in (*ROOMS, "ops", "face", "compat")
        and not (importlib.import_module(module.name).__doc__ or "").strip()
    ]
    assert undocumented == []
