"""Named axes, read from annotations and checked."""

import functools
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from jaxtyping import AbstractArray, Float
from torch import Tensor

from elicit.results.errors import ResultError
from elicit.results.estimate import Estimate
from elicit.results.provenance import Provenance


@dataclass(frozen=True)
class ArrayField:
    """One array of a result, at any depth of nested dataclasses."""

    name: str
    """Field name, dotted where it is nested."""
    axes: tuple[str, ...]
    """Names of its axes, in order."""
    kinds: tuple[Any, ...]
    """jaxtyping annotations it may satisfy, one per array type."""
    column: str
    """Name of its column in a table; an estimate has `effect`, `effect_low` and `effect_high`."""
    is_end: bool = False
    """Whether it is an end of an estimate's interval."""


@dataclass(frozen=True)
class Schema:
    """What the annotations of a result class say."""

    arrays: tuple[ArrayField, ...]
    """Arrays, in the order of declaration."""
    labels: tuple[str, ...]
    """Axes that a field of the same name labels."""
    scalars: tuple[str, ...]
    """Other fields, dotted where nested, that may hold a number or string."""


def options(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, or the annotation alone; None is left out."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(part for part in get_args(annotation) if part is not type(None))
    return (annotation,)


def is_array(annotation: Any) -> bool:
    """Whether an annotation is jaxtyping's, such as `Float[Tensor, "layer pos"]`."""
    return isinstance(annotation, type) and issubclass(annotation, AbstractArray)


def _axis_names(kind: Any) -> tuple[str, ...] | None:
    """Axis names of one jaxtyping annotation; None where some axis has no name of its own."""
    names = tuple(part.partition("=")[0] for part in kind.dim_str.split())
    # "..." , "*batch", "#layer", "3", "_" and "layer+1" say a shape, and name no column.
    return names if all(name.isidentifier() and name != "_" for name in names) else None


@functools.cache
def schema(cls: type) -> Schema:
    """Arrays, labels and scalars of a result class.

    Raises:
        ResultError: An axis has no name, is named twice in one field, or shares its name with a
            field that does not label it.
    """
    arrays: list[ArrayField] = []
    scalars: list[str] = []
    _walk(cls, cls, "", arrays, scalars)
    used = {axis for array in arrays for axis in array.axes}
    labels: list[str] = []
    hints = get_type_hints(cls)
    for name in sorted(used & {item.name for item in fields(cls)}):
        array = next((array for array in arrays if array.name == name), None)
        origins = {get_origin(option) for option in options(hints[name])}
        if (array is None or array.axes != (name,)) and origins != {tuple}:
            told = f"has the axes {array.axes}" if array else f"is a {hints[name]}"
            raise ResultError(
                f"{cls.__name__}.{name} is named like the axis {name!r} but {told}, so the table "
                f"would have two columns {name!r}. Make it a 1-D array over {name!r} or a tuple, "
                "which label the axis, or rename it."
            )
        labels.append(name)
    return Schema(
        arrays=tuple(arrays),
        labels=tuple(labels),
        scalars=tuple(name for name in scalars if name not in labels),
    )


def _walk(
    cls: type, owner: type, prefix: str, arrays: list[ArrayField], scalars: list[str]
) -> None:
    """Collect the arrays and scalars of `owner`, which stands at `prefix` in `cls`."""
    hints = get_type_hints(owner, include_extras=True)
    for item in fields(owner):
        name = prefix + item.name
        choices = options(hints[item.name])
        estimates = [axes for choice in choices if (axes := _estimate_axes(choice)) is not None]
        if estimates or Estimate in choices:
            arrays.extend(_estimate_fields(cls, name, estimates))
            continue
        choices = tuple(_bare(choice) for choice in choices)
        kinds = tuple(choice for choice in choices if is_array(choice))
        nested = [choice for choice in choices if isinstance(choice, type) and is_dataclass(choice)]
        if kinds:
            array = _array_field(cls, name, kinds, nested=bool(prefix))
            if array:
                arrays.append(array)
        elif nested:
            if nested[0] is not Provenance and nested[0] is not owner:
                _walk(cls, nested[0], f"{name}.", arrays, scalars)
        else:
            scalars.append(name)


def _bare(annotation: Any) -> Any:
    """An annotation without what `Annotated` adds."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _estimate_axes(annotation: Any) -> str | None:
    """Axes that `Annotated[Estimate, "task part"]` names; None for any other annotation."""
    if get_origin(annotation) is Annotated and get_args(annotation)[0] is Estimate:
        return get_args(annotation)[1]
    return None


def _estimate_fields(cls: type, name: str, axes: list[str]) -> list[ArrayField]:
    """The three arrays of an estimate.

    Raises:
        ResultError: The annotation names no axes.
    """
    if len(axes) != 1:
        raise ResultError(
            f"{cls.__name__}.{name} is annotated Estimate without axes, so its columns could not "
            'be named. Write Annotated[Estimate, "layer pos"].'
        )
    kind = Float[Tensor, axes[0]]
    return [
        ArrayField(
            name=f"{name}.{end}",
            axes=tuple(axes[0].split()),
            kinds=(kind,),
            column=name + suffix,
            is_end=bool(suffix),
        )
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
    ]


def _array_field(
    cls: type, name: str, kinds: tuple[Any, ...], *, nested: bool
) -> ArrayField | None:
    """Array field with its axes; None for a nested one that leaves its axes open."""
    named = {_axis_names(kind) for kind in kinds}
    axes = named.pop()
    if axes is None and nested:
        return None
    if named or axes is None:
        raise ResultError(
            f'{cls.__name__}.{name} is annotated "{kinds[0].dim_str}", and every axis of a result '
            "needs one name of its own to become a column of its table. Write it like "
            '"layer pos", the same for each array type.'
        )
    if len(set(axes)) != len(axes):
        raise ResultError(
            f'{cls.__name__}.{name} is annotated "{kinds[0].dim_str}" and names an axis twice, so '
            'its columns would collide. Name both, like "src_pos dest_pos".'
        )
    return ArrayField(name=name, axes=axes, kinds=kinds, column=name)


def value_at(result: object, name: str) -> Any:
    """Value of a dotted field; None where something on the way is None."""
    value: Any = result
    for part in name.split("."):
        value = None if value is None else getattr(value, part)
    return value


def check(result: object) -> None:
    """Hold every array of a result against its annotation and against the others.

    Raises:
        ResultError: A type, dtype or rank differs from the annotation, or two fields disagree on
            the size of an axis.
    """
    cls = type(result)
    told = schema(cls)
    sizes: dict[str, tuple[int, str]] = {}
    for array in told.arrays:
        value = value_at(result, array.name)
        if value is None:
            continue
        _check_kind(cls, array, value)
        for axis, size in zip(array.axes, value.shape, strict=True):
            _agree(cls, sizes, axis, int(size), array.name)
    for axis in told.labels:
        value = value_at(result, axis)
        if isinstance(value, tuple):
            _agree(cls, sizes, axis, len(value), axis)


def _agree(cls: type, sizes: dict[str, tuple[int, str]], axis: str, size: int, field: str) -> None:
    """Record the size of an axis, or hold it against the one already seen."""
    seen, first = sizes.setdefault(axis, (size, field))
    if seen != size:
        raise ResultError(
            f"{cls.__name__}.{first} has {seen} along {axis!r} and .{field} has {size}, so their "
            f"values cannot stand in one table. Give both the same {axis!r}."
        )


def _check_kind(cls: type, array: ArrayField, value: Any) -> None:
    """Hold one array's type, dtype and rank against its annotation."""
    wanted = " or ".join(f"{kind.__name__}" for kind in array.kinds)
    matching = [kind for kind in array.kinds if isinstance(value, kind.array_type)]
    if not matching:
        raise ResultError(
            f"{cls.__name__}.{array.name} is a {type(value).__name__} and should be {wanted}, so "
            "it has no axes to check. Pass an array of that type."
        )
    if len(value.shape) != len(array.axes):
        raise ResultError(
            f"{cls.__name__}.{array.name} has shape {tuple(value.shape)} and its axes are "
            f"{array.axes}, so its values cannot be named. Pass one dimension per axis."
        )
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype.startswith("complex"):
        raise ResultError(
            f"{cls.__name__}.{array.name} is {dtype}, and tables hold real numbers only. Store its "
            "real and imaginary parts, or its size and angle, as two fields."
        )
    known = [kind.dtypes for kind in matching]
    if all(isinstance(dtypes, tuple | list) and dtype not in dtypes for dtypes in known):
        raise ResultError(
            f"{cls.__name__}.{array.name} has dtype {dtype} and should be {wanted}, so its values "
            "are of another kind than its description says. Convert it before."
        )
