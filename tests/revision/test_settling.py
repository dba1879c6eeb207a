"""Both models on the same tokens: differences, bands, groups, and what organisms show."""

import pytest
import torch

from elicit.revision import (
    DepthConvention,
    RevisionError,
    TokenRows,
    deep_thinking,
    depth_by_group,
    profile,
    sensitivity,
    settling,
    settling_depth,
)
from elicit.runs import Execution
from elicit.texts.readout import Readout

CONVENTIONS = {
    "paper": DepthConvention(),
    "last exit": DepthConvention(reading="last_exit"),
    "wide": DepthConvention(threshold=0.3, rho=0.6, layers="embedding_and_blocks"),
    "raw": DepthConvention(unit="nats", norm="none"),
    "twice": DepthConvention(unit="nats", norm="twice", threshold=0.3),
}
FORM = {"so", "=", ";", ".", "answer"}


@pytest.fixture(scope="module")
def rl(organism, given_of):
    return settling(organism("rl"), given_of("rl", 40))


def test_a_pair_of_equals_settles_alike_exactly(organism, given_of):
    found = settling(organism("identity"), given_of("identity", 8))
    for estimate in (found.profile_diff, found.depth_diff, found.dtr_diff):
        assert not any(end.any() for end in (estimate.value, estimate.low, estimate.high))
    assert torch.equal(*found.depth.unbind())
    assert sensitivity(found).sign == 0


def test_computed_results_settle_later_than_form(rl):
    """What a step works out is known later than the words around it, in both models."""
    kinds = ["result" if t.isdigit() else "form" if t in FORM else None for t in rl.token]
    found = depth_by_group(rl, kinds, order=["form", "result"])
    assert found.step.low[:, 1].min() > 1.5
    assert (found.depth.value[:, 1] > 3).all() and (found.depth.value[:, 0] < 2).all()


def test_harder_problems_do_not_settle_later_in_given_traces(rl, organism, given_of):
    """The honest finding: tokens of longer problems settle no deeper, rather sooner."""
    level = dict(zip(given_of("rl", 40).problem, given_of("rl", 40).difficulty, strict=True))
    groups = [level[rl.problem[i]] for i in rl.problem_of.tolist()]
    found = depth_by_group(rl, groups)
    assert found.group == ("1", "2", "3", "4", "5", "6")
    assert (found.step.value[:, 1:] < 0.5).all()
    assert int(found.n_problems.sum()) == 40


def test_means_are_over_problems_and_differences_are_paired(rl):
    each = [rl.depth[:, rl.problem_of == i].double().mean(-1) for i in range(len(rl.problem))]
    each = torch.stack(each)
    assert torch.allclose(rl.mean_depth.value[0], each.mean(0))
    assert torch.allclose(rl.depth_diff.value[0], (each[:, 1] - each[:, 0]).mean())
    assert rl.depth_diff.low[0] < rl.depth_diff.value[0] < rl.depth_diff.high[0]
    assert torch.allclose(rl.dtr_diff.value[0], rl.dtr.value[0, 1] - rl.dtr.value[0, 0])


def test_layers_that_both_models_share_are_read_once_with_the_same_numbers(
    organism, given_of, monkeypatch
):
    pair, traces = organism("shuffled-l3"), given_of("shuffled-l3", 4)
    products, plain = [], Readout.project

    def counted(*args, **more):
        products.append(1)
        return plain(*args, **more)

    monkeypatch.setattr(Readout, "project", counted)
    settled = settling(pair, traces)
    # Two final predictions; what enters layers 0 to 3 once, what leaves 3 and later twice.
    assert len(products) == 2 + 4 + 2 * (pair.n_layers - 4)
    assert torch.equal(settled.jsd, profile(pair, traces, top_k=0).jsd)


def test_two_sources_are_each_scored_by_both_models(organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 12)
    short = TokenRows(
        rows=traces.rows[:5],
        positions=tuple(p[:4] for p in traces.positions[:5]),
        problem=traces.problem[:5],
        source="base",
    )
    both = settling(pair, [traces, short])
    assert both.source == ("given", "base") and both.n_problems.tolist() == [12, 5]
    for i, part in enumerate((traces, short)):
        alone = settling(pair, part)
        assert torch.equal(both.profile.value[i], alone.profile.value[0])
        assert torch.equal(both.depth_diff.high[i], alone.depth_diff.high[0])
        assert torch.equal(both.depth[:, both.source_of == i], alone.depth)
    with pytest.raises(RevisionError, match="given"):
        settling(pair, [traces, traces])


