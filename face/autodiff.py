"""hr.autodiff: gradients, backward and forward."""

from ..ops.forward_accumulator import ForwardAccumulator as ForwardAccumulator
from ..ops.tape import GradientTape as GradientTape
