"""Functional: the class of models made from placeholders, ``Model(inputs, outputs)``."""

from __future__ import annotations

from .model import Model

__all__ = ["Functional"]


class Functional(Model):
    """A model that is a graph of layers.

    Made by ``Model(inputs, outputs)``; a subclass of `Model` whose ``__init__`` passes
    ``inputs`` and ``outputs`` on behaves the same.
    """


Model._functional_class = Functional