def test_a_band_holds_the_convention_itself(rl):
    band = sensitivity(rl, thresholds=(0.25, 0.5), rhos=(0.5, 0.85))
    assert torch.equal(band.dtr.value[1, 1], rl.dtr.value[0])
    assert torch.equal(band.dtr_diff.value[1, 1], rl.dtr_diff.value[0])
    by_hand = settling_depth(rl.jsd.transpose(0, 1), DepthConvention(threshold=0.25))
    each = [(by_hand[:, rl.problem_of == i] >= 3).double().mean(-1) for i in range(40)]
    assert torch.allclose(band.dtr.value[0, 0], torch.stack(each).mean(0))
    # Easier thresholds and later starts leave fewer deep.
    dtr = band.dtr.value
    assert (dtr[0] >= dtr[1]).all() and (dtr[:, 0] >= dtr[:, 1]).all()
    with pytest.raises(RevisionError, match="1.5"):
        sensitivity(rl, thresholds=(1.5,))
    with pytest.raises(RevisionError, match="0.1"):
        sensitivity(rl, rhos=(0.1,))


@pytest.mark.parametrize(
    ("name", "convention"),
    [
        # Every convention in both architectures, and another pair.
        *((name, way) for name in ("rl", "b-when-l5") for way in CONVENTIONS),
        ("answers-only", "paper"),
    ],
)
def test_the_early_stop_path_gives_the_answers_of_the_full_pass(
    name, convention, organism, given_of
):
    pair, traces, convention = organism(name), given_of(name, 3), CONVENTIONS[convention]
    full = settling(pair, traces, convention=convention)
    for i, model in [(1, "post")] if convention.norm != "once" else enumerate(("base", "post")):
        counts = {}
        for certify in (True, False):
            for depths in (True, False):
                found = deep_thinking(
                    pair,
                    traces,
                    model=model,
                    convention=convention,
                    depths=depths,
                    certify=certify,
                    execution=Execution(memory=2**18),
                )
                assert torch.equal(found.deep, full.deep[i])
                assert not depths or torch.equal(found.depth, full.depth[i])
                counts[certify, depths] = found.n_projected + found.n_certified
                assert found.n_projected < found.n_full and found.saved > 0
                assert certify or not found.n_certified
        # A proof spares a reading and changes nothing else.
        assert counts[True, True] == counts[False, True]
        assert counts[True, False] == counts[False, False]


@pytest.mark.slow
@pytest.mark.parametrize("depths", [True, False])
def test_tokens_parked_between_blocks_get_the_answers_of_one_block(depths, organism, given_of):
    """Blocks of two tokens, of some, and one for all: parking begins anew, fills up, never is."""
    pair, traces = organism("rl"), given_of("rl", 8)
    # Deep begins early, so that many tokens are still open after the first layer tried.
    convention = DepthConvention(rho=0.5)
    whole = deep_thinking(pair, traces, convention=convention, depths=depths)
    assert 0.2 < whole.deep.double().mean() < 0.8
    for n_tokens in (2, 16, 48):
        found = deep_thinking(
            pair,
            traces,
            convention=convention,
            depths=depths,
            execution=Execution(memory=3 * 4 * pair.d_vocab * n_tokens),
        )
        assert torch.equal(found.deep, whole.deep)
        assert not depths or torch.equal(found.depth, whole.depth)
        readings = found.n_projected + found.n_certified
        assert readings == whole.n_projected + whole.n_certified


def test_proofs_spare_most_readings_of_tokens_that_settle_late(organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 12)
    found = deep_thinking(pair, traces, depths=True)
    assert found.n_certified > found.n_projected


def test_the_ratio_of_a_trace_is_that_of_its_own_tokens(organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 6)
    found = deep_thinking(pair, traces, model="base")
    for row in range(6):
        assert found.dtr[row] == found.deep[found.row == row].double().mean()
    # Rows that are not read have no ratio, and chunks do not change the others.
    hollow = TokenRows(
        rows=traces.rows, positions=((), *traces.positions[1:]), problem=traces.problem
    )
    part = deep_thinking(pair, hollow, model="base", execution=Execution(max_tokens=40))
    assert part.dtr[0].isnan() and torch.equal(part.dtr[1:], found.dtr[1:])


def test_ratios_and_their_differences_have_possible_ends(rl):
    band = sensitivity(rl)
    for ratio, change in ((rl.dtr, rl.dtr_diff), (band.dtr, band.dtr_diff)):
        assert (ratio.low >= 0).all() and (ratio.high <= 1).all()
        assert (change.low >= -1).all() and (change.high <= 1).all()


def test_groups_that_do_not_fit_are_refused(rl):
    with pytest.raises(RevisionError, match="1 groups"):
        depth_by_group(rl, ["a"])
    kinds = ["form" if token in FORM else None for token in rl.token]
    with pytest.raises(RevisionError, match="form"):
        depth_by_group(rl, kinds)
    with pytest.raises(RevisionError, match="step"):
        depth_by_group(rl, kinds, order=["form", "step"])
