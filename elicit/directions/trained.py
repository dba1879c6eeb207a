"""Steering vectors trained to maximise the likelihood of given continuations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit import fitting
from elicit.capture import slot_logits
from elicit.directions.contrast import check_sites, read_at
from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import Edited, Steer, Where, edited
from elicit.pair import Side, device_of, hugging_face_model, weights_digest
from elicit.results import Provenance, Result
from elicit.rollouts import check_prompts
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import ForcedBatch, ForcedRows, Task, encode_forced, read_scores

_START = 1e-3
"""Initial norm of the vector, as a share of the activation norm: a zero vector is no edit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedVector(Result):
    """Steering vector trained to raise the log-probability of continuations, and its curve.

    An upper bound on what one vector can elicit there by likelihood. It may store content of the
    continuations: only held-out problems show how much generalises.
    """

    vector: Float[Tensor, " width"]
    """The vector after the last step."""
    site: Site
    """Where it is added."""
    where: str
    """For which tokens."""
    model: str
    """Model it was trained on, with frozen weights."""
    model_digest: str
    """Digest of that model's weights."""
    resid_norm: float
    """Mean norm of the site's activations at the prompts' last token."""
    norm: Float[Tensor, " step"]
    """Norm of the vector before each step."""
    log_prob: Float[Tensor, " step"]
    """Mean log-probability per token of the step's batch, before the step, nats."""
    log_prob_before: float
    """The same over all continuations, without the vector."""
    log_prob_after: float
    """The same over all continuations, under the vector after the last step."""
    n: int
    """Continuations."""

    @property
    def direction(self) -> Direction:
        """The vector as a direction, for steering beside controls."""
        return Direction(
            provenance=self.provenance,
            vector=self.vector,
            site=self.site,
            model=self.model,
            model_digest=self.model_digest,
            how="trained on log-likelihood",
            position=self.where,
            norm=self.vector.norm().item(),
            resid_norm=self.resid_norm,
            n=self.n,
        )


