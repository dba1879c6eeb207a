"""What the tests of steering share: a random SAE on a tiny model, and made-up curves."""

import torch

from elicit import features
from elicit.edits import shape_of
from elicit.elicitation import DoseCurve
from elicit.features import Fidelity
from elicit.results import Estimate
from tests.features import made

D_SAE = 64


def sae_for(model, **options):
    width = shape_of(model).d_model
    options = {"d_in": width, "d_sae": D_SAE, "hook": "blocks.1.hook_resid_post", **options}
    return features.from_sae_lens(made.random_module("jumprelu", **options), name="made")


def measured(sae, density=None, max_act=None, **options):
    """Firing rates as they would have been measured."""
    nan = float("nan")
    told = {"sae": sae.name, "site": str(sae.site), "model": "m", "n_tokens": 100,
            "fvu": Estimate.missing(), "l0": Estimate.missing(), "dead_fraction": 0.0,
            "n_outliers": 0, "n_problems": 2, "level": 0.95, "ce": nan, "ce_spliced": nan,
            "ce_zero": nan, "ce_recovered": Estimate.missing(), "published_fvu": nan,
            "published_l0": nan, "published_dead_fraction": nan}  # fmt: skip
    density = torch.full((sae.d_sae,), 0.1) if density is None else density
    max_act = torch.arange(1.0, sae.d_sae + 1) if max_act is None else max_act
    return Fidelity(
        feature=torch.arange(sae.d_sae), density=density, max_act=max_act, **{**told, **options}
    )


def dosed(
    strengths,
    rates,
    coherent=None,
    *,
    log_probs=None,
    unsteered=0.2,
    goal=1.0,
    clear=True,
    **fields,
):
    """A curve with one arm and one control that does nothing, of one metric or several."""
    coherent = coherent or [1.0] * len(strengths)
    log_probs, own = log_probs or [-0.5] * len(strengths), -0.5
    rates = torch.tensor(rates, dtype=torch.float64).reshape(-1, 1, len(strengths))
    n_metrics = len(rates)
    names = ("accuracy", "shown")[:n_metrics]
    alone = torch.full((n_metrics,), unsteered, dtype=torch.float64)
    goals = torch.full((n_metrics,), goal, dtype=torch.float64)
    still = alone[:, None, None].expand(-1, 1, len(strengths))
    rate = torch.cat([rates, still], dim=1)
    logs = torch.tensor([log_probs, [own] * len(strengths)], dtype=torch.float64)
    reference = torch.stack([alone, goals], dim=1)
    effect = rate - alone[:, None, None]
    share = effect / (goals - alone)[:, None, None]
    share = share if clear else torch.full_like(share, torch.nan)
    whole = torch.tensor([coherent, [1.0] * len(strengths)], dtype=torch.float64)
    ends = {
        name: Estimate(value=value, low=value, high=value)
        for name, value in (
            ("rate", rate), ("effect", effect), ("share", share), ("log_prob", logs),
            ("coherent", whole), ("reference_rate", reference), ("reference_share", reference),
        )
    }  # fmt: skip
    gap = goals - alone
    ends["gap"] = Estimate(value=gap, low=gap if clear else -gap.abs(), high=gap.abs())
    told = {"site": "resid_post.1", "where": "last()", "model": "m", "target": "t", "norm": 1.0,
            "resid_norm": 2.0, "n_problems": 20, "n_samples": 1, "level": 0.95}  # fmt: skip
    return DoseCurve(
        metric=names,
        arm=("feature 3, set to 2", "random <b>0</b>"),
        kind=("steered", "control"),
        strength=torch.tensor(strengths, dtype=torch.float64),
        reference=("unsteered", "target"),
        unsteered_log_prob=own,
        unsteered_coherent=1.0,
        truncated=torch.zeros_like(logs),
        n_tokens=torch.full_like(logs, 4.0),
        **ends,
        **{**told, **fields},
    )
