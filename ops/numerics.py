"""enable_check_numerics: every operation's result is looked at for infinities and NaN.

While it is on, eager calls take the recording path of dispatch and compiled graphs run call by
call (`graph/checked.py`), so that the first operation that makes such a value is named with the
user's line, whatever would have been fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_module import is_on_device
from .context import recording
from .errors import InvalidArgumentError
from .user_line import Place, shown_place

__all__ = ["checking", "checks", "disable_check_numerics", "enable_check_numerics"]

# Calls that move values and make none: what they carry was made by another, or by the user.
_MOVES = frozenset(
    "BatchMatrixBandPart BroadcastTo Concat ConcatV2 Const DynamicPartition DynamicStitch "
    "ExpandDims Fill GatherNd GatherV2 Identity IdentityN Pack Pad PadV2 Placeholder "
    "PlaceholderWithDefault ReadVariableOp ResourceGather Reshape ReverseV2 ScatterNd Select "
    "SelectV2 Slice Split SplitV Squeeze StopGradient StridedSlice Tile Transpose Unpack "
    "ZerosLike".split()
)
# Their statistics have a variance of no rows, which nobody reads.
_SKIPPED_OUTPUTS = {"FusedBatchNormV3": frozenset((1, 2, 3, 4, 5))}


class _Checking:
    """Whether results are looked at, and how much of them a message shows."""

    __slots__ = ("on", "path_length", "stack_height")

    def __init__(self) -> None:
        self.on = False
        self.stack_height = 30
        self.path_length = 50


checking = _Checking()


def enable_check_numerics(stack_height_limit: int = 30, path_length_limit: int = 50) -> None:
    """Raise at the first operation whose floating-point result holds an infinity or NaN.

    It holds for eager operations and for traced functions, those compiled before included,
    on all threads, until `disable_check_numerics`.  Everything runs several times slower.

    Args:
        stack_height_limit: accepted; messages name one line, the user's.
        path_length_limit: the most characters of its file's path that are shown.
    """
    if not checking.on:
        checking.on = True
        recording.enter()
    checking.stack_height, checking.path_length = stack_height_limit, path_length_limit


def disable_check_numerics() -> None:
    """Undo `enable_check_numerics`; without it, nothing happens."""
    if checking.on:
        checking.on = False
        recording.leave()


def checks(
    name: str,
    inputs: tuple[Any, ...],
    outputs: tuple[Any, ...],
    place: Place | None,
    node: str | None = None,
) -> None:
    """Look at the raw results of one call.

    Args:
        name: the primitive's.
        inputs, outputs: raw arrays.
        place: the user's line.
        node: the call's name in its graph; None where it ran eagerly.

    Raises:
        InvalidArgumentError: one holds an infinity or NaN.
    """
    if name in _MOVES:
        return
    skipped = _SKIPPED_OUTPUTS.get(name, ())
    for i, raw in enumerate(outputs):
        out = raw.get() if is_on_device(raw) else raw
        if i in skipped or not _may_be_infinite(out) or bool(np.isfinite(out).all()):
            continue
        raise InvalidArgumentError(
            _text(name, inputs, i, len(outputs), out, place, node), op=name
        )


def _may_be_infinite(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if not isinstance(value, np.ndarray) or dtype is None:
        return False
    return dtype.kind in "fc" or dtype.name in ("bfloat16", "float16")


def _text(
    name: str,
    inputs: tuple[Any, ...],
    index: int,
    count: int,
    out: Any,
    place: Place | None,
    node: str | None,
) -> str:
    kinds = []
    if out.dtype.kind != "c":
        below, above = np.isneginf(out), np.isposinf(out)
        kinds += [("-Inf", int(below.sum())), ("+Inf", int(above.sum()))]
    else:
        kinds.append(("Inf", int(np.isinf(out).sum())))
    kinds.append(("NaN", int(np.isnan(out).sum())))
    found = [f"{n} {kind}" for kind, n in kinds if n]
    how = "eagerly-executing op" if node is None else "graph op"
    lines = [
        f"\n\n!!! Detected Infinity or NaN in output {index} of {how} "
        f'"{name}" (# of outputs: {count}) !!!',
        f"  dtype: {out.dtype.name}",
        f"  shape: {out.shape}",
    ]
    lines += [f"  # of {kind} elements: {n}" for kind, n in kinds if n]
    for i, value in enumerate(inputs):
        shape = getattr(value, "shape", ())
        dtype = getattr(getattr(value, "dtype", None), "name", type(value).__name__)
        text = np.array2string(value, threshold=8) if isinstance(value, np.ndarray) else ""
        lines.append(f"  Input tensor {i}: {dtype}{tuple(shape)} {text}")
    if node is not None:
        lines.append(f"  Graph node: {node}")
    where = shown_place(place)
    if len(where) > checking.path_length:
        where = "..." + where[-checking.path_length :]
    lines.append(f"  Called at: {where or 'unknown'} [Op:{name}] ({', '.join(found)})\n")
    return "\n".join(lines)
