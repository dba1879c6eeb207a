"""Decoding alone: greedy with one branch, the planted opener at rank 2, votes, budgets, dial."""

from dataclasses import replace

import pytest
import torch

from elicit import organisms
from elicit.elicitation import (
    CotDecoding,
    ElicitationError,
    ThoughtBudget,
    budget_forcing,
    cot_decoding,
    dial,
    majority_vote,
    power_sample,
)
from elicit.elicitation.decoding import answer_numbers
from elicit.elicitation.decoding._final_answers import final_answer
from elicit.organisms import shows_trace
from elicit.results import Result, load_result
from elicit.rollouts import Generation, Rollouts, Sampling, rollouts
from elicit.tasks import Problem, Task, after_marker, boxed, default_extractor, load_task
from tests.rollouts.made import task_of

GREEDY = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=64)
WRITTEN = Generation(max_new_tokens=64)
SAMPLED = Sampling(
    stop_ids=(2,), max_new_tokens=8, temperature=1.0, top_p=1.0, seed=0, templated=False
)


def problems(name: str, n: int = 12) -> Task:
    return load_task(organisms.resolve(f"organism:{name}").problems).subset(n, seed=0)


@pytest.fixture(scope="module")
def branched(organism) -> CotDecoding:
    """Ten branches of the base that has the skill, also those that begin nothing it has learnt."""
    pair = organism("rl")
    return cot_decoding(
        pair.side("base"),
        problems("rl"),
        branches=10,
        min_first=0.0,
        target=pair.side("post"),
        generation=WRITTEN,
    )


@pytest.mark.slow(checked=True)
def test_one_branch_is_right_where_the_greedy_text_is(organism, branched):
    greedy = rollouts(organism("rl").side("base"), problems("rl"), generation=WRITTEN)
    assert branched.right[:, 0].tolist() == [[x] * 3 for x in greedy.correct.double().tolist()]
    assert branched.texts(1, "sum") == branched.texts(1, "max") == greedy.text


@pytest.mark.slow(checked=True)
def test_the_planted_opener_has_rank_2_and_the_oracle_needs_two_branches(branched):
    assert branched.target_rank.tolist() == [2] * 12
    at = branched.curve.index("oracle")
    assert branched.k50[at] == branched.k90[at] == 2
    assert branched.accuracy.value[1].tolist() == [1.0] * 3
    assert all(shows_trace(text) for text in branched.texts(2, "max"))


def test_the_oracle_never_falls_and_is_never_below_a_pick(branched):
    oracle = branched.right[..., branched.curve.index("oracle")]
    assert bool((oracle.diff(dim=1) >= 0).all())
    assert bool((branched.right <= oracle[..., None]).all())


def test_junk_branches_win_unless_improbable_first_tokens_are_left_out(organism, branched):
    # Of ten branches eight begin with a token below 2 in 10 000, and the surest of eight is sure.
    assert float(branched.accuracy.value[9, 1]) < 0.8
    side = organism("rl").side("base")
    kept = cot_decoding(side, problems("rl"), branches=10, generation=WRITTEN)
    assert kept.accuracy.value[9].tolist() == [1.0] * 3
    assert kept.first_prob.isfinite().sum(1).tolist() == [2] * 12
    assert kept.cost(10) == kept.cost(2) < branched.cost(10) / 3


@pytest.mark.slow
def test_branches_do_nothing_for_a_base_that_lacks_the_skill(organism):
    pair, task = organism("created"), problems("created", 60)
    found = cot_decoding(
        pair.side("base"), task, branches=10, target=pair.side("post"), generation=WRITTEN
    )
    assert float(found.accuracy.value.max()) < 0.35
    assert found.k90.tolist() == [0, 0, 0]
    assert int(found.target_rank.min()) > 10


def read_of(words: list[str]):
    return lambda ids: " ".join(words[i] for i in ids)


PROBLEM = Problem(id="p", prompt="?", answer="9", candidates=tuple("0123456789"))


