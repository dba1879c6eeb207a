"""What a text's beginning fixes comes back when it is written again; what was drawn does not."""

import pytest
import torch

from elicit.capture import capture
from elicit.features import FeatureError, regeneration
from elicit.features.again import verdict
from elicit.features.places import like
from elicit.rollouts import Generation, rollouts
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.stats import Inference
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
    """Rows, their problems and the first place that may be cut, `begin` from the prompt's end."""
    rows = [found.prompt_ids(i) + found.ids(i) for i in range(len(found))]
    problem = [found.problem[int(place)] for place in found.place]
    return rows, problem, [len(found.prompt_ids(i)) + begin for i in range(len(found))]


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
    rows, *_ = rows_of_texts(texts, 0)
    x = torch.cat([found[1:] for found in read(pair, rows[:16], resid_post(4))])
    readers = torch.cat([unit[None], torch.zeros(2, pair.d_model), others])
    bias = torch.cat(
        [torch.stack([-(middle @ unit)]), torch.tensor([-1.0, 1.0]), -(x @ others.T).mean(0) - 1.5]
    )
    return made.hand_made(readers, hook="blocks.4.hook_resid_post", bias=bias)


@pytest.fixture(scope="module")
def lexical(pair, texts, others):
    """Feature 0 is on at the word `check`, read where words are still words."""
    rows, *_ = rows_of_texts(texts, 0)
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


@pytest.fixture(scope="module")
def ask(pair):
    return {"on": "base", "stop_ids": [pair.tokenizer.eos_token_id], "window": 4, "n_samples": 6}


@pytest.fixture(scope="module")
def state(pair, planted, texts, ask):
    rows, problem, begins = rows_of_texts(texts, -1)
    return regeneration(
        pair,
        planted,
        [STATE, NEVER, ALWAYS],
        rows,
        problem=problem,
        begins=begins,
        shown=lambda text: "so" in text.split(),
        **ask,
    )


def test_a_state_that_the_beginning_fixes_comes_back(pair, state, texts):
    assert state.verdict[0] == "stable" and state.stable == (STATE,)
    rows, _, begins = rows_of_texts(texts, -1)
    own = state.of == STATE
    # It is on at the end of the prompt, where the decision is made.
    places = zip(state.row[own].tolist(), state.pos[own].tolist(), strict=True)
    assert sum(begins[row] == pos for row, pos in places) > 0.8 * int(own.sum())
    assert state.again[0, 0] > 0.9 and state.again[0, 1] < 0.3
    assert state.excess_low[0, 1] > 0 and state.excess_low[0, 2] > 0
    assert state.n_problems[0] == 16 and own.sum() == 16
    # The token before which it was cut is written again too, and the trace begins.
    assert state.token_again[0, 0] > 0.9
    # At temperature 1 some go on to answer at once.
    assert 0.6 < state.shown_again[0, 0] < 1


def test_a_token_that_was_drawn_does_not_come_back(pair, lexical, texts, ask):
    rows, problem, begins = rows_of_texts(texts, 0)
    found = regeneration(
        pair, lexical, [CHECK], rows, problem=problem, begins=begins, n_places=20, **ask
    )
    check = pair.tokenizer.convert_tokens_to_ids("check")
    places = zip(found.row.tolist(), found.pos.tolist(), strict=True)
    assert all(rows[row][pos] == check for row, pos in places)
    assert found.n_problems[0] >= 6
    assert found.verdict == ("unstable",), found.rate
    assert found.again_high[0, 0] < 0.5
    # It stood at every one of these places, and is not drawn there again.
    assert found.token_again[0, 0] < 0.5


def test_what_is_always_or_never_active_is_not_called_stable(state):
    assert state.verdict[1] == "nowhere active" and state.n_problems[1] == 0
    assert state.again[1].isnan().all() and not (state.of == NEVER).any()
    # A feature that is on at every token comes back as surely by chance.
    assert state.verdict[2] == "unclear"
    assert state.again[2, 0] == 1 and state.again[2, 1] == 1
    assert state.excess_low[2, 1] < 0 < state.excess_high[2, 1]


