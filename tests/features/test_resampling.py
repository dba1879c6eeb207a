"""What a text's beginning fixes recurs when it is resampled; what chance sampled does not."""

import pytest
import torch

from elicit.capture import capture
from elicit.features import FeatureError, Resampling, TextRows, resampling_stability
from elicit.features._positions import features_of_like_rate
from elicit.features._recurrence import verdict
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.stats import Inference, Interval
from elicit.tasks import Problem, Task
from tests.features import made

STATE, NEVER, ALWAYS = 0, 1, 2
CHECK = 0


@pytest.fixture(scope="module")
def texts(pair, chains):
    """What base writes at temperature 1 where a trace is called for; it checks some steps."""
    task = Task(
        name="notes",
        problems=tuple(
            Problem(id=f"p{i}", prompt=f"notes {c.question}", answer=str(c.answer))
            for i, c in enumerate(chains[:20])
        ),
    )
    return rollouts(
        pair.side("base"),
        task,
        generation=Generation(n_samples=8, temperature=1.0, max_new_tokens=48),
        seed=5,
    )


def rows_of_texts(found, begin):
    """Texts, which may be cut from `begin` after the prompt's end on."""
    rows = [found.prompt_ids(i) + found.ids(i) for i in range(len(found))]
    problem = [found.problem[int(place)] for place in found.place]
    begins = [len(found.prompt_ids(i)) + begin for i in range(len(found))]
    return TextRows(rows=rows, problem=problem, begins=begins)


def part(texts, n):
    return TextRows(rows=texts.rows[:n], problem=texts.problem[:n], begins=texts.begins[:n])


def read(pair, rows, site):
    return [capture(pair.base, torch.tensor([r]), sites=[site]).at[site][0].detach() for r in rows]


@pytest.fixture(scope="module")
def others(pair):
    found = torch.randn(8, pair.d_model, generator=torch.Generator().manual_seed(0))
    return found / found.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def planted(pair, texts, prompts, others):
    """Feature 0 is on where a trace has been decided on, 1 never, 2 always, the rest anywhere."""
    ends = {
        h: torch.stack([found[-1] for found in read(pair, prompts[h][:16], resid_post(4))])
        for h in prompts
    }
    gap = ends["notes"].mean(0) - ends["quiz"].mean(0)
    middle = (ends["notes"].mean(0) + ends["quiz"].mean(0)) / 2
    unit = gap / gap.norm()
    rows = rows_of_texts(texts, 0).rows
    x = torch.cat([found[1:] for found in read(pair, rows[:16], resid_post(4))])
    readers = torch.cat([unit[None], torch.zeros(2, pair.d_model), others])
    bias = torch.cat(
        [torch.stack([-(middle @ unit)]), torch.tensor([-1.0, 1.0]), -(x @ others.T).mean(0) - 1.5]
    )
    return made.hand_made(readers, hook="blocks.4.hook_resid_post", bias=bias)


@pytest.fixture(scope="module")
def lexical(pair, texts, others):
    """Feature 0 is on at the word `check`, read where words are still words."""
    rows = rows_of_texts(texts, 0).rows
    check, wait = pair.tokenizer.convert_tokens_to_ids(["check", "wait"])
    x = torch.cat([found[1:] for found in read(pair, rows, resid_post(0))]).double()
    hit = torch.tensor([i == check for row in rows for i in row[1:]]).double()
    # `wait`, which is nearly the same word to the model, weighs as much as all else.
    weight = torch.tensor([40.0 if i == wait else 1.0 for row in rows for i in row[1:]])[:, None]
    wide = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    ridge = 1e-3 * torch.eye(wide.shape[1], dtype=torch.float64)
    fit = torch.linalg.solve((weight * wide).T @ wide + ridge, wide.T @ hit).float()
    readers = torch.cat([fit[None, :-1], others])
    bias = torch.cat([fit[-1:] - 0.2, -(x.float() @ others.T).mean(0) - 0.2])
    return made.hand_made(readers, hook="blocks.0.hook_resid_post", bias=bias)


def resampled(pair, sae, features, texts, *, inference=Inference(), execution=None, **options):
    """Six continuations of four tokens each, unless it is said otherwise."""
    drawn = {"n_samples": 6, "max_new_tokens": 4, "temperature": 1.0, "batch_size": 512}
    generation = Generation(**drawn | options.pop("generation", {}))
    return resampling_stability(
        pair,
        sae,
        features,
        texts,
        model="base",
        resampling=Resampling(generation=generation, **options),
        inference=inference,
        execution=execution or Execution(),
    )


@pytest.fixture(scope="module")
def state(pair, planted, texts):
    return resampled(
        pair,
        planted,
        [STATE, NEVER, ALWAYS],
        rows_of_texts(texts, -1),
        shown=lambda text: "so" in text.split(),
    )


@pytest.mark.slow
def test_a_state_that_the_beginning_fixes_recurs(state, texts):
    assert state.verdict[0] == "stable" and state.stable == (STATE,)
    begins = rows_of_texts(texts, -1).begins
    peaks = state.of == STATE
    # It is on at the end of the prompt, where the decision is made.
    cuts = zip(state.row[peaks].tolist(), state.pos[peaks].tolist(), strict=True)
    assert sum(begins[row] == pos for row, pos in cuts) > 0.8 * int(peaks.sum())
    assert state.rate.value[0, 0] > 0.9 and state.rate.value[0, 1] < 0.3
    assert state.excess.low[0, 1] > 0 and state.excess.low[0, 2] > 0
    assert state.n_problems[0] == 16 and peaks.sum() == 16
    # The token before which it was cut is sampled again too, and the trace begins.
    assert state.token_rate[0, 0] > 0.9
    # At temperature 1 some go on to answer at once.
    assert 0.6 < state.shown_rate[0, 0] < 1


