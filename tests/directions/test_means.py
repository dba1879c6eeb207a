"""A difference of means is that of the sides, and of nothing else that differs between them."""

from dataclasses import fields

import pytest
import torch

from elicit.capture import capture
from elicit.directions import (
    Direction,
    DirectionError,
    DirectionSet,
    PromptPairs,
    diff_mean,
)
from elicit.edits import EditError, edited, last
from elicit.organisms import OrganismError, headed
from elicit.sites import SiteError, mlp_out, pattern, resid_post, resid_pre, z
from elicit.tasks import Problem, Task
from tests.checkpoints import WORDS
from tests.folded import folded
from tests.pairs import header_pairs

TEXTS = [" ".join(WORDS[i : i + 3 + i % 4]) for i in range(10)]
POSITIVE = [f"{WORDS[20]} {text} {WORDS[0]}" for text in TEXTS]
NEGATIVE = [f"{WORDS[21]} {text} {WORDS[0]}" for text in TEXTS]


def found(pair, positive=POSITIVE, negative=NEGATIVE, **options):
    options = {"sites": [resid_post(0), resid_post(1)], **options}
    of_pairs = {f.name for f in fields(PromptPairs)}
    pairs = {name: options.pop(name) for name in of_pairs & options.keys()}
    return diff_mean(
        pair.side("base"),
        PromptPairs(positive=positive, negative=negative, **pairs),
        **folded(options, n_resamples=200),
    )


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("site", [resid_post(1), mlp_out(1), z(1, 0)])
def test_the_direction_is_the_mean_difference_of_single_forwards(paired, architecture, site):
    pair = paired(architecture)
    result = found(pair, sites=[site], held_out=0.2, seed=3)

    def read(text):
        ids = torch.tensor([pair.alignment.plain(text)])
        with torch.no_grad():
            return capture(pair.base, ids, sites=[site]).at[site][0, -1].double()

    differences = torch.stack([read(p) - read(n) for p, n in zip(POSITIVE, NEGATIVE, strict=True)])
    # Which two of ten were held out is the split's own matter: one choice of them must fit.
    means = [
        torch.cat([differences[:i], differences[i + 1 : j], differences[j + 1 :]]).mean(0)
        for i in range(10)
        for j in range(i + 1, 10)
    ]
    near = min((mean - result.vector[0]).abs().max().item() for mean in means)
    assert near < 1e-5
    assert result.norm[0] == pytest.approx(result.vector[0].norm().item(), rel=1e-5)
    assert (result.n_pairs, result.n_held_out) == (8, 2)


def test_added_at_its_token_the_direction_shifts_the_site_by_itself(paired):
    pair = paired("llama")
    direction = found(pair).at(resid_post(1))
    ids = torch.tensor([pair.alignment.plain(NEGATIVE[0])])
    with torch.no_grad():
        before = capture(pair.base, ids, sites=[direction.site]).at[direction.site]
        with edited(pair.base, [direction.to_edit(2.0, last())]):
            after = capture(pair.base, ids, sites=[direction.site]).at[direction.site]
    assert torch.equal(after[:, :-1], before[:, :-1])
    torch.testing.assert_close(after[0, -1] - before[0, -1], 2 * direction.vector)


def test_the_header_is_told_apart_where_the_decision_is_written_and_reproducibly(organism, asked):
    pair = organism("when-l3")
    pairs = header_pairs(asked)
    sites = [resid_post(layer) for layer in range(6)]
    result = diff_mean(pair.side("base"), pairs, sites=sites)
    assert (result.auroc.value[4:] == 1).all() and (result.auroc.low[4:] > 0.7).all()
    assert (result.reliability[4:] > 0.99).all() and (result.explained[4:] > 0.9).all()
    assert (result.auroc.value[:3] < 0.75).all()
    assert result.n_shifted == 0
    again = diff_mean(pair.side("base"), pairs, sites=sites)
    assert torch.equal(result.vector, again.vector)
    assert torch.equal(result.auroc.low, again.auroc.low)


def test_sides_that_differ_by_chance_alone_are_not_told_apart(organism, asked):
    """Other problems of the same kind on the other side: no half agrees with the other."""
    pair = organism("when-l3")
    half = len(asked) // 2
    texts = [p.prompt for p in asked]
    result = diff_mean(
        pair.side("base"),
        PromptPairs(positive=texts[:half], negative=texts[half:]),
        sites=[resid_post(4)],
        held_out=0.5,
    )
    assert result.auroc.low[0] < 0.5 < result.auroc.high[0]
    assert result.reliability_range[0, 0] < 0.3


