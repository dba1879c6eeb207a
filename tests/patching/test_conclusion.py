"""What a sweep says follows from its values: by hand, by the statistics, and where nothing is."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from elicit.patching.conclusion import conclude_grid
from elicit.patching.errors import PatchError
from elicit.patching.swap import across, within
from elicit.patching.values import SweepValues
from elicit.sites import Site, attn_out, mlp_out, resid_mid, resid_post, resid_pre, z
from elicit.stats import Inference, bootstrap_mean, gap_share, max_t, simultaneous_intervals
from tests.patching.made import contrast, grid, noise, sweep

ENDS = ("value", "low", "high")


def test_two_problems_worked_out_by_hand():
    values = SweepValues(
        sites=(resid_pre(0), resid_pre(1)),
        pos=("all",),
        metric=("logit_diff",),
        width=(1,),
        host=torch.tensor([[0.0, 2.0]], dtype=torch.float64),
        donor=torch.tensor([[4.0, 6.0]], dtype=torch.float64),
        patched=torch.tensor([[[[[1.0, 3.0]], [[1.0, 5.0]]]]], dtype=torch.float64),
    )
    g = grid(values)
    assert [each.value.item() for each in (g.host_score, g.donor_score, g.gap)] == [1, 5, 4]
    assert g.score.flatten().tolist() == [2, 3]
    assert g.effect.value.flatten().tolist() == [1, 2]
    assert g.share.value.flatten().tolist() == [0.25, 0.5]
    # Both problems of the first cell gain 1: a point. Those of the second gain 1 and 3, with a
    # standard error of 1, and two problems have one degree of freedom.
    assert (g.effect.low.flatten()[0], g.effect.high.flatten()[0]) == (1, 1)
    reach = float(student.ppf(0.975, 1))
    assert g.effect.low.flatten()[1].item() == pytest.approx(2 - reach)
    assert g.effect.high.flatten()[1].item() == pytest.approx(2 + reach)
    assert g.share.low.flatten()[0].item() == g.share.high.flatten()[0].item() == 0.25
    # The rest of the second share is (1, 3) - 0.5 (4, 4): the standard error 1 over the gap 4.
    assert g.share.high.flatten()[1].item() == pytest.approx(0.5 + reach / 4)
    # Signs of two problems can be flipped in four ways, of which two reach any |mean|.
    assert g.p.flatten().tolist() == [0.5, 0.5]
    assert g.step.value.flatten().tolist() == [1, 1]


def test_shares_intervals_and_p_values_are_those_of_the_statistics():
    n, options = 24, {"level": 0.9, "n_resamples": 300, "seed": 4}
    gap = 3 + noise(n, seed=1)
    effects = noise(2, 2, 3, 2, n, seed=2) + 1.0
    values = sweep(effects, [attn_out(0), mlp_out(0), z(1, 2)], gap=gap)
    g = grid(values, inference=Inference(**options))
    for w in range(2):
        for m in range(2):
            table = (values.patched[w, m] - values.host[m]).reshape(-1, n).T
            joint = simultaneous_intervals(table, **options)
            for end in ENDS:
                found = getattr(g.effect, end)[w, m].flatten()
                assert np.allclose(found, getattr(joint, end), rtol=1e-12)
            adjusted = max_t(table, n_resamples=300, seed=4)
            assert g.p[w, m].flatten().tolist() == adjusted.tolist()
            for cell in range(6):
                share = gap_share(
                    values.patched[w, m].reshape(-1, n)[cell],
                    values.host[m],
                    values.donor[m],
                    level=0.9,
                )
                found = g.share[w, m].map(torch.Tensor.flatten)[cell].ends
                assert found == pytest.approx([share.value, share.low, share.high], rel=1e-9)
    alone = bootstrap_mean(values.donor[0] - values.host[0], **options)
    assert g.gap[0].ends[1:] == (alone.low, alone.high)


@pytest.mark.slow
def test_noise_is_called_an_effect_in_at_most_five_sweeps_of_a_hundred():
    n_sweeps, found, outside = 120, 0, 0
    for seed in range(n_sweeps):
        values = sweep(noise(3, 4, 14, seed=seed), [resid_pre(i) for i in range(3)])
        g = grid(values, inference=Inference(n_resamples=200, seed=seed))
        found += bool((g.p < 0.05).any())
        outside += bool(g.effect.clear.any())
    # 5 % and two standard errors of a rate from so few sweeps.
    most = n_sweeps * 0.05 + 2 * (n_sweeps * 0.05 * 0.95) ** 0.5
    assert found <= most
    assert outside <= most


def test_models_that_do_not_differ_give_exact_zeros_and_no_peak():
    values = sweep(
        torch.zeros(3, 2, 12, dtype=torch.float64), [resid_pre(i) for i in range(3)], gap=0
    )
    g = grid(replace(values, patched=values.host[:, None, None].expand(1, 1, 3, 2, 12)))
    for end in ENDS:
        assert torch.equal(getattr(g.effect, end), torch.zeros(1, 1, 3, 2).double())
        assert getattr(g.share, end).isnan().all()
    assert (g.p == 1).all()
    assert not g.gap_clear.any()
    assert g.peak() is None
    assert g.peak_layer is None


def test_no_share_is_told_of_a_gap_that_may_be_none():
    effects = noise(2, 1, 20, seed=1) + 2
    unsure = grid(sweep(effects, [resid_pre(0), resid_pre(1)], gap=noise(20, seed=3)))
    assert not unsure.gap_clear.any()
    assert unsure.share.value.isnan().all()
    assert unsure.effect.value.isfinite().all()
    sure = grid(sweep(effects, [resid_pre(0), resid_pre(1)], gap=3 + noise(20, seed=3)))
    assert sure.gap_clear.all()
    assert sure.share.value.isfinite().all()


def test_a_share_beyond_one_or_below_zero_is_not_clipped():
    effects = torch.stack([torch.full((1, 9), 6.0), torch.full((1, 9), -2.0)]).double()
    g = grid(sweep(effects, [resid_pre(0), resid_pre(1)], gap=4.0))
    assert g.share.value.flatten().tolist() == pytest.approx([1.5, -0.5])


def rising(rise: dict[int, float], n_boundaries: int, n: int = 16) -> torch.Tensor:
    """Effects at boundaries that rise at some of them, at the second of two positions."""
    effects = 0.05 * noise(n_boundaries, 2, n, seed=8)
    for boundary, by in rise.items():
        effects[boundary:, 1] += by
    return effects


@pytest.mark.parametrize("swap", [across(), within()], ids=["across", "within"])
def test_the_stream_peaks_at_the_layer_that_wrote_the_largest_step(swap):
    pre, post = [resid_pre(i) for i in range(6)], [resid_post(i) for i in range(6)]
    # A smaller rise before and a larger fall after: the step towards the donor counts.
    effects = rising({2: 0.8, 4: 2.0, 5: -2.5}, 6)
    assert grid(sweep(effects, pre), swap=swap).peak_layer == 3
    assert grid(sweep(effects, post), swap=swap).peak_layer == 4
    peak = grid(sweep(effects, pre), swap=swap).peak()
    assert peak is not None
    assert (peak.site, peak.pos, peak.head, peak.clear) == ("resid_pre.4", "1 w1", -1, True)
    assert peak.step.value.item() == pytest.approx(2.0, abs=0.1)
    assert peak.effect.value.item() == pytest.approx(2.8, abs=0.1)


def test_towards_the_donor_is_downwards_where_the_donor_scores_lower():
    effects = rising({2: 2.5, 4: -2.0}, 6)
    sites = [resid_pre(i) for i in range(6)]
    assert grid(sweep(effects, sites, gap=-4.0)).peak_layer == 3
    assert grid(sweep(effects, sites, gap=4.0)).peak_layer == 1


def test_what_stands_before_the_first_layer_is_the_hosts_across_models_only():
    first = rising({0: 3.0, 3: 1.0}, 5)
    pre, post = [resid_pre(i) for i in range(5)], [resid_post(i) for i in range(5)]
    # Across models that is the embedding (-1), or layer 0 where only its end was patched.
    assert grid(sweep(first, pre)).peak_layer == -1
    assert grid(sweep(first, post)).peak_layer == 0
    # Within a model the prompts differ from the start, so nothing is known of that step.
    for sites, layer in ((pre, 2), (post, 3)):
        g = grid(sweep(first, sites), swap=within())
        assert g.step.value[0, 0].isnan().all()
        assert g.peak_layer == layer


def test_steps_lie_between_whole_layers_also_where_kinds_are_mixed():
    sites = [resid_pre(0), resid_mid(0), resid_post(0), resid_mid(1), resid_pre(4)]
    effects = rising({0: 0.1, 1: 0.2, 2: 0.4, 3: 0.8, 4: 1.6}, 5)
    effects -= effects - effects.mean(dim=-1, keepdim=True)
    g = grid(sweep(effects, sites))
    level = effects.mean(dim=-1)
    expected = [
        level[0],
        level[1] - level[0],
        level[2] - level[0],
        level[3] - level[2],
        level[4] - level[2],
    ]
    assert torch.allclose(g.step.value[0], torch.stack(expected))
    assert g.step_layer.tolist() == [-1, 0, 0, 1, 3]
    alone = grid(sweep(effects[:2], [resid_pre(3), resid_pre(5)]))
    assert alone.step.value[0, 0].isnan().all()
    assert alone.step_layer.tolist() == [2, 4]


def test_components_peak_where_the_effect_is_largest_of_either_sign():
    sites = [z(layer, head) for layer in range(3) for head in range(2)]
    effects = 0.05 * noise(6, 2, 16)
    effects[3, 0] -= 2.0
    effects[4, 1] += 1.5
    g = grid(sweep(effects, sites))
    peak = g.peak()
    assert peak is not None
    assert (peak.site, peak.layer, peak.head, peak.pos) == ("z.1.1", 1, 1, "0 w0")
    assert torch.equal(g.step.value, g.effect.value[0])
    both = grid(
        sweep(torch.cat([rising({2: 1.0}, 3), effects]), [*map(resid_pre, range(3)), *sites])
    )
    assert {kind: p.layer for kind, p in both.peaks().items()} == {"resid_pre": 1, "z": 1}
    assert both.peak().to_json() == both.peaks()["resid_pre"].to_json(), (
        "the stream holds what is left of all"
    )


def test_an_effect_is_beyond_its_controls_only_where_it_is_clear_of_each_of_them():
    n = 20
    effects = 0.1 * noise(4, 1, n, seed=5) + torch.tensor([2.0, 2.0, -2.0, 2.0])[:, None, None]
    values = sweep(effects, [mlp_out(i) for i in range(4)])

    def control(*levels: float) -> torch.Tensor:
        level = torch.tensor(levels, dtype=torch.float64)[:, None, None]
        return (values.host[0] + level + 0.1 * noise(4, 1, n, seed=6))[None]

    nan = float("nan")
    other, noisy = control(0, 0, 0, nan), control(0, 2, 0, nan)
    g = grid(replace(values, other_prompt=other, noise=noisy))
    assert g.above_control.flatten().tolist() == [True, False, True, False]
    assert g.above_other_prompt.flatten().tolist() == [True, True, True, False]
    assert g.above_noise.flatten().tolist() == [True, False, True, False]
    assert g.other_prompt.value.isnan().flatten().tolist() == [False, False, False, True]
    assert g.noise.low[0, 1, 0] < 2 < g.noise.high[0, 1, 0]
    # A control larger than the effect is clear of it, too, but the effect is not beyond it.
    assert not grid(replace(values, noise=control(5, 5, -5, 5))).above_control.any()
    assert grid(replace(values, noise=control(-5, 0, 5, 0))).above_control.all()
    without = grid(values)
    assert without.noise.value.isnan().all()
    assert not without.above_control.any()


def test_a_value_that_is_no_number_is_refused_with_its_cell():
    values = sweep(noise(2, 2, 3, 2, 6), [resid_pre(i) for i in range(3)])
    nan = float("nan")

    def spoiled(name: str, *at: int, by: float = nan) -> SweepValues:
        scores = getattr(values, name).clone() if getattr(values, name) is not None else None
        scores = noise(2, 3, 2, 6) if scores is None else scores
        scores[at] = by
        return replace(values, **{name: scores})

    told = {
        ("patched", 1, 1, 2, 0, 3): r"'p3' at \(width 2, log_prob, resid_pre.2, 0 w0\) is nan",
        ("host", 1, 2): r"host of problem 'p2' at \(log_prob\)",
        ("donor", 0, 5): r"donor of problem 'p5' at \(logit_diff\)",
        ("noise", 0, 1, 1, 4): r"noise of problem 'p4' at \(logit_diff, resid_pre.1, 1 w1\)",
    }
    for (name, *at), words in told.items():
        with pytest.raises(PatchError, match=words):
            grid(spoiled(name, *at))
    with pytest.raises(PatchError, match="is inf"):
        grid(spoiled("patched", 0, 0, 0, 0, 0, by=float("inf")))
    whole_cell = spoiled("noise", 0, 1, 1)
    assert grid(whole_cell).noise.value[0, 1, 1].isnan()


def test_too_few_or_other_problems_are_refused():
    with pytest.raises(PatchError, match="has 1 problem"):
        grid(sweep(noise(1, 1, 1), [resid_pre(0)]))
    values = sweep(noise(1, 1, 6), [resid_pre(0)])
    with pytest.raises(PatchError, match="6 problems and the contrast has 5"):
        conclude_grid(values, contrast=contrast(5), swap=across())


def test_values_whose_axes_disagree_are_refused():
    values = sweep(noise(2, 1, 6), [resid_pre(0), resid_pre(1)])
    for changed, told in (
        ({"sites": (resid_pre(0),)}, "patched has shape"),
        ({"sites": (resid_pre(0), resid_pre(0))}, "names 'resid_pre.0' twice"),
        ({"pos": ("all", "x")}, "patched has shape"),
        ({"metric": ("accuracy",)}, "'accuracy' is not known"),
        ({"width": (3,)}, r"width is \(3,\).*width 1"),
        ({"noise": noise(1, 2, 1, 6).float()}, "float64"),
    ):
        given = {item.name: getattr(values, item.name) for item in fields(values)}
        with pytest.raises(PatchError, match=told):
            SweepValues(**{**given, **changed})
    assert isinstance(values.sites[0], Site)
