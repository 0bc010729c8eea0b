"""Every public operation and type of this room, flat, under TensorFlow's names.

Inside the package: ``from ..ops import api as hr``.  The families' own modules say what is
public in their ``__all__``; a name imported `as` itself is one that type checkers pass on.
"""

from .array_basics import *  # noqa: F403
from .array_broadcast import *  # noqa: F403
from .array_gather import *  # noqa: F403
from .array_group import *  # noqa: F403
from .array_index import *  # noqa: F403
from .array_join import *  # noqa: F403
from .array_pad import *  # noqa: F403
from .array_scatter import *  # noqa: F403
from .array_shape import *  # noqa: F403
from .array_slice import *  # noqa: F403
from .array_sort import *  # noqa: F403
from .bit_casts import (
    bitcast as bitcast,
    parallel_stack as parallel_stack,
    saturate_cast as saturate_cast,
    scalar_mul as scalar_mul,
)
from .clip_ops import *  # noqa: F403
from .comparison import *  # noqa: F403
from .composite import spec_of as type_spec_from_value  # noqa: F401
from .context import executing_eagerly as executing_eagerly, init_scope as init_scope
from .control_flow import case as case, cond as cond, switch_case as switch_case
from .control_flow_while import while_loop as while_loop
from .conv_ops import *  # noqa: F403
from .convert import (
    constant as constant,
    convert_to_tensor as convert_to_tensor,
    register_tensor_conversion_function as register_tensor_conversion_function,
)
from .counting import (
    histogram_fixed_width as histogram_fixed_width,
    histogram_fixed_width_bins as histogram_fixed_width_bins,
)
from .custom_gradients import (
    custom_gradient as custom_gradient,
    grad_pass_through as grad_pass_through,
    recompute_grad as recompute_grad,
)
from .debugging_asserts import (
    assert_equal as assert_equal,
    assert_greater as assert_greater,
    assert_less as assert_less,
    assert_rank as assert_rank,
)
from .debugging_ops import Assert as Assert, print as print
from .decode_ops import *  # noqa: F403
from .decompositions_eigen import eig as eig, eigvals as eigvals
from .decompositions_functions import (
    matrix_square_root as matrix_square_root,
    norm as norm,
)
from .devices import DeviceSpec as DeviceSpec, device as device
from .division import *  # noqa: F403
from .dtypes import *  # noqa: F403
from .edit_distances import edit_distance as edit_distance
from .einsums import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .fft_raw import (
    fftnd as fftnd,
    ifftnd as ifftnd,
    irfftnd as irfftnd,
    rfftnd as rfftnd,
)
from .function import ConcreteFunction as ConcreteFunction, function as function
from .functional_ops import *  # noqa: F403
from .graph_ops import *  # noqa: F403
from .indexed_slices import (
    IndexedSlices as IndexedSlices,
    IndexedSlicesSpec as IndexedSlicesSpec,
)
from .initializers import *  # noqa: F403
from .linalg_ops import *  # noqa: F403
from .lookup_hash_ops import *  # noqa: F403
from .math_ops import *  # noqa: F403
from .module import Module as Module
from .nn_activations import *  # noqa: F403
from .nn_gelu import *  # noqa: F403
from .nn_losses import *  # noqa: F403
from .nn_ops import *  # noqa: F403
from .norm_ops import *  # noqa: F403
from .one_hot import *  # noqa: F403
from .orderings import approx_top_k as approx_top_k
from .pool_ops import *  # noqa: F403
from .python_ops import *  # noqa: F403
from .ragged_dispatch import install as _install_ragged_forms
from .ragged_tensor import RaggedTensor as RaggedTensor, RaggedTensorSpec as RaggedTensorSpec
from .random_generator import *  # noqa: F403
from .random_ops import *  # noqa: F403
from .random_seeds import random_index_shuffle as random_index_shuffle
from .reductions import *  # noqa: F403
from .scans import *  # noqa: F403
from .scopes import (
    get_current_name_scope as get_current_name_scope,
    name_scope as name_scope,
)
from .segments import *  # noqa: F403
from .sequences import *  # noqa: F403
from .softmax_ops import *  # noqa: F403
from .space_ops import *  # noqa: F403
from .sparse_tensor import SparseTensor as SparseTensor, SparseTensorSpec as SparseTensorSpec
from .special_functions import *  # noqa: F403
from .string_ops import *  # noqa: F403
from .tape import GradientTape as GradientTape, UnconnectedGradients as UnconnectedGradients
from .tensor import Tensor as Tensor, is_symbolic as is_symbolic, is_tensor as is_tensor
from .tensor_array import TensorArray as TensorArray, TensorArraySpec as TensorArraySpec
from .tensor_shape import TensorShape as TensorShape
from .tensor_spec import TensorSpec as TensorSpec, TypeSpec as TypeSpec
from .trigonometry import *  # noqa: F403
from .variable import Variable as Variable
from .variable_kinds import (
    VariableAggregation as VariableAggregation,
    VariableSynchronization as VariableSynchronization,
)
from .volume_patches import (
    extract_volume_patches as extract_volume_patches,
    required_space_to_batch_paddings as required_space_to_batch_paddings,
)

_install_ragged_forms(globals())
