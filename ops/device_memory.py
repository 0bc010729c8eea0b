"""Memory of devices: what happens when it is used up.

A call that finds no memory is tried once more after the pool's unused blocks were given back.
If that does not help, the error lists the tensors and variables that hold the most.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from .array_module import is_on_device, place_of
from .devices import devices
from .errors import ResourceExhaustedError
from .tensor import SymbolicTensor, Tensor
from .variable import Variable

__all__ = ["guarded", "live_arrays"]

_SHOWN = 10


def guarded(backend: Any, place: int, what: str, work: Callable[[], Any]) -> Any:
    """`work()` on a GPU, which may ask for memory.

    Raises:
        ResourceExhaustedError: there is not enough, even after unused blocks were given back.
    """
    try:
        return work()
    except backend.out_of_memory:
        pass
    # Outside of the handler, whose traceback holds what the failed call had made so far.
    with backend.on(place):
        backend.free()
    try:
        return work()
    except backend.out_of_memory as error:
        text = str(error)
    with backend.on(place):
        backend.free()
    raise ResourceExhaustedError(_told(backend, place, what, text), op=what)


def live_arrays(place: int) -> list[tuple[int, str]]:
    """Size in bytes and description of what lies on a GPU, the largest first; arrays that share
    memory are counted once."""
    backend = devices.backend
    if backend is None:
        return []
    found: dict[int, tuple[int, str]] = {}
    kinds = (Variable, Tensor)
    for each in sorted(
        (o for o in gc.get_objects() if isinstance(o, kinds)),
        key=lambda o: not isinstance(o, Variable),  # a variable's name says more
    ):
        if isinstance(each, SymbolicTensor):
            continue
        array: Any = getattr(each, "_value", None)
        if not is_on_device(array) or place_of(array) != place:
            continue
        start = array.data.ptr
        name = f"variable {each.name!r}" if isinstance(each, Variable) else "tensor"
        text = f"{name} {array.dtype.name}{list(array.shape)}"
        if start not in found or found[start][0] < array.nbytes:
            found[start] = (array.nbytes, text)
    return sorted(found.values(), reverse=True)


def _told(backend: Any, place: int, what: str, text: str) -> str:
    found = live_arrays(place)
    info = backend.memory(place)
    lines = [
        f"{what}: the memory of {devices.name_of(place)} is used up, also after unused blocks "
        f"were given back. {text} In use: {_size(info['current'])}.",
        f"The largest of {len(found)} arrays held by tensors and variables "
        f"({_size(sum(n for n, _ in found))} together):",
    ]
    lines += [f"  {_size(n):>10}  {shown}" for n, shown in found[:_SHOWN]]
    lines.append(
        "Smaller batches, fewer tensors kept (a list of losses keeps them all), or "
        "hr.keras.mixed_precision need less."
    )
    return "\n".join(lines)


def _size(n: int) -> str:
    value = float(n)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
