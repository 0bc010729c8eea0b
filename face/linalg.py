"""`hr.linalg`: products, norms and matrix functions."""

from ..ops.api import (
    cross,
    diag,
    diag_part,
    einsum,
    eye,
    global_norm,
    l2_normalize,
    matmul,
    matrix_transpose,
    matvec,
    norm,
    tensor_diag,
    tensor_diag_part,
    tensordot,
    trace,
)

__all__ = [
    "cross",
    "diag",
    "diag_part",
    "einsum",
    "eye",
    "global_norm",
    "l2_normalize",
    "matmul",
    "matrix_transpose",
    "matvec",
    "norm",
    "tensor_diag",
    "tensor_diag_part",
    "tensordot",
    "trace",
]