def test_an_answer_is_where_it_is_named_last_and_must_be_the_only_final_one():
    words = ["so", "b", "=", "3", "+", "6", "=", "9", ";", "answer", "9", "."]
    ids = list(range(len(words)))
    found = final_answer(ids, PROBLEM, default_extractor, read=read_of(words))
    assert (found.value, found.right, found.first, found.end) == ("9", True, 10, 11)
    marked = final_answer(ids, PROBLEM, after_marker("answer"), read=read_of(words))
    assert (marked.first, marked.end) == (10, 11)
    twice = ["answer", "8", ";", "check", "3", "+", "6", "=", "9", ";", "answer", "9", "."]
    several = final_answer(
        list(range(len(twice))), PROBLEM, after_marker("answer"), read=read_of(twice)
    )
    assert several is None
    none = final_answer([0, 1], PROBLEM, default_extractor, read=read_of(["so", "b"]))
    assert none is None
    tex = [r"\boxed{", "4", "2", "}", "."]
    open_ = replace(PROBLEM, answer="42", candidates=None)
    spread = final_answer(
        [0, 1, 2, 3, 4], open_, boxed, read=lambda ids: "".join(tex[i] for i in ids)
    )
    assert (spread.value, spread.first, spread.end) == ("42", 1, 3)


def of_answers(*each: list[str | None]) -> tuple[Rollouts, Task]:
    """Texts that give answers, to problems whose right answer is 7."""
    task = Task(
        name="made",
        problems=tuple(Problem(id=f"p{i}", prompt="?", answer="7") for i in range(len(each))),
    )
    flat = [answer for row in each for answer in row]
    n, width = len(flat), len(each[0])
    ones = torch.ones(n, dtype=torch.long)
    return (
        Rollouts(
            task=task.name,
            task_digest=task.digest,
            sampling=SAMPLED,
            problem=tuple(p.id for p in task),
            place=torch.arange(len(each)).repeat_interleave(width),
            sample=torch.arange(width).repeat(len(each)),
            correct=torch.tensor([answer in ("7", "7.0") for answer in flat]),
            truncated=torch.zeros(n, dtype=torch.bool),
            n_tokens=ones,
            n_forced=torch.zeros(len(each), dtype=torch.long),
            n_prompt=torch.ones(len(each), dtype=torch.long),
            written=ones,
            prompted=torch.ones(len(each), dtype=torch.long),
            text=tuple(answer or "" for answer in flat),
            extracted=tuple(flat),
        ),
        task,
    )


def test_answers_are_the_same_however_they_are_spelt():
    texts, task = of_answers(["7", "7.0", None, "8"], ["8", "9", "8.00", "7"])
    numbers = answer_numbers(texts, task)
    seven = int(numbers.right[0])
    assert numbers.given[0, :3].tolist() == [seven, seven, -1]
    eight = int(numbers.given[0, 3])
    assert numbers.given[1, [0, 2]].tolist() == [eight, eight]
    assert int(numbers.given[1, 3]) == seven


def test_a_vote_is_counted_by_hand_and_one_text_votes_for_itself(organism):
    side, task = organism("rl").side("base"), problems("rl")
    how = Generation(max_new_tokens=64, temperature=1.0, n_samples=5)
    found = majority_vote(side, task, generation=how)
    texts = rollouts(side, task, generation=how)
    assert found.right[:, 0].tolist() == texts.correct.double().view(-1, 5)[:, 0].tolist()
    for place in range(len(task)):
        given = [texts.extracted[row] for row in range(5 * place, 5 * place + 5)]
        most = max(given.count(x) for x in given)
        tied = {x for x in given if given.count(x) == most}
        hit = task.problems[place].answer in tied
        assert float(found.right[place, 4]) == pytest.approx(hit / len(tied))
        assert given[int(found.winner[place, 4])] in tied
    assert bool((found.passed.passed.value.diff() >= 0).all())
    with pytest.raises(ElicitationError, match="one text wins every vote"):
        majority_vote(side, task, generation=WRITTEN)


