"""The exported file steers as the harness reads it exactly as the edit does here."""

from dataclasses import replace

import pytest
import torch

from elicit.directions import Direction, DirectionError, export_lm_eval
from elicit.edits import edited, everywhere
from elicit.pair import hugging_face_model
from elicit.sites import mlp_out, resid_post, resid_pre
from tests.checkpoints import D_MODEL


def direction(site):
    vector = 3 * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(0))
    return Direction(
        vector=vector, site=site, model="m", model_digest="d", how="by hand", position="any",
        norm=1.0, resid_norm=1.0, n=1,
    )  # fmt: skip


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("site", [resid_post(1), resid_pre(1)])
def test_a_plain_model_hooked_as_the_harness_does_gives_the_edit_s_logits(
    paired, written, tmp_path, architecture, site
):
    from transformers import AutoModelForCausalLM

    pair, made = paired(architecture), direction(site)
    path = export_lm_eval(made, pair.base, tmp_path / "steer.pt", scale=1.5)
    config = torch.load(path, weights_only=True)
    ((hookpoint, entry),) = config.items()
    assert entry["action"] == "add" and entry["bias"] is None
    plain = AutoModelForCausalLM.from_pretrained(
        written(architecture, seed=1), attn_implementation="eager"
    ).eval()
    module = dict(plain.base_model.named_modules())[hookpoint]

    def hook(_module, _inputs, output):
        push = entry["steering_coefficient"] * entry["steering_vector"]
        return (output[0] + push, *output[1:]) if isinstance(output, tuple) else output + push

    ids = torch.randint(4, 60, (2, 7), generator=torch.Generator().manual_seed(1))
    module.register_forward_hook(hook)
    with torch.no_grad():
        theirs = plain(ids, use_cache=False).logits
        with edited(pair.base, [made.to_edit(1.5, everywhere())]):
            ours = hugging_face_model(pair.base)(ids, use_cache=False).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)


def test_what_the_harness_could_not_add_is_refused(paired, tmp_path):
    model, path = paired("llama").base, tmp_path / "steer.pt"
    for site, says in (
        (mlp_out(1), r"mlp_out\.1.*resid_post"),
        (resid_pre(0), r"resid_pre\.0.*resid_post"),
        (resid_post(9), "layer 9"),
    ):
        with pytest.raises(DirectionError, match=says):
            export_lm_eval(direction(site), model, path, scale=1.0)
    with pytest.raises(DirectionError, match=r"\.pt"):
        export_lm_eval(direction(resid_post(1)), model, tmp_path / "steer.csv", scale=1.0)
    narrow = replace(direction(resid_post(1)), vector=torch.ones(5))
    with pytest.raises(DirectionError, match="5 wide"):
        export_lm_eval(narrow, model, path, scale=1.0)
    with pytest.raises(DirectionError):
        export_lm_eval(direction(resid_post(1)), model, tmp_path / "no" / "steer.pt", scale=1.0)
    assert not list(tmp_path.iterdir())
