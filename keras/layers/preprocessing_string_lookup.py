"""StringLookup and IntegerLookup: strings, or integers of any size, as indices."""

from __future__ import annotations

from typing import Any

from .preprocessing_lookup import IndexLookup

__all__ = ["IntegerLookup", "StringLookup"]


class StringLookup(IndexLookup):
    """Strings as indices into a vocabulary, or indices as strings.

    Args:
        max_tokens: most indices there may be, special ones included.
        num_oov_indices: indices for strings that are not in the vocabulary; a hash chooses
            among several; with 0 such a string is an error.
        mask_token: has index 0 in ``output_mode="int"``, and is not counted in the others.
        oov_token: what indices of unknown strings become with `invert`.
        vocabulary: strings, or the name of a file with one per line; else `adapt` finds them.
        idf_weights: a number per string, for ``output_mode="tf_idf"``.
        invert: turn indices into strings.
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"``, ``"count"`` or ``"tf_idf"``.
        pad_to_max_tokens: make rows of `max_tokens` whatever the vocabulary's size.
        sparse: give a `SparseTensor`.
        encoding: of the strings, for `get_vocabulary`.
        name: see `Layer`.
        salt: an integer or two: choose unknown strings' indices by a keyed hash.
        **kwargs: ``trainable`` and ``dtype``, which mean nothing here.

    >>> StringLookup(vocabulary=["a", "b"])(["b", "z"]).numpy()
    array([2, 0])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ):
        kwargs.pop("vocabulary_dtype", None)
        self_kwargs = {
            "max_tokens": max_tokens,
            "num_oov_indices": num_oov_indices,
            "mask_token": mask_token,
            "oov_token": oov_token,
            "vocabulary": vocabulary,
            "idf_weights": idf_weights,
            "invert": invert,
            "output_mode": output_mode,
            "pad_to_max_tokens": pad_to_max_tokens,
            "sparse": sparse,
            "name": name,
            "salt": salt,
        }
        object.__setattr__(self, "encoding", encoding)  # the base's constructor may need it
        super().__init__(vocabulary_dtype="string", **self_kwargs, **kwargs)

    def _decoded(self, tokens: Any) -> list[str]:
        return [t.decode(self.encoding, "replace") for t in tokens.tolist()]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["vocabulary_dtype"]
        return {**config, "encoding": self.encoding}


class IntegerLookup(IndexLookup):
    """Integers as indices into a vocabulary, or indices as integers.

    Args:
        max_tokens, num_oov_indices, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens, name: see `StringLookup`.
        mask_token: an integer, or None.
        oov_token: what indices of unknown integers become with `invert`.
        vocabulary: integers; else `adapt` finds them.
        vocabulary_dtype: ``"int64"``.
        oov_method: how unknown integers get one of several indices: ``"floormod"`` or
            ``"farmhash"``.
        salt: an integer or two, for ``"farmhash"``.
        **kwargs: ``trainable`` and ``dtype``, which mean nothing here.

    >>> IntegerLookup(vocabulary=[10, 20])([20, 5]).numpy()
    array([2, 0])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        if vocabulary_dtype != "int64":
            raise ValueError(
                "Only `vocabulary_dtype='int64'` is supported at this time. Received: "
                f"vocabulary_dtype={vocabulary_dtype}"
            )
        super().__init__(
            max_tokens=max_tokens,
            num_oov_indices=num_oov_indices,
            mask_token=mask_token,
            oov_token=oov_token,
            vocabulary=vocabulary,
            vocabulary_dtype=vocabulary_dtype,
            idf_weights=idf_weights,
            invert=invert,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            oov_method=oov_method,
            salt=salt,
            name=name,
            **kwargs,
        )
