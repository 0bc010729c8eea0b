"""Write `cupy_names.txt`: what CuPy's public functions are called and take, read from an
installed CuPy (no device is needed).  Its test double, `cupy_double.py`, has these only.

    pip install cupy-cuda13x==14.2.* ml_dtypes && python tests/ops/make_cupy_names.py
"""

import inspect
from pathlib import Path

import cupy
import cupyx.scipy.fft
import cupyx.scipy.special


def parameters(function):
    """The parameters' names, None where Python does not know them."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in found]


def lines(prefix, module):
    """A line per function and universal function of a module."""
    for name in sorted(dir(module)):
        value = getattr(module, name)
        if name.startswith("_") or isinstance(value, type) or not callable(value):
            continue
        if isinstance(value, cupy.ufunc):
            yield f"{prefix}{name} ufunc {' '.join(value.types)}"
        else:
            taken = parameters(value)
            yield f"{prefix}{name} function {' '.join(['*', '**'] if taken is None else taken)}"


def main():
    """Write the table beside this file."""
    methods = [n for n in dir(cupy.ndarray) if not n.startswith("_") or n.startswith("__")]
    text = [f"version {cupy.__version__}", "methods " + " ".join(methods)]
    for prefix, module in (
        ("", cupy),
        ("linalg.", cupy.linalg),
        ("fft.", cupy.fft),
        ("lib.stride_tricks.", cupy.lib.stride_tricks),
        ("special.", cupyx.scipy.special),
        ("scipy_fft.", cupyx.scipy.fft),
    ):
        text += lines(prefix, module)
    Path(__file__).with_name("cupy_names.txt").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
