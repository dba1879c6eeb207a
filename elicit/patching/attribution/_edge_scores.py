"""Edge scores: a sender's output difference times the gradient at a receiver's input."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from elicit.capture import Decomposed, Layer
from elicit.patching.attribution._forward import only_activations, run_from
from elicit.patching.attribution._node_scores import midpoints
from elicit.patching.attribution._setup import Case
from elicit.sites import Kind, Shape, Site

_READ: tuple[Kind, ...] = ("q", "k", "v")


@dataclass(frozen=True)
class Ends:
    """Senders, receivers and edges of a model."""

    shape: Shape
    """Architecture of the model."""

    @property
    def sender(self) -> tuple[str, ...]:
        """`embed`, then every layer's heads and MLP."""
        names = ["embed"]
        for layer in range(self.shape.n_layers):
            names += [f"z.{layer}.{head}" for head in range(self.shape.n_heads)]
            names.append(f"mlp_out.{layer}")
        return tuple(names)

    @property
    def receiver(self) -> tuple[str, ...]:
        """Every layer's queries, keys and values by head, its MLP, and finally the logits."""
        names = []
        for layer in range(self.shape.n_layers):
            for kind in _READ:
                names += [f"{kind}.{layer}.{h}" for h in range(self.shape.heads(kind) or 0)]
            names.append(f"mlp.{layer}")
        return (*names, "logits")

    @property
    def exists(self) -> Bool[Tensor, "sender receiver"]:
        """Whether each sender-receiver pair is an edge."""
        shape = self.shape
        counts = []
        for layer in range(shape.n_layers):
            n_read = shape.n_heads + 2 * shape.n_kv_heads
            counts += [self.senders_of(layer, mlp=False)] * n_read
            counts.append(self.senders_of(layer, mlp=True))
        counts.append(self.senders_of(shape.n_layers, mlp=False))
        return torch.arange(len(self.sender))[:, None] < torch.tensor(counts)

    def senders_of(self, layer: int, *, mlp: bool) -> int:
        """Number of leading senders that a layer's attention or MLP reads.

        `layer`: layer of the receiver; `n_layers` for the logits. `mlp`: whether the receiver is
        the layer's MLP, which also reads the layer's heads unless attention and MLP are parallel.
        """
        own_heads = mlp and not self.shape.parallel
        return 1 + layer * (self.shape.n_heads + 1) + own_heads * self.shape.n_heads


def edge_scores(
    case: Case, steps: int, budget: int
) -> tuple[Float[Tensor, "sender receiver row"], Float[Tensor, " row"]]:
    """Score of every edge, and the host's metric.

    `case`: problems; the donor's z, mlp_out and first resid_pre must be given. `steps`: points
    between host and donor inputs; 1 takes gradients at the host. `budget`: maximum number of
    entries in one tensor of messages or gradients.
    """
    host = case.host
    ends = Ends(host.shape)
    own: dict[Site, Tensor] = {}

    def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if kind in ("z", "mlp_out") or (kind, layer) == ("resid_pre", 0):
            own[Site(kind, layer)] = value
        return value

    with torch.no_grad():
        leaving, _ = run_from(host, case.inputs, case.inputs.resid, keep)
        host_score = case.score(leaving)
        moved = {site: case.given[site].to(value.dtype) - value for site, value in own.items()}
        for difference in moved.values():
            # The answer's tokens are not patched.
            difference[:, case.n_prompt :] = 0
    total = torch.zeros(
        len(ends.sender), len(ends.receiver), len(host_score), dtype=torch.float64,
        device=host_score.device,
    )  # fmt: skip
    start, goal = case.inputs.resid.detach(), case.given[Site("resid_pre", 0)]
    for alpha in [0.0] if steps == 1 else midpoints(steps):
        run = _slopes(case, torch.lerp(start, goal, alpha))
        _add_scores(total, host, ends, run, moved, budget)
    missing = ~ends.exists.to(total.device)
    return (total / steps).masked_fill(missing[..., None], torch.nan), host_score


@dataclass(frozen=True, eq=False)
class _Run:
    """Activations and metric gradients of one forward and backward pass."""

    at: Mapping[Site, Tensor]
    slope: Mapping[Site, Tensor]


def _slopes(case: Case, resid: Tensor) -> _Run:
    """Activations and gradients at every sender and receiver."""
    at: dict[Site, Tensor] = {}

    def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
        at[Site(kind, layer)] = value
        return value

    with only_activations(case.host.model):
        leaving, _ = run_from(case.host, case.inputs, resid.requires_grad_(), keep)
        last = Site("resid_post", case.host.shape.n_layers - 1)
        wanted = [s for s in at if s.kind in (*_READ, "mlp_out") or s == last]
        found = torch.autograd.grad(
            case.score(leaving).sum(), [at[s] for s in wanted], allow_unused=True,
            materialize_grads=True,
        )  # fmt: skip
    return _Run(
        {site: value.detach() for site, value in at.items()}, dict(zip(wanted, found, strict=True))
    )


