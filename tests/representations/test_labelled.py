"""Labels that nothing could be concluded from are refused, in words, before any model runs."""

import pytest
import torch

from elicit.representations import (
    Labelled,
    ProbeOptions,
    RepresentationError,
    probe,
    read_labelled,
)
from elicit.representations.splits import folds, split_problems
from elicit.runs import Execution
from elicit.sites import Site, resid_post
from tests.representations.made import headed, synthetic


def test_places_are_counted_from_the_end_like_everywhere():
    found = Labelled(rows=((5, 6, 7),) * 2, position=(-1, 0), label=("a", "b"), problem=("p", "q"))
    assert found.position == (2, 0)
    assert found.type == ("7", "5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ((1, 2), ())}, "row 1 has no token"),
        ({"position": (0, 2)}, "position 2 .* row 1, .* 2 tokens"),
        ({"position": (-3, 0)}, "position -3 .* row 0"),
        ({"label": ("a",)}, "rows has 2 entries and label has 1"),
        ({"rows": (), "position": (), "label": (), "problem": ()}, "no examples"),
    ],
)
def test_examples_that_cannot_be_read_are_refused(change, message):
    given = {
        "rows": ((1, 2), (3, 4)),
        "position": (0, 1),
        "label": ("a", "b"),
        "problem": ("p", "q"),
    }
    with pytest.raises(RepresentationError, match=message):
        Labelled(**(given | change))


def test_labels_that_cannot_be_tested_are_refused(organism):
    pair, n = organism("when-l3"), 12
    with pytest.raises(RepresentationError, match="all 12 examples have the label 'l0'"):
        probe(pair, synthetic(torch.zeros(n)))
    few = torch.tensor([0] * 9 + [1] * 3)
    with pytest.raises(RepresentationError, match="'l1' occurs in 3 problems and 4 are needed"):
        probe(pair, synthetic(few))
    with pytest.raises(RepresentationError, match="'l1' .* 'p0003'"):
        probe(pair, synthetic(few, per_problem=3))
    with pytest.raises(RepresentationError, match="test_share is 1.0"):
        probe(pair, headed(pair, n=4), options=ProbeOptions(test_share=1.0))
    with pytest.raises(RepresentationError, match="n_controls is 0"):
        probe(pair, headed(pair, n=4), n_controls=0)


def test_sites_of_several_widths_and_values_that_are_none_are_refused(organism, paired):
    pair = organism("when-l3")
    labelled, pad_id = headed(pair, n=4), pair.alignment.pad_id
    sites = [resid_post(0), Site("z", 0, 1)]
    with pytest.raises(RepresentationError, match="resid_post.0 is 96 wide and z.0.1 is 24"):
        read_labelled(pair.base, labelled, sites=sites, pad_id=pad_id)
    model = paired("llama").base
    norm = model.original_model.model.layers[1].input_layernorm.weight
    kept = norm.detach().clone()
    try:
        norm.data.fill_(float("nan"))
        rows = Labelled.from_examples([((1, 5, 6), -1, "a", 0), ((1, 7, 8, 9), 1, "b", 1)])
        with pytest.raises(RepresentationError, match="2 of 2 activations at resid_post.1 are NaN"):
            read_labelled(model, rows, sites=[resid_post(0), resid_post(1)], pad_id=0)
    finally:
        norm.data.copy_(kept)


def test_activations_stand_at_their_own_examples(organism):
    """Whatever the chunks: the same as one forward of each row."""
    pair = organism("when-l3")
    labelled = headed(pair, n=5)
    found = read_labelled(
        pair.base,
        labelled,
        sites=[resid_post(2)],
        pad_id=pair.alignment.pad_id,
        execution=Execution(max_tokens=64),
    )
    for index, (row, place) in enumerate(zip(labelled.rows, labelled.position, strict=True)):
        with torch.no_grad():
            out = pair.base.original_model(torch.tensor([row]), output_hidden_states=True)
        own = out.hidden_states[3][0, place].double()
        torch.testing.assert_close(found[0, index], own, atol=1e-4, rtol=1e-4)


def test_no_problem_is_on_both_sides_and_every_label_is():
    target = torch.tensor([0, 1, 1, 2] * 12)
    group = torch.arange(48) // 2
    held = split_problems(group, target, share=0.3, seed=0)
    assert not set(group[held].tolist()) & set(group[~held].tolist())
    assert set(target[held].tolist()) == set(target[~held].tolist()) == {0, 1, 2}
    fold = folds(group, target, n_folds=4, seed=0)
    for problem in group.unique():
        assert len(fold[group == problem].unique()) == 1
    assert torch.bincount(fold[::2]).tolist() == [6, 6, 6, 6]