def train_vector(
    side: Side,
    continuations: Task,
    *,
    site: Site,
    where: Where,
    steps: int = 100,
    learning_rate: float = 0.02,
    execution: Execution = Execution(),
    seed: int = 0,
) -> TrainedVector:
    """Train one vector at a site with Adam to maximise the likelihood of each problem's answer.

    Args:
        side: The model; its weights are frozen.
        continuations: Prompts with their target text as answer; `traced` makes them from an
            organism's problems.
        site: Where the vector is added.
        where: For which tokens.
        steps: Optimisation steps, one batch each, at least 1.
        learning_rate: Approximate step length, as a share of the site's mean activation norm,
            because norms differ widely between layers.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        seed: Seed of the initial vector and of the order of batches.

    Raises:
        DirectionError: There is no step, the rate is not above 0, or the training diverges.
        SiteError: The model does not have the site.
        EditError: `where` does not fit the prompts.
        TaskError: A continuation exceeds the model's context.

    Source: Subramani et al. 2022, arXiv:2205.05124 (steering vectors by likelihood); Sinii et al.
        2025 train one per layer by reinforcement learning, arXiv:2505.18706. Initialisation,
        scaled rate and order are ours.
    """
    if steps < 1 or not 0 < learning_rate < torch.inf:
        raise DirectionError(
            f"steps is {steps} and learning_rate {learning_rate}, so no vector would be trained. "
            "Pass at least 1 step and a finite rate above 0."
        )
    model, alignment = side.bridge, side.alignment
    check_sites(model, [site])
    prompts = check_prompts(side, continuations, templated=False)
    rows = encode_forced(
        continuations,
        alignment.plain,
        pad_id=alignment.pad_id,
        n_positions=side.n_positions,
        join=alignment.joined,
    )
    if bool(rows.has_candidates.any()):
        raise DirectionError(
            "some problem has candidates, but a vector is trained on one continuation per problem. "
            "Leave candidates out; `traced` does."
        )
    _check_where(where, prompts)
    size = read_at(
        model,
        tuple(map(tuple, prompts)),
        sites=[site],
        position=-1,
        pad_id=alignment.pad_id,
        execution=execution.quiet(),
    )[0]
    resid_norm, width = size.norm(dim=-1).mean().item(), size.shape[1]
    batches = rows.batches(execution.max_tokens)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(width, generator=generator)
    device = device_of(hugging_face_model(model))
    vector = (start * (_START * resid_norm / start.norm())).to(device).requires_grad_()
    Edited(model, [Steer(site, vector.detach(), where=where)], None)
    before = _mean(model, rows, batches, None)
    order = fitting.in_epochs(
        lambda: torch.randperm(len(batches), generator=generator).tolist(), steps
    )

    def step(number: int) -> Float[Tensor, " measured"]:
        with torch.enable_grad():
            log_prob = _under(
                model, rows, batches[order[number]], Steer(site, vector, where=where)
            ).mean()
            (gradient,) = torch.autograd.grad(-log_prob, [vector])
        norm = vector.detach().norm()
        if not bool(gradient.isfinite().all()):
            raise DirectionError(
                f"the gradient of step {number + 1} is not finite, with the vector at norm "
                f"{norm.item():.3g}, so training diverged. Lower learning_rate."
            )
        assert vector.grad is not None
        vector.grad += gradient
        return torch.stack([norm.float(), log_prob.detach().float()])

    # Adam moves every entry by about its rate, so the vector by that times √width.
    rate = learning_rate * resid_norm / width**0.5
    measured = fitting.fit(
        torch.optim.Adam([vector], lr=rate),
        step,
        steps=steps,
        rate=fitting.constant(rate),
        label="training a vector",
        execution=execution,
    )
    final = vector.detach().cpu()
    name = str(getattr(hugging_face_model(model).config, "name_or_path", ""))
    digest = weights_digest(model)
    return TrainedVector(
        provenance=Provenance(
            seed=seed,
            dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
            device=str(device),
            arguments={
                "question": "train_vector",
                "model": name,
                "model_digest": digest,
                "site": str(site),
                "where": str(where),
                "steps": steps,
                "learning_rate": learning_rate,
                "max_tokens": execution.max_tokens,
            },
            task_digests={continuations.name: continuations.digest},
        ),
        vector=final,
        site=site,
        where=str(where),
        model=name,
        model_digest=digest,
        resid_norm=resid_norm,
        norm=measured[:, 0].contiguous(),
        log_prob=measured[:, 1].contiguous(),
        log_prob_before=before,
        log_prob_after=_mean(model, rows, batches, Steer(site, final.to(device), where=where)),
        n=len(continuations),
    )


def _check_where(where: Where, prompts: Sequence[Sequence[int]]) -> None:
    """Refuse positions outside a prompt."""
    if where.form in ("at", "last"):
        for ids in prompts:
            where.check(torch.arange(len(ids))[None], torch.tensor([len(ids)]), (0,))


def _under(
    model: nn.Module, rows: ForcedRows, batch: ForcedBatch, edit: Steer | None
) -> Float[Tensor, " read"]:
    """Log-probability of every target token of a batch, with or without an edit."""
    there = batch.to(device_of(hugging_face_model(model)))
    read = (there.ids, there.mask, there.position_ids, (there.slot_row, there.slot_pos))
    if edit is None:
        logits = slot_logits(model, *read)
    else:
        # Without candidates there is one item per problem, in order.
        lengths = rows.item_start[rows.problem[batch.row]]
        with edited(model, [edit], prompt_lengths=lengths):
            logits = slot_logits(model, *read)
    return read_scores(logits, batch).log_prob


@torch.no_grad()
def _mean(
    model: nn.Module, rows: ForcedRows, batches: Sequence[ForcedBatch], edit: Steer | None
) -> float:
    """Mean log-probability per token over all continuations."""
    every = torch.cat([_under(model, rows, batch, edit) for batch in batches])
    return every.double().mean().item()
