"""Fields of a result as JSON plus named arrays, and back; no name found in a file is imported."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor

from elicit.results.errors import ResultError
from elicit.results.store import as_tensor

# One-key objects with these keys stand for what JSON has no word for.
_ARRAY, _CLASS, _FLOAT, _TENSOR, _TUPLE = "$array", "$class", "$float", "$tensor", "$tuple"


def encode(value: object, where: str, arrays: dict[str, Tensor]) -> object:
    """JSON value for a field; arrays go to `arrays` under their dotted place.

    Args:
        value: Number, string, None, array, or tuples, lists, dicts and dataclasses of those.
        where: Dotted place of the value.
        arrays: Receives the arrays.

    Raises:
        ResultError: Some part can be neither stored nor read back.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, Tensor | np.ndarray):
        arrays[where] = as_tensor(value, where)
        return {_TENSOR if isinstance(value, Tensor) else _ARRAY: where}
    if isinstance(value, list | tuple):
        items = [encode(item, f"{where}.{index}", arrays) for index, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return _encode_mapping(value, where, arrays)
    if is_dataclass(value) and not isinstance(value, type):
        held = {
            item.name: encode(getattr(value, item.name), f"{where}.{item.name}", arrays)
            for item in fields(value)
            if item.init
        }
        return {_CLASS: class_name(type(value)), "fields": held}
    raise ResultError(
        f"{where} is a {type(value).__name__}, which neither JSON nor safetensors can hold, so it "
        "could not be read back. Use numbers, strings, arrays, and tuples, dicts or frozen "
        "dataclasses of those."
    )


def _encode_mapping(
    value: Mapping[Any, object], where: str, arrays: dict[str, Tensor]
) -> dict[str, object]:
    """JSON object for a dict whose keys are plain strings."""
    for key in value:
        if not isinstance(key, str) or key.startswith("$"):
            raise ResultError(
                f"{where} has the key {key!r}, and only strings that do not start with '$' are "
                "read back as they are. Rename the key."
            )
    return {key: encode(item, f"{where}.{key}", arrays) for key, item in value.items()}


def decode(value: Any, arrays: Mapping[str, Tensor], known: Mapping[str, type]) -> Any:
    """Field value from its JSON.

    `known`: classes that may be built, by `class_name`: those the annotations name, no others.

    Raises:
        ResultError: An array or class is missing, or a nested value is refused by its class.
    """
    if isinstance(value, list):
        return [decode(item, arrays, known) for item in value]
    if not isinstance(value, dict):
        return value
    if _FLOAT in value:
        return float(value[_FLOAT])
    if _TUPLE in value:
        return tuple(decode(item, arrays, known) for item in value[_TUPLE])
    for tag in (_TENSOR, _ARRAY):
        if tag in value:
            array = arrays.get(value[tag])
            if array is None:
                raise ResultError(f"the array {value[tag]} is missing")
            return array if tag == _TENSOR else array.numpy()
    if _CLASS in value:
        name = value[_CLASS]
        if name not in known:
            raise ResultError(f"it holds a {name}, which the class's annotations do not name")
        held = {key: decode(item, arrays, known) for key, item in value["fields"].items()}
        refuse_unlike(known[name], held)
        try:
            return known[name](**held)
        except TypeError as error:
            raise ResultError(f"its {name} has other fields than this version's") from error
    return {key: decode(item, arrays, known) for key, item in value.items()}


def refuse_unlike(cls: type, values: Mapping[str, object]) -> None:
    """Refuse values that are not of the types that a class's annotations name.

    Raises:
        ResultError: A value has another type, dtype or number of axes.
    """
    hints = get_type_hints(cls)
    for name, value in values.items():
        if name in hints and not _conforms(value, hints[name]):
            raise ResultError(
                f"its field {name} is a {type(value).__name__} ({repr(value)[:60]}), and "
                f"{hints[name]} is expected"
            )


def _conforms(value: Any, annotation: Any) -> bool:
    """Whether a value is of an annotated type; forms that no result uses pass."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_conforms(value, arg) for arg in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is tuple:
        inner = args[:1] * len(value) if args[1:] == (...,) and isinstance(value, tuple) else args
        return (
            isinstance(value, tuple)
            and len(value) == len(inner)
            and all(map(_conforms, value, inner))
        )
    if origin in (list, dict):
        parts = value.items() if isinstance(value, dict) else value
        inner = tuple[args] if origin is dict else args[0]
        return isinstance(value, origin) and all(_conforms(part, inner) for part in parts)
    if annotation is Any:
        return True
    if isinstance(value, bool) and annotation in (int, float):
        return False
    if annotation is float:
        return isinstance(value, int | float)
    return not isinstance(annotation, type) or isinstance(value, annotation)


def class_name(cls: type) -> str:
    """Name under which a class is written in files."""
    return f"{cls.__module__}.{cls.__qualname__}"


def known_classes(cls: type) -> dict[str, type]:
    """Dataclasses that the annotations of `cls` reach, by `class_name`."""
    found: dict[str, type] = {}
    waiting: list[Any] = list(get_type_hints(cls).values())
    while waiting:
        annotation = waiting.pop()
        waiting.extend(get_args(annotation))
        if isinstance(annotation, type) and is_dataclass(annotation):
            name = class_name(annotation)
            if name not in found:
                found[name] = annotation
                waiting.extend(get_type_hints(annotation).values())
    return found