@pytest.mark.slow(checked=True)
def test_a_thought_is_made_longer_and_ended_where_it_should_be(organism):
    side, task = organism("rl").side("post"), problems("rl", 6)
    own = rollouts(side, task, generation=WRITTEN)
    budget = ThoughtBudget(end="answer", wait="wait", most=9)
    cut = budget_forcing(side, task, budget, generation=WRITTEN)
    for row, text in enumerate(cut.text):
        words, before = text.split(), own.text[row].split()
        thought = before.index("answer")
        assert int(cut.n_thought[row, 0]) == thought
        assert bool(cut.cut[row]) == (thought > 9)
        assert words[: min(9, thought)] == before[: min(9, thought)]
        assert words[min(9, thought)] == "answer"
        assert words == before or thought > 9
    assert float(cut.right[:, 1].mean()) < 1 == float(cut.right[:, 0].mean())
    longer = ThoughtBudget(end="answer", wait="wait", least=60, most_waits=2)
    waited = budget_forcing(side, task, longer, generation=WRITTEN)
    assert all(text.split().count("wait") >= 1 for text in waited.text)
    assert int(waited.n_waits.max()) == 2
    assert bool((waited.n_thought[:, 1] > waited.n_thought[:, 0]).all())
    for row, text in enumerate(waited.text):
        begun = own.text[row].split()
        assert text.split()[: begun.index("answer")] == begun[: begun.index("answer")]
        assert text.split()[begun.index("answer")] == "wait"


def test_impossible_budgets_are_refused():
    for options in ({"least": 5, "most": 4}, {"most": 0}, {"wait": " ", "most": 3}, {}):
        with pytest.raises(ElicitationError):
            ThoughtBudget(end="answer", **options)


@pytest.mark.slow(checked=True)
def test_the_dial_has_base_and_post_at_its_ends_and_a_threshold_between(organism):
    pair, task = organism("rl"), problems("rl")
    curve = dial(pair, task, alphas=[1.0, 0.0, 0.25, 0.5], generation=WRITTEN)
    assert curve.alpha.tolist() == [0.0, 0.25, 0.5, 1.0]
    for at, side in ((0, "base"), (3, "post")):
        alone = rollouts(pair.side(side), task, generation=WRITTEN)
        assert curve.text[12 * at : 12 * at + 12] == alone.text
    assert curve.same_as_post[3] == 1
    assert curve.threshold == 0.5
    with pytest.raises(ElicitationError, match="each once"):
        dial(pair, task, alphas=[1.0, 1.0], generation=WRITTEN)


@pytest.fixture(scope="module")
def sharpened(organism):
    side = organism("rl").side("base")
    return power_sample(side, problems("rl"), alpha=1.0, particles=8, generation=WRITTEN)


@pytest.mark.slow(checked=True)
def test_unsharpened_texts_are_cold_ones_and_weights_are_equal(sharpened):
    assert sharpened.right[:, 0].tolist() == pytest.approx(sharpened.right[:, 1].tolist())
    assert sharpened.ess.tolist() == pytest.approx([8.0] * 12)
    traced = sharpened.shown(shows_trace)
    assert 0 < float(traced.mean()) < 0.4
    assert int(sharpened.n_distinct.max()) <= 8


@pytest.mark.slow(checked=True)
def test_every_result_is_drawn_and_comes_back_from_its_folder(
    paired, organism, branched, sharpened, tmp_path
):
    side, task = organism("rl").side("base"), problems("rl", 4)
    votes = majority_vote(
        side, task, generation=Generation(max_new_tokens=8, temperature=1.0, n_samples=3)
    )
    budget = ThoughtBudget(end="answer", wait="wait", least=4)
    forced = budget_forcing(side, task, budget, generation=Generation(max_new_tokens=16))
    curve = dial(paired("llama"), task_of(), alphas=[0.0, 1.0], generation=GREEDY)
    found: tuple[Result, ...] = (branched, sharpened, votes, forced, curve)
    for at, one in enumerate(found):
        assert len(one.figure().data) >= 2
        one.save(tmp_path / str(at))
        again = load_result(tmp_path / str(at))
        assert type(again) is type(one)
        assert again.figure().to_json() == one.figure().to_json()
