"""Where an architecture's state depends on the length of a text, a row has only its own length."""

import copy
import json

import pytest
import torch

from elicit.capture import capture, decompose, run_trunk
from elicit.edits import Steer, edited, everywhere, generated
from elicit.pair import load_pair
from elicit.rollouts import Generation, RolloutError, continue_ids, rollouts
from elicit.sites import resid_post
from elicit.tasks import Problem, Task
from tests import checkpoints
from tests.rollouts.test_loop import padded

SWITCH = 12
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 1.5, 4.0, 16.0],
    "original_max_position_embeddings": SWITCH,
    "factor": 4.0,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": SWITCH,
}
LLAMA3 = {
    **YARN,
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
KINDS = {
    "phi3, longrope": (
        "phi3", {"rope_parameters": {**LONG, "partial_rotary_factor": 1.0},
                 "original_max_position_embeddings": SWITCH},
    ),
    "llama, longrope": ("llama", {"rope_parameters": LONG}),
    "qwen2, longrope": ("qwen2", {"rope_parameters": LONG}),
    "mistral, longrope and a window": ("mistral", {"rope_parameters": LONG}),
    "llama, dynamic": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": SWITCH}),
    "llama, yarn": ("llama", {"rope_parameters": YARN}),
    "llama, llama3": ("llama", {"rope_parameters": LLAMA3}),
    "gpt_neox, dynamic": (
        "gpt_neox", {"rope_parameters": {**DYNAMIC, "partial_rotary_factor": 1.0},
                     "max_position_embeddings": SWITCH},
    ),
    "gemma3, two windows": ("gemma3_text", {}),
    "qwen2, some windows": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1,
                  "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
    ),
}  # fmt: skip
DEPENDS = [name for name in KINDS if "longrope" in name or "dynamic" in name]
ROWS = [
    [1, *range(5, 9)],  # crosses the switch while it is written
    [1, *range(9, 20)],  # stands at it
    [1, *range(20, 36)],  # is past it
    [1, 6],
]
N_NEW = 16


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A pair and the plain base beside it, by kind."""
    from transformers import AutoModelForCausalLM

    known = {}

    def make(kind):
        if kind not in known:
            architecture, settings = KINDS[kind]
            root = tmp_path_factory.mktemp("switch")
            paths = [root / "base", root / "post"]
            for seed, path in enumerate(paths):
                checkpoints.write(path, architecture, seed=seed)
                config = json.loads((path / "config.json").read_text())
                (path / "config.json").write_text(json.dumps({**config, **settings}))
            plain = AutoModelForCausalLM.from_pretrained(paths[0], attn_implementation="eager")
            known[kind] = load_pair(*paths), plain.eval()
        return known[kind]

    return make


def generated_by(plain, row):
    """What the model's own generate writes after one row, in a model that read nothing before."""
    fresh = copy.deepcopy(plain)
    ids = torch.tensor([row])
    return fresh.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=N_NEW, do_sample=False,
        eos_token_id=None, pad_token_id=0,
    )[0, len(row) :].tolist()  # fmt: skip


def read_by(plain, row):
    """Logits of one row in a model that read nothing before."""
    with torch.no_grad():
        return copy.deepcopy(plain)(torch.tensor([row]), use_cache=False).logits[0]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_text_is_that_of_generate_across_the_switch_token_by_token(made, kind):
    pair, plain = made(kind)
    model = pair.base.original_model
    found = continue_ids(model, *padded(ROWS), max_new_tokens=N_NEW, stop_ids=[], pad_id=0)
    for row, ours in zip(ROWS, found.tolist(), strict=True):
        assert ours == generated_by(plain, row)


@pytest.mark.parametrize("kind", DEPENDS)
def test_rows_that_end_at_different_times_keep_their_own_length(made, kind):
    pair, plain = made(kind)
    room = [3, 16, 5, 16]
    model = pair.base.original_model
    found = continue_ids(model, *padded(ROWS), max_new_tokens=room, stop_ids=[], pad_id=0)
    for row, n, ours in zip(ROWS, room, found.tolist(), strict=True):
        assert ours[:n] == generated_by(plain, row)[:n]


