"""TextVectorization: texts as rows of token indices, or as counts of tokens."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.ragged_tensor import RaggedTensor
from ...ops.string_tokens import ngrams as ngrams_of, padded_tokens, unicode_split
from .. import backend
from ..engine.keras_tensor import KerasTensor
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .preprocessing_base import DataLayer, as_tensor, batches, check_choice
from .preprocessing_lookup_checks import listed
from .preprocessing_string_lookup import StringLookup

__all__ = ["TextVectorization"]

_PUNCTUATION = r"""[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']"""
_STANDARDS = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
_SPLITS = ("whitespace", "character")


class TextVectorization(DataLayer):
    """Texts standardised, split into tokens, joined into n-grams, and looked up.

    Args:
        max_tokens: most indices there may be, special ones included.
        standardize: ``"lower_and_strip_punctuation"``, ``"lower"``, ``"strip_punctuation"``,
            None, or a function of a string tensor.
        split: ``"whitespace"``, ``"character"``, None, or a function of a string tensor that
            gives one more axis.
        ngrams: an integer n (n-grams of 1 to n tokens) or a tuple of widths.
        output_mode: ``"int"``, ``"multi_hot"``, ``"count"`` or ``"tf_idf"``.
        output_sequence_length: tokens per row with ``"int"``: longer rows are cut, shorter
            ones padded.
        pad_to_max_tokens: make rows of `max_tokens` whatever the vocabulary's size.
        vocabulary: tokens, or the name of a file with one per line; else `adapt` finds them.
        idf_weights: a number per token, for ``"tf_idf"``.
        sparse: give a `SparseTensor`.
        ragged: give a `RaggedTensor`, with ``"int"``.
        encoding: of the texts, for `get_vocabulary`.
        name: see `Layer`.
        **kwargs: see `Layer`.

    >>> layer = TextVectorization(vocabulary=["the", "cat"])
    >>> layer(["The cat!", "a cat sat"]).numpy()
    array([[2, 3, 0],
           [1, 3, 1]])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ):
        who = type(self).__name__
        check_choice(standardize, _STANDARDS, who, "standardize", none=True, function=True)
        check_choice(split, _SPLITS, who, "split", none=True, function=True)
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        check_choice(
            output_mode, ("int", "one_hot", "multi_hot", "count", "tf_idf"), who, "output_mode"
        )
        _check_arguments(ngrams, output_mode, output_sequence_length, ragged)
        given = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        size = kwargs.pop("vocabulary_size", None)
        super().__init__(name=name, **kwargs)
        self._standardize = standardize
        self._split = split
        self._ngrams_arg = ngrams
        self._ngrams = tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else ngrams
        self._ragged = ragged
        self._output_mode = output_mode
        self._output_sequence_length = output_sequence_length
        self._encoding = encoding
        self._lookup_layer = StringLookup(
            max_tokens=max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            pad_to_max_tokens=pad_to_max_tokens,
            mask_token="",
            output_mode=output_mode,
            sparse=sparse,
            has_input_vocabulary=given,
            encoding=encoding,
            vocabulary_size=size,
        )
        self.built = True

    @property
    def compute_dtype(self) -> str:
        """``"string"``."""
        return "string"

    @property
    def variable_dtype(self) -> str:
        """``"string"``."""
        return "string"

    # -- the vocabulary -------------------------------------------------------------------

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Make the vocabulary of the tokens in `data`, from the most to the least frequent.

        Args:
            data: an array of texts, a Dataset, or an iterable of batches.
            batch_size: ignored.
            steps: how many batches to look at.
        """
        self.reset_state()
        for batch in batches(data, steps):
            if batch is data:
                batch = as_tensor(batch, "string")
                batch = hr.expand_dims(batch, -1) if batch.shape.rank == 1 else batch
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Count the tokens of one batch."""
        self._lookup_layer.update_state(self._tokens(data))

    def finalize_state(self) -> None:
        """Turn what was counted into the vocabulary."""
        self._lookup_layer.finalize_state()

    def reset_state(self) -> None:
        """Forget what was counted."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens in the order of their indices."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many indices there are, the special ones included."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the tokens; see `StringLookup.set_vocabulary`."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights=idf_weights)

    # -- the call -------------------------------------------------------------------------

    def _standardized(self, inputs: Any) -> Any:
        x = as_tensor(inputs, "string")
        how = self._standardize
        if callable(how):
            return how(x)
        if how in ("lower", "lower_and_strip_punctuation"):
            x = _mapped(hr.string_lower, x)
        if how in ("strip_punctuation", "lower_and_strip_punctuation"):
            x = _mapped(lambda s: hr.regex_replace(s, _PUNCTUATION, ""), x)
        return x

    def _without_column(self, x: Any) -> Any:
        """Texts of ``[batch, 1]`` as ``[batch]``."""
        if x.shape.rank <= 1:
            return x
        if x.shape[-1] != 1:
            raise ValueError(
                "When using `TextVectorization` to tokenize strings, the input rank must "
                "be 1 or the last shape dimension must be 1. Received: "
                f"inputs.shape={x.shape} with rank={x.shape.rank}"
            )
        return hr.squeeze(x, axis=-1)

    def _tokens(self, inputs: Any) -> Any:
        """The tokens of each text: a vector for a scalar, ragged for a batch."""
        x = self._standardized(inputs)
        if self._split is not None:
            x = self._without_column(x)
            if callable(self._split):
                x = self._split(x)
            else:
                x = hr.string_split(x) if self._split == "whitespace" else unicode_split(x)
        return x if self._ngrams is None else ngrams_of(x, self._ngrams)

    def call(self, inputs: Any) -> Any:
        """Indices ``[..., length]`` or rows ``[..., vocabulary size]`` of the texts."""
        length = self._output_sequence_length
        if self._split in _SPLITS and length is not None and not self._ragged:
            # Rows of a known length: no ragged tensors, and blocks of texts in a pipeline.
            x = self._without_column(self._standardized(inputs))
            return self._lookup_layer.call(padded_tokens(x, self._split, length, self._ngrams))
        found = self._lookup_layer.call(self._tokens(inputs))
        if self._output_mode != "int":
            return found
        if isinstance(found, RaggedTensor):
            if not self._ragged:
                return found.to_tensor(0, shape=None if length is None else [None, length])
            return found if length is None else found[:, :length]
        if length is None:
            return found
        found = found[..., :length]
        if self._ragged:
            return found
        missing = length - hr.shape(found)[-1]
        rank = found.shape.rank
        padding = hr.stack([[0, 0]] * (rank - 1) + [hr.stack([0, missing])])
        return hr.ensure_shape(hr.pad(found, padding), [*found.shape[:-1], length])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        shape = tuple(input_shape)
        if self._output_mode == "int":
            return (shape[0], self._output_sequence_length)
        if self._split is None:
            shape = (*shape, 1) if len(shape) <= 1 else shape
        else:
            shape = (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), None)
        return self._lookup_layer.compute_output_shape(shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A placeholder for the outputs."""
        dtype = self._lookup_layer.compute_output_spec(KerasTensor((None,), "string")).dtype
        dtype = backend.floatx() if self._output_mode == "tf_idf" else dtype
        shape = self.compute_output_shape(inputs.shape)
        return KerasTensor(shape, dtype, ragged=self._ragged)

    # -- saving ---------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        lookup = self._lookup_layer
        return {
            **super().get_config(),
            "max_tokens": lookup.max_tokens,
            "standardize": _function_config(self._standardize),
            "split": _function_config(self._split),
            "ngrams": self._ngrams_arg,
            "output_mode": self._output_mode,
            "output_sequence_length": self._output_sequence_length,
            "pad_to_max_tokens": lookup.pad_to_max_tokens,
            "sparse": lookup.sparse,
            "ragged": self._ragged,
            "vocabulary": listed(lookup.input_vocabulary),
            "idf_weights": listed(lookup.input_idf_weights),
            "encoding": self._encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `config` describes."""
        config = dict(config)
        for key in ("standardize", "split", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)

    def get_build_config(self) -> dict[str, Any] | None:
        """Nothing: building needs no shape."""
        return None

    def save_own_variables(self, store: Any) -> None:
        """Write the weights of ``tf_idf``."""
        self._lookup_layer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Read the weights of ``tf_idf``."""
        self._lookup_layer.load_own_variables(store)

    def save_assets(self, dir_path: str) -> None:
        """Write the vocabulary; see `StringLookup.save_assets`."""
        self._lookup_layer.save_assets(dir_path)

    def load_assets(self, dir_path: str) -> None:
        """Read the vocabulary."""
        self._lookup_layer.load_assets(dir_path)


def _mapped(function: Any, x: Any) -> Any:
    if isinstance(x, RaggedTensor):
        return x.with_flat_values(function(x.flat_values))
    return function(x)


def _function_config(value: Any) -> Any:
    return serialize_keras_object(value) if callable(value) else value


def _check_arguments(ngrams: Any, mode: str, length: Any, ragged: bool) -> None:
    widths = isinstance(ngrams, tuple) and all(isinstance(n, int) for n in ngrams)
    if not (ngrams is None or isinstance(ngrams, int) or widths):
        raise ValueError(
            "`ngrams` must be None, an integer, or a tuple of integers. Received: "
            f"ngrams={ngrams}"
        )
    if mode == "int" and not (isinstance(length, int) or length is None):
        raise ValueError(
            "`output_sequence_length` must be either None or an integer when `output_mode` is "
            f"'int'. Received: output_sequence_length={length}"
        )
    if mode != "int" and length is not None:
        raise ValueError(
            "`output_sequence_length` must not be set if `output_mode` is not 'int'. Received "
            f"output_sequence_length={length}."
        )
    if ragged and mode != "int":
        raise ValueError(
            "`ragged` must not be true if `output_mode` is not `'int'`. Received: "
            f"ragged={ragged} and output_mode={mode}"
        )
