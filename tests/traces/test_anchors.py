"""Which steps decide: planted first steps, attention masks by hand, samples against exact laws."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import binom, spearmanr

from elicit.metrics import kl, log_probs
from elicit.results import load_result
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task
from elicit.texts import CutText, StepRule, encode_cuts
from elicit.traces import SentenceEmbedder, StepFilter, TraceError, anchors
from elicit.traces._resampled import Outcomes, floor, total_variation
from elicit.traces._steps import rank_correlation
from elicit.traces._suppressed import suppressed
from tests.traces.made import FORM, given_readings, own_readings, task_of

FEW = Generation(temperature=1.0, n_samples=2, max_new_tokens=8, batch_size=256)


def short(n: int) -> Task:
    """Problems of two and three steps."""
    task, first = task_of("rl", 100, least=2), 20 - n // 2
    return Task(name="short", problems=task.problems[first : first + n])


@pytest.fixture(scope="module")
def alike(organism):
    """A model and itself on the same given thoughts."""
    pair = organism("identity")
    readings = given_readings(pair, short(2))
    return readings, anchors(pair, readings, form=FORM, generation=FEW)


@pytest.mark.slow
def test_the_first_step_decides_whether_a_thought_is_written_and_later_ones_only_carry_it(organism):
    pair = organism("rl")
    readings = own_readings(pair, task_of("rl", 2, least=3))
    generation = Generation(temperature=1.0, n_samples=16, max_new_tokens=56, batch_size=256)
    found = anchors(pair, readings, form=FORM, generation=generation)
    told = dict(zip(found.metric, found.estimate.value, strict=True))
    assert told["resampling importance of the first step"][0] >= 0.6
    assert told["resampling importance of later steps"][0] <= 0.15
    assert told["resampling importance"][1] < 0.15
    following = told["suppression of the step before"]
    assert bool((told["suppression of earlier steps"] <= 0.01 * following).all())
    assert bool((told["forced importance"] > 0.85).all())


def test_two_equal_models_have_equal_importances(alike):
    _, found = alike
    assert not found.difference.value.any()
    half = len(found.resampling) // 2
    assert torch.equal(found.resampling[:half], found.resampling[half:])
    base, post = found.effect.view(2, -1)
    assert torch.equal(base, post)
    assert bool((base > 0).any())


def test_forced_importance_is_the_distance_between_shares_of_the_ledger(alike):
    readings, found = alike
    ledger = readings.base.ledger
    share = ledger.share[0, ledger.lanes_of(1)]
    by_hand = [(share[i + 1] - share[i]).abs().sum().item() / 2 for i in range(len(share) - 1)]
    name = ledger.problem[1]
    mine = [
        value
        for value, problem, model in zip(
            found.forced.tolist(), found.step_problem, found.step_reading, strict=True
        )
        if problem == name and model == "base"
    ]
    assert mine == pytest.approx(by_hand)


def test_it_is_read_back_from_its_folder(alike, tmp_path):
    _, found = alike
    read = load_result(found.save(tmp_path / "anchors"))
    assert torch.equal(read.resampling, found.resampling)
    assert read.step_text == found.step_text


def test_suppression_is_that_of_a_mask_by_hand(organism):
    pair = organism("rl")
    problem = short(1).problems[0]
    text = str(problem.trace)
    cuts = (0, *(i + 1 for i, char in enumerate(text) if char == ";"))
    (row,) = encode_cuts(
        pair.alignment,
        [CutText(problem="p", prompt=problem.prompt, text=text, cuts=cuts, candidates=("1", "2"))],
        FORM,
    )
    (matrix,) = suppressed(pair.side("base"), [row], key="k", execution=Execution())
    ends = [row.start + at for at in row.text_at]
    ids, n = torch.tensor([row.ids]), len(row.ids)
    masks = torch.full((2, 1, n, n), torch.finfo(torch.float32).min).triu(1)
    masks[1, :, ends[1] :, ends[0] : ends[1]] = torch.finfo(torch.float32).min
    with torch.no_grad():
        clean, without = (
            log_probs(pair.base.original_model(ids, attention_mask=mask[None]).logits[0])
            for mask in masks
        )
    for later in range(1, len(ends) - 1):
        at = torch.arange(ends[later], ends[later + 1]) - 1
        by_hand = kl(clean[at], without[at]).mean().item()
        assert matrix[0, later].item() == pytest.approx(by_hand, abs=1e-5)
    assert matrix[0, 1] > 0.5
    assert matrix.tril().isnan().sum() == len(ends[1:]) * (len(ends[1:]) + 1) // 2


def test_a_batch_of_texts_is_suppressed_as_each_alone(organism):
    pair = organism("rl")
    texts = [
        CutText(
            problem=p.id,
            prompt=p.prompt,
            text=str(p.trace),
            cuts=(0, str(p.trace).index(";") + 1, len(str(p.trace))),
            candidates=("1", "2"),
        )
        for p in short(3)
    ]
    rows = encode_cuts(pair.alignment, texts, FORM)
    side = pair.side("post")
    together = suppressed(side, rows, key="k", execution=Execution())
    alone = suppressed(side, rows, key="k", execution=Execution(max_tokens=1))
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-5, equal_nan=True)


def test_distances_of_answers_are_those_of_their_shares():
    a, b = Outcomes(counts=Counter({"1": 8, "2": 8})), Outcomes(counts=Counter({"2": 8, "": 8}))
    assert total_variation(a, b) == 0.5
    assert total_variation(a, a) == 0.0
    assert a.entropy == pytest.approx(np.log(2))
    assert Outcomes(counts=Counter({"7": 4})).entropy == 0.0


def test_the_floor_is_the_mean_distance_of_two_binomial_samples():
    n, share = 16, 12 / 32
    a, b = Outcomes(counts=Counter({"1": 10, "2": 6})), Outcomes(counts=Counter({"1": 10, "2": 6}))
    chance = binom.pmf(np.arange(n + 1), n, share)
    apart = np.abs(np.subtract.outer(np.arange(n + 1), np.arange(n + 1))) / n
    exact = chance @ apart @ chance
    told = np.mean([floor(a, b, random=np.random.default_rng(i)) for i in range(20)])
    assert told == pytest.approx(exact, rel=0.03)
    certain = Outcomes(counts=Counter({"3": 16}))
    assert floor(certain, certain, random=np.random.default_rng(0)) == 0.0


def test_correlations_are_spearman_s_and_leave_out_what_is_missing():
    random = np.random.default_rng(0)
    a = random.integers(0, 5, 40).astype(float)
    b = a + random.normal(size=40)
    b[3] = np.nan
    problem = [f"p{i // 4}" for i in range(40)]
    value, low, high = rank_correlation(a, b, problem, Inference())
    known = ~np.isnan(b)
    assert value == pytest.approx(spearmanr(a[known], b[known]).statistic)
    assert low < value < high
    assert np.isnan(rank_correlation(np.ones(40), a, problem, Inference())[0])


@pytest.mark.parametrize("generation", [Generation(), Generation(temperature=1.0)])
def test_what_has_no_distribution_is_refused(organism, alike, generation):
    with pytest.raises(TraceError, match="several sampled"):
        anchors(organism("identity"), alike[0], form=FORM, generation=generation)


def bag(texts):
    """Counts of characters: the plainest vectors."""
    return torch.tensor([[float(text.count(c)) for c in "abcxyz;"] for text in texts]) + 1e-9


def test_a_filter_that_keeps_every_text_changes_nothing_and_one_that_keeps_none_measures_nothing(
    organism, alike
):
    readings, found = alike
    how = {"form": FORM, "generation": FEW}
    steps = StepRule.parse("marker:;")

    def apart(texts):
        return torch.eye(len(texts))

    def one(texts):
        return torch.ones(len(texts), 2)

    every = StepFilter(embeds=apart, steps=steps)
    kept = anchors(organism("identity"), readings, differs=every, **how)
    assert torch.equal(kept.resampling, found.resampling) and bool((kept.differing == 1).all())
    assert bool(found.differing.isnan().all())
    none = StepFilter(embeds=one, steps=steps)
    lost = anchors(organism("identity"), readings, differs=none, **how)
    # A text that ends at once has no step there, and so another one.
    assert bool((lost.differing < 1).all())
    assert torch.equal(lost.resampling.isnan(), lost.differing == 0)


def test_steps_differ_by_the_cosine_of_the_first_step_of_each_text():
    told = StepFilter(embeds=bag, steps=StepRule.parse("marker:;"), border=0.9)
    texts = ["so a b c ; so x x x ;", "so x y z ; so a b c ;", ""]
    assert told.differs("so a b c ;", texts).tolist() == [False, True, True]


def test_filters_that_could_not_compare_steps_are_refused(monkeypatch):
    steps = StepRule.parse("marker:;")
    with pytest.raises(TraceError, match="cosine"):
        StepFilter(embeds=bag, steps=steps, border=2.0)
    short_by_one = StepFilter(embeds=lambda texts: torch.ones(1, 2), steps=steps)
    with pytest.raises(TraceError, match="1 vectors came back"):
        short_by_one.differs("a", ["b"])
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(TraceError, match=r"elicit-interp\[semantic\]"):
        SentenceEmbedder()