@pytest.mark.parametrize("kind", DEPENDS)
def test_a_row_is_read_as_if_it_were_alone_whatever_was_read_before(made, kind):
    pair, plain = made(kind)
    for side in ("right", "left"):
        batch = pair.alignment.pad(ROWS, padding=side)
        for _ in range(2):
            logits = capture(pair.base, batch, sites=[], logits=True).logits.detach()
            for i, row in enumerate(ROWS):
                assert torch.allclose(logits[i][batch.real[i]], read_by(plain, row), atol=1e-4)


@pytest.mark.parametrize("kind", ["phi3, longrope", "llama, dynamic"])
def test_lanes_read_a_row_as_if_it_were_alone(made, kind):
    pair, _ = made(kind)
    model = decompose(pair.base)
    together = pair.alignment.pad(ROWS, padding="right")
    stream = run_trunk(model, together).resid[-1]
    for i, row in enumerate(ROWS):
        alone = run_trunk(model, pair.alignment.pad([row], padding="right")).resid[-1][0]
        assert torch.allclose(stream[i, : len(row)], alone, atol=1e-4)


@pytest.mark.parametrize("kind", ["phi3, longrope", "llama, longrope"])
def test_edits_reach_the_same_tokens_when_a_text_is_read_again(made, kind):
    """Across the switch with edits is what an edited model without a cache would write."""
    pair, _ = made(kind)
    model, vector = (
        pair.base.original_model,
        torch.randn(32, generator=torch.Generator().manual_seed(0)),
    )
    for where in (generated(), everywhere()):
        edit = Steer(resid_post(1), 2 * vector, where=where)
        with edited(pair.base, [edit]):
            together = continue_ids(
                model, *padded(ROWS), max_new_tokens=N_NEW, stop_ids=[], pad_id=0
            ).tolist()
        for i, row in enumerate(ROWS):
            with edited(pair.base, [edit]):
                own = continue_ids(
                    model, *padded([row]), max_new_tokens=N_NEW, stop_ids=[], pad_id=0
                )
            assert together[i] == own[0].tolist()


def test_texts_of_a_task_cross_the_switch_like_generate(made):
    pair, plain = made("phi3, longrope")
    task = Task(
        name="crossing",
        problems=tuple(
            Problem(id=f"p{i}", prompt=" ".join(checkpoints.WORDS[i : i + 2 + 5 * i]), answer="two")
            for i in range(3)
        ),
    )
    found = rollouts(
        pair.side("base"), task, generation=Generation(stop_ids=(), max_new_tokens=N_NEW)
    )
    for i in range(3):
        assert found.ids(i) == generated_by(plain, found.prompt_ids(i))


def test_dynamic_positions_reach_as_far_as_their_factor(made):
    assert made("llama, dynamic")[0].side("base").n_positions == 4 * SWITCH
    assert made("llama, yarn")[0].side("base").n_positions == 128


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"layer_types": ["chunked_attention"] * 3, "attention_chunk_size": 4}, "chunk"),
        ({"layer_types": ["linear_attention"] * 3}, "LinearAttention"),
    ],
)
def test_a_state_that_is_not_keys_and_values_is_refused_before_work(paired, settings, named):
    model = copy.deepcopy(paired("llama").base.original_model)
    for name, value in settings.items():
        setattr(model.config, name, value)
    with pytest.raises(RolloutError, match=named):
        continue_ids(model, *padded(ROWS), max_new_tokens=1, stop_ids=[], pad_id=0)


def test_a_family_with_its_own_way_of_preparing_inputs_is_refused_before_work(paired, monkeypatch):
    model = paired("llama").base.original_model
    monkeypatch.setattr(type(model), "prepare_inputs_for_generation", lambda self: None)
    with pytest.raises(RolloutError, match="llama"):
        continue_ids(model, *padded(ROWS), max_new_tokens=1, stop_ids=[], pad_id=0)
