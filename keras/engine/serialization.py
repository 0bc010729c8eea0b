"""Objects to and from configs, in the JSON layout of Keras 3.

An object is ``{"module", "class_name", "config", "registered_name"}`` (plus ``build_config``
where it was built).  ``module`` is Keras's public module, not ours, so that either library
reads the other's files.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import marshal
import types
from typing import Any

import numpy as np

from ...ops.dtypes import DType
from ...ops.tensor import Tensor
from ...ops.tensor_shape import TensorShape
from .registry import (
    OPERATIONS,
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .safe_mode import unsafe_deserialization

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
    "serialize_keras_object",
]

_ROOT = __name__.removesuffix(".engine.serialization")
_FAMILIES = (
    "layers", "models", "losses", "metrics", "optimizers", "optimizers.schedules",
    "initializers", "regularizers", "constraints", "activations", "dtype_policies", "callbacks",
    "utils",
)  # fmt: skip
_FUNCTION_FAMILIES = frozenset(
    ("losses", "metrics", "initializers", "regularizers", "constraints", "activations")
)
_ENGINE_MODULES = {"Functional": "keras.src.models.functional", "InputLayer": "keras.layers"}


def public_module(target: Any) -> str:
    """The module that Keras would name for `target` (a class or function)."""
    module = getattr(target, "__module__", None) or "builtins"
    if not module.startswith(_ROOT + "."):
        return module
    if hasattr(target, "keras_module"):
        return target.keras_module
    family, _, rest = module.removeprefix(_ROOT + ".").partition(".")
    if family == "engine":
        return _ENGINE_MODULES.get(target.__name__, "keras")
    if family == "dtype_policies":
        return "keras"
    if family == "optimizers" and rest.split(".")[0] == "schedules":
        return "keras.optimizers.schedules"
    return f"keras.{family}"


def serialize_keras_object(obj: Any) -> Any:
    """A JSON-ready description of `obj`: a plain value, container, array, function or object.

    Raises:
        TypeError: `obj` has no `get_config` and is none of the known kinds.
    """
    if obj is None or isinstance(obj, (str, bool, int, float)):
        return obj
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, list):
        return [serialize_keras_object(item) for item in obj]
    if isinstance(obj, tuple):
        return {"class_name": "__tuple__", "items": [serialize_keras_object(v) for v in obj]}
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        parts = {name: getattr(obj, name) for name in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": serialize_keras_object(parts)}
    if isinstance(obj, DType):
        return obj.name
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, TensorShape):
        return obj.as_list()
    if isinstance(obj, (np.ndarray, Tensor)):
        array = np.asarray(obj)
        kind = "__numpy__" if isinstance(obj, np.ndarray) else "__tensor__"
        return {
            "class_name": kind,
            "config": {"value": array.tolist(), "dtype": array.dtype.name},
        }
    if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>":
        return {"class_name": "__lambda__", "config": _dump_lambda(obj)}
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType)):
        return _named(obj, "function", obj.__name__)
    if inspect.isclass(obj):
        config = {
            "name": obj.__name__,
            "module": public_module(obj),
            "registered_name": get_registered_name(obj),
        }
        return {"class_name": "__type__", "config": config}
    if hasattr(obj, "get_config"):
        return _serialize_object(obj)
    if callable(obj) and hasattr(obj, "__name__"):
        return _named(obj, "function", obj.__name__)
    raise TypeError(
        f"Cannot serialize object {obj!r} of type {type(obj)}. To be serializable, a "
        "class must "
        "implement the `get_config()` method."
    )


def _named(target: Any, class_name: str, config: Any) -> dict[str, Any]:
    module = public_module(target)
    ours = module == "keras" or module.startswith("keras.")
    registered = None if ours else get_registered_name(target)
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered,
    }


def _serialize_object(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    # The name a class is public under, where that is not its own.
    name = cls.__dict__.get("_public_name", cls.__name__)
    described = _named(cls, name, _serialize_config(obj.get_config()))
    if hasattr(obj, "get_build_config"):
        build = obj.get_build_config()
        if build is not None:
            described["build_config"] = _as_lists(build)
    if hasattr(obj, "get_compile_config"):
        compiled = obj.get_compile_config()
        if compiled is not None:
            described["compile_config"] = compiled
    return described


def _serialize_config(config: dict[str, Any]) -> dict[str, Any]:
    """A config's own tuples, and tuples in them, become lists, as JSON would make them."""

    def written(value: Any) -> Any:
        if isinstance(value, tuple):
            return [written(v) for v in value]
        return serialize_keras_object(value)

    return {key: written(value) for key, value in config.items()}


def _as_lists(shapes: Any) -> Any:
    """Nested shapes as JSON has them."""
    if isinstance(shapes, dict):
        return {key: _as_lists(value) for key, value in shapes.items()}
    return [_as_lists(s) for s in shapes] if isinstance(shapes, (list, tuple)) else shapes


def _dump_lambda(function: types.FunctionType) -> dict[str, Any]:
    code = base64.b64encode(marshal.dumps(function.__code__)).decode("ascii")
    cells = function.__closure__ and [c.cell_contents for c in function.__closure__]
    return {"code": code, "defaults": function.__defaults__, "closure": cells}


def _load_lambda(config: dict[str, Any]) -> types.FunctionType:
    code = marshal.loads(base64.b64decode(config["code"]))
    cells = config.get("closure")
    closure = None if cells is None else tuple(types.CellType(c) for c in cells)
    defaults = config.get("defaults")
    return types.FunctionType(
        code,
        {"__builtins__": __builtins__},
        code.co_name,
        defaults and tuple(defaults),
        closure,
    )


