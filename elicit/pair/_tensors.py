"""Tensors in a checkpoint's files against the parameters of the model that was built from them."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from elicit.pair._guards import explained
from elicit.pair._settings import Settings
from elicit.pair.errors import PairError

SAFE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def left_in_folder(name: str) -> list[str]:
    """Tensors of a checkpoint's folder in files that loading passes over.

    With `model.safetensors` there, its shards are not read; with an index there, shards that it
    does not list are not; of a tensor that is in two shards only one is read.

    `name`: the folder; a hub id gives nothing.
    """
    from safetensors import safe_open

    folder = Path(name)
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    if not shards:
        return []
    names: dict[str, list[str]] = {}
    read: set[str] = set()
    with explained("weights", name):
        for shard in shards:
            with safe_open(shard, framework="pt") as file:
                names[shard.name] = list(file.keys())
        if not (folder / SAFE).exists() and (folder / _INDEX).exists():
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            read = set(map(str, index["weight_map"].values()))
    times = Counter(tensor for shard in read & names.keys() for tensor in names[shard])
    passed = [tensor for shard in names.keys() - read for tensor in names[shard]]
    return sorted({*passed, *(tensor for tensor, n in times.items() if n > 1)})


def check_filled(
    name: str,
    missing: Collection[str],
    mismatched: Collection[tuple[str, Sequence[int], Sequence[int]]],
) -> None:
    """Refuse a model with parameters that its files do not fill.

    `mismatched`: parameters whose tensor has another shape: name, shape in the file, in the model.

    Raises:
        PairError: There is one; it would hold random numbers.
    """
    if mismatched:
        tensor, stored, wanted = sorted(mismatched)[0]
        raise PairError(
            f"{tensor} has shape {list(stored)} in the files of {name} and {list(wanted)} by its "
            f"config.json ({len(mismatched)} such parameter(s)), so it would be random numbers "
            "instead. Pass a checkpoint whose config.json belongs to its weights."
        )
    if missing:
        raise PairError(
            f"The weights of {name} lack {sorted(missing)[0]} ({len(missing)} parameter(s)), which "
            "would be random numbers instead. Pass a complete checkpoint of a causal language "
            "model."
        )


def unread(name: str, tensors: Collection[str], settings: Settings, why: str) -> tuple[str, ...]:
    """Refuse tensors that a model does not read, or name them in a note.

    `why`: what left them without a place, ending the first clause.

    Returns:
        A note for the pair if there are any.

    Raises:
        PairError: There are some, and they are refused.
    """
    if not tensors:
        return ()
    first, *others = sorted(tensors)
    shown = f"{first} (and {len(others)} more)" if others else first
    if settings.loading.unused_tensors == "ignore":
        return (f"{name} holds {shown}, which {why}; it was loaded without.",)
    raise PairError(
        f"{name} holds {shown}, which {why}, so the model would be another one than was trained. "
        "Correct the configuration, or pass unused_tensors='ignore' to leave such tensors out."
    )


def check_blocks(name: str, block: object) -> None:
    """Refuse quantised weights whose scales do not stand for whole blocks.

    transformers spreads the scales evenly over a weight, which is right only where blocks fill it.

    Raises:
        PairError: Some weight is not a whole number of blocks.
    """
    from safetensors import safe_open

    if not isinstance(block, list) or len(block) != 2:
        return
    shapes: dict[str, list[int]] = {}
    with explained("weights", name):
        for path in Path(name).glob("*.safetensors"):
            with safe_open(path, framework="pt") as file:
                for tensor in list(file.keys()):
                    shapes[tensor] = list(file.get_slice(tensor).get_shape())
    for tensor, scales in shapes.items():
        shape = shapes.get(tensor.removesuffix("_scale_inv"), [])[-2:]
        if not tensor.endswith("_scale_inv") or len(shape) < 2 or len(scales) < 2:
            continue
        grid = zip(scales[-2:], block, shape, strict=True)
        if any(n > 1 and n * size != rows for n, size, rows in grid):
            raise PairError(
                f"{tensor} in {name} has {scales[-2:]} scales for blocks of {block}, and its "
                f"weight {shape} is not a whole number of such blocks, so it cannot be dequantised "
                "soundly here. Dequantise it with the library that made it and save it."
            )