@pytest.mark.slow
def test_a_token_that_was_sampled_by_chance_does_not_recur(pair, lexical, texts):
    rows = rows_of_texts(texts, 0)
    found = resampled(pair, lexical, [CHECK], rows, n_positions=20)
    check = pair.tokenizer.convert_tokens_to_ids("check")
    cuts = zip(found.row.tolist(), found.pos.tolist(), strict=True)
    assert all(rows.rows[row][pos] == check for row, pos in cuts)
    assert found.n_problems[0] >= 6
    assert found.verdict == ("unstable",), found.position_rate
    assert found.rate.high[0, 0] < 0.5
    # It stood at every one of these positions, and is not sampled there again.
    assert found.token_rate[0, 0] < 0.5


@pytest.mark.slow(checked=True)
def test_what_is_always_or_never_active_is_not_called_stable(state):
    assert state.verdict[1] == "never active" and state.n_problems[1] == 0
    assert state.rate.value[1].isnan().all() and not (state.of == NEVER).any()
    # A feature that is on at every token recurs as surely by chance.
    assert state.verdict[2] == "unclear"
    assert state.rate.value[2, 0] == 1 and state.rate.value[2, 1] == 1
    assert state.excess.low[2, 1] < 0 < state.excess.high[2, 1]


def test_the_same_seed_samples_the_same_and_batches_change_nothing(pair, planted, texts):
    few = part(rows_of_texts(texts, -1), 6)
    one, two, other = (
        resampled(
            pair, planted, [STATE], few, generation={"batch_size": size},
            inference=Inference(seed=seed),
        )
        for size, seed in ((7, 3), (64, 3), (64, 4))
    )  # fmt: skip
    assert torch.equal(one.position_rate, two.position_rate)
    assert torch.equal(one.rate.value, two.rate.value)
    assert torch.equal(one.pos, other.pos) and one.provenance != other.provenance


def test_finished_batches_are_not_sampled_again(pair, planted, texts, tmp_path, monkeypatch):
    from elicit.rollouts import writing
    from elicit.runs import RunDirectory

    few = part(rows_of_texts(texts, -1), 4)

    def run_once():
        with RunDirectory.open(tmp_path / "r", kind="t", arguments={}, identity={}) as run:
            found = resampled(pair, planted, [STATE], few, execution=Execution(checkpoint=run))
            return found, run.n_computed, run.n_read

    first, *_ = run_once()
    monkeypatch.setattr(writing, "continue_ids", None)
    again, n_computed, n_read = run_once()
    assert n_computed == 0 and n_read > 0
    assert torch.equal(first.position_rate, again.position_rate)


@pytest.mark.parametrize(
    ("rate", "excess", "said"),
    [
        ((0.9, 0.8, 0.97), ((0.5, 0.3, 0.7), (0.6, 0.4, 0.8)), "stable"),
        ((0.9, 0.8, 0.97), ((0.1, -0.1, 0.3), (0.6, 0.4, 0.8)), "unclear"),
        ((0.6, 0.4, 0.8), ((0.5, 0.3, 0.7), (0.6, 0.4, 0.8)), "unclear"),
        ((0.2, 0.1, 0.4), ((0.2, 0.1, 0.4), (0.2, 0.1, 0.4)), "unstable"),
        ((float("nan"),) * 3, ((float("nan"),) * 3,) * 2, "never active"),
        ((0.9, float("nan"), float("nan")), ((0.9, float("nan"), float("nan")),) * 2, "unclear"),
    ],
)
def test_the_verdict_needs_the_rate_and_both_controls(rate, excess, said):
    of_rate, *of_excess = (
        Interval(value=value, low=low, high=high, n=9, method="none")
        for value, low, high in (rate, *excess)
    )
    assert verdict(of_rate, of_excess, least=0.5) == said


def test_features_of_like_rate_are_live_and_no_candidates():
    n_active = torch.tensor([10, 0, 9, 12, 400, 11])
    assert features_of_like_rate(n_active, [0, 4], 3) == ((5, 2, 3), (3, 5, 2))
    assert features_of_like_rate(n_active, [0, 2, 3, 5], 9) == ((4,),) * 4


def test_the_figure_has_a_point_for_each_candidate_and_control(state):
    figure = state.figure()
    assert len(figure.data) == 9
    assert {trace.name for trace in figure.data} == set(state.arm)


def test_what_cannot_be_resampled_is_refused(pair, planted, texts):
    whole = rows_of_texts(texts, -1)
    with pytest.raises(FeatureError, match="feature 99 "):
        resampled(pair, planted, [99], whole)
    with pytest.raises(FeatureError, match="temperature is 0"):
        Resampling(generation=Generation(temperature=0.0))
    for name, value in (("least", 1.0), ("share", 0.0), ("n_positions", 0), ("n_matched", 0)):
        with pytest.raises(FeatureError, match=f"{name} is {value}"):
            Resampling(**{name: value})
    with pytest.raises(FeatureError, match="problem has 3 .*160 rows"):
        TextRows(rows=whole.rows, problem=whole.problem[:3])
    with pytest.raises(FeatureError, match="begins has 2 "):
        TextRows(rows=whole.rows, begins=whole.begins[:2])
    with pytest.raises(FeatureError, match="begins has 160 positions, the smallest 0"):
        TextRows(rows=whole.rows, begins=[0] * 160)
    late = TextRows(rows=whole.rows, begins=[999] * len(whole.rows))
    with pytest.raises(FeatureError, match="nothing to resample"):
        resampled(pair, planted, [STATE], late)