def test_the_same_seed_writes_the_same_and_batches_change_nothing(pair, planted, texts, ask):
    rows, problem, begins = rows_of_texts(texts, -1)
    kept = {"rows": rows[:6], "problem": problem[:6], "begins": begins[:6]}
    one, two, other = (
        regeneration(
            pair, planted, [STATE], **kept, **ask, batch_size=size, inference=Inference(seed=seed)
        )
        for size, seed in ((7, 3), (64, 3), (64, 4))
    )
    assert torch.equal(one.rate, two.rate) and torch.equal(one.again, two.again)
    assert torch.equal(one.pos, other.pos) and one.provenance != other.provenance


def test_finished_batches_are_not_written_again(pair, planted, texts, ask, tmp_path, monkeypatch):
    from elicit.features import rewriting
    from elicit.runs import RunDirectory

    rows, problem, begins = rows_of_texts(texts, -1)
    options = {"problem": problem[:4], "begins": begins[:4], **ask}
    with RunDirectory.open(tmp_path / "r", kind="t", arguments={}, identity={}) as run:
        first = regeneration(
            pair, planted, [STATE], rows[:4], **options, execution=Execution(checkpoint=run)
        )
    monkeypatch.setattr(rewriting, "continue_ids", None)
    with RunDirectory.open(tmp_path / "r", kind="t", arguments={}, identity={}) as run:
        again = regeneration(
            pair, planted, [STATE], rows[:4], **options, execution=Execution(checkpoint=run)
        )
        assert run.n_computed == 0 and run.n_read > 0
    assert torch.equal(first.rate, again.rate)


@pytest.mark.parametrize(
    ("rate", "over", "said"),
    [
        ((0.9, 0.8, 0.97), ((0.5, 0.3, 0.7), (0.6, 0.4, 0.8)), "stable"),
        ((0.9, 0.8, 0.97), ((0.1, -0.1, 0.3), (0.6, 0.4, 0.8)), "unclear"),
        ((0.6, 0.4, 0.8), ((0.5, 0.3, 0.7), (0.6, 0.4, 0.8)), "unclear"),
        ((0.2, 0.1, 0.4), ((0.2, 0.1, 0.4), (0.2, 0.1, 0.4)), "unstable"),
        ((float("nan"),) * 3, ((float("nan"),) * 3,) * 2, "nowhere active"),
        ((0.9, float("nan"), float("nan")), ((0.9, float("nan"), float("nan")),) * 2, "unclear"),
    ],
)
def test_the_verdict_needs_the_rate_and_both_controls(rate, over, said):
    assert verdict(rate, over, least=0.5) == said


def test_features_of_like_rate_are_live_and_no_candidates():
    n_active = torch.tensor([10, 0, 9, 12, 400, 11])
    assert like(n_active, [0, 4], 3) == ((5, 2, 3), (3, 5, 2))
    assert like(n_active, [0, 2, 3, 5], 9) == ((4,),) * 4


def test_the_picture_has_a_point_for_each_candidate_and_control(state):
    figure = state.figure()
    assert len(figure.data) == 9
    assert {trace.name for trace in figure.data} == set(state.arm)


def test_what_cannot_be_written_again_is_refused(pair, planted, texts, ask):
    rows, problem, begins = rows_of_texts(texts, -1)
    with pytest.raises(FeatureError, match="feature 99 is asked for"):
        regeneration(pair, planted, [99], rows, **ask)
    with pytest.raises(FeatureError, match="would count as many and be one"):
        regeneration(pair, planted, [STATE], rows, temperature=0.0, **ask)
    with pytest.raises(FeatureError, match="least is 1.0"):
        regeneration(pair, planted, [STATE], rows, least=1.0, **ask)
    with pytest.raises(FeatureError, match="n_places is 0"):
        regeneration(pair, planted, [STATE], rows, n_places=0, **ask)
    with pytest.raises(FeatureError, match="Name the problem of every row"):
        regeneration(pair, planted, [STATE], rows, problem=problem[:3], **ask)
    with pytest.raises(FeatureError, match="begins has 2 places"):
        regeneration(pair, planted, [STATE], rows, begins=begins[:2], **ask)
    with pytest.raises(FeatureError, match="nothing to write again"):
        regeneration(pair, planted, [STATE], rows, begins=[999] * len(rows), **ask)
