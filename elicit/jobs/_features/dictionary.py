"""SAE of a features run: loaded, or trained once and stored under its digest."""

import torch

from elicit.features import FeatureError, Sae, load_sae, train
from elicit.jobs._features.inputs import FeatureWork, training_of
from elicit.jobs._features.texts import Texts, rows

SAE = "sae"
"""Folder of a trained SAE in the run directory."""
_FILES = ("sae_weights.safetensors", "cfg.json")


def sae_of(work: FeatureWork, texts: Texts) -> Sae:
    """SAE of a run: loaded, or trained once on the selection problems."""
    spec, pair, run = work.spec, work.pair, work.run
    if work.inputs.sae is not None:
        return work.inputs.sae
    site, config = training_of(spec, pair)

    def trained() -> dict[str, torch.Tensor]:
        with run.scratch() as scratch:
            sae = train(
                pair,
                rows(texts.part(test=False)),
                scratch / SAE,
                site=site,
                model=spec.train_on or "base",
                config=config,
                seed=spec.seed,
                execution=work.execution,
            )
            run.write_folder(SAE, {name: (scratch / SAE / name).read_bytes() for name in _FILES})
        return {"digest": torch.tensor(list(bytes.fromhex(sae.digest)), dtype=torch.uint8)}

    kept = run.get_or_compute("sae", trained)
    digest = bytes(kept["digest"].tolist()).hex()
    folder = run.path / SAE
    try:
        sae = load_sae(folder, device=pair.device)
    except FeatureError:
        sae = None
    if sae is None or sae.digest != digest:
        # The same seed gives the same bytes, so a damaged one is trained again.
        trained()
        sae = load_sae(folder, device=pair.device)
    return sae
