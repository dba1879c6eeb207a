"""A pair that shares equal weights is the same pair, in one model and what differs of memory."""

import functools
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from elicit.capture import capture
from elicit.pair import Loading, PairError, load_pair, parameter_groups
from elicit.sites import resid_post
from elicit.weights import changed_layers, changed_slots, part, reverted
from tests import checkpoints

SHARED = Loading(share_weights=True)
IDS = torch.tensor([[5, 9, 12, 7, 30]])


def one_layer_moved(model):
    for name, parameter in model.named_parameters():
        if ".1." in name:
            parameter += 0.05


def storage(bridge):
    return {
        p.untyped_storage().data_ptr(): p.untyped_storage().nbytes()
        for group in parameter_groups(bridge).values()
        for p in group.all
    }


@pytest.mark.parametrize("architecture", checkpoints.FAMILIES)
def test_a_shared_pair_computes_and_reverts_as_one_loaded_twice(architecture, written):
    base, post = written(architecture), written(architecture, edit=one_layer_moved)
    whole, shared = load_pair(base, post), load_pair(base, post, loading=SHARED)
    assert (shared.base_digest, shared.post_digest) == (whole.base_digest, whole.post_digest)
    assert changed_layers(shared) == (1,)
    found = []
    for pair in (whole, shared):
        site = resid_post(2)
        with torch.no_grad():
            plain = capture(pair.post, IDS, sites=[site], logits=True)
            with reverted(pair, part(pair, "L1")) as model:
                back = capture(model, IDS, sites=[site], logits=True)
            again = capture(pair.post, IDS, sites=[site], logits=True)
        assert torch.equal(plain.logits, again.logits)
        found.append(
            (plain.logits, back.logits, capture(pair.base, IDS, sites=[], logits=True).logits)
        )
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    # Memory: base, and of post the layer that differs.
    ours, theirs = storage(shared.base), storage(shared.post)
    own = sum(n for place, n in theirs.items() if place not in ours)
    moved = sum(
        p.nbytes for n, g in parameter_groups(shared.post).items() for p in g.all if ".1." in n
    )
    assert 0 < own <= moved
    assert any("of post is its own" in note for note in shared.notes)


ADAPTED = {"llama": None, "gpt2": ["c_attn", "c_fc"], "gemma2": ["o_proj", "lm_head"],
           "qwen3": "all-linear"}  # fmt: skip


@pytest.mark.parametrize("architecture", ADAPTED)
def test_an_adapter_beside_base_is_the_pair_loaded_twice(architecture, written, tmp_path):
    base = written(architecture)
    adapter = checkpoints.write_adapter(tmp_path / "adapter", base, targets=ADAPTED[architecture])
    whole, shared = load_pair(base, adapter), load_pair(base, adapter, loading=SHARED)
    # Base is untouched by what was merged beside it.
    assert (shared.base_digest, shared.post_digest) == (whole.base_digest, whole.post_digest)
    ours, theirs = (changed_slots(pair) for pair in (shared, whole))
    assert ours == theirs
    for name in ("base", "post"):
        found = [
            capture(getattr(pair, name), IDS, sites=[], logits=True).logits
            for pair in (whole, shared)
        ]
        assert torch.equal(*found)


@pytest.mark.parametrize("what", ["olora", "biases", "embeddings", "head"])
def test_an_adapter_that_writes_into_base_does_not_write_into_the_pair_s(what, written, tmp_path):
    base = written("gpt2") if what == "biases" else written("llama")
    targets = ["c_attn"] if what == "biases" else None
    adapter = checkpoints.write_adapter(tmp_path / "adapter", base, targets=targets)
    file, of_config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    tensors, settings = load_file(file), json.loads(of_config.read_text())
    stored = {f"base_model.model.{n}": t for n, t in load_file(base / "model.safetensors").items()}
    if what == "olora":
        settings["init_lora_weights"] = "olora"
    elif what == "biases":
        settings["bias"] = "all"
        tensors |= {n: t + 0.1 for n, t in stored.items() if n.endswith("c_proj.bias")}
    else:
        settings["modules_to_save"] = ["lm_head"] if what == "head" else None
        kind = "lm_head.weight" if what == "head" else "embed_tokens.weight"
        tensors |= {n: t + 0.1 for n, t in stored.items() if n.endswith(kind)}
    save_file(tensors, file, metadata={"format": "pt"})
    of_config.write_text(json.dumps(settings))
    whole, shared = load_pair(base, adapter), load_pair(base, adapter, loading=SHARED)
    assert (shared.base_digest, shared.post_digest) == (whole.base_digest, whole.post_digest)
    ours, theirs = (changed_slots(pair) for pair in (shared, whole))
    assert ours == theirs


def test_an_adapter_shares_what_it_does_not_touch(written, tmp_path):
    llama = written("llama")
    adapter = checkpoints.write_adapter(tmp_path / "adapter", llama)
    pair = load_pair(llama, adapter, loading=SHARED)
    ours, theirs = storage(pair.base), storage(pair.post)
    apart = {n for n, g in parameter_groups(pair.post).items()
             if g.canonical.untyped_storage().data_ptr() not in ours}  # fmt: skip
    assert apart == {n for n in parameter_groups(pair.post) if "q_proj" in n or "v_proj" in n}
    assert len(theirs) == len(ours)


def test_files_that_do_not_fill_the_model_are_refused_beside_base_too(written, tmp_path):
    import shutil

    llama = written("llama")
    broken = shutil.copytree(llama, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    lacking = next(name for name in tensors if "q_proj" in name)
    save_file(
        {n: t for n, t in tensors.items() if n != lacking},
        broken / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(PairError, match=f"lack {lacking}"):
        load_pair(llama, broken, loading=SHARED)
    save_file(tensors | {"stray": torch.ones(2)}, broken / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(PairError, match="stray"):
        load_pair(llama, broken, loading=SHARED)


PEAK = """
import gc, json, sys, torch
from pathlib import Path
from elicit.pair import Loading, load_pair
from elicit.weights import part, reverted
import elicit.capture

def told(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

base, post, share = sys.argv[1], sys.argv[2], sys.argv[3] == "share"
small = load_pair("organism:rl")  # every import is done
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = told("VmRSS")
pair = load_pair(base, post, check_parity=False, loading=Loading(share_weights=share))
with torch.no_grad(), reverted(pair, part(pair, "L1")) as model:
    model.original_model(input_ids=torch.tensor([[5, 6, 7]]))
print(json.dumps({"grown": told("VmHWM") - before,
                  "model": sum(p.nbytes for p in pair.base.parameters())}))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc"
)
@pytest.mark.parametrize("kind", ["checkpoint", "adapter"])
def test_reverting_a_shared_pair_peaks_at_one_model_and_a_tenth(kind, tmp_path):
    write = functools.partial(checkpoints.write, d_model=512, n_layers=32)
    made = [write(tmp_path / "base", "llama")]
    if kind == "adapter":
        # Query and value of one layer of 32.
        targets = ["layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj"]
        made.append(checkpoints.write_adapter(tmp_path / "post", made[0], targets=targets))
    else:
        made.append(write(tmp_path / "post", "llama", edit=one_layer_moved))
    grown = {}
    for how in ("share", "twice"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PEAK), *map(str, made), how],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        told = json.loads(done.stdout.splitlines()[-1])
        grown[how] = told["grown"] / told["model"]
    assert grown["share"] <= 1.1 < grown["twice"], grown
