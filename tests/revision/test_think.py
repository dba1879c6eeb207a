"""Think@n: what each way to vote elects and costs, on made tables and on samples of a model."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from elicit import organisms
from elicit.results import Result
from elicit.revision import (
    DepthConvention,
    PrefixSelection,
    RevisionError,
    ThinkAtN,
    Thought,
    TokenRows,
    think,
    think_at_n,
)
from elicit.revision._readers import readers_of
from elicit.revision.confidence import confidence
from elicit.revision.thinking._arms import Samples, run_arms
from elicit.revision.thinking._discrimination import auroc, discrimination
from elicit.revision.thinking._voting import elected, numbered, ranks, tie_breaks, tied_share
from elicit.rollouts import Generation, RolloutError, rollouts
from elicit.runs import Execution, RunDirectory
from elicit.stats import Inference
from elicit.tasks import Problem, Task, load_task, same_answer
from elicit.texts import TextError
from tests.folded import folded
from tests.rollouts.made import DRAWN, STOPS, sampled, task_of
from tests.rollouts.test_kept import Killed, Stop

# Random models settle early by the paper's threshold.
EARLY = DepthConvention(threshold=0.03)
ASKED = {
    "stop_ids": STOPS, "n_samples": 4, "temperature": 1.0, "prefix": 3, "max_new_tokens": 12,
    "n_draws": 50, "convention": EARLY,
}  # fmt: skip


def asked(pair, task=None, **options) -> ThinkAtN:
    """What Think@n is worth for the base on made problems."""
    options = selected(options, **ASKED, model="base", n_resamples=200)
    return think_at_n(pair, task or numbers(6), **options)


def selected(options, **defaults) -> dict:
    """Loose options as the values that `think` takes."""
    options = folded(options, **defaults)
    names = [field.name for field in dataclasses.fields(PrefixSelection)]
    given = {name: options.pop(name) for name in names if name in options}
    return {**options, "selection": PrefixSelection(**given)}


def numbers(n: int) -> Task:
    """Made problems whose answer a random model sometimes writes."""
    words = ("one", "two", "three", "four")
    return Task(
        name="made",
        problems=tuple(
            Problem(id=p.id, prompt=p.prompt, answer=words[i % 4], candidates=words)
            for i, p in enumerate(task_of(n))
        ),
    )


def known(scores):
    """Scores with a number where there is none, which NaN never equals."""
    return scores.nan_to_num(nan=-1)


def column(arms, name):
    """Right and tokens of an arm."""
    row = arms.arm.index(name)
    return arms.right[row], arms.tokens[row]


# On a made table: two problems, four samples, prefix of 3 tokens.
TABLE = Samples(
    answer=torch.tensor([[0, 1, 1, 0], [0, -1, 1, 2]]),
    correct=torch.tensor([[True, False, False, True], [False, False, True, False]]),
    n_tokens=torch.tensor([[10, 2, 7, 5], [4, 9, 6, 8]]),
    n_begun=torch.tensor([[3, 2, 3, 3], [3, 3, 3, 3]]),
)
MARKS = torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.1, 0.9, 0.8, 0.2]])


def on_table(scores, **options):
    options = {"problem": ("a", "b"), "n_kept": 2, "n_draws": 4000, "seed": 0, **options}
    return run_arms(TABLE, scores, **options)


def test_each_way_to_vote_is_charged_what_it_would_have_written():
    arms = on_table({"think": MARKS})
    # Kept whole, others to the end of their prefix: 10 + 7 + 2 + 3 and 9 + 6 + 3 + 3.
    assert column(arms, "think")[1].tolist() == [22, 21]
    assert column(arms, "cons")[1].tolist() == column(arms, "short")[1].tolist() == [24, 27]
    assert column(arms, "random")[1].numpy() == pytest.approx([12, 13.5], abs=0.2)
    assert column(arms, "matched")[1].numpy() == pytest.approx([22, 21], abs=0.3)
    assert arms.kept.tolist() == [[True, False, True, False], [False, True, True, False]]


def test_the_vote_at_equal_tokens_has_as_many_samples_as_think_pays_for_on_average():
    # 22 tokens of samples of 6 on average are 3 samples and two thirds of the time one more.
    arms = on_table({"think": MARKS}, n_draws=6)
    order = ranks(torch.zeros(4), tie_breaks(0, "a", n=4, n_draws=6))
    more = torch.tensor([1, 1, 1, 1, 0, 0])
    voters = order < (3 + more)[:, None]
    assert column(arms, "matched")[1][0] == (voters * TABLE.n_tokens[0]).sum() / 6
    right = elected(TABLE.answer[0], TABLE.correct[0], voters)
    assert column(arms, "matched")[0][0] == right.mean()


def test_the_vote_at_equal_tokens_does_not_leave_out_long_texts():
    # The right sample is the long one, and its prefix is kept: a sum that stopped where it does
    # not fit would never have it in a vote of two.
    samples = Samples(
        answer=torch.tensor([[0, 1, 1, 1]]), correct=torch.tensor([[True, False, False, False]]),
        n_tokens=torch.tensor([[40, 4, 4, 4]]), n_begun=torch.tensor([[4, 4, 4, 4]]),
    )  # fmt: skip
    arms = run_arms(
        samples, {"think": torch.tensor([[0.0, 0.5, 1.0, 0.7]])}, problem=("p",), n_kept=2,
        n_draws=4000, seed=0,
    )  # fmt: skip
    # 16 tokens of samples of 13: one sample, and in 3 of 13 draws two.
    assert column(arms, "matched")[1].item() == pytest.approx(16, abs=0.5)
    assert column(arms, "matched")[0].item() == pytest.approx(1 / 4, abs=0.03)


@pytest.mark.parametrize(
    ("answers", "right", "share"),
    [
        ([0, 1, 1], [True, False, False], 0.0),
        ([0, 0, 1], [True, True, False], 1.0),
        ([0, 1], [True, False], 1 / 2),
        ([0, 1, 2, -1, -1, -1], [True, False, False, False, False, False], 1 / 3),
        ([-1, -1], [False, False], 0.0),
        ([-1, -1, -1, 0], [False, False, False, True], 1.0),
    ],
)
def test_ties_are_shared_and_what_has_no_answer_never_wins(answers, right, share):
    everyone = torch.ones(1, len(answers), dtype=torch.bool)
    assert elected(torch.tensor(answers), torch.tensor(right), everyone).tolist() == [share]


def test_answers_are_one_if_they_mean_the_same_unless_the_problem_tells_them_apart():
    assert numbered(["0.5", "1/2", None, "x", "X."]).tolist() == [0, 0, -1, 1, 1]
    assert numbered(["x", "X", "X."], candidates=("x", "X")).tolist() == [0, 1, 0]
    assert numbered([None, None]).tolist() == [-1, -1]


def test_the_vote_of_all_is_that_of_a_plain_count():
    rng = np.random.default_rng(0)
    answer = torch.from_numpy(rng.integers(-1, 4, (200, 7)))
    # In every problem answer 0 is right.
    samples = Samples(
        answer=answer, correct=answer == 0, n_tokens=torch.ones_like(answer),
        n_begun=torch.ones_like(answer),
    )  # fmt: skip
    ids = tuple(map(str, range(200)))
    score = torch.from_numpy(rng.random((200, 7)))
    arms = run_arms(samples, {"think": score}, problem=ids, n_kept=3, n_draws=2, seed=0)
    for given, right in zip(answer.tolist(), column(arms, "cons")[0].tolist(), strict=True):
        counts = {a: given.count(a) for a in given if a >= 0}
        first = [a for a in counts if counts[a] == max(counts.values())]
        assert right == ((0 in first) / len(first) if first else 0)


def many(n_problems=100, n=8):
    """Samples of which each problem has its own share of right ones, and where they end."""
    rng = np.random.default_rng(1)
    correct = torch.from_numpy(rng.random((n_problems, n)) < rng.random((n_problems, 1)))
    wrong = torch.from_numpy(rng.integers(1, 6, (n_problems, n)))
    length = torch.from_numpy(rng.integers(5, 40, (n_problems, n)))
    return Samples(
        answer=torch.where(correct, 0, wrong), correct=correct, n_tokens=length,
        n_begun=length.clamp(max=6),
    )  # fmt: skip


def ran(samples, scores, **options):
    ids = tuple(map(str, range(len(samples.answer))))
    options = {"problem": ids, "n_kept": 4, "n_draws": 100, "seed": 3, **options}
    return run_arms(samples, scores, **options)


def test_an_oracle_wins_and_its_reverse_loses():
    samples = many()
    oracle = samples.correct.double()
    arms = ran(samples, {"think": oracle, "shallow": -oracle})
    mean = {name: column(arms, name)[0].mean().item() for name in arms.arm}
    assert mean["think"] > mean["cons"] + 0.1 > mean["random"] + 0.1
    assert mean["shallow"] < mean["random"] - 0.1
    # With four right samples or more the oracle's vote is right.
    assert (column(arms, "think")[0][samples.correct.sum(1) >= 4] == 1).all()


def test_a_score_that_is_the_same_for_all_is_the_random_half_exactly():
    samples = many()
    arms = ran(samples, {"think": torch.full_like(samples.answer, 0.3, dtype=torch.float64)})
    assert torch.equal(column(arms, "think")[0], column(arms, "random")[0])
    assert (arms.tied[arms.arm.index("think")] == 1).all()
    assert arms.tied[arms.arm.index("random")].isnan().all()


@pytest.mark.slow
def test_a_random_score_is_the_random_half_in_expectation():
    samples = many(30)
    rng = np.random.default_rng(2)
    found = [
        ran(samples, {"think": torch.from_numpy(rng.random(samples.answer.shape))}, n_draws=40)
        for _ in range(10)
    ]
    think_, random = (
        np.array([column(arms, name)[0].mean().item() for arms in found])
        for name in ("think", "random")
    )
    assert abs((think_ - random).mean()) < 4 * (think_ - random).std(ddof=1) / math.sqrt(10)


def test_no_number_of_a_sample_decides_between_equal_scores():
    breaks = tie_breaks(0, "p", n=5, n_draws=2000)
    kept = (ranks(torch.tensor([1.0, 0.5, 0.5, 0.5, torch.nan]), breaks) < 2).double().mean(0)
    assert kept.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0], abs=0.04)
    assert torch.equal(breaks[:1], tie_breaks(0, "p", n=5, n_draws=1))
    assert not torch.equal(breaks[0], tie_breaks(1, "p", n=5, n_draws=1)[0])
    assert not torch.equal(breaks[0], tie_breaks(0, "q", n=5, n_draws=1)[0])


def test_the_share_that_lots_decide_counts_those_with_the_score_of_both_sides():
    score = torch.tensor([1.0, 0.5, 0.5, 0.5, torch.nan])
    assert [tied_share(score, k) for k in (1, 2, 3, 4)] == [0, 0.6, 0.6, 0]


def test_auroc_is_that_of_sklearn_with_and_without_ties():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    for values in (rng.random(40), rng.integers(0, 4, 40) / 4):
        right = rng.random(40) < 0.4
        ours = auroc(torch.from_numpy(values), torch.from_numpy(right))
        assert ours == pytest.approx(roc_auc_score(right, values), abs=1e-12)
    assert math.isnan(auroc(torch.rand(4), torch.ones(4, dtype=torch.bool)))
    # A sample without a score is left out, not counted as the worst.
    assert auroc(torch.tensor([1.0, 0.0, torch.nan]), torch.tensor([False, True, True])) == 0


def test_what_a_score_tells_is_averaged_over_mixed_problems_and_pooled_over_samples():
    from sklearn.metrics import roc_auc_score

    samples = many(40)
    rng = np.random.default_rng(5)
    score = samples.correct.double() + torch.from_numpy(rng.normal(size=samples.correct.shape))
    told = discrimination(
        score, samples.correct, inference=Inference(level=0.95, n_resamples=400, seed=0)
    )
    each = [
        roc_auc_score(right, values)
        for right, values in zip(samples.correct.numpy(), score.numpy(), strict=True)
        if 0 < right.sum() < right.size
    ]
    assert told.n_mixed == len(each) < 40
    assert told.auroc.value == pytest.approx(np.mean(each))
    assert told.r.value == pytest.approx(
        np.corrcoef(score.flatten(), samples.correct.flatten())[0, 1]
    )
    assert told.auroc.low < told.auroc.value < told.auroc.high
    assert told.r.low < told.r.value < told.r.high
    flat = discrimination(
        torch.full_like(score, 0.1),
        samples.correct,
        inference=Inference(level=0.95, n_resamples=400, seed=0),
    )
    assert flat.auroc.value == 0.5
    assert math.isnan(flat.r.value)


# On samples of a model.


def test_traces_of_rollouts_are_what_was_drawn_and_nothing_given(paired):
    pair, task = paired("llama"), numbers(4)
    found = rollouts(
        pair.side("base"), task, generation=Generation(**DRAWN, n_samples=3, max_new_tokens=12),
        prefixes={"p1": [20, 21]},
    )  # fmt: skip
    traces = TokenRows.of_rollouts(found, task, source="base")
    assert traces.problem == tuple(p.id for p in task for _ in range(3))
    assert traces.source == "base"
    for row in range(len(found)):
        prompt, ids = found.prompt_ids(row), found.ids(row)
        assert list(traces.rows[row]) == prompt + ids
        given = 2 if found.place[row] == 1 else 0
        read = [i for i, token in enumerate(ids) if i >= given and token not in STOPS]
        assert list(traces.positions[row]) == [len(prompt) + i - 1 for i in read]
    # The same positions, as far as the first four tokens that were drawn.
    begun = TokenRows.of_rollouts(found, prefix=4)
    for row in range(len(found)):
        end = found.n_prompt[found.place[row]] + found.n_forced[found.place[row]] + 4
        assert begun.rows[row] == traces.rows[row][:end]
        assert begun.positions[row] == tuple(p for p in traces.positions[row] if p + 1 < end)
    assert TokenRows.of_rollouts(found, skip=()).n_tokens > traces.n_tokens
    with pytest.raises(TextError, match="made"):
        TokenRows.of_rollouts(found, numbers(3))
    with pytest.raises(TextError, match="prefix is 0"):
        TokenRows.of_rollouts(found, prefix=0)


def test_difficulty_goes_with_the_texts(paired):
    pair = paired("llama")
    task = Task(
        name="graded",
        problems=tuple(
            Problem(id=p.id, prompt=p.prompt, answer=p.answer, difficulty=i)
            for i, p in enumerate(task_of(2))
        ),
    )
    found = sampled(pair, task, n_samples=2)
    assert TokenRows.of_rollouts(found, task).difficulty == (0, 0, 1, 1)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("max_tokens", [16, 4096])
def test_confidence_is_that_of_the_whole_distributions_in_double_precision(
    paired, architecture, max_tokens
):
    pair = paired(architecture)
    traces = TokenRows.of_rollouts(sampled(pair))
    (reader,) = readers_of(pair, models=("base",))
    found = confidence(
        reader,
        traces,
        execution=Execution(max_tokens=max_tokens, memory=5 * pair.d_vocab * 4 * 2),
    )
    for i, (row, positions) in enumerate(zip(traces.rows, traces.positions, strict=True)):
        if not positions:
            assert found.certainty[i].isnan()
            continue
        with torch.no_grad():
            logits = pair.base.original_model(input_ids=torch.tensor([row])).logits[0]
        log_probs = logits[list(positions), : pair.d_vocab].double().log_softmax(-1)
        certainty = (-math.log(pair.d_vocab) - log_probs.mean(-1)).mean()
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
        assert found.certainty[i] == pytest.approx(certainty.item(), abs=1e-5)
        assert found.entropy[i] == pytest.approx(entropy.item(), abs=1e-5)


def test_all_ways_vote_on_the_very_samples_of_one_go(paired):
    pair, task = paired("llama"), numbers(6)
    found = asked(pair, task)
    whole = sampled(pair, task, n_samples=4, max_new_tokens=12)
    assert found.n_tokens.flatten().tolist() == whole.n_tokens.tolist()
    assert found.correct.flatten().tolist() == whole.correct.tolist()
    assert found.truncated.flatten().tolist() == whole.truncated.tolist()
    assert 0 < found.truncated_share < 1
    assert found.n_begun.tolist() == found.n_tokens.clamp(max=3).tolist()
    own = [whole.extracted[i : i + 4] for i in range(0, 24, 4)]
    for answers, seen in zip(own, found.answer.tolist(), strict=True):
        for a, i in zip(answers, seen, strict=True):
            alike = [a is not None and b is not None and same_answer(a, b) for b in answers]
            assert alike == [i >= 0 and i == j for j in seen]
    # The other numbers follow from these, by the arms that are tested above.
    samples = Samples(
        answer=found.answer, correct=found.correct, n_tokens=found.n_tokens, n_begun=found.n_begun
    )
    arms = run_arms(
        samples, {"think": found.value[0], "low_entropy": -found.value[2]}, problem=found.problem,
        n_kept=2, n_draws=50, seed=0,
    )  # fmt: skip
    for row, name in enumerate(arms.arm):
        assert torch.equal(found.right[found.arm.index(name)], arms.right[row])
        assert torch.equal(found.spent[found.arm.index(name)], arms.tokens[row])
    assert torch.equal(found.kept, arms.kept)
    assert found.accuracy.value.tolist() == pytest.approx(found.right.mean(1).tolist())
    cons, at = found.arm.index("cons"), found.arm.index("think")
    assert found.gain.value[0, at].item() == pytest.approx(
        (found.right[at] - found.right[cons]).mean()
    )
    assert not found.gain.value[0, cons]
    assert found.share[cons] == 1


def test_equal_prefixes_have_equal_scores_whatever_their_batch(paired):
    found = asked(paired("llama"), numbers(2), n_samples=24, prefix=1)
    whole = sampled(paired("llama"), numbers(2), n_samples=24, max_new_tokens=12)
    first = {}
    for row, value in enumerate(found.value[1].flatten().tolist()):
        if found.n_tokens.flatten()[row] > 1:
            assert first.setdefault((int(whole.place[row]), whole.ids(row)[0]), value) == value
    assert len(first) < 40


def test_use_finishes_only_what_it_keeps_and_answers_as_measured(paired):
    pair, task = paired("llama"), numbers(6)
    options = {name: value for name, value in ASKED.items() if name != "n_draws"}
    used = think(pair, task, model="base", **selected(options, n_resamples=200))
    found = asked(pair, task, n_draws=1)
    at = found.arm.index("think")
    assert torch.equal(used.kept, found.kept)
    assert torch.equal(known(used.dtr), known(found.value[0]))
    assert len(set(known(used.dtr).flatten().tolist())) > 3
    assert torch.equal(used.right, found.right[at])
    assert torch.equal(used.spent.double(), found.spent[at])
    assert used.accuracy.value == found.accuracy.value[at]
    assert used.truncated.tolist() == (found.truncated & found.kept).tolist()
    texts = sampled(pair, task, n_samples=4, max_new_tokens=12).extracted
    for i, answer in enumerate(used.answer):
        given = [texts[4 * i + j] for j in range(4) if used.kept[i, j]]
        assert answer in given
        assert used.votes[i] == (0 if answer is None else given.count(answer) / 2)
    assert sum(answer is None for answer in used.answer) < 6


def saved(found: Result, folder):
    found.save(folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("ask", [think_at_n, think])
def test_the_same_seed_gives_the_same_bytes_also_after_a_kill(paired, tmp_path, ask):
    pair, task = paired("llama"), numbers(5)
    options = {"model": "base", "batch_size": 6, "n_resamples": 200, "max_tokens": 64}
    options |= {name: value for name, value in ASKED.items() if name != "n_draws"}

    def asked_in(path, **more):
        with RunDirectory.open(path, kind="think", arguments={}, identity={}) as run:
            found = ask(pair, task, **selected(more, checkpoint=run, **options))
            return found, run.n_computed

    straight = saved(ask(pair, task, **selected(options)), tmp_path / "x")
    whole, n_cells = asked_in(tmp_path / "a")
    with pytest.raises(Killed):
        asked_in(tmp_path / "b", progress=Stop(after=24))
    resumed, n_left = asked_in(tmp_path / "b")
    assert 0 < n_left < n_cells
    assert straight == saved(whole, tmp_path / "y") == saved(resumed, tmp_path / "z")
    assert saved(ask(pair, task, **selected(options, seed=1)), tmp_path / "w") != straight


@pytest.mark.slow
def test_cells_of_one_run_are_not_mixed_up_between_questions(paired, tmp_path):
    pair = paired("llama")
    conventions = [DepthConvention(threshold=g) for g in (0.03, 0.02)]
    with RunDirectory.open(tmp_path, kind="think", arguments={}, identity={}) as run:
        kept = [asked(pair, convention=c, checkpoint=run) for c in conventions]
        kept.append(asked(pair, convention=conventions[0], model="post", checkpoint=run))
    plain = [asked(pair, convention=c) for c in conventions]
    plain.append(asked(pair, convention=conventions[0], model="post"))
    for one, other in zip(kept, plain, strict=True):
        assert torch.equal(known(one.value), known(other.value))
    first, second, post = (known(one.value[0]) for one in plain)
    assert not torch.equal(first, second)
    assert not torch.equal(first, post)


def test_a_result_is_read_back_and_drawn_with_every_arm(paired, tmp_path):
    found = asked(paired("llama"))
    found.save(tmp_path)
    again = ThinkAtN.load(tmp_path)
    assert torch.equal(again.right, found.right)
    assert again.verdict == found.verdict
    assert set(found.verdict) == {"cons", "random", "matched"}
    figure = found.figure()
    assert len(figure.data) == len(found.arm) == 8
    drawn = [trace.x[0] for trace in figure.data]
    # No mark hides another, and each says what it really costs.
    assert min(b - a for a, b in itertools.pairwise(sorted(drawn))) > 0.01 * max(drawn)
    assert sorted(trace.y[0] for trace in figure.data) == sorted(found.accuracy.value.tolist())
    assert all("tokens" in trace.text[0] for trace in figure.data)


def test_one_problem_has_no_intervals_and_still_an_answer(paired):
    found = asked(paired("llama"), numbers(1))
    assert found.accuracy.low.isnan().all()
    assert found.accuracy.value.isfinite().all()
    assert set(found.verdict.values()) == {"not distinguishable"}
    found.figure()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_samples": 1}, "n is 1, so"),
        ({"prefix": 0}, "prefix is 0"),
        ({"prefix": 12}, "prefix is 12"),
        ({"keep": 0.0}, "keep is 0.0"),
        ({"keep": 1.0}, "keep is 1.0"),
        ({"keep": 0.1}, "keep is 0.1.* 0 of 4"),
        ({"keep": 0.9}, "keep is 0.9.* 4 of 4"),
        ({"temperature": 0.0}, "n_samples is 4 at temperature 0"),
        ({"model": "chat"}, "chat"),
        ({"level": 95.0}, "level is 95.0"),
        ({"n_resamples": 10}, "n_resamples is 10"),
        ({"n_draws": 0}, "n_draws is 0"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_anything_is_written(
    paired, monkeypatch, options, told
):
    monkeypatch.setattr("elicit.revision.thinking._prefixes.rollouts", None)
    with pytest.raises((RevisionError, RolloutError, ValueError), match=told):
        asked(paired("llama"), **options)


def test_a_model_too_shallow_for_the_convention_is_refused_before_anything_is_written(
    paired, monkeypatch
):
    monkeypatch.setattr("elicit.revision.thinking._prefixes.rollouts", None)
    with pytest.raises(RevisionError, match="3 layers"):
        asked(paired("llama"), convention=DepthConvention(rho=0.2))


@pytest.mark.slow
def test_in_a_small_organism_depth_tells_no_more_than_a_coin(organism):
    found = organisms.resolve("organism:rl")
    task = load_task(found.problems, name="problems").subset(12, seed=0)
    pair = organism("rl")
    result = think_at_n(
        pair,
        task,
        model="base",
        selection=PrefixSelection(prefix=6),
        generation=Generation(n_samples=8, temperature=1.0, max_new_tokens=110, batch_size=96),
    )
    assert isinstance(result, ThinkAtN)
    accuracy = dict(zip(result.arm, result.accuracy.value.tolist(), strict=True))
    # The base answers at once: nearly all texts end within the prefix, so hardly a token is saved.
    ended = (result.n_tokens == result.n_begun).double().mean()
    assert ended > 0.8
    assert result.share[result.arm.index("think")] > 0.75
    # Of its few tokens hardly one is deep, so that chance decides and the arm is all but random.
    assert result.tied[result.arm.index("think")] > 0.8
    assert abs(accuracy["think"] - accuracy["random"]) < 0.05
    assert result.verdict["random"] == "not distinguishable"
    generation = Generation(n_samples=8, temperature=1.0, max_new_tokens=20)
    assert isinstance(
        think(pair, task, model="base", selection=PrefixSelection(prefix=6), generation=generation),
        Thought,
    )
