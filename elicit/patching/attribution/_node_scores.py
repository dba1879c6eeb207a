"""Node scores from gradients: AtP, QK fix, GradDrop and integrated gradients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import Heads
from elicit.patching.attribution._forward import only_activations, run_from
from elicit.patching.attribution._setup import Case
from elicit.patching.attribution._softmax import key_scores, query_scores
from elicit.sites import RESIDUAL_KINDS, Kind, Site

Method = Literal["atp", "qk_fix", "grad_drop", "atp_star", "ig_inputs", "ig_activations"]
METHODS: tuple[Method, ...] = get_args(Method)
INTEGRATED: tuple[Method, ...] = ("ig_inputs", "ig_activations")
"""Methods that average gradients over steps."""
UNSIGNED: tuple[Method, ...] = ("grad_drop", "atp_star")
"""Methods whose scores are unsigned magnitudes."""

Scores = Float[Tensor, "site column row"]


def needed_sites(sites: Sequence[Site], method: Method) -> set[Site]:
    """Whole sites whose gradients or values a method needs."""
    found = {site.whole for site in sites}
    if method in ("qk_fix", "atp_star"):
        found |= {Site("z", site.layer) for site in sites if site.kind in ("q", "k")}
    return found


def node_scores(
    case: Case, sites: Sequence[Site], method: Method, steps: int
) -> tuple[Scores, Float[Tensor, " row"]]:
    """Score of every cell, and the host's metric.

    `steps`: points between host and donor, for integrated gradients.
    """
    with only_activations(case.host.model):
        if method == "ig_inputs":
            return _along_inputs(case, sites, steps)
        if method == "ig_activations":
            return _along_activations(case, sites, steps)
        return _at_host(case, sites, method)


class _Graph:
    """One forward pass of the host with its autograd graph."""

    def __init__(self, case: Case, resid: Tensor, wanted: set[Site], *, gated: bool) -> None:
        """Run the host.

        `gated`: whether gradients through a layer's output can be dropped.
        """
        self.case = case
        self.at: dict[Site, Tensor] = {}
        self.dropped: int | None = None

        def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
            if gated and kind in ("attn_out", "mlp_out"):
                value.register_hook(self._gate(layer))
            if (site := Site(kind, layer)) in wanted:
                self.at[site] = value
            return value

        leaving, self.heads = run_from(case.host, case.inputs, resid.requires_grad_(), tap)
        self.score = case.score(leaving)

    def _gate(self, layer: int) -> Callable[[Tensor], Tensor | None]:
        return lambda grad: torch.zeros_like(grad) if self.dropped == layer else None

    def gradients(self, *, keep: bool = False) -> dict[Site, Tensor]:
        """Gradient of each row's metric at every requested site, by one backward pass."""
        # A row's metric depends on that row alone, so the gradient of the sum separates by row.
        sites = list(self.at)
        found = torch.autograd.grad(
            self.score.sum(), [self.at[site] for site in sites], retain_graph=keep,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return dict(zip(sites, found, strict=True))


def _at_host(
    case: Case, sites: Sequence[Site], method: Method
) -> tuple[Scores, Float[Tensor, " row"]]:
    """Difference times gradient at the host, with QK fix or GradDrop."""
    wanted = needed_sites(sites, method)
    gated = method in UNSIGNED
    graph = _Graph(case, case.inputs.resid.detach().clone(), wanted, gated=gated)
    host_score = graph.score.detach()
    repaired = method in ("qk_fix", "atp_star")
    own = {site: value.detach() for site, value in graph.at.items()}
    heads = {layer: Heads(h.q.detach(), h.k.detach(), h.v.detach())
             for layer, h in graph.heads.items()}  # fmt: skip

    def scored(grads: Mapping[Site, Tensor]) -> Tensor:
        with torch.no_grad():
            return _cells(case, sites, own, grads, heads if repaired else {})

    if not gated:
        return scored(graph.gradients()), host_score
    n_layers = case.host.shape.n_layers
    total = torch.zeros(())
    for layer in range(n_layers):
        graph.dropped = layer
        total = total + scored(graph.gradients(keep=layer < n_layers - 1)).abs()
    # Dropping a component's layer gives 0: the mean is over the others, AtP*'s 1/(L - 1).
    counts = [n_layers - (site.kind not in RESIDUAL_KINDS) for site in sites]
    return total / torch.tensor(counts, device=total.device)[:, None, None], host_score


def _along_inputs(
    case: Case, sites: Sequence[Site], steps: int
) -> tuple[Scores, Float[Tensor, " row"]]:
    """Difference times the mean gradient while the embeddings go from host to donor."""
    start, end = case.inputs.resid.detach(), case.given[Site("resid_pre", 0)]
    wanted = {site.whole for site in sites}
    with torch.no_grad():
        own: dict[Site, Tensor] = {}

        def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
            if (site := Site(kind, layer)) in wanted:
                own[site] = value
            return value

        leaving, _ = run_from(case.host, case.inputs, start, keep)
        host_score = case.score(leaving)
    total = torch.zeros(())
    for alpha in midpoints(steps):
        graph = _Graph(case, torch.lerp(start, end, alpha), wanted, gated=False)
        grads = graph.gradients()
        with torch.no_grad():
            total = total + _cells(case, sites, own, grads, {})
    return total / steps, host_score


def _along_activations(
    case: Case, sites: Sequence[Site], steps: int
) -> tuple[Scores, Float[Tensor, " row"]]:
    """Difference times the mean gradient while one site's whole value goes from host to donor."""
    wanted = {site.whole for site in sites}
    own: dict[Site, Tensor] = {}
    entering: list[Tensor] = []
    with torch.no_grad():

        def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
            if kind == "resid_pre":
                entering.append(value)
            if (site := Site(kind, layer)) in wanted:
                own[site] = value
            return value

        leaving, _ = run_from(case.host, case.inputs, case.inputs.resid, keep)
        host_score = case.score(leaving)
    means: dict[Site, Tensor] = {}
    for site, value in own.items():
        # The answer's tokens are interpolated only where they are patched, as under `all`.
        reach = max(case.n_prompt, int(case.inside.sum(dim=(0, 1)).nonzero().max()) + 1)
        goal = value.clone()
        goal[:, :reach] = case.given[site][:, :reach]
        total = torch.zeros_like(value)
        for alpha in midpoints(steps):
            point = torch.lerp(value, goal, alpha).requires_grad_()

            def put(kind: Kind, layer: int, found: Tensor, point: Tensor = point) -> Tensor:
                return point if Site(kind, layer) == site else found  # noqa: B023

            first = site.layer
            leaving, _ = run_from(case.host, case.inputs, entering[first], put, first=first)
            total += torch.autograd.grad(case.score(leaving).sum(), point)[0]
        means[site] = total / steps
    with torch.no_grad():
        return _cells(case, sites, own, means, {}), host_score


def midpoints(steps: int) -> list[float]:
    """Points of the midpoint rule between 0 and 1, whose error falls with the square of steps.

    >>> midpoints(2)
    [0.25, 0.75]
    """
    return [(step + 0.5) / steps for step in range(steps)]


def _cells(
    case: Case,
    sites: Sequence[Site],
    own: Mapping[Site, Tensor],
    grads: Mapping[Site, Tensor],
    heads: Mapping[int, Heads],
) -> Scores:
    """Scores of all cells from gradients; queries and keys by patterns if heads are given."""
    whole: dict[Site, Tensor] = {}
    for site in dict.fromkeys(site.whole for site in sites):
        if heads and site.kind in ("q", "k"):
            whole[site] = _by_pattern(case, site, grads, heads[site.layer])
            continue
        product = (case.given[site].to(own[site].dtype) - own[site]) * grads[site]
        product = product.sum(-1, dtype=torch.float64)
        by_head = product if product.ndim == 3 else product[..., None]
        whole[site] = torch.einsum("rcp,rph->rch", case.inside, by_head)
    found = [
        whole[site.whole].sum(-1) if site.head is None else whole[site.whole][..., site.head]
        for site in sites
    ]
    return torch.stack(found).transpose(1, 2)


def _by_pattern(
    case: Case, site: Site, grads: Mapping[Site, Tensor], heads: Heads
) -> Float[Tensor, "row column some_head"]:
    """Scores of queries or keys with the softmax recomputed."""
    layer = case.host.layers[site.layer]
    cos, sin = case.inputs.angles(site.layer)
    norm, score = (layer.q_norm, query_scores) if site.kind == "q" else (layer.k_norm, key_scores)
    given = layer.turn(case.given[site].to(heads.q.dtype), norm, cos, sin)
    allowed = case.inputs.allowed[site.layer]
    return score(layer, heads, given, grads[Site("z", site.layer)], allowed, case.inside)
