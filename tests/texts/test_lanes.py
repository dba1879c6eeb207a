"""Answers at every cut, read as lanes over one read of a text, equal one forward a prefix."""

import json

import pytest
import torch

from elicit.pair import load_pair
from elicit.tasks import TaskError
from elicit.texts import AnswerForm, CutText, LaneReader, encode_cuts, forked
from tests import checkpoints
from tests.capture import oracle
from tests.checkpoints import ARCHITECTURES, FAMILIES

FORM = AnswerForm(lead_in="answer is", end=" .")
TEXTS = (
    CutText(
        problem="a",
        prompt="question : one plus two",
        text="one plus two equals three . check three ok . three is it .",
        cuts=(0, 28, 44, 58),
        candidates=("three", "four", "ten dog", "ten cat"),
    ),
    CutText(
        problem="b",
        prompt="two times two and two times two",
        text="four .",
        cuts=(0, 6),
        candidates=("four", "six red"),
    ),
)


def plain_log_probs(model, pair, text: CutText, form: AnswerForm) -> torch.Tensor:
    """Every candidate at every cut by a forward of a plain Hugging Face model over all of it."""
    out = []
    for cut in text.cuts:
        prefix = " ".join([text.prompt, text.text[:cut]]).strip()
        led = pair.alignment.plain(f"{prefix} {form.lead_in}".strip())
        row = []
        for candidate in text.candidates:
            ids = pair.alignment.plain(f"{prefix} {form.lead_in} {candidate}{form.end}".strip())
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            row.append(sum(logits[i - 1, ids[i]] for i in range(len(led), len(ids))))
        out.append(torch.stack(row))
    return torch.stack(out)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lanes_equal_a_plain_model_over_every_prefix(paired, architecture):
    pair = paired(architecture)
    side = pair.side("base")
    rows = encode_cuts(pair.alignment, TEXTS, FORM, n_positions=side.n_positions)
    reader = LaneReader(side)
    assert reader.reason == ""
    read = reader.read(rows, max_tokens=512)
    plain = oracle.plain(architecture, seed=1)
    expected = [plain_log_probs(plain, pair, text, FORM) for text in TEXTS]
    torch.testing.assert_close(
        read.candidate_log_prob[:4], expected[0], atol=1e-5, rtol=1e-5, equal_nan=True
    )
    torch.testing.assert_close(read.candidate_log_prob[4:, :2], expected[1], atol=1e-5, rtol=1e-5)
    assert bool(read.candidate_log_prob[4:, 2:].isnan().all())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_shared_read_equals_padded_prefixes_of_the_same_model(paired, architecture):
    side = paired(architecture).side("post")
    rows = encode_cuts(side.alignment, TEXTS, FORM, n_positions=side.n_positions)
    shared = LaneReader(side).read(rows, max_tokens=512)
    apart = LaneReader(side, every_prefix=True).read(rows, max_tokens=512)
    torch.testing.assert_close(
        shared.candidate_log_prob, apart.candidate_log_prob, atol=1e-5, rtol=1e-5, equal_nan=True
    )
    torch.testing.assert_close(shared.states, apart.states, atol=1e-5, rtol=1e-5)


def test_lanes_change_no_bit_of_what_is_read_of_the_text_itself(paired):
    side = paired("llama").side("base")
    few = [CutText(**{**vars(text), "cuts": text.cuts[-1:]}) for text in TEXTS]
    many = encode_cuts(side.alignment, TEXTS, FORM)
    reader = LaneReader(side)
    alone = reader.read(encode_cuts(side.alignment, few, FORM), max_tokens=512)
    assert torch.equal(alone.states, reader.read(many, max_tokens=512).states)


def test_batches_and_the_order_of_texts_change_nothing_beyond_rounding(paired):
    side = paired("gpt2").side("base")
    rows = encode_cuts(side.alignment, TEXTS, FORM)
    reader = LaneReader(side)
    whole = reader.read(rows, max_tokens=512).candidate_log_prob
    single = torch.cat([reader.read([row], max_tokens=512).candidate_log_prob for row in rows[:1]])
    torch.testing.assert_close(whole[:4], single, atol=1e-6, rtol=1e-6)
    narrow = reader.read(rows, max_tokens=1).candidate_log_prob
    torch.testing.assert_close(whole, narrow, atol=1e-6, rtol=1e-6, equal_nan=True)
    turned = reader.read(rows[::-1], max_tokens=512).candidate_log_prob
    torch.testing.assert_close(whole[:4], turned[2:], atol=1e-6, rtol=1e-6, equal_nan=True)


