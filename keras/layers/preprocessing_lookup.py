"""IndexLookup: tokens as indices into a vocabulary; the base of StringLookup and IntegerLookup.

Indices are laid out as in Keras: the mask token (if there is one, and indices are the output),
the out-of-vocabulary indices, then the tokens.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.lookup_known import KnownOnly
from ...ops.ragged_tensor import RaggedTensor
from ...ops.sparse_tensor import SparseTensor
from .. import backend
from ..engine.keras_tensor import KerasTensor
from .preprocessing_base import as_tensor, batches, check_choice, encode
from .preprocessing_lookup_checks import (
    check_modes,
    check_sizes,
    listed,
    read_vocabulary,
    salt_of,
)
from .preprocessing_lookup_tokens import VocabularyLayer
from .preprocessing_vocabulary import TokenCounts

__all__ = ["IndexLookup"]

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_LARGEST = np.iinfo(np.int64).max


class IndexLookup(VocabularyLayer):
    """Tokens as indices, or indices as tokens; see `StringLookup` for the arguments."""

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary_dtype: str,
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ):
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        self_name = type(self).__name__
        check_sizes(self_name, max_tokens, num_oov_indices, pad_to_max_tokens)
        check_choice(oov_method, ("floormod", "farmhash"), self_name, "oov_method")
        check_choice(output_mode, _MODES, self_name, "output_mode")
        check_modes(output_mode, invert, sparse, idf_weights)
        frozen = kwargs.pop("vocabulary_size", None)
        given = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        for ignored in ("trainable", "dtype"):
            kwargs.pop(ignored, None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword argument(s): {kwargs}")
        super().__init__(name=name)
        self.invert = invert
        self.max_tokens = max_tokens
        self.num_oov_indices = num_oov_indices
        self.mask_token = mask_token
        self.oov_token = oov_token
        self.output_mode = output_mode
        self.sparse = sparse
        self.pad_to_max_tokens = pad_to_max_tokens
        self.vocabulary_dtype = vocabulary_dtype
        self.oov_method = oov_method
        self.salt = salt_of(salt, vocabulary_dtype, oov_method)
        self.input_vocabulary = vocabulary if not isinstance(vocabulary, str) else None
        self.input_idf_weights = idf_weights
        self._frozen_vocab_size = frozen
        self._has_input_vocabulary = given
        self.idf_weights: np.ndarray | None = None
        if output_mode == "tf_idf" and given and idf_weights is None and vocabulary is not None:
            raise ValueError(
                "When specifying the `vocabulary` argument, in TF-IDF output mode, the "
                "`idf_weights` argument must also be provided."
            )
        self._counts = TokenCounts(output_mode == "tf_idf")
        self._use_tokens(self._no_tokens())
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        self.built = True

    @property
    def compute_dtype(self) -> str:
        """The vocabulary's dtype."""
        return self.vocabulary_dtype

    @property
    def variable_dtype(self) -> str:
        """The vocabulary's dtype."""
        return self.vocabulary_dtype

    # -- adapting -------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Make the vocabulary of the tokens in `data`, from the most to the least frequent.

        Args:
            data: an array, a Dataset, or an iterable of batches.
            steps: how many batches to look at.
        """
        self.reset_state()
        for batch in batches(data, steps):
            if batch is data:
                batch = as_tensor(batch, self.vocabulary_dtype)
                if not isinstance(batch, RaggedTensor) and batch.shape.rank == 1:
                    batch = hr.expand_dims(batch, -1)
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the tokens of one batch."""
        if self._has_input_vocabulary:
            raise ValueError(
                f"Cannot adapt layer '{self.name}' after setting a static vocabulary via "
                "`vocabulary` argument or `set_vocabulary()` method."
            )
        self._counts.update(as_tensor(data, self.vocabulary_dtype))

    def finalize_state(self) -> None:
        """Turn what was counted into the vocabulary."""
        if self._has_input_vocabulary:
            return
        limit = self.max_tokens - self._token_start_index() if self.max_tokens else None
        special = [t for t in (self.mask_token, self.oov_token) if t is not None]
        if self.vocabulary_dtype == "string":
            special = [t.encode("utf-8") if isinstance(t, str) else t for t in special]
        tokens, documents = self._counts.most_common(limit, special)
        if tokens is not None:
            self._use_tokens(tokens)
            if documents is not None:
                idf = np.log(1 + self._counts.num_documents / (1 + documents))
                self._pad_idf_weights(idf.astype(np.float32), self._token_start_index())
        self._counts = TokenCounts(self.output_mode == "tf_idf")
        self._freeze_size()

    def reset_state(self) -> None:
        """Forget what was counted; a vocabulary that `adapt` made may change its size again."""
        if not self._has_input_vocabulary:
            self._counts = TokenCounts(self.output_mode == "tf_idf")

    # -- the call -------------------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        """The indices of tokens in the layer's output mode, or the tokens of indices."""
        self._check_ready()
        keys = as_tensor(inputs, "int64" if self.invert else self.vocabulary_dtype)
        if isinstance(keys, RaggedTensor):
            found = keys.with_flat_values(self._lookup(keys.flat_values))
        elif isinstance(keys, SparseTensor):
            found = SparseTensor(keys.indices, self._lookup(keys.values), keys.dense_shape)
        else:
            found = self._lookup(keys)
        if self.output_mode == "int":
            return found
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        rows = encode(
            found, mode, self._depth(), "int64", self.sparse and mode == self.output_mode
        )
        if self.output_mode != "tf_idf":
            return rows
        if self.idf_weights is None:
            raise ValueError(
                "When `output_mode` is `'tf_idf'`, `idf_weights` must be provided."
            )
        rows = hr.cast(rows, backend.floatx()) * hr.constant(self.idf_weights)
        return hr.sparse.from_dense(rows) if self.sparse else rows

    def _depth(self) -> int | None:
        return self.max_tokens if self.pad_to_max_tokens else self._frozen_vocab_size

    def _check_ready(self) -> None:
        if self.output_mode == "int" or self.pad_to_max_tokens:
            return
        if self._frozen_vocab_size is None:
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and "
                "`pad_to_max_tokens=False`, you must set the layer's vocabulary before "
                "calling it. Either pass a `vocabulary` argument to the layer, or call "
                "`adapt` with some sample data."
            )

    def _lookup(self, keys: Any) -> Any:
        found = self._table.lookup(keys)
        if self.mask_token is not None:
            mask: Any = self.mask_token if not self.invert else 0
            value: Any = 0 if self.output_mode == "int" else _LARGEST
            if self.invert:
                value = self.mask_token
            masked = hr.equal(keys, hr.constant(mask, dtype=keys.dtype))
            found = hr.where(masked, hr.constant(value, dtype=found.dtype), found)
        if self.invert or self.num_oov_indices == 1:
            return found
        if self.num_oov_indices == 0:
            return KnownOnly(found, keys)
        oov = self._buckets(keys) + self._oov_start_index()
        return hr.where(hr.equal(found, hr.constant(-1, dtype=hr.int64)), oov, found)

    def _buckets(self, keys: Any) -> Any:
        """Which of the out-of-vocabulary indices each key would have."""
        count = self.num_oov_indices
        if keys.dtype.is_integer:
            if self.oov_method != "farmhash":
                return hr.floormod(keys, hr.constant(count, dtype=keys.dtype))
            keys = hr.as_string(keys)
        if self.salt is not None:
            return hr.string_to_hash_bucket_strong(keys, count, self.salt)
        return hr.string_to_hash_bucket_fast(keys, count)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs."""
        shape = tuple(input_shape)
        if self.output_mode == "int":
            return shape
        if self.output_mode == "one_hot":
            column = len(shape) > 1 and shape[-1] == 1
            return (*(shape[:-1] if column else shape), self._depth())
        return (*shape[:-1], self._depth())

    def compute_output_spec(self, inputs: Any) -> Any:
        """A placeholder for the outputs."""
        dtype = self.vocabulary_dtype if self.invert else "int64"
        if self.output_mode == "tf_idf":
            dtype = backend.floatx()
        return KerasTensor(self.compute_output_shape(inputs.shape), dtype, sparse=self.sparse)

    # -- saving ---------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "vocabulary_dtype": self.vocabulary_dtype,
            "idf_weights": listed(self.input_idf_weights),
            "vocabulary": listed(self.input_vocabulary),
            "vocabulary_size": self._frozen_vocab_size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    def get_build_config(self) -> dict[str, Any]:
        """Nothing: building needs no shape."""
        return {}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Nothing to do."""

    def save_own_variables(self, store: Any) -> None:
        """Write the weights of ``tf_idf``."""
        if self.output_mode == "tf_idf" and self.idf_weights is not None:
            store["idf_weights"] = self.idf_weights

    def load_own_variables(self, store: Any) -> None:
        """Read the weights of ``tf_idf``."""
        if self.output_mode == "tf_idf":
            self.idf_weights = np.asarray(store["idf_weights"]).astype(backend.floatx())

    def save_assets(self, dir_path: str) -> None:
        """Write a vocabulary that `adapt` or `set_vocabulary` made: a token per line."""
        if self.input_vocabulary is not None:
            return
        with open(os.path.join(dir_path, "vocabulary.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(str(token) for token in self.get_vocabulary()))

    def load_assets(self, dir_path: str) -> None:
        """Read the vocabulary that `save_assets` wrote."""
        if self.input_vocabulary is not None:
            return
        path = os.path.join(dir_path, "vocabulary.txt")
        tokens = read_vocabulary(path, self.vocabulary_dtype)
        while tokens and tokens[-1] == "":
            tokens.pop()
        if tokens:
            self.set_vocabulary(tokens, self.idf_weights)
