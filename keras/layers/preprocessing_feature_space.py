"""FeatureSpace: a dictionary of raw columns as one encoded tensor.

Every feature has a preprocessing layer; what is to be one-hot is encoded behind it; crosses are
hashed from what the layers give.  `keras.utils.FeatureSpace` is its public name.
"""

from __future__ import annotations

from typing import Any

from ...data.dataset import Dataset
from ...ops import api as hr
from ..engine.input_layer import Input
from ..engine.registry import OPERATIONS
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from ..saving.model_file import save_model
from ..utils.naming import auto_name
from .core import Rescaling
from .preprocessing_base import DataLayer, as_tensor
from .preprocessing_category_encoding import CategoryEncoding
from .preprocessing_discretization import Discretization
from .preprocessing_hashing import HashedCrossing, Hashing
from .preprocessing_lookup import IndexLookup
from .preprocessing_normalization import Normalization
from .preprocessing_string_lookup import IntegerLookup, StringLookup
from .preprocessing_text import TextVectorization

__all__ = ["FeatureSpace"]

_MODULE = "keras.src.layers.preprocessing.feature_space"


class Cross:
    """Features whose values are hashed together.

    Args:
        feature_names: their names.
        crossing_dim: how many values the hash has.
        output_mode: ``"one_hot"`` or ``"int"``.
    """

    keras_module = _MODULE

    def __init__(self, feature_names: Any, crossing_dim: int, output_mode: str = "one_hot"):
        _check("output_mode", output_mode, ("int", "one_hot"))
        self.feature_names = tuple(feature_names)
        self.crossing_dim = crossing_dim
        self.output_mode = output_mode

    @property
    def name(self) -> str:
        """The names, joined."""
        return "_X_".join(self.feature_names)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "feature_names": self.feature_names,
            "crossing_dim": self.crossing_dim,
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Cross:
        """The cross that `get_config` described."""
        return cls(**config)


class Feature:
    """A column: its dtype, the layer that preprocesses it, and what becomes of that.

    Args:
        dtype: of the raw values.
        preprocessor: a layer.
        output_mode: ``"float"`` and ``"int"``: as they are; ``"one_hot"``: encoded.
    """

    keras_module = _MODULE

    def __init__(self, dtype: str, preprocessor: Any, output_mode: str):
        _check("output_mode", output_mode, ("int", "one_hot", "float"))
        if isinstance(preprocessor, dict):
            preprocessor = deserialize_keras_object(preprocessor)
        self.dtype = dtype
        self.preprocessor = preprocessor
        self.output_mode = output_mode

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "dtype": self.dtype,
            "preprocessor": serialize_keras_object(self.preprocessor),
            "output_mode": self.output_mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Feature:
        """The feature that `get_config` described."""
        return cls(**config)


class TFDIdentity(DataLayer):
    """Values as they come."""

    keras_module = _MODULE

    def call(self, x: Any) -> Any:
        """`x`."""
        return x


for _class in (Cross, Feature, TFDIdentity):
    OPERATIONS["layers.preprocessing.feature_space", _class.__name__] = _class


def _check(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected one of {set(known)}. Received: "
            f"{name}={value}"
        )


