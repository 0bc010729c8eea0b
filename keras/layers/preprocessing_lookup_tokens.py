"""The vocabulary of a lookup layer: its tokens, their table, their TF-IDF weights."""

from __future__ import annotations

import collections
import os
from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.lookup_initializers import KeyValueTensorInitializer
from ...ops.lookup_static import StaticHashTable
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor
from .. import backend
from .preprocessing_base import DataLayer
from .preprocessing_lookup_checks import read_vocabulary

__all__ = ["VocabularyLayer"]


class VocabularyLayer(DataLayer):
    """A layer that holds tokens in the order of their indices; the base of `IndexLookup`."""

    max_tokens: int | None
    num_oov_indices: int
    mask_token: Any
    oov_token: Any
    output_mode: str
    invert: bool
    pad_to_max_tokens: bool
    vocabulary_dtype: str
    idf_weights: np.ndarray | None
    _frozen_vocab_size: int | None

    def _no_tokens(self) -> Any:
        strings = self.vocabulary_dtype == "string"
        return StringArray.empty(0) if strings else np.zeros(0, np.int64)

    def _oov_start_index(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    def _token_start_index(self) -> int:
        return self._oov_start_index() + self.num_oov_indices

    def _use_tokens(self, tokens: Any) -> None:
        """Make the table of these tokens (a raw array)."""
        self._tokens = tokens
        start = self._token_start_index()
        ids = np.arange(start, start + len(tokens), dtype=np.int64)
        keys, values = Tensor.of(tokens), Tensor.of(ids)
        default: Any = self._oov_start_index() if self.num_oov_indices == 1 else -1
        if self.invert:
            keys, values, default = values, keys, self.oov_token
            if default is None:
                default = "" if self.vocabulary_dtype == "string" else -1
        default = hr.constant(default, dtype=values.dtype)
        self._table = StaticHashTable(KeyValueTensorInitializer(keys, values), default)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices.

        Args:
            include_special_tokens: whether mask and out-of-vocabulary tokens lead.
        """
        tokens = self._decoded(self._tokens)
        if not include_special_tokens:
            return tokens
        special = [self.oov_token] * self._token_start_index()
        if self.mask_token is not None and self.output_mode == "int":
            special[0] = self.mask_token
        return special + tokens

    def _decoded(self, tokens: Any) -> list[Any]:
        return tokens.tolist()

    def vocabulary_size(self) -> int:
        """How many indices there are, those of mask and out-of-vocabulary tokens included."""
        return len(self._tokens) + self._token_start_index()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens (and, with ``tf_idf``, their weights).

        Args:
            vocabulary: tokens, with or without the special ones in front; or the name of a
                text file with a token per line.
            idf_weights: a number per token of `vocabulary`.

        Raises:
            ValueError: tokens are repeated, too many, none, or special ones in the wrong place.
        """
        if self.output_mode == "tf_idf":
            if idf_weights is None:
                raise ValueError("`idf_weights` must be set if output_mode is 'tf_idf'.")
        elif idf_weights is not None:
            raise ValueError(
                "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received: "
                f"output_mode={self.output_mode} and idf_weights={idf_weights}"
            )
        if isinstance(vocabulary, str):
            vocabulary = self._lines_of(vocabulary)
        tokens, led = self._checked_tokens(vocabulary)
        size = self._token_start_index() + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                "Attempted to set a vocabulary larger than the maximum vocab size. Received "
                f"vocabulary size is {size}; `max_tokens` is {self.max_tokens}."
            )
        self._use_tokens(self._raw(tokens))
        self._freeze_size()
        if idf_weights is not None:
            self._use_idf_weights(idf_weights, len(vocabulary), led)

    def _lines_of(self, path: str) -> list[Any]:
        if not os.path.exists(path):
            raise ValueError(f"Vocabulary file {path} does not exist.")
        if self.output_mode == "tf_idf":
            raise ValueError(
                "output_mode `'tf_idf'` does not support loading a vocabulary from file."
            )
        return read_vocabulary(path, self.vocabulary_dtype)

    def _raw(self, tokens: list[Any]) -> Any:
        if self.vocabulary_dtype == "string":
            return StringArray.from_values(np.array([*tokens, ""], object)[:-1])
        return np.array(tokens, np.int64)

    def _checked_tokens(self, vocabulary: Any) -> tuple[list[Any], bool]:
        """The tokens without leading special ones, and whether there were such."""
        given = vocabulary.numpy() if isinstance(vocabulary, Tensor) else vocabulary
        given = np.asarray(given).tolist() if not isinstance(given, (list, tuple)) else given
        given = [t.decode("utf-8") if isinstance(t, bytes) else t for t in given]
        if not given:
            raise ValueError(
                f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}"
            )
        special = [self.mask_token] * self._oov_start_index()
        special += [self.oov_token] * self.num_oov_indices
        start = len(special)
        led = given[:start] == special
        tokens = given[start:] if led else given
        if len(set(tokens)) != len(tokens):
            counted = collections.Counter(tokens)
            raise ValueError(
                "The passed vocabulary has at least one repeated term. Please uniquify your "
                "dataset. The repeated terms are: "
                f"{[item for item, count in counted.items() if count > 1]}"
            )
        found = set(tokens)
        for what, token, matters in (
            ("mask", self.mask_token, True),
            ("OOV", self.oov_token, self.invert),
        ):
            if matters and token is not None and token in found:
                raise ValueError(
                    f"Found reserved {what} token at unexpected location in `vocabulary`. Note "
                    "that passed `vocabulary` does not need to include the OOV and mask "
                    "tokens. Either remove all mask and OOV tokens, or include them only "
                    f"at the start of the vocabulary in precisely this order: {special}. "
                    f"Received: {what.lower()}_token={token} at vocabulary index "
                    f"{len(given) - 1 - given[::-1].index(token)}"
                )
        return tokens, led

    def _use_idf_weights(self, weights: Any, count: int, led: bool) -> None:
        weights = np.asarray(weights.numpy() if isinstance(weights, Tensor) else weights)
        if count != len(weights):
            raise ValueError(
                "`idf_weights` must be the same length as vocabulary. len(idf_weights) is "
                f"{len(weights)}; len(vocabulary) is {count}"
            )
        if weights.ndim != 1:
            raise ValueError(
                "TF-IDF data must be a 1-index array. Received: "
                f"type(idf_weights)={type(weights)}"
            )
        front = 0 if led else self._token_start_index()
        self._pad_idf_weights(weights, front)

    def _pad_idf_weights(self, weights: np.ndarray, front: int) -> None:
        """Weights with the average in front and, with `pad_to_max_tokens`, zeros behind."""
        back = self.max_tokens - front - len(weights) if self.pad_to_max_tokens else 0
        padded = np.concatenate(
            [np.full(front, np.average(weights)), weights, np.zeros(max(back, 0))]
        )
        self.idf_weights = padded.astype(backend.floatx())

    def _freeze_size(self) -> None:
        if self.output_mode != "int" and not self.pad_to_max_tokens:
            size, before = self.vocabulary_size(), self._frozen_vocab_size
            if before is not None and size != before:
                raise RuntimeError(
                    f"When using `output_mode={self.output_mode}` and "
                    "`pad_to_max_tokens=False`, the vocabulary size cannot be changed "
                    f"after the layer is called. Old vocab size is {before}, new vocab "
                    f"size is {size}"
                )
        self._frozen_vocab_size = self.vocabulary_size()
