"""Vocabularies of two sizes: embeddings stay with their model, and all else moves as ever."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch

from elicit.capture import full_logits
from elicit.grafting import PartSweep, Score
from elicit.pair import load_pair, parameter_groups, weights_digest
from elicit.tasks import Problem, Task
from elicit.weights import (
    PartError,
    all_parts,
    changed_layers,
    grafted,
    part,
    parts_of,
    reverted,
    slots_of,
    weight_change,
)
from tests import checkpoints

NARROW, WIDE = 64, 72
WORDS = checkpoints.WORDS
TASK = Task(
    name="open",
    problems=tuple(
        Problem(id=f"p{i}", prompt=" ".join(WORDS[i : i + 4]), answer=" ".join(WORDS[-1 - i : -i]))
        for i in range(1, 6)
    ),
)
HOSTS = [("revert", "post"), ("graft", "base"), ("revert", "base"), ("graft", "post")]
"""Direction, and which model has the wider vocabulary: the host does in the first two."""


@pytest.fixture(scope="module")
def shared(written):
    """A pair of which one model, base or post, knows eight more ids; leave it as it is."""
    made = {}
    words = [*checkpoints.default_words(), *(f"<extra{i}>" for i in range(WIDE - NARROW))]

    def pair(architecture, wider="post"):
        if (architecture, wider) not in made:
            wide = {"d_vocab": WIDE, "words": words}
            base = written(architecture, seed=1, **(wide if wider == "base" else {}))
            post = written(architecture, seed=2, **(wide if wider == "post" else {}))
            made[architecture, wider] = load_pair(base, post, vocab="shared")
        return made[architecture, wider]

    return pair


@cache
def plain(path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def swapped(pair, direction, moves):
    """The host with every parameter that `moves` picks copied from the donor, without a bridge."""
    base, post = plain(pair.base_name), plain(pair.post_name)
    host, donor = (post, base) if direction == "revert" else (base, post)
    host = copy.deepcopy(host)
    for name, theirs in donor.named_parameters():
        if moves(name):
            host.get_parameter(name).data.copy_(theirs.data)
    return host


def shared_log_prob(model, pair, problem):
    """Log-probability of the answer among the shared ids: one text, one forward."""
    prompt = pair.alignment.plain(problem.prompt)
    ids = torch.tensor([pair.alignment.plain(f"{problem.prompt} {problem.answer}")])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1, :NARROW].double()
    return logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None]).sum()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3"])
def test_only_the_embeddings_are_in_no_part(shared, architecture):
    pair = shared(architecture)
    known = all_parts(pair)
    assert not {"embed", "unembed"} & set(known)
    left = {name for name, group in parameter_groups(pair.base).items()
            if not any(slot.partition("[")[0] == name for slot in known["all"].slots)}  # fmt: skip
    vocabulary = {
        name for name, p in plain(pair.base_name).named_parameters() if len(p) == NARROW
        and name.rsplit(".", 2)[-2] in ("embed_tokens", "wte", "lm_head")
    }  # fmt: skip
    assert left == vocabulary != set()
    owned = [s for kind in ("layer", "outside") for p in parts_of(pair, kind) for s in p.slots]
    assert sorted(owned) == sorted(slots_of(pair)) == sorted(known["all"].slots)


@pytest.mark.parametrize("name", ["embed", "unembed", "L0+embed"])
def test_moving_an_embedding_of_two_sizes_is_refused(shared, name):
    with pytest.raises(PartError, match="64 rows in base and 72 in post.*how many ids"):
        part(shared("llama"), name)


def test_a_pair_says_that_its_embeddings_stay(shared):
    (note,) = [note for note in shared("llama").notes if "64 in base and 72 in post" in note]
    assert "stay with their model" in note


def test_a_part_of_a_layer_with_two_shapes_is_refused_and_not_left_out(shared):
    pair = replace(shared("llama"))  # a pair that nobody has walked yet
    weight = pair.post.original_model.model.layers[1].mlp.up_proj._original_component.weight
    whole = weight.data
    weight.data = whole[:-1]
    try:
        with pytest.raises(PartError, match=r"layers\.1\.mlp\.up_proj.*\[64, 32\].*\[63, 32\]"):
            slots_of(pair)
    finally:
        weight.data = whole


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(("direction", "wider"), HOSTS)
@torch.no_grad()
def test_a_host_keeps_its_vocabulary_even_with_all_parts_of_the_donor(
    shared, architecture, direction, wider
):
    pair = shared(architecture, wider)
    before = weights_digest(pair.base), weights_digest(pair.post)
    batch = pair.alignment.encode(["the cat is red", "a dog"], padding="right")
    embeddings = ("embed_tokens.weight", "wte.weight", "lm_head.weight")
    naive = swapped(pair, direction, lambda name: not name.endswith(embeddings))
    expected = naive(
        input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids
    ).logits
    move = reverted if direction == "revert" else grafted
    with move(pair, all_parts(pair)["all"]) as model:
        found = full_logits(model, batch.ids, batch.mask, batch.position_ids)
    assert found.shape[-1] == (WIDE if (direction, wider) in HOSTS[:2] else NARROW)
    assert torch.allclose(found[batch.real], expected[batch.real], atol=1e-5)
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("direction", "wider", "resume"),
    [(*host, resume) for host in HOSTS for resume in (False, True)],
)
def test_a_sweep_of_layers_is_the_naive_swap_read_over_the_shared_ids(
    shared, architecture, direction, wider, resume
):
    pair = shared(architecture, wider)
    sweep = PartSweep(pair=pair, score=Score(task=TASK, metric="log_prob"), resume=resume)
    host = sweep.evaluate(sweep.host(direction))
    layers = parts_of(pair, "layer")
    found = sweep.sweep(layers, direction, host)
    assert sweep.resume == resume
    stem = {"llama": "model.layers", "gpt2": "transformer.h"}[architecture]
    for moved, values in zip(["none", *(p.layers[0] for p in layers)], [host, *found], strict=True):
        naive = swapped(pair, direction, lambda name, m=moved: name.startswith(f"{stem}.{m}."))
        expected = torch.stack([shared_log_prob(naive, pair, problem) for problem in TASK.problems])
        assert torch.allclose(values, expected, atol=1e-5), moved


@pytest.mark.slow(checked=True)
def test_the_change_of_every_weight_that_can_move_is_measured(shared):
    pair = shared("llama")
    change = weight_change(pair, spectra=False)
    assert change.matrix == tuple(slots_of(pair))
    assert changed_layers(pair) == tuple(range(pair.n_layers))
    assert bool(change.relative_norm.isfinite().all())
