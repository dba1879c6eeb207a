"""The batched solvers agree with others that solve one problem at a time."""

import numpy as np
import pytest
import torch

from elicit.representations import RepresentationError, fit_probe
from elicit.representations.logistic import Design, fit_logistic
from elicit.representations.ridge import left_out
from tests.representations.made import synthetic

SITES = ("resid_post.0", "resid_post.1")


def drawn(n_labels, *, n=200, d=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, n, d, generator=generator, dtype=torch.float64)
    x = x * torch.logspace(0, -1.5, d, dtype=torch.float64) + 5
    weight = torch.randn(d, n_labels, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, n_labels, generator=generator, dtype=torch.float64)
    return x, ((x[0] - 5) @ weight + noise).argmax(1)


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize("l2", [1e-3, 0.1])
def test_logistic_probes_are_those_of_scikit_learn(n_labels, l2):
    from sklearn.linear_model import LogisticRegression

    x, target = drawn(n_labels)
    probe = fit_probe(x, synthetic(target), sites=SITES, l2=l2)
    for site in range(2):
        normed = ((x[site] - probe.mean[site]) / probe.scale[site]).numpy()
        other = LogisticRegression(C=1 / (len(target) * l2), tol=1e-10, max_iter=10_000)
        other.fit(normed, target.numpy())
        weight = probe.weight[site][:, 1:] if n_labels == 2 else probe.weight[site]
        np.testing.assert_allclose(weight.T.numpy(), other.coef_, atol=1e-4)
        probs = torch.softmax(probe.scores(x)[site], dim=-1).numpy()
        np.testing.assert_allclose(probs, other.predict_proba(normed), atol=1e-4)


def test_more_dimensions_than_examples_give_the_same_probe_as_all_of_them():
    """The span of the examples holds every weight: L-BFGS in 400 dimensions agrees."""
    x, target = drawn(2, n=40, d=60)
    labelled = synthetic(target)
    probe = fit_probe(x, labelled, sites=SITES, l2=0.01)
    design = Design.of(x)
    assert design.basis.shape[2] == 40
    normed = (x - design.mean[:, None]) / design.scale[:, None, None]
    whole = Design(
        mean=design.mean,
        scale=design.scale,
        basis=torch.eye(60, dtype=torch.float64).expand(2, -1, -1),
        features=normed,
        curvature=normed.square().mean(dim=1),
    )
    weight = torch.ones(1, 40, dtype=torch.float64)
    l2 = torch.full((2, 1), 0.01, dtype=torch.float64)
    fit = fit_logistic(whole, target[None], weight, l2, n_labels=2)
    torch.testing.assert_close(probe.weight, fit.weight[:, 0], atol=1e-6, rtol=0)


def test_newton_and_lbfgs_end_at_the_same_place(monkeypatch):
    from elicit.representations import logistic

    x, target = drawn(2)
    newton = fit_probe(x, synthetic(target), sites=SITES, l2=1e-3)
    monkeypatch.setattr(logistic, "_SMALL", 0)
    slow = fit_probe(x, synthetic(target), sites=SITES, l2=1e-3)
    torch.testing.assert_close(newton.weight, slow.weight, atol=1e-5, rtol=0)


@pytest.mark.parametrize("per_problem", [1, 3])
def test_errors_of_problems_left_out_are_those_of_fits_without_them(per_problem):
    x, target = drawn(3, n=30, d=5)
    labelled, design = synthetic(target, per_problem=per_problem), Design.of(x)
    l2 = torch.tensor([0.01, 1.0], dtype=torch.float64)
    error = left_out(design, target, labelled.group, l2, n_labels=3)
    hot = torch.nn.functional.one_hot(target, 3).double()
    for index, penalty in enumerate(l2):
        for problem in labelled.group.unique():
            out = labelled.group == problem
            for site in range(2):
                kept = design.features[site][~out]
                ones = torch.ones(len(kept), 1, dtype=torch.float64)
                wide = torch.cat([kept, ones], dim=1)
                # The penalty of the whole fit counts n examples, whoever is left out.
                ridge = torch.eye(6, dtype=torch.float64) * penalty * len(target)
                ridge[5, 5] = 0
                weight = torch.linalg.solve(wide.T @ wide + ridge, wide.T @ hot[~out])
                features = torch.cat(
                    [design.features[site][out], torch.ones(int(out.sum()), 1).double()], dim=1
                )
                torch.testing.assert_close(
                    error[index, site][out], hot[out] - features @ weight, atol=1e-10, rtol=0
                )


def test_ridge_probes_are_those_of_the_normal_equations():
    x, target = drawn(3)
    probe = fit_probe(x, synthetic(target), sites=SITES, kind="ridge", l2=0.1)
    normed = (x - probe.mean[:, None]) / probe.scale[:, None, None]
    hot = torch.nn.functional.one_hot(target, 3).double()
    n, d = normed.shape[1:]
    for site in range(2):
        gram = normed[site].T @ normed[site] / n + 0.1 * torch.eye(d, dtype=torch.float64)
        weight = torch.linalg.solve(gram, normed[site].T @ (hot - hot.mean(0)) / n)
        torch.testing.assert_close(probe.weight[site], weight, atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_a_probe_does_not_depend_on_the_basis(kind):
    x, target = drawn(2)
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    plain = fit_probe(x, synthetic(target), sites=SITES, kind=kind)
    turned = fit_probe(x @ turn, synthetic(target), sites=SITES, kind=kind)
    torch.testing.assert_close(plain.scores(x), turned.scores(x @ turn), atol=1e-5, rtol=1e-5)


def test_the_penalty_is_chosen_without_the_problem_it_is_judged_on():
    """Copies of an example in one problem must not vouch for each other: noise stays noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 40, 30, generator=generator, dtype=torch.float64).repeat_interleave(4, dim=1)
    target = (torch.rand(40, generator=generator) < 0.5).long().repeat_interleave(4)
    for kind in ("logistic", "ridge"):
        together = fit_probe(x, synthetic(target, per_problem=4), sites=SITES[:1], kind=kind)
        apart = fit_probe(x, synthetic(target), sites=SITES[:1], kind=kind)
        assert together.l2 > apart.l2


def test_a_saved_probe_is_the_probe(tmp_path):
    from elicit import load_result

    x, target = drawn(2)
    probe = fit_probe(x, synthetic(target), sites=SITES, l2=0.1)
    again = load_result(probe.save(tmp_path))
    assert torch.equal(again.scores(x), probe.scores(x))


def test_activations_that_do_not_fit_are_refused():
    x, target = drawn(2)
    probe = fit_probe(x, synthetic(target), sites=SITES, l2=0.1)
    with pytest.raises(RepresentationError, match="width 12 .* width 11"):
        probe.scores(x[..., :11])
    with pytest.raises(RepresentationError, match="1 of 200 activations at resid_post.1 are NaN"):
        bad = x.clone()
        bad[1, 3, 0] = torch.nan
        probe.scores(bad)
    with pytest.raises(RepresentationError, match="200 examples.* 2 sites and 199"):
        fit_probe(x, synthetic(target[:199]), sites=SITES)
    with pytest.raises(RepresentationError, match="without a finite penalty"):
        fit_probe(x, synthetic(target), sites=SITES, l2=0.0)
