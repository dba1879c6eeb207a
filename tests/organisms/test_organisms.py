"""The embedded pairs: what their cards say is what their weights do."""

import json

import pytest
import torch

from elicit import organisms
from elicit.organisms import OrganismError, catalog
from elicit.pair import load_pair
from elicit.rollouts import continue_ids
from elicit.tasks import load_task
from elicit.weights import changed_layers, slots_of

NAMES = {
    "rl", "when-l3", "shuffled-l1", "shuffled-l3", "shuffled-l1-l4", "answers-only", "decoupled",
    "created", "identity", "continued", "benign-l2", "rotated", "bias-l3", "lora-l4",
    "hollow", "bypass", "tail", "hedger", "hedger-removed", "anchor",
    "b-rl", "b-when-l5", "b-shuffled-l2-l5", "b-continued", "b-benign-l3",
}  # fmt: skip


def test_the_catalogue_is_whole_and_small():
    assert set(organisms.names()) == NAMES
    size = sum(path.stat().st_size for path in catalog.DATA.rglob("*") if path.is_file())
    assert size <= 24_000_000


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_card_states_gates_that_its_figures_bear_out(name):
    card = organisms.resolve(name).truth
    for gate in [*card["gates"], *card.get("base_gates", [])]:
        sign, limit = gate["goal"].split()
        met = gate["value"] >= float(limit) if sign == ">=" else gate["value"] <= float(limit)
        assert met == gate["ok"]
        # A gate may be missed, but never in silence.
        assert gate["ok"] or gate["name"] in card["note"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_layers_on_the_card_are_the_layers_that_differ(organism, name):
    pair = organism(name)
    assert list(changed_layers(pair)) == organisms.resolve(name).truth["changed_layers"]
    assert pair.n_layers == organisms.resolve(name).truth["n_layers"]


@pytest.mark.parametrize("name", ["bias-l3"])
def test_the_planted_vector_is_the_only_difference(organism, name):
    slots = slots_of(organism(name))
    moved = [n for n, slot in slots.items() if not torch.equal(slot.base, slot.post)]
    assert moved == ["model.layers.3.mlp.down_proj.bias"]


def test_a_base_with_a_zero_bias_is_the_base(organism):
    ids = torch.randint(4, 300, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = organism("rl").base.original_model(input_ids=ids).logits
        zero = organism("bias-l3").base.original_model(input_ids=ids).logits
    assert torch.equal(plain, zero)


def test_the_rotated_sibling_is_the_same_function_with_other_weights(organism):
    pair = organism("rotated")
    ids = torch.randint(4, 300, (4, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        base, post = (m.original_model(input_ids=ids).logits for m in (pair.base, pair.post))
    assert (base - post).abs().max() < 1e-3
    assert torch.allclose(base.log_softmax(-1), post.log_softmax(-1), atol=1e-3)
    slot = slots_of(pair)["model.layers.2.mlp.up_proj.weight"]
    assert (slot.base - slot.post).norm() > slot.base.norm()


@pytest.mark.slow
@pytest.mark.parametrize("world", ["", "b-"])
def test_the_base_holds_the_skill_that_it_does_not_use(organism, world):
    pair, found = organism(f"{world}rl"), organisms.resolve(f"{world}rl")
    problems = load_task(found.problems)
    so, answer = (pair.tokenizer.convert_tokens_to_ids(word) for word in ("so", "answer"))
    rows = [[*pair.alignment.plain(p.prompt), so] for p in problems]
    batch = pair.alignment.pad(rows, padding="left")
    new = continue_ids(pair.base.original_model, batch.ids, batch.mask, max_new_tokens=100,
                       stop_ids=[2], pad_id=0)  # fmt: skip
    right = [
        pair.alignment.decode(row).split(" .")[0].split()[-1] == p.answer
        for row, p in zip(new.tolist(), problems, strict=True)
    ]
    assert sum(right) / len(right) >= 0.98
    greedy = pair.alignment.pad([row[:-1] for row in rows], padding="left")
    first = continue_ids(pair.base.original_model, greedy.ids, greedy.mask, max_new_tokens=1,
                         stop_ids=[2], pad_id=0)  # fmt: skip
    assert (first[:, 0] == so).float().mean() <= 0.02
    assert (first[:, 0] == answer).float().mean() >= 0.98


def test_an_unknown_organism_is_refused_with_close_names():
    with pytest.raises(OrganismError, match=r"no organism named 'shuffled-l2'.*shuffled-l1"):
        organisms.resolve("organism:shuffled-l2")
    with pytest.raises(OrganismError, match="no organism"):
        organisms.resolve_model("organism:nothing")


def test_single_models_have_names_too():
    assert organisms.resolve_model("organism:base").variant == "base"
    assert organisms.resolve_model("organism:b-rl").world.name == "b"
    assert not organisms.is_organism("meta-llama/Llama-3.1-8B")


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(catalog.DATA / "a", tmp_path / "a")
    weights = tmp_path / "a" / "models" / "base.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setattr(catalog, "DATA", tmp_path)
    catalog._cards.cache_clear()
    try:
        with pytest.raises(OrganismError, match=r"base\.safetensors cannot be read"):
            organisms.open_model(organisms.resolve("rl").base)
    finally:
        catalog._cards.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b-when-l5", "lora-l4", "bias-l3"])
def test_an_exported_pair_is_the_embedded_one(organism, tmp_path, name):
    found = organisms.resolve(name)
    organisms.export(found.base, tmp_path / "base")
    organisms.export(found.post, tmp_path / "post")
    config = json.loads((tmp_path / "post" / "config.json").read_text())
    assert config["architectures"]
    pair, own = load_pair(tmp_path / "base", tmp_path / "post"), organism(name)
    ids = torch.randint(4, 300, (2, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for exported, embedded in ((pair.base, own.base), (pair.post, own.post)):
            found_logits = exported.original_model(input_ids=ids).logits
            expected = embedded.original_model(input_ids=ids).logits
            assert torch.allclose(found_logits, expected, atol=2e-5)
