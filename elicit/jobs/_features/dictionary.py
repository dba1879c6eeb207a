"""The SAE of a run about features: given, or trained once and kept by its digest."""

import torch

from elicit.features import FeatureError, Sae, load_sae, train
from elicit.jobs._features.inputs import Ready, training_of
from elicit.jobs._features.spec import FeaturesSpec
from elicit.jobs._features.texts import Texts, rows
from elicit.pair import ModelPair
from elicit.runs import Execution, Progress, RunDirectory

SAE = "sae"
"""Folder of a trained SAE in the run directory."""


def sae_of(
    spec: FeaturesSpec,
    pair: ModelPair,
    ready: Ready,
    texts: Texts,
    *,
    run: RunDirectory,
    progress: Progress,
) -> Sae:
    """The SAE of a run: the one given, or one trained on the problems to choose on, once.

    Args:
        spec: What to do.
        pair: The two models.
        ready: The SAE given, if there is one.
        texts: What is learned from.
        run: Keeps the trained one by its digest.
        progress: Told how far it is.
    """
    if ready.sae is not None:
        return ready.sae
    folder = run.path / SAE
    site, config = training_of(spec, pair)

    def trained() -> dict[str, torch.Tensor]:
        # What another attempt left is not known to be whole.
        _remove(run)
        sae = train(
            pair,
            rows(texts.part(test=False)),
            folder,
            site=site,
            model=spec.train_on or "base",
            config=config,
            seed=spec.seed,
            execution=Execution(max_tokens=spec.max_tokens, progress=progress),
        )
        return {"digest": torch.tensor(list(bytes.fromhex(sae.digest)), dtype=torch.uint8)}

    kept = run.get_or_compute("sae", trained)
    digest = bytes(kept["digest"].tolist()).hex()
    try:
        sae = load_sae(folder, device=pair.device)
    except FeatureError:
        sae = None
    if sae is None or sae.digest != digest:
        # The same seed gives the same bytes, so what was damaged is made anew.
        trained()
        sae = load_sae(folder, device=pair.device)
    return sae


def _remove(run: RunDirectory) -> None:
    """Clear the place of a trained SAE, and of one that was being written."""
    for folder in (run.path / SAE, run.path / f"{SAE}.part"):
        for file in ("cfg.json", "sae_weights.safetensors"):
            (folder / file).unlink(missing_ok=True)
        if folder.is_dir():
            folder.rmdir()
