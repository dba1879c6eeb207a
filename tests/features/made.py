"""SAEs made for tests: tiny random ones of every architecture, and hand-made ones."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from elicit.features import Sae, from_sae_lens

ARCHITECTURES = (
    "standard",
    "gated",
    "topk",
    "topk-rescaled",
    "abstopk",
    "jumprelu",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
    "temporal",
    "matching_pursuit",
)
TRAINED = ("standard", "gated", "topk", "abstopk", "jumprelu", "batchtopk", "matryoshka_batchtopk")
RECONSTRUCT = tuple(name for name in ARCHITECTURES if "transcoder" not in name)


def config(architecture: str, d_in: int, d_sae: int, hook: str, **options) -> dict:
    """SAELens's `cfg.json` of an architecture."""
    name = architecture.removesuffix("-rescaled")
    extra = {
        "topk": {"k": 4, "rescale_acts_by_decoder_norm": architecture.endswith("rescaled")},
        "abstopk": {"k": 4},
        "temporal": {"n_heads": 2, "bottleneck_factor": 4, "kval_topk": 4},
        "matching_pursuit": {"residual_threshold": 0.5, "max_iterations": 6},
    }.get(name, {})
    if "transcoder" in name:
        extra = {"d_out": d_in, "apply_b_dec_to_input": False}
    return {
        "architecture": name,
        "d_in": d_in,
        "d_sae": d_sae,
        "metadata": {"hook_name": hook, "model_name": "tiny"},
        **extra,
        **options,
    }


def random_module(
    architecture: str, *, d_in=16, d_sae=32, hook="blocks.1.hook_resid_post", seed=0, **options
):
    """A SAELens inference SAE with random weights, thresholds and biases included."""
    from sae_lens import SAE

    torch.manual_seed(seed)
    module = SAE.from_dict(config(architecture, d_in, d_sae, hook, **options))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if name == "b_dec" else 0.4))
            if name == "threshold":
                parameter.abs_()
    return module


def saved(folder: Path, architecture: str, **options) -> Path:
    """A random SAE in a folder, as SAELens writes it."""
    random_module(architecture, **options).save_model(folder)
    return folder


def hand_made(
    readers: Tensor,
    *,
    hook: str,
    bias: Tensor | None = None,
    writers: Tensor | None = None,
    b_dec: Tensor | None = None,
) -> Sae:
    """A standard SAE whose features are relu(x·reader + bias), each adding its writer."""
    from sae_lens import StandardSAE, StandardSAEConfig

    d_sae, d_in = readers.shape
    cfg = StandardSAEConfig(d_in=d_in, d_sae=d_sae, apply_b_dec_to_input=False)
    cfg.metadata.hook_name = hook
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = StandardSAE(cfg)
    with torch.no_grad():
        module.W_enc.copy_(readers.T)
        module.W_dec.copy_(readers if writers is None else writers)
        module.b_enc.copy_(torch.zeros(d_sae) if bias is None else bias)
        module.b_dec.copy_(torch.zeros(d_in) if b_dec is None else b_dec)
    return from_sae_lens(module, name="hand-made")


def principal(x: Tensor, n: int, *, hook: str) -> Sae:
    """An SAE of both signs of the first principal components of activations about their mean."""
    mean = x.mean(0)
    components = torch.linalg.svd(x - mean, full_matrices=False)[2][:n]
    readers = torch.cat([components, -components])
    return hand_made(readers, hook=hook, bias=-(readers @ mean), b_dec=mean)
