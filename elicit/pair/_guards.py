"""What must hold while a model is loaded and wrapped, and is restored afterwards."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from elicit.pair.errors import PairError, reason

# TransformerLens may start `pip install torchvision` (or `uv pip`) while it boots a multimodal
# checkpoint, which has replaced the running torch. Without an index neither can install anything.
_NO_INSTALL = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}


@contextmanager
def no_installs() -> Iterator[None]:
    """Keep any installer that is started inside the block from finding packages."""
    before = {name: os.environ.get(name) for name in _NO_INSTALL}
    os.environ.update(_NO_INSTALL)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
    with no_installs(), quiet(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def explained(what: str, source: str) -> Iterator[None]:
    """Turn what other libraries raise about a checkpoint into one sentence.

    Raises:
        PairError: The block raised; says why, in the other library's words, and what to do.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
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
