"""Organisms from files into memory: whole weights, deltas on a base, adapters, rotations."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elicit.organisms.catalog import OrganismError, OrganismModel
from elicit.surroundings import guarded

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROTATION_SEED = 5


@guarded
def open_model(organism: OrganismModel) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A plain Hugging Face model in fp32 with eager attention, and its tokenizer.

    Raises:
        OrganismError: A file of the organism is missing or damaged.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(organism.world)
    state = _state(organism)
    # A planted vector needs a parameter to live in; a zero one changes nothing in the base.
    config.mlp_bias = any(name.endswith("mlp.down_proj.bias") for name in state)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    if config.mlp_bias:
        state = {
            **{n: torch.zeros_like(p) for n, p in model.named_parameters() if n.endswith("bias")},
            **state,
        }
    if "lm_head.weight" not in state:
        state["lm_head.weight"] = state[_embedding(state)]
    model.load_state_dict(state)
    adapter = organism.world / "models" / organism.variant
    if (adapter / "adapter_config.json").exists():
        from peft import PeftModel

        # Merged, so that its parameters have the names of the base's.
        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model.config.name_or_path = organism.name
    tokenizer = AutoTokenizer.from_pretrained(organism.world)
    return model, tokenizer


@guarded
def export(organism: OrganismModel, folder: Path) -> None:
    """Write an organism as an ordinary Hugging Face folder: config, fp16 weights, tokenizer.

    Raises:
        OrganismError: The organism's files are missing or damaged.
    """
    model, tokenizer = open_model(organism)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _embedding(state: dict[str, Tensor]) -> str:
    return next(name for name in state if name.endswith(("embed_tokens.weight", "wte.weight")))


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise OrganismError(
            f"the embedded weights {path} cannot be read ({error}), so the organism has no model. "
            "Install elicit again."
        ) from error


def _state(organism: OrganismModel) -> dict[str, Tensor]:
    """Full weights of a variant, from whichever form it is stored in."""
    models = organism.world / "models"
    recipe = json.loads((models / "variants.json").read_text(encoding="utf-8"))[organism.variant]
    if "of" in recipe:
        state = _state(replace(organism, variant=recipe["of"]))
    else:
        state = _read(models / recipe["weights"])
    if "delta" in recipe:
        state |= _read(models / recipe["delta"])
    if recipe.get("zero_bias"):
        state |= {"model.layers.0.mlp.down_proj.bias": torch.zeros_like(state["model.norm.weight"])}
    if recipe.get("rotated"):
        state = rotate(state, seed=ROTATION_SEED)
    return state


def rotate(state: dict[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    """The same function in another basis: an orthogonal matrix on the whole residual stream.

    Norm gains are folded into what reads them first; without gains, an RMS norm commutes with
    every rotation, so the logits stay equal to rounding while every weight changes.

    `state`: weights of a Llama-layout model with untied embeddings.

    Returns:
        New fp32 weights under the same names.
    """
    embedding = state["model.embed_tokens.weight"].double()
    width = embedding.shape[1]
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(
        torch.randn(width, width, generator=generator, dtype=torch.float64)
    )
    out = {name: tensor.double() for name, tensor in state.items()}
    readers = {
        "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
    }
    n_layers = 1 + max(
        int(name.split(".")[2]) for name in state if name.startswith("model.layers.")
    )
    for layer in range(n_layers):
        prefix = f"model.layers.{layer}."
        for norm, names in readers.items():
            gain = out[f"{prefix}{norm}.weight"]
            for name in names:
                out[f"{prefix}{name}.weight"] = (out[f"{prefix}{name}.weight"] * gain) @ rotation.T
            out[f"{prefix}{norm}.weight"] = torch.ones_like(gain)
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            out[f"{prefix}{name}.weight"] = rotation @ out[f"{prefix}{name}.weight"]
    gain = out["model.norm.weight"]
    out["lm_head.weight"] = (out["lm_head.weight"] * gain) @ rotation.T
    out["model.norm.weight"] = torch.ones_like(gain)
    out["model.embed_tokens.weight"] = embedding @ rotation.T
    return {name: tensor.float() for name, tensor in out.items()}
