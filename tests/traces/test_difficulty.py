"""Instruction-following difficulty against plain forwards, and its laws."""

from dataclasses import replace

import pytest
import torch

from elicit.stats import Inference
from elicit.texts import Followed, TextError, mean_losses
from elicit.traces import Readings, difficulty
from tests.traces.made import FORM

FEW = Inference(n_resamples=100)
ASK = " notes"


def plain_loss(side, before, after) -> float:
    """Mean loss of some tokens after others, by one forward of all."""
    ids = torch.tensor([[*before, *after]])
    with torch.no_grad():
        log_prob = side.bridge(ids)[0].float().log_softmax(-1)
    rows = log_prob[len(before) - 1 : -1].gather(1, torch.tensor(after)[:, None])
    return -float(rows.mean())


@pytest.fixture(scope="module")
def few(read_given):
    made = read_given("rl")
    return made, made.readings.only(made.readings.problem[:5])


def test_both_halves_are_those_of_plain_forwards(few):
    made, readings = few
    found = difficulty(made.pair, readings, form=FORM, ask=ASK, inference=FEW)
    part = {name: found.by_problem[i] for i, name in enumerate(found.metric)}
    alignment = made.pair.alignment
    bos = [alignment.bos_id] if alignment.adds_bos else []
    for m, reading in enumerate(readings.both):
        side = made.pair.side(reading.model)
        for i, item in enumerate(reading.thoughts.items):
            prompt = alignment.prompt(item.problem.turns, templated=False)
            thought = alignment.read(
                alignment.joined(item.problem.turns, item.text, templated=False)[1], templated=False
            )
            text = thought[len(prompt) :]
            skip = 0 if bos else 1
            given = plain_loss(side, [*prompt, *text[:skip]], text[skip:])
            alone = plain_loss(side, bos or text[:1], text[skip:])
            asked = alignment.plain(item.text + ASK)
            first = [] if bos else prompt[:1]
            named = plain_loss(side, [*asked, *first], prompt[1:])
            assert float(part["log IFD"][m, i]) == pytest.approx(given - alone, abs=1e-4)
            told = float(part["prompt loss after the thought"][m, i])
            assert told == pytest.approx(named, abs=1e-4)
            base = plain_loss(side, prompt[:1], prompt[1:])
            assert float(part["log r-IFD"][m, i]) == pytest.approx(named - base, abs=1e-4)
    # A trace copies its operands from the prompt.
    assert float(part["log IFD"].max()) < 0


def test_a_model_beside_itself_finds_thoughts_as_difficult(few):
    made, readings = few
    pair = made.pair
    alike = Readings(base=readings.base, post=replace(readings.base, model="base"))
    found = difficulty(pair, alike, form=FORM, ask=ASK, inference=FEW)
    assert found.metric[2] == "log IFD" and bool((found.difference.value.nan_to_num() == 0).all())


def test_nothing_before_or_after_has_no_loss(few):
    made, _ = few
    side = made.pair.side("base")
    with pytest.raises(TextError, match="Put bos before"):
        Followed(before=(), after=(1,))
    texts = [Followed(before=(1, 5, 6), after=(7, 8)), Followed(before=(1,), after=(9,))]
    found = mean_losses(side, texts, key="two")
    for text, value in zip(texts, found.tolist(), strict=True):
        assert value == pytest.approx(plain_loss(side, text.before, text.after), abs=1e-5)