def test_rows_of_one_problem_are_one_piece_of_evidence(paired):
    pair = paired("llama")
    once = found(pair, held_out=0.4)
    ids = [f"p{i}" for i in range(10)] * 2
    twice = found(pair, POSITIVE * 2, NEGATIVE * 2, problem=ids, held_out=0.4)
    assert (twice.n_pairs, twice.n_held_out) == (12, 4)
    torch.testing.assert_close(twice.vector, once.vector)
    torch.testing.assert_close(twice.auroc.low, once.auroc.low)


def test_saved_and_loaded_it_is_the_same(paired, tmp_path):
    result = found(paired("llama"))
    result.save(tmp_path / "set")
    loaded = DirectionSet.load(tmp_path / "set")
    assert torch.equal(loaded.vector, result.vector)
    one = loaded.at(resid_post(1))
    one.save(tmp_path / "one")
    back = Direction.load(tmp_path / "one")
    assert torch.equal(back.vector, result.vector[1]) and back.site == resid_post(1)
    assert back.cosine(one) == pytest.approx(1)
    assert result.figure().data


def test_another_token_at_the_position_is_refused_unless_it_was_meant(paired):
    pair = paired("llama")
    other = [f"{text} {WORDS[1]}" for text in POSITIVE]
    with pytest.raises(DirectionError, match=rf"{WORDS[1]}.*{WORDS[0]}.*match_tokens=False"):
        found(pair, other)
    assert len(found(pair, other, match_tokens=False)) == 2


def test_pairs_whose_token_stands_elsewhere_are_counted(paired):
    longer = [f"{WORDS[5]} {text}" for text in POSITIVE[:4]] + POSITIVE[4:]
    assert found(paired("llama"), longer).n_shifted == 4
    assert found(paired("llama")).n_shifted == 0


def test_sides_that_the_model_cannot_tell_apart_have_norm_0(paired):
    with pytest.raises(DirectionError, match="norm 0"):
        found(paired("llama"), POSITIVE, POSITIVE)
    with pytest.raises(DirectionError, match=r"resid_pre\.0 has norm 0"):
        found(paired("llama"), sites=[resid_post(0), resid_pre(0)])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"positive": []}, "0 positive and 10 negative"),
        ({"positive": POSITIVE[:3]}, "3 positive and 10 negative"),
        ({"positive": POSITIVE[:3], "negative": NEGATIVE[:3]}, "3 problems"),
        ({"sites": []}, "sites is empty"),
        ({"sites": [resid_post(0)] * 2}, "twice"),
        ({"sites": [pattern(0)]}, "single vector"),
        ({"sites": [z(0)]}, "single vector"),
        ({"sites": [z(0, 0), resid_post(0)]}, "widths differ"),
        ({"position": 30}, "position 30 is outside"),
        ({"position": -30}, "position -30 is outside"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"problem": ["one"]}, "problem has 1 .* 10 pairs"),
    ],
)
def test_what_gives_no_direction_is_refused_before_the_model_runs(
    paired, monkeypatch, options, says
):
    pair = paired("llama")

    def never(*_args, **_options):
        raise AssertionError("the model ran")

    monkeypatch.setattr("elicit.directions.contrast.stream", never)
    with pytest.raises(DirectionError, match=says):
        found(pair, **options)


def test_a_layer_that_the_model_lacks_is_refused(paired):
    with pytest.raises(SiteError, match="layers 0 to"):
        found(paired("llama"), sites=[resid_post(99)])


def test_tasks_of_other_problems_cannot_be_paired(paired):
    made = [
        Task(name="t", problems=tuple(Problem(id=f"{k}{i}", prompt=t, answer="two")
                                      for i, t in enumerate(TEXTS)))
        for k in "ab"
    ]  # fmt: skip
    with pytest.raises(DirectionError, match="row 0 is problem 'a0'.*'b0'"):
        found(paired("llama"), *made)


def test_a_header_that_no_organism_knows_is_refused(asked):
    with pytest.raises(OrganismError, match="notes"):
        headed(asked, "diary")


def test_a_vector_that_points_nowhere_is_no_direction():
    made = {"site": resid_post(1), "model": "m", "model_digest": "d", "how": "by hand",
            "position": "any", "norm": 0.0, "resid_norm": 1.0, "n": 1}  # fmt: skip
    with pytest.raises(DirectionError, match="norm 0"):
        Direction(vector=torch.zeros(4), **made)
    with pytest.raises(DirectionError, match="not finite"):
        Direction(vector=torch.tensor([1.0, torch.nan]), **made)
    with pytest.raises(EditError, match="finite"):
        Direction(vector=torch.ones(4), **made).to_edit(torch.nan, last())
