"""What the tests of devices share: every op's cases, run on a GPU or on the test double of CuPy
(`cupy_double`), against what the CPU gives."""

import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import harness
import numpy as np
from harness import _floats, _gradients, _nested, arrays_of, flat, same, values

from headrace.ops import api as hr
from headrace.ops.device_backend import Backend
from headrace.ops.devices import devices

HERE = Path(__file__).parent


class DoubleBackend(Backend):
    """The double's devices."""

    def scipy(self, name):
        """See `Backend.scipy`."""
        import cupy_double

        return getattr(cupy_double, name)


@contextlib.contextmanager
def doubled(count=2):
    """Compute with the test double's devices."""
    import cupy_double

    cupy_double.pool.reset()
    known = devices.backend, devices.why_none
    before, cupy_double.Device.count = cupy_double.Device.count, count
    try:
        devices.use(DoubleBackend(cupy_double.cupy, native=False))
        yield cupy_double
    finally:
        devices.use(*known)
        cupy_double.Device.count = before


def all_cases(modules=None):
    """(module, case) of every table of cases in the tests of ops."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        if "Case" not in path.read_text() or path.name.startswith("test_device"):
            continue
        if modules is not None and path.stem not in modules:
            continue
        name = f"device_cases.{path.stem}"
        module = sys.modules.get(name)
        if module is None:
            if "device_cases" not in sys.modules:  # the parent of their relative imports
                parent = sys.modules["device_cases"] = types.ModuleType("device_cases")
                parent.__path__ = [str(HERE)]
                sys.modules["device_cases.harness"] = harness
            spec = importlib.util.spec_from_file_location(name, path)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        for value in vars(module).values():
            for case in value if isinstance(value, (list, tuple)) else ():
                if isinstance(case, harness.Case):
                    found.setdefault((path.stem, case.id), case)
    return [(module, case) for (module, _), case in found.items()]


def outcome(case, kind=None):
    """Results and, where the case asks for them, gradients, as arrays; float arguments are
    cast to `kind`."""
    arrays = arrays_of(case.args, kind)
    tensors = [hr.constant(a) for a in arrays]
    found = values(case.fn(*tensors))
    floats = _floats(arrays)
    grads = []
    if case.grad and floats and any(f.dtype.kind == "f" for f in found):
        grads = values(_gradients(case, tensors, floats))
    return found, grads


def traced_outcome(case):
    """Results of the case as a compiled function."""
    tensors = [hr.constant(a) for a in arrays_of(case.args)]
    return values(hr.function(lambda *args: case.fn(*args))(*tensors))


def second_outcome(case):
    """Second gradients, where the case has them, of the float arguments."""
    arrays = arrays_of(case.args)
    floats = _floats(arrays)
    if not (case.grad and case.second and floats):
        return []
    if not any(f.dtype.kind == "f" for f in values(case.fn(*[hr.constant(a) for a in arrays]))):
        return []
    try:
        return _nested(hr, case.fn, arrays, floats, 2)
    except LookupError:
        return []  # a primitive that has first gradients only


def compare(case, want, got, tolerances=None):
    """Assert that a device gives what the CPU gave, within the tolerance for the dtype."""
    names = ("value", "gradient", "second gradient")
    for what, theirs, ours in zip(names, want, got, strict=False):
        assert len(theirs) == len(ours)
        for w, g in zip(theirs, ours, strict=True):
            tolerance = (tolerances or {}).get(w.dtype.name)
            tolerance = max(tolerance or 0, case.tolerance or 0) or None
            same(g, w, tolerance, f"{case.id}: {what}")


def places(result):
    """The devices of results."""
    return [r.device for r in flat(result) if hasattr(r, "device")]


__all__ = [
    "all_cases", "compare", "doubled", "np", "outcome", "places", "second_outcome",
    "traced_outcome",
]  # fmt: skip
