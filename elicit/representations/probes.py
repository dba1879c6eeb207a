"""Linear probes of all layers at once: fitted, frozen, then applied to any activations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.representations.errors import RepresentationError
from elicit.representations.labels import Labelled, check_finite, read_labelled
from elicit.representations.logistic import Design, Fit, fit_logistic
from elicit.representations.ridge import fit_ridge, left_out
from elicit.representations.splits import folds
from elicit.results import Provenance, Result
from elicit.runs import Execution
from elicit.sites import parse_site

Kind = Literal["logistic", "ridge"]
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidate penalties; inputs have a mean variance of 1 per dimension."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe(Result):
    """Fitted linear probes, one per site."""

    kind: str
    """`logistic`: scores are logits; `ridge`: scores are estimates of 0 or 1."""
    site: tuple[str, ...]
    """Site that each probe reads."""
    label: tuple[str, ...]
    """Labels, in the order of scores."""
    weight: Float[Tensor, "site d_model label"]
    """Weights on normalised activations; a two-label logistic probe has zeros for the first."""
    bias: Float[Tensor, "site label"]
    """Bias of each score."""
    mean: Float[Tensor, "site d_model"]
    """Mean activation of the fit examples, subtracted first."""
    scale: Float[Tensor, " site"]
    """Root of their mean variance, divided by next."""
    l2: Float[Tensor, " site"]
    """Penalty on the weights, added to the mean loss per example."""
    tried: Float[Tensor, " tried"]
    """Candidate penalties; a single one if it was given."""
    tried_loss: Float[Tensor, "site tried"]
    """Mean loss on left-out problems, nats or squared error; NaN if the penalty was given."""
    n_examples: int
    """Number of fit examples."""
    n_problems: int
    """Number of fit problems."""

    def scores(
        self, x: Float[Tensor, "site example d_model"]
    ) -> Float[Tensor, "site example label"]:
        """Score of every label.

        Args:
            x: Activations at the probe's sites, of this model or another.

        Raises:
            RepresentationError: Sites or widths differ, or a value is not finite.
        """
        if x.shape[0] != len(self.site) or x.shape[2] != self.mean.shape[1]:
            raise RepresentationError(
                f"the probe reads {len(self.site)} sites of width {self.mean.shape[1]} and the "
                f"activations are of {x.shape[0]} sites and width {x.shape[2]}, so its weights do "
                "not apply. Read the same sites in a model of the same width."
            )
        check_finite(x, self.site)
        normed = (x.double() - self.mean[:, None]) / self.scale[:, None, None]
        return normed @ self.weight + self.bias[:, None]

    def predict(self, x: Float[Tensor, "site example d_model"]) -> Int[Tensor, "site example"]:
        """Index of the label with the highest score; ties go to the first.

        Raises:
            RepresentationError: Sites or widths differ, or a value is not finite.
        """
        return self.scores(x).argmax(dim=-1)

    def read(
        self, model: nn.Module, labelled: Labelled, *, pad_id: int, max_tokens: int = 8192
    ) -> Float[Tensor, "site example d_model"]:
        """Activations of a model at the probe's sites.

        Args:
            model: A bridge in raw mode, not necessarily the one it was fitted on.
            labelled: The positions.
            pad_id: Id put where a row has no token.
            max_tokens: Largest number of positions per chunk, padding included.

        Raises:
            SiteError: The model does not have a site.
            RepresentationError: An activation is not finite.
        """
        sites = [parse_site(name) for name in self.site]
        return read_labelled(
            model, labelled, sites=sites, pad_id=pad_id, execution=Execution(max_tokens=max_tokens)
        )


def fit_probe(
    x: Float[Tensor, "site example d_model"],
    labelled: Labelled,
    *,
    sites: Sequence[str],
    kind: Kind = "logistic",
    l2: float | None = None,
    n_folds: int = 5,
    seed: int = 0,
    provenance: Provenance | None = None,
) -> Probe:
    """Linear probes of all sites, each penalty chosen by cross-validation over problems.

    Args:
        x: Activations of the examples; all are used, so hold out test problems first.
        labelled: The examples.
        sites: Name of each site.
        kind: `logistic` or `ridge`.
        l2: Penalty added to the mean loss; None: chosen from `PENALTIES`, per site.
        n_folds: Cross-validation folds, split by problem; ridge leaves out one problem at a time.
        seed: Of the folds.
        provenance: Provenance of the activations.

    Raises:
        RepresentationError: The labels cannot be fitted, activations and examples do not match, a
            value is not finite, or an option is out of range.
    """
    check_options(kind, l2, n_folds)
    labelled.check(least=2)
    if x.shape[:2] != (len(sites), len(labelled)):
        raise RepresentationError(
            f"the activations are of {x.shape[0]} sites and {x.shape[1]} examples, but there are "
            f"{len(sites)} sites and {len(labelled)} examples. "
            "Read the activations of these examples with read_labelled."
        )
    check_finite(x, sites)
    design = Design.of(x)
    chosen = choose_l2(design, labelled, kind=kind, l2=l2, n_folds=n_folds, seed=seed)
    fit = fit_tasks(design, labelled.target[None], chosen.l2[:, None], kind, len(labelled.labels))
    return Probe(
        kind=kind,
        site=tuple(sites),
        label=labelled.labels,
        weight=design.basis @ fit.weight[:, 0],
        bias=fit.bias[:, 0].contiguous(),
        mean=design.mean,
        scale=design.scale,
        l2=chosen.l2,
        tried=torch.tensor(PENALTIES if l2 is None else [l2], dtype=torch.float64),
        tried_loss=chosen.loss,
        n_examples=len(labelled),
        n_problems=len(set(labelled.problem)),
        provenance=provenance,
    )


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Options of fitting and testing a probe.

    Raises:
        RepresentationError: An option is out of range.
    """

    kind: Kind = "logistic"
    """`logistic` or `ridge`."""
    l2: float | None = None
    """Penalty added to the mean loss; None: chosen per site within the fit problems."""
    n_folds: int = 5
    """Cross-validation folds of that choice."""
    test_share: float = 0.3
    """Share of problems held out, in (0, 1)."""

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        check_options(self.kind, self.l2, self.n_folds)
        if not 0 < self.test_share < 1:
            raise RepresentationError(
                f"test_share is {self.test_share}, but both fitting and testing need problems. "
                "Pass for example 0.3."
            )


