"""Values as bytes: one spelling for equal values, and digests.

Everything here is deterministic: equal values give equal bytes in every process, so a digest says
whether two files hold the same thing, and a resumed run can be compared with an uninterrupted one
byte for byte.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elicit.results.disk import parse_json
from elicit.results.errors import ResultError


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate, which models do write, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: object, where: str) -> object:
    """Value as JSON reads it back: tuples as lists, paths as strings, numpy scalars as numbers.

    Args:
        value: Anything made of JSON's own types, tuples, paths and numpy scalars.
        where: Name of the value in an error.

    Raises:
        ResultError: Some part has no JSON form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ResultError(
                    f"{where} has the key {key!r} of type {type(key).__name__}, and JSON knows "
                    "only string keys, so it would not be read back as it is. Use strings as keys."
                )
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    raise ResultError(
        f"{where} is {_short(value)} of type {type(value).__name__}, which JSON cannot hold, so "
        "it could not be compared or read back later. Pass finite numbers, strings, booleans, "
        "None, and lists or dicts of those."
    )


def _short(value: object, limit: int = 120) -> str:
    """Repr of a value, cut to fit in a sentence."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def canonical_json(value: object) -> bytes:
    """JSON in its one spelling: sorted keys, ASCII only, finite numbers, a newline at the end.

    Args:
        value: What `json` can write, with string keys.

    Raises:
        ResultError: Some part has no JSON form.
    """
    try:
        text = json.dumps(
            plain(value, "value"), sort_keys=True, ensure_ascii=True, allow_nan=False, indent=1
        )
    except RecursionError as error:
        raise ResultError(
            "A value contains itself or is nested too deeply, so it cannot be written as JSON. "
            "Pass a flat copy."
        ) from error
    return text.encode("ascii") + b"\n"


def digest_json(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys.

    Args:
        value: What `canonical_json` accepts.

    Raises:
        ResultError: Some part has no JSON form.
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in whatever order they come.

    Args:
        tensors: Named tensors of any dtype, strides and device; mapped files are read once.

    Raises:
        ResultError: A tensor is not dense, so its bytes are not its values.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = dense(tensors[name], name)
        head = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        digest.update(canonical_json(head))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def dense(tensor: Tensor, name: str) -> Tensor:
    """Tensor detached, on the CPU and contiguous; shares memory where it can.

    Raises:
        ResultError: The tensor is sparse, quantised or has no data.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ResultError(
            f"Tensor {name} is {tensor.layout} on {tensor.device} with dtype {tensor.dtype}, so it "
            "has no plain bytes to store or compare. Pass a dense tensor that holds data."
        )
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    # One value or none counts as contiguous whatever the strides, and is then refused as bytes.
    return tensor.clone(memory_format=torch.contiguous_format) if tensor.numel() <= 1 else tensor


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> bytes:
    """Safetensors file as bytes, equal for equal values in every process.

    Args:
        tensors: Named dense tensors.
        metadata: JSON value stored in the header. It travels under one key, because the format's
            own mapping of several keys is written in an order that differs between processes.

    Raises:
        ResultError: A tensor is not dense.
    """
    import safetensors.torch

    # Views of one storage are refused by the format; copies are cheap beside the write.
    own = {name: dense(tensors[name], name).clone() for name in sorted(tensors)}
    return safetensors.torch.save(own, {"elicit": canonical_json(metadata).decode("ascii")})


def read_tensor_bytes(data: bytes) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Tensors and metadata of a safetensors file written by `tensor_bytes`.

    Raises:
        ResultError: The bytes are not such a file.
    """
    import safetensors.torch

    try:
        length = int.from_bytes(data[:8], "little")
        header: Any = parse_json(data[8 : 8 + length])
        metadata = parse_json(header["__metadata__"]["elicit"])
        tensors = safetensors.torch.load(data)
    except Exception as error:  # the format's reader has errors of many classes
        raise ResultError("it is not a whole safetensors file written by elicit") from error
    if not isinstance(metadata, dict):
        raise ResultError("its header is not one that elicit wrote")
    return tensors, metadata


def as_tensor(value: Tensor | np.ndarray, name: str) -> Tensor:
    """Torch tensor with the bytes of `value`.

    Raises:
        ResultError: A numpy array holds no numbers, for example strings or objects.
    """
    if isinstance(value, Tensor):
        return value
    if value.dtype.kind not in "biufc":
        raise ResultError(
            f"{name} is a numpy array of dtype {value.dtype}, which holds no numbers, so "
            "safetensors cannot store it. Pass numbers, or a tuple of strings for labels."
        )
    # A copy in native byte order: torch warns about read-only arrays and refuses swapped bytes.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