class FeatureSpace(DataLayer):
    """Encodes dictionaries of columns.

    Args:
        features: name -> kind: a name such as ``"float_normalized"``, or what the methods of
            that name give.
        output_mode: ``"concat"``: one tensor, features in the order of their names, then
            crosses; ``"dict"``: by name.
        crosses: tuples of names that are hashed together, or what `cross` gives.
        crossing_dim: how many values the hash of a cross has.
        hashing_dim: the same for ``"string_hashed"`` and ``"integer_hashed"``.
        num_discretization_bins: bins for ``"float_discretized"``.
        name: of the layer.

    >>> space = FeatureSpace({"age": "float", "job": FeatureSpace.string_hashed(3)})
    >>> space({"age": [30.0, 40.0], "job": ["clerk", "smith"]}).shape
    TensorShape([2, 4])

    Raises:
        ValueError: unknown kinds, modes or names.
    """

    keras_module = "keras.utils"

    # -- kinds of features ----------------------------------------------------------------

    @classmethod
    def cross(cls, feature_names: Any, crossing_dim: int, output_mode: str = "one_hot") -> Any:
        """Features hashed together into `crossing_dim` values."""
        return Cross(feature_names, crossing_dim, output_mode=output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Any, output_mode: str) -> Any:
        """A feature with a layer of one's own."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Any:
        """Floats as they are."""
        name = name or auto_name("float")
        return Feature(
            "float32", TFDIdentity(dtype="float32", name=f"{name}_preprocessor"), "float"
        )

    @classmethod
    def float_rescaled(
        cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None
    ) -> Any:
        """Floats times `scale` plus `offset`."""
        name = name or auto_name("float_rescaled")
        layer = Rescaling(scale=scale, offset=offset, name=f"{name}_preprocessor")
        return Feature("float32", layer, "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Any:
        """Floats less their mean, by their deviation."""
        name = name or auto_name("float_normalized")
        return Feature("float32", Normalization(axis=-1, name=f"{name}_preprocessor"), "float")

    @classmethod
    def float_discretized(
        cls,
        num_bins: int,
        bin_boundaries: Any = None,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Any:
        """Floats by the bin they are in."""
        name = name or auto_name("float_discretized")
        layer = Discretization(
            num_bins=num_bins, bin_boundaries=bin_boundaries, name=f"{name}_preprocessor"
        )
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Any:
        """Integers by their place in a vocabulary."""
        name = name or auto_name("integer_categorical")
        layer = IntegerLookup(
            name=f"{name}_preprocessor", max_tokens=max_tokens, num_oov_indices=num_oov_indices
        )
        return Feature("int32", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Any:
        """Strings by their place in a vocabulary."""
        name = name or auto_name("string_categorical")
        layer = StringLookup(
            name=f"{name}_preprocessor", max_tokens=max_tokens, num_oov_indices=num_oov_indices
        )
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Any:
        """Strings by their hash."""
        name = name or auto_name("string_hashed")
        return Feature(
            "string", Hashing(name=f"{name}_preprocessor", num_bins=num_bins), output_mode
        )

    @classmethod
    def integer_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Any:
        """Integers by their hash."""
        name = name or auto_name("integer_hashed")
        return Feature(
            "int32", Hashing(name=f"{name}_preprocessor", num_bins=num_bins), output_mode
        )

    # -- making ---------------------------------------------------------------------------

    def __init__(
        self,
        features: dict[str, Any],
        output_mode: str = "concat",
        crosses: Any = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if not features:
            raise ValueError("The `features` argument cannot be None or empty.")
        _check("output_mode", output_mode, ("dict", "concat"))
        self.crossing_dim = crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {key: self._standardized(key, value) for key, value in features.items()}
        self.crosses = [self._crossed(cross) for cross in crosses or ()]
        self.output_mode = output_mode
        self.preprocessors = {key: f.preprocessor for key, f in self.features.items()}
        self.crossers = {
            cross.name: HashedCrossing(cross.crossing_dim, name=cross.name)
            for cross in self.crosses
        }
        self.one_hot_encoders: dict[str, Any] = {}
        self.inputs = {
            key: Input(shape=(1,), dtype=f.dtype, name=key) for key, f in self.features.items()
        }
        self.encoded_features: Any = None
        self._is_adapted = False

    def _standardized(self, name: str, feature: Any) -> Any:
        if isinstance(feature, Feature):
            return feature
        if isinstance(feature, dict):
            return deserialize_keras_object(feature)
        sizes = {
            "float_discretized": self.num_discretization_bins,
            "integer_hashed": self.hashing_dim,
            "string_hashed": self.hashing_dim,
        }
        plain = ("float", "float_normalized", "float_rescaled", "integer_categorical",
                 "string_categorical")  # fmt: skip
        if feature in sizes:
            return getattr(self, feature)(sizes[feature], name=name)
        if feature in plain:
            return getattr(self, feature)(name=name)
        raise ValueError(
            f"Invalid feature type: {feature}. Known are {sorted([*plain, *sizes])}."
        )

    def _crossed(self, cross: Any) -> Cross:
        if isinstance(cross, dict):
            cross = deserialize_keras_object(cross)
        if isinstance(cross, Cross):
            return cross
        unknown = [key for key in cross if key not in self.features]
        if unknown:
            raise ValueError(
                "All features referenced in the `crosses` argument should be present in the "
                f"`features` dict. Received unknown features: {unknown}"
            )
        return Cross(cross, crossing_dim=self.crossing_dim)

    # -- adapting -------------------------------------------------------------------------

    def _adaptable(self) -> list[str]:
        """Names of the features whose layer has something to learn."""
        found = []
        for name, layer in self.preprocessors.items():
            if isinstance(layer, Normalization) and layer.input_mean is not None:
                continue
            lookup = layer._lookup_layer if isinstance(layer, TextVectorization) else layer
            if isinstance(lookup, IndexLookup) and lookup._has_input_vocabulary:
                continue
            if hasattr(layer, "adapt"):
                found.append(name)
        return found

    def adapt(self, dataset: Any) -> None:
        """Let the layers learn vocabularies, means and bins.

        Args:
            dataset: a Dataset of dictionaries, batched or not, or a dictionary of arrays.

        Raises:
            ValueError: something else.
        """
        if isinstance(dataset, dict):
            dataset = Dataset.from_tensor_slices(dataset)
        if not isinstance(dataset, Dataset):
            raise ValueError(
                "`adapt()` can only be called on a Dataset or a dict of arrays/lists. Received "
                f"instead: {dataset} (of type {type(dataset)})"
            )
        for name in self._adaptable():
            column = dataset.map(lambda x, name=name: x[name])
            rank = column.element_spec.shape.rank
            if rank == 0:
                column = column.batch(32)
            if rank in (0, 1):
                column = column.map(lambda x: hr.expand_dims(x, -1))
            self.preprocessors[name].adapt(column)
        self._is_adapted = True

    def _ready(self) -> None:
        if not self._is_adapted and self._adaptable():
            raise ValueError(
                "You need to call `.adapt(dataset)` on the FeatureSpace before you can start "
                "using it."
            )
        self._is_adapted = True

    # -- encoding -------------------------------------------------------------------------

    def get_inputs(self) -> dict[str, Any]:
        """Placeholders ``[batch, 1]`` by name, for a model that begins with raw data."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self) -> Any:
        """What `get_inputs` becomes: placeholders for models that train on encoded data."""
        self._ready()
        if self.encoded_features is None:
            self.encoded_features = self._encode(self.inputs)
        return self.encoded_features

    def __call__(self, data: Any) -> Any:
        """The encoded features of a dictionary of columns, or of one row."""
        if not isinstance(data, dict):
            raise ValueError(
                "A FeatureSpace can only be called with a dict. Received: "
                f"data={data} (of type {type(data)}"
            )
        self._ready()
        columns, single = {}, False
        for name in self.features:
            if name not in data:
                raise ValueError(
                    f"Missing feature {name!r}: the data has the keys {sorted(data)}"
                )
            x = as_tensor(data[name])
            if len(x.shape) == 0:
                x, single = hr.reshape(x, [1, 1]), True
            elif len(x.shape) == 1:
                x = hr.expand_dims(x, -1)
            columns[name] = x
        encoded = self._encode(columns)
        if not single:
            return encoded
        if self.output_mode == "concat":
            return hr.squeeze(encoded, axis=0)
        return {
            name: hr.squeeze(x, axis=0) if len(x.shape) == 2 else x
            for name, x in encoded.items()
        }

    def _encode(self, columns: dict[str, Any]) -> Any:
        made = {name: self.preprocessors[name](x) for name, x in columns.items()}
        crossed = {
            cross.name: self.crossers[cross.name]([made[n] for n in cross.feature_names])
            for cross in self.crosses
        }
        specs = {**self.features, **{cross.name: cross for cross in self.crosses}}
        found = {}
        for name, x in (*sorted(made.items()), *sorted(crossed.items())):
            if specs[name].output_mode == "one_hot":
                x = self._one_hot(name, x)
            if self.output_mode == "concat" and not _is_float(x):
                raise ValueError(
                    f"Cannot concatenate features because feature '{name}' has not been "
                    f"encoded (it has dtype {_dtype(x)}). Consider using "
                    "`output_mode='dict'`."
                )
            found[name] = x
        if self.output_mode == "dict":
            return found
        from ..ops.arranging import concatenate  # also of placeholders

        return concatenate(list(found.values()), axis=-1)

    def _one_hot(self, name: str, x: Any) -> Any:
        if name not in self.one_hot_encoders:
            self.one_hot_encoders[name] = CategoryEncoding(
                num_tokens=self._cardinality(name, x), output_mode="multi_hot"
            )
        return self.one_hot_encoders[name](x)

    def _cardinality(self, name: str, x: Any) -> int:
        layer = self.preprocessors.get(name) or self.crossers.get(name)
        if not _dtype(x).startswith("int"):
            raise ValueError(
                f"Feature '{name}' has `output_mode='one_hot'`. Thus its preprocessor should "
                f"return an integer dtype. Instead it returns a {_dtype(x)} dtype."
            )
        if isinstance(layer, IndexLookup):
            return layer.vocabulary_size()
        if isinstance(layer, CategoryEncoding):
            return layer.num_tokens
        if isinstance(layer, (Discretization, HashedCrossing, Hashing)):
            return layer.num_bins
        raise ValueError(
            f"Feature '{name}' has `output_mode='one_hot'`. However it isn't a standard "
            "feature and the dimensionality of its output space is not known, thus it cannot "
            "be one-hot encoded. Try using `output_mode='int'`."
        )

    # -- configuration, files -------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "features": serialize_keras_object(self.features),
            "output_mode": self.output_mode,
            "crosses": serialize_keras_object(self.crosses),
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureSpace:
        """The space that `get_config` described."""
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        """What the layers were built with, by name."""
        return {name: layer.get_build_config() for name, layer in self.preprocessors.items()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layers as `get_build_config` recorded."""
        for name, build in config.items():
            if build and not self.preprocessors[name].built:
                self.preprocessors[name].build_from_config(build)
        self._is_adapted = True

    def save(self, filepath: Any) -> None:
        """Write a ``.keras`` file; `keras.models.load_model` reads it."""
        save_model(self, filepath)


def _dtype(x: Any) -> str:
    return getattr(x.dtype, "name", x.dtype)


def _is_float(x: Any) -> bool:
    return "float" in _dtype(x)