def deserialize_keras_object(
    config: Any,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    module_objects: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """The object that `config` describes (made by `serialize_keras_object` or real Keras).

    Args:
        config: a config dictionary, a plain value, or a name if `module_objects` is given.
        custom_objects: name -> class or function that `config` may name.
        safe_mode: refuse to unpack lambdas, which are arbitrary code.
        module_objects: name -> object, where bare names are looked up.
        **kwargs: `printable_module_name` is accepted for Keras 2's sake.

    Raises:
        ValueError: an unknown name, or a lambda while `safe_mode` is set.
    """
    if config is None or isinstance(config, (bool, int, float)):
        return config
    if isinstance(config, str):
        if module_objects is None and custom_objects is None:
            return config
        found = get_registered_object(config, custom_objects, module_objects)
        if found is None:
            if module_objects is None:
                return config
            raise ValueError(
                f"Unknown object: '{config}'. Known names: {sorted(module_objects)}. Register "
                "custom ones with `register_keras_serializable` or pass `custom_objects`."
            )
        return found() if inspect.isclass(found) else found
    with CustomObjectScope(custom_objects):
        return _deserialize(config, safe_mode, module_objects)


def _deserialize(config: Any, safe_mode: bool, module_objects: Any = None) -> Any:
    if isinstance(config, (list, tuple)):
        return [_deserialize(item, safe_mode) for item in config]
    if not isinstance(config, dict):
        return config
    if not isinstance(config.get("class_name"), str) or not (
        "config" in config or config["class_name"] == "__tuple__"
    ):
        return {key: _deserialize(value, safe_mode) for key, value in config.items()}
    name, inner = config["class_name"], config.get("config")
    if name.startswith("__"):
        return _deserialize_special(name, inner, config, safe_mode)
    module = config.get("module")
    if name == "function":
        return _find(str(inner), module, config.get("registered_name"), module_objects)
    found = _find(name, module, config.get("registered_name"), module_objects)
    if not inspect.isclass(found):
        return found
    if not hasattr(found, "from_config"):  # registered by the user
        return found(**(inner or {}))
    obj = _from_config(found, dict(inner or {}), safe_mode)
    build = config.get("build_config")
    if build and hasattr(obj, "build_from_config") and not getattr(obj, "built", True):
        obj.build_from_config(_deserialize(build, safe_mode))
    compiled = config.get("compile_config")
    if compiled and hasattr(obj, "compile_from_config"):
        obj.compile_from_config(compiled)
    return obj


def _from_config(cls: Any, config: dict[str, Any], safe_mode: bool) -> Any:
    if "safe_mode" in inspect.signature(cls.from_config).parameters:
        return cls.from_config(config, safe_mode=safe_mode)
    return cls.from_config(config)


def _deserialize_special(name: str, inner: Any, config: dict[str, Any], safe_mode: bool) -> Any:
    if name == "__tuple__":
        return tuple(_deserialize(item, safe_mode) for item in config["items"])
    if name == "__bytes__":
        return inner["value"].encode("utf-8")
    if name == "__ellipsis__":
        return Ellipsis
    if name == "__slice__":
        return slice(*(inner.get(part) for part in ("start", "stop", "step")))
    if name in ("__numpy__", "__tensor__"):
        array = np.array(inner["value"], dtype=inner["dtype"])
        return array if name == "__numpy__" else Tensor(array)
    if name == "__type__":
        return _find(inner["name"], inner.get("module"), inner.get("registered_name"), None)
    if name == "__lambda__":
        if safe_mode and not unsafe_deserialization():
            raise ValueError(
                "The config holds a lambda, which can run arbitrary code when loaded. Pass "
                "`safe_mode=False` if you trust its source."
            )
        value = inner["value"] if "value" in inner else inner
        if isinstance(value, (list, tuple)):
            value = dict(zip(("code", "defaults", "closure"), value, strict=True))
        return _load_lambda(value)
    raise ValueError(f"Unknown kind of value in config: {name!r}")


def _find(name: str, module: str | None, registered: str | None, module_objects: Any) -> Any:
    """The class or function called `name`: registered by the user, or one of ours.

    Nothing else is imported: a file could name ``subprocess.Popen``, and its arguments.
    """
    for key in (registered, name):
        found = get_registered_object(key, module_objects=module_objects)
        if found is not None:
            return found
    if module is None or module.split(".")[0] in ("keras", "builtins"):
        wanted = (module or "keras").removeprefix("keras").lstrip(".").removeprefix("src.")
        first = [f for f in _FAMILIES if f == wanted]
        if (wanted, name) in OPERATIONS:
            return OPERATIONS[wanted, name]
        for family in (*first, *_FAMILIES):
            found = getattr(_import(f"{_ROOT}.{family}"), name, None)
            if _describes_models(found, family):
                return found
    raise ValueError(
        f"Could not locate class or function '{name}' (module={module!r}, "
        f"registered_name={registered!r}). If it is a custom one, decorate it with "
        "`@keras.utils.register_keras_serializable()` or pass it in `custom_objects`."
    )


def _describes_models(found: Any, family: str) -> bool:
    """Whether a config may name it: a class that is made of configs, or a function of a model,
    such as an activation; not what else lies in our modules."""
    if not (getattr(found, "__module__", None) or "").startswith(f"{_ROOT}."):
        return False
    if inspect.isclass(found):
        return hasattr(found, "from_config")
    return callable(found) and family in _FUNCTION_FAMILIES


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        return None