def _add_scores(
    total: Tensor,
    host: Decomposed,
    ends: Ends,
    run: _Run,
    moved: Mapping[Site, Tensor],
    budget: int,
) -> None:
    """Add one run's scores in blocks of receivers and senders."""
    place = {name: at for at, name in enumerate(ends.receiver)}
    for first, n_senders, slope in _receivers(host, ends, run, budget, place):
        for begin, message in _messages(host, ends, run, moved, n_senders, budget):
            part = torch.einsum("rpsd,rpvd->svr", message, slope)
            total[begin : begin + part.shape[0], first : first + part.shape[1]] += part


def _room(budget: int, one: Tensor) -> int:
    """Number of vectors per position within the budget; at least 1."""
    return max(1, budget // one.numel())


def _receivers(
    host: Decomposed, ends: Ends, run: _Run, budget: int, place: Mapping[str, int]
) -> Iterator[tuple[int, int, Float[Tensor, "row pos receiver d_model"]]]:
    """Metric gradient at the residual stream as each receiver alone reads it.

    Yields the first receiver's index, the number of senders it reads, and the gradients.
    """
    n_layers = host.shape.n_layers
    for index, layer in enumerate(host.layers):
        resid = run.at[Site("resid_pre", index)]
        room = _room(budget, resid)
        n_senders = ends.senders_of(index, mlp=False)
        for kind in _READ:
            weight = matrix_of(getattr(layer, kind)).unflatten(1, (-1, host.shape.d_head))
            grad = run.slope[Site(kind, index)]
            for begin in range(0, grad.shape[2], room):
                some = slice(begin, begin + room)
                normed = torch.einsum("rphe,dhe->rphd", grad[:, :, some], weight[:, some])
                slope = _through_norm(layer.pre_attn, resid, normed)
                yield place[f"{kind}.{index}.{begin}"], n_senders, slope
        read = resid if host.shape.parallel else run.at[Site("resid_mid", index)]
        slope = _through_mlp(layer, read, run.slope[Site("mlp_out", index)])
        yield place[f"mlp.{index}"], ends.senders_of(index, mlp=True), slope[:, :, None]
    slope = run.slope[Site("resid_post", n_layers - 1)]
    yield place["logits"], ends.senders_of(n_layers, mlp=False), slope[:, :, None]


def _through_norm(norm: nn.Module | None, resid: Tensor, grad: Tensor) -> Tensor:
    """Gradients after a norm, back-propagated to its input, one per receiver."""
    if norm is None:
        return grad
    with only_activations(norm):
        read = resid[:, :, None].expand_as(grad).detach().requires_grad_()
        return torch.autograd.grad(norm(read), read, grad)[0]


def _through_mlp(layer: Layer, read: Tensor, grad: Tensor) -> Tensor:
    """Gradient at an MLP's output, back-propagated to its input."""
    parts = (layer.pre_mlp, layer.gate, layer.up, layer.down, layer.post_mlp)
    with only_activations(*(part for part in parts if part is not None)):
        leaf = read.detach().requires_grad_()
        return torch.autograd.grad(layer.write_mlp(leaf), leaf, grad)[0]


@torch.no_grad()
def _messages(
    host: Decomposed,
    ends: Ends,
    run: _Run,
    moved: Mapping[Site, Tensor],
    n_senders: int,
    budget: int,
) -> Iterator[tuple[int, Float[Tensor, "row pos sender d_model"]]]:
    """Donor-host difference in what the first senders write to the stream."""
    first = moved[Site("resid_pre", 0)]
    room = _room(budget, first)
    yield 0, first[:, :, None]
    begin = 1
    for index, layer in enumerate(host.layers):
        if begin >= n_senders:
            return
        z = moved[Site("z", index)]
        weight = matrix_of(layer.o).unflatten(0, (-1, host.shape.d_head))
        for head in range(0, z.shape[2], room):
            some = slice(head, head + room)
            written = torch.einsum("rphe,hed->rphd", z[:, :, some], weight[some])
            if layer.post_attn is not None:
                written = _along_norm(layer, run.at[Site("z", index)], written)
            yield begin + head, written
        begin += z.shape[2]
        if begin < n_senders:
            yield begin, moved[Site("mlp_out", index)][:, :, None]
        begin += 1


def _along_norm(layer: Layer, z: Tensor, written: Tensor) -> Tensor:
    """Messages of single heads through the layer's shared norm, to first order."""
    assert layer.post_attn is not None
    whole = layer.o(z.flatten(-2))[:, :, None].expand_as(written)
    return torch.func.jvp(layer.post_attn, (whole.contiguous(),), (written,))[1]


def matrix_of(linear: nn.Module) -> Float[Tensor, "d_in d_out"]:
    """Weight matrix of a projection, input along the first axis."""
    weight = linear.get_parameter("weight").detach()
    return weight.T if isinstance(linear, nn.Linear) else weight


def edge_sites(shape: Shape) -> Sequence[Site]:
    """Donor sites needed to score edges."""
    return (*shape.every("z"), *shape.every("mlp_out"))
