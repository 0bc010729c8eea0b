"""`hr.nn.experimental`: dropout with random numbers from elsewhere."""

from ..ops.nn_ops import general_dropout, stateless_dropout

__all__ = ["general_dropout", "stateless_dropout"]
