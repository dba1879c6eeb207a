"""Before a run begins: a usable folder, and the two models of a specification."""

import os
from pathlib import Path

import torch

from elicit.jobs._loading import dtype_of, loading_of
from elicit.jobs._spec import PairSpec, SpecError
from elicit.pair import ModelPair, load_pair, resolve_device
from elicit.runs import Progress, RunError, refuse_foreign


def refuse_output(folder: Path) -> None:
    """Refuse an unusable run directory before models are loaded.

    Raises:
        RunError: It or a parent is a file, contains other files, or is not writable.
    """
    there = next(
        path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink()
    )
    if not there.is_dir():
        raise RunError(
            f"{there} is a file or a broken link, but a run needs a folder, so nothing could be "
            f"written to {folder}. Pass another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(
            f"{there} is not writable by this user, so the run in {folder} would be lost. "
            "Pass another folder."
        )
    refuse_foreign(folder)


def open_pair(spec: PairSpec, progress: Progress) -> ModelPair:
    """Load the two models of a specification.

    Raises:
        ElicitError: They cannot be loaded or compared.
    """
    device = resolve_device(spec.device)
    there = resolve_device(spec.post_device or device)
    for one in dict.fromkeys((device, there)):
        _refuse_missing(one)
    if spec.device_map is not None:
        where = "both models on several devices"
    elif there != device:
        where = f"base on {device} and post on {there}"
    else:
        where = f"both models on {device}"
    progress.start(1, f"loading {where}")
    pair = load_pair(
        spec.pair or str(spec.base),
        spec.post,
        device=device,
        dtype=dtype_of(spec),
        vocab=spec.vocab,
        allow_identical=spec.loads_identical,
        loading=loading_of(spec),
    )
    progress.advance()
    progress.stop()
    return pair


def _refuse_missing(device: str | torch.device) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        SpecError: It has not.
    """
    if device == "cpu":
        return
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise SpecError(
            f"the device {str(device)!r} is not available here ({why}). Choose another, for "
            "instance cpu."
        ) from error
