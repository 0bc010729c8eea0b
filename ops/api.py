"""Every public operation and type of this room, flat, under TensorFlow's names.

Inside the package: ``from ..ops import api as hr``.  The families' own modules say what is
public in their ``__all__``.
"""

from . import operators as _operators  # noqa: F401  (gives tensors their operators)
from .array_basics import *  # noqa: F403
from .array_index import *  # noqa: F403
from .array_join import *  # noqa: F403
from .array_shape import *  # noqa: F403
from .clip_ops import *  # noqa: F403
from .comparison import *  # noqa: F403
from .composite import spec_of as type_spec_from_value  # noqa: F401
from .context import executing_eagerly, init_scope  # noqa: F401
from .convert import constant, convert_to_tensor, register_tensor_conversion_function  # noqa: F401
from .decode_ops import *  # noqa: F403
from .dtypes import *  # noqa: F403
from .function import ConcreteFunction, function  # noqa: F401
from .indexed_slices import IndexedSlices, IndexedSlicesSpec  # noqa: F401
from .linalg_ops import *  # noqa: F403
from .math_ops import *  # noqa: F403
from .nn_ops import *  # noqa: F403
from .ragged_tensor import RaggedTensor, RaggedTensorSpec  # noqa: F401
from .random_generator import *  # noqa: F403
from .random_ops import *  # noqa: F403
from .reductions import *  # noqa: F403
from .scans import *  # noqa: F403
from .segments import *  # noqa: F403
from .sequences import *  # noqa: F403
from .sparse_tensor import SparseTensor, SparseTensorSpec  # noqa: F401
from .string_ops import *  # noqa: F403
from .tape import GradientTape, UnconnectedGradients  # noqa: F401
from .tensor import Tensor, is_symbolic, is_tensor  # noqa: F401
from .tensor_shape import TensorShape  # noqa: F401
from .tensor_spec import TensorSpec, TypeSpec  # noqa: F401
from .variable import Variable  # noqa: F401