def check_options(kind: Kind, l2: float | None, n_folds: int) -> None:
    """Refuse options out of range.

    Raises:
        RepresentationError: Names the option.
    """
    if kind not in get_args(Kind):
        raise RepresentationError(f"there is no probe {kind!r}. Pass 'logistic' or 'ridge'.")
    if l2 is not None and not 0 < l2 < float("inf"):
        raise RepresentationError(
            f"l2 is {l2}, but without a finite penalty above 0 weights diverge on separable "
            "examples. Pass for example 0.01, or None to choose."
        )
    if n_folds < 2:
        raise RepresentationError(
            f"n_folds is {n_folds}, so no penalty can be cross-validated. Pass 2 or more."
        )


def fit_tasks(
    design: Design,
    target: Int[Tensor, "task example"],
    l2: Float[Tensor, "site task"],
    kind: Kind,
    n_labels: int,
) -> Fit:
    """Weights of every site for several sets of labels on the same inputs."""
    if kind == "ridge":
        return fit_ridge(design, target, l2, n_labels=n_labels)
    weight = torch.ones(target.shape, dtype=torch.float64)
    return fit_logistic(design, target, weight, l2, n_labels=n_labels)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Penalty of each site, and the cross-validation loss of every candidate."""

    l2: Float[Tensor, " site"]
    loss: Float[Tensor, "site tried"]
    """NaN if the penalty was given."""


def choose_l2(
    design: Design, labelled: Labelled, *, kind: Kind, l2: float | None, n_folds: int, seed: int
) -> Chosen:
    """Penalty of each site with the best cross-validation loss; ties go to the strongest."""
    n_sites, n_labels = len(design.features), len(labelled.labels)
    if l2 is not None:
        given = torch.full((n_sites,), l2, dtype=torch.float64)
        return Chosen(given, torch.full((n_sites, 1), torch.nan, dtype=torch.float64))
    tried = torch.tensor(PENALTIES, dtype=torch.float64)
    target, group = labelled.target, labelled.group
    if kind == "ridge":
        error = left_out(design, target, group, tried, n_labels=n_labels)
        loss = error.square().sum(-1).mean(-1).T
    else:
        fold = folds(group, target, n_folds=n_folds, seed=seed)
        inside = (fold[None] != torch.arange(n_folds)[:, None]).double()
        every = target.expand(n_folds, -1)
        result, fit = [], None
        # From the strongest penalty on, each solve is warm-started from the last.
        for penalty in tried.flip(0):
            wide = penalty.expand(n_sites, n_folds)
            fit = fit_logistic(
                design, every, inside, wide, n_labels=n_labels, tolerance=1e-4, start=fit
            )
            log_probs = torch.log_softmax(fit.scores(design.features), dim=-1)
            picked = every[None, ..., None].expand(n_sites, -1, -1, 1)
            losses = -log_probs.gather(-1, picked)[..., 0]
            result.append((losses * (1 - inside)).sum(dim=(1, 2)) / len(target))
        loss = torch.stack(result[::-1], dim=1)
    # Ties go to the strongest: first in the reversed order.
    best = loss.shape[1] - 1 - loss.flip(1).argmin(dim=1)
    return Chosen(tried[best], loss)
