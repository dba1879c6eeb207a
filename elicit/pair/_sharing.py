"""Post read from disk beside base: what is equal in both is in memory once."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from elicit.pair._guards import explained, refuse_pickled
from elicit.pair._settings import Settings
from elicit.pair._tensors import SAFE, check_filled, left_in_folder, unread
from elicit.pair.handles import Bridge, Config, HuggingFaceModel
from elicit.pair.parameters import parameter_groups

_INDEX = f"{SAFE}.index.json"


def open_beside(
    name: str, config: Config, settings: Settings, base: HuggingFaceModel, *, revision: str | None
) -> tuple[HuggingFaceModel, tuple[str, ...]]:
    """A checkpoint's model whose tensors are base's own wherever they are equal.

    Tensors are read one after the other, so that memory never holds more than base, what differs
    and one tensor.

    `base`: the plain model, loaded and in the precision of both.

    Raises:
        PairError: The files cannot be read, or do not fill the model.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, GenerationConfig

    refuse_pickled(name, "model")
    with explained("weights", name), init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            config,
            dtype=settings.dtype,
            attn_implementation=settings.loading.attn_implementation,
            trust_remote_code=settings.loading.trust_remote_code,
        )
    theirs = dict(model.named_parameters(remove_duplicate=False))
    ours = dict(base.named_parameters(remove_duplicate=False))
    missing, unexpected, mismatched = set(theirs), [], []
    with explained("weights", name):
        for key, file in _files(name, revision):
            if key not in theirs:
                unexpected.append(key)
                continue
            missing.discard(key)
            with _tensor(file, key) as stored:
                if stored.shape != theirs[key].shape:
                    mismatched.append((key, list(stored.shape), list(theirs[key].shape)))
                    continue
                kept = _kept(stored.to(settings.dtype), ours.get(key))
            model.load_state_dict({key: kept}, strict=False, assign=True)
    model.tie_weights()
    now = dict(model.named_parameters(remove_duplicate=False))
    check_filled(name, [key for key in missing if now[key].is_meta], mismatched)
    unused = {*unexpected, *left_in_folder(name)}
    notes = unread(name, unused, settings, "the model of its config.json does not read")
    with suppress(OSError):  # where the checkpoint has none, the model's own stands
        model.generation_config = GenerationConfig.from_pretrained(
            name, revision=revision or "main"
        )
    return model.eval(), notes


def twin_of(base: HuggingFaceModel) -> HuggingFaceModel:
    """A second model that reads the same tensors, until a parameter of its is given others.

    `base`: the plain model. Tied parameters are tied in the twin as well.
    """
    same = {
        id(parameter): nn.Parameter(parameter.data, requires_grad=parameter.requires_grad)
        for parameter in base.parameters()
    }
    return copy.deepcopy(base, same)


def share_equal(base: Bridge, post: Bridge) -> str:
    """Let post read base's tensor wherever both are equal, split projections included.

    Returns:
        A sentence on how much of post is in memory for itself.
    """
    ours, theirs = parameter_groups(base), parameter_groups(post)
    apart = whole = 0
    with torch.no_grad():
        for name, group in theirs.items():
            twin = ours.get(name)
            for place, part in enumerate(group.all):
                whole += part.nbytes
                other = twin.all[place] if twin is not None and len(twin.all) > place else None
                if other is not None and part.data_ptr() == other.data_ptr():
                    continue
                if other is not None and _equal(part, other):
                    part.data = other.data
                else:
                    apart += part.nbytes
    return (
        f"Equal weights are in memory once: {100 * apart / max(whole, 1):.3g} % of post is its own."
    )


def _kept(stored: Tensor, own: nn.Parameter | None) -> nn.Parameter:
    """Base's tensor if it is the same, else a copy that does not hang on the file."""
    if own is not None and _equal(stored, own):
        return nn.Parameter(own.data, requires_grad=own.requires_grad)
    return nn.Parameter(stored.clone())


def _equal(one: Tensor, other: Tensor) -> bool:
    same = one.shape == other.shape and one.dtype == other.dtype
    return same and torch.equal(one.to(other.device), other)


def _files(name: str, revision: str | None) -> Iterator[tuple[str, Path]]:
    """Every stored tensor with its file."""
    from safetensors import safe_open
    from transformers.utils.hub import cached_file

    folder = Path(name)

    def place(file: str) -> Path:
        return (
            folder / file
            if folder.is_dir()
            else Path(str(cached_file(name, file, revision=revision)))
        )

    sharded = folder.is_dir() and not (folder / SAFE).exists() and (folder / _INDEX).exists()
    if not folder.is_dir():
        single = cached_file(
            name, SAFE, revision=revision, _raise_exceptions_for_missing_entries=False
        )
        sharded = single is None
    if sharded:
        index = json.loads(place(_INDEX).read_text(encoding="utf-8"))
        for key, file in index["weight_map"].items():
            yield str(key), place(str(file))
        return
    with safe_open(place(SAFE), framework="pt") as opened:
        keys = list(opened.keys())
    for key in keys:
        yield key, place(SAFE)


@contextmanager
def _tensor(file: Path, key: str) -> Iterator[Tensor]:
    """One tensor, its file closed afterwards: mapped pages count as memory while it is open."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        yield opened.get_tensor(key)
