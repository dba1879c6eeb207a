"""What must hold while a model is loaded and wrapped, and is restored afterwards."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from elicit.pair.errors import PairError, reason
from elicit.results import ElicitError

# TransformerLens may start `pip install torchvision` (or `uv pip`) while it boots a multimodal
# checkpoint, which has replaced the running torch. Without an index neither can install anything.
_NO_INSTALL = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
# torch.load then reads tensors and plain values, whatever its caller or the environment asks for.
_NO_PICKLE = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables inside the block; None for one that must not be set."""
    before = {name: os.environ.get(name) for name in changes}

    def put(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(changes)
    try:
        yield
    finally:
        put(before)


def no_unpickling() -> AbstractContextManager[None]:
    """Keep torch from building whatever a pickle names: a block in which no file runs code."""
    return _environment(_NO_PICKLE)


def refuse_pickled(source: str, stem: str) -> None:
    """Refuse a directory whose weights are pickled, before anything opens them.

    `source`: a directory; a hub id is left to the hub's client, which is asked for safetensors.
    `stem`: beginning of the names of weight files, for example `adapter_model`.

    Raises:
        PairError: Weights are pickled, or an index names a file that is no safetensors file.
    """
    folder = Path(source)
    if not folder.is_dir():
        return
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        with explained("index of weights", source):
            named = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        elsewhere = [n for n in named if Path(n).name != n or not n.endswith(".safetensors")]
        if elsewhere:
            raise PairError(
                f"{index} names {elsewhere[0]!r}, which is no safetensors file of its directory, "
                "so weights from elsewhere or code could be read. Save the model again with "
                "save_pretrained."
            )
    elif not (folder / f"{stem}.safetensors").is_file():
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise PairError(
                f"{source} holds its weights in {pickled[0]}, a pickle, which can run any code "
                f"when it is read, and no {stem}.safetensors. Convert it where it is trusted: "
                "load it with transformers or peft and save it with save_pretrained."
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the loading bars of transformers where the output is not a terminal."""
    from transformers.utils import logging

    hide = not sys.stderr.isatty() and logging.is_progress_bar_enabled()
    if hide:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            logging.enable_progress_bar()


@contextmanager
def guarded() -> Iterator[None]:
    """All guards at once; loading draws random numbers for weights it then overwrites."""
    with _environment(_NO_INSTALL), no_unpickling(), quiet(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def explained(what: str, source: str) -> Iterator[None]:
    """Turn what other libraries raise about a checkpoint into one sentence.

    Raises:
        PairError: The block raised; says why, in the other library's words, and what to do.
    """
    try:
        yield
    except (ElicitError, MemoryError):
        raise
    except Exception as error:  # files hold whatever they like, and so do the errors about them
        if "trust_remote_code" in str(error):
            raise PairError(
                f"{source} brings its own code, and trust_remote_code is False, so its {what} "
                "cannot be loaded. Read that code first, then pass trust_remote_code=True."
            ) from error
        # The hub's message names the network even where a directory was mistyped.
        there = Path(source).expanduser().exists()
        as_hub_id = "" if there else f"there is no directory {source}, and as a hub id it failed: "
        raise PairError(
            f"The {what} of {source} cannot be loaded: {as_hub_id}{reason(error)} Pass a directory "
            "that `save_pretrained` wrote, or a hub id that is cached or can be reached."
        ) from error