def test_without_a_lead_in_answers_are_read_directly_after_the_text(paired):
    pair = paired("llama")
    form = AnswerForm(lead_in="")
    rows = encode_cuts(pair.alignment, TEXTS[:1], form)
    read = LaneReader(pair.side("base")).read(rows, max_tokens=512).candidate_log_prob
    plain = oracle.plain("llama", seed=1)
    text = TEXTS[0]
    ids = pair.alignment.plain(f"{text.prompt} {text.text} three")
    with torch.no_grad():
        logits = plain(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    torch.testing.assert_close(read[-1, 0], logits[-2, ids[-1]], atol=1e-5, rtol=1e-5)


def test_bfloat16_stays_within_its_own_rounding(written):
    path = [written("llama", seed=1), written("llama", seed=2)]
    wide = load_pair(*path)
    half = load_pair(*path, dtype=torch.bfloat16)
    rows = encode_cuts(wide.alignment, TEXTS, FORM)
    exact = LaneReader(wide.side("base")).read(rows, max_tokens=512).candidate_log_prob
    rounded = LaneReader(half.side("base")).read(rows, max_tokens=512).candidate_log_prob
    apart = LaneReader(half.side("base"), every_prefix=True).read(rows, max_tokens=512)
    known = ~exact.isnan()
    bound = (apart.candidate_log_prob - exact)[known].abs().max()
    assert (rounded - exact)[known].abs().max() <= 2 * bound + 0.02


LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 1.5, 4.0, 16.0],
    "original_max_position_embeddings": 12,
    "factor": 4.0,
}


def test_a_text_past_a_switch_of_rotary_angles_is_read_prefix_by_prefix(tmp_path):
    """Below the switch a prefix has other angles than the whole text, so no read can be shared."""
    for name, seed in (("base", 1), ("post", 2)):
        path = checkpoints.write(tmp_path / name, "llama", seed=seed)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "rope_parameters": LONG}))
    pair = load_pair(tmp_path / "base", tmp_path / "post")
    rows = encode_cuts(pair.alignment, TEXTS, FORM)
    read = LaneReader(pair.side("base")).read(rows, max_tokens=512).candidate_log_prob
    import transformers

    plain = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    expected = plain_log_probs(plain, pair, TEXTS[0], FORM)
    torch.testing.assert_close(read[:4], expected, atol=1e-5, rtol=1e-5)


def test_a_candidate_that_begins_another_is_refused_by_name(paired):
    text = CutText(**{**vars(TEXTS[0]), "candidates": ("ten", "ten dog")})
    with pytest.raises(TaskError) as caught:
        encode_cuts(paired("llama").alignment, [text], AnswerForm(lead_in="answer is"))
    assert "'ten'" in str(caught.value) and "'ten dog'" in str(caught.value)
    encode_cuts(paired("llama").alignment, [text], FORM)  # closed by an end, they differ


def test_a_text_that_does_not_fit_the_model_is_refused_before_anything_is_read(paired):
    with pytest.raises(TaskError) as caught:
        encode_cuts(paired("llama").alignment, TEXTS, FORM, n_positions=10)
    assert len(caught.value.faults) >= 1 and "10 positions" in str(caught.value)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_texts_that_begin_alike_read_as_one_with_forks_are_what_each_is_alone(paired, architecture):
    """An altered step, another thought, nothing at all, and another question."""
    side = paired(architecture).side("base")
    prompt, text = TEXTS[0].prompt, TEXTS[0].text
    alike = [
        (prompt, text),
        (prompt, text[:28].replace("three", "four")),
        (prompt, "one . two . dog is it ."),
        (prompt, ""),
        ("question : six plus two", text),
    ]
    texts = [
        CutText(problem="a", prompt=p, text=t, cuts=(len(t),), candidates=TEXTS[0].candidates)
        for p, t in alike
    ]
    rows = encode_cuts(side.alignment, texts, FORM)
    one = forked(rows)
    assert sum(lane.n_nodes for lane in one.lanes) + len(one.ids) < sum(
        len(row.ids) + row.lanes[0].n_nodes for row in rows
    )
    reader = LaneReader(side)
    apart = torch.cat([reader.read([row], max_tokens=512).candidate_log_prob for row in rows])
    together = reader.read([one], max_tokens=512).candidate_log_prob
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    plain = LaneReader(side, every_prefix=True).read([one], max_tokens=512).candidate_log_prob
    torch.testing.assert_close(together, plain, atol=1e-5, rtol=1e-5)
