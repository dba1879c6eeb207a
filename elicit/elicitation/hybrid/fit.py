"""Fit a guided hybrid: a vector, and a switch that says where to add it."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from elicit.directions import Direction
from elicit.edits import shape_of
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.hybrid._reading import read_states
from elicit.elicitation.hybrid._vector import Targets, fit_vector
from elicit.elicitation.hybrid.disagreements import Differing, WriterName, differing
from elicit.elicitation.hybrid.switch import LearnedSwitch, fit_switch
from elicit.pair import ModelPair
from elicit.results import Result, digest_json
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.sites import Site, resid_post
from elicit.stats import Inference
from elicit.tasks import Task

DEPTH = 0.6
"""Share of the layers after which the vector is added, unless a site is given."""


@dataclass(frozen=True, kw_only=True)
class HybridTraining:
    """How the vector of a hybrid is trained, and on whose texts.

    Raises:
        ElicitationError: There is no step, or the rate is not above 0.
    """

    writer: WriterName = "post"
    """Who writes the texts in which the two are compared."""
    steps: int = 60
    """Updates of the vector, 16 texts each."""
    learning_rate: float = 0.05
    """Approximate step length, as a share of the mean norm of the states."""

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.steps < 1 or not 0 < self.learning_rate < float("inf"):
            raise ElicitationError(
                f"steps is {self.steps} and learning_rate {self.learning_rate}, so no vector would "
                "be trained. Pass at least 1 step and a finite rate above 0."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class HybridFit(Result):
    """A vector that makes base write post's tokens where they differ, and a switch for where.

    Both were fitted on what post would write: they are told about post, and how much is `bits`.
    """

    vector: Float[Tensor, " width"]
    """Added at single tokens."""
    site: Site
    """Where it is added, and where the switch reads."""
    switch: LearnedSwitch
    """Says from base's own state whether a token is pushed."""
    resid_norm: float
    """Mean norm of base's states at the site."""
    norm: Float[Tensor, " step"]
    """Norm of the vector before each update."""
    log_prob: Float[Tensor, " step"]
    """Mean log-probability of post's tokens in each update's batch, before it, nats."""
    log_prob_before: float
    """Of post's tokens where the two differ, under base without the vector, nats."""
    log_prob_after: float
    """The same with the vector."""
    agreement_after: float
    """Share of these tokens that base's greedy choice is with the vector; without it, none."""
    switch_loss: Float[Tensor, " switch_step"]
    """Cross-entropy of the switch before each update, nats a token."""
    n_texts: int
    """Texts it was fitted on."""
    n_tokens: int
    """Tokens in them."""
    n_differ: int
    """Tokens at which the two differ: what the vector was fitted on."""
    writer: str
    """Who wrote the texts."""
    model: str
    """Base."""
    model_digest: str
    """Digest of its weights."""

    @property
    def n_parameters(self) -> int:
        """Fitted numbers of vector and switch."""
        return len(self.vector) + self.switch.n_parameters

    @property
    def relative_norm(self) -> float:
        """Norm of the vector over that of the states it is added to."""
        return self.vector.norm().item() / self.resid_norm

    @property
    def direction(self) -> Direction:
        """The vector as a direction, for controls of its norm."""
        return Direction(
            provenance=self.provenance,
            vector=self.vector,
            site=self.site,
            model=self.model,
            model_digest=self.model_digest,
            how="trained where base and post differ",
            position="tokens before a disagreement",
            norm=self.vector.norm().item(),
            resid_norm=self.resid_norm,
            n=self.n_differ,
        )


def fit_hybrid(
    pair: ModelPair,
    task: Task,
    *,
    site: Site | None = None,
    training: HybridTraining = HybridTraining(),
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> HybridFit:
    """Fit the vector and the switch of a guided hybrid; no weight of either model changes.

    The vector is added at the token before each disagreement, at all of a text at once as it will
    be when base writes, and trained by the cross-entropy of post's greedy tokens there. The switch
    reads base's state at every token of the texts.

    Args:
        pair: The two models.
        task: Problems to fit on, none of which is to be tested on.
        site: A residual stream; None takes that after 0.6 of the layers.
        training: Updates and step length of the vector, and who writes the texts.
        generation: Greedy, one text a problem.
        seed: Seed of first weights and of the order of texts.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ElicitationError: The two differ at no token, or the site is no residual stream.
        NotFiniteError: The training diverges.

    Source: Venhoff et al. 2025, arXiv:2510.07364, with one vector in place of one for each category
        of sentences, post's greedy token in place of whole sentences, and the smaller of the
        switches of its later code.
    """
    shape = shape_of(pair.side("base").bridge)
    if site is None:
        site = resid_post(max(0, math.ceil(DEPTH * shape.n_layers) - 1))
    shape.check([site])
    if site.kind not in ("resid_pre", "resid_post"):
        raise ElicitationError(
            f"the site is {site}, and the vector is added to a whole residual stream. Pass "
            "resid_post(layer) or resid_pre(layer)."
        )
    found = differing(
        pair,
        task,
        writer=training.writer,
        generation=generation,
        inference=Inference(seed=seed),
        execution=execution,
    )
    base = pair.side("base")
    state = read_states(base, found.rows, site, execution)
    resid_norm = state.norm(dim=-1).mean().item()
    key = digest_json(
        [
            *(pair.side(name).digest for name in ("base", "post")),
            found.rows.digest,
            str(site),
            training.steps,
            training.learning_rate,
            seed,
        ]
    )
    vector = fit_vector(
        base,
        _targets(found),
        site=site,
        resid_norm=resid_norm,
        steps=training.steps,
        learning_rate=training.learning_rate,
        seed=seed,
        execution=execution.scoped(f"hybrid/vector/{key}"),
    )
    differs = found.base_id != found.post_id
    switch = fit_switch(
        state, differs, seed=seed, execution=execution.scoped(f"hybrid/switch/{key}")
    )
    return HybridFit(
        provenance=pair.provenance(
            seed,
            {
                "question": "fit_hybrid",
                "site": str(site),
                "writer": training.writer,
                "steps": training.steps,
                "learning_rate": training.learning_rate,
                "max_new_tokens": generation.max_new_tokens,
                "templated": generation.templated,
            },
            task_digests={"task": task.digest},
        ),
        vector=vector.vector,
        site=site,
        switch=switch.switch,
        resid_norm=resid_norm,
        norm=vector.norm,
        log_prob=vector.log_prob,
        log_prob_before=vector.before.log_prob,
        log_prob_after=vector.after.log_prob,
        agreement_after=vector.after.greedy,
        switch_loss=switch.loss,
        n_texts=len(task),
        n_tokens=len(differs),
        n_differ=int(differs.sum()),
        writer=training.writer,
        model=str(pair.base_id),
        model_digest=base.digest,
    )


def _targets(found: Differing) -> Targets:
    """Tokens that are pushed and post's tokens after them; texts without any are left out."""
    differs = (found.base_id != found.post_id).tolist()
    wanted = found.post_id.tolist()
    rows, pos, target = [], [], []
    begin = 0
    for row, places in zip(found.rows.rows, found.rows.positions, strict=True):
        here = [i for i in range(len(places)) if differs[begin + i]]
        if here:
            rows.append(row)
            pos.append(tuple(places[i] for i in here))
            target.append(tuple(wanted[begin + i] for i in here))
        begin += len(places)
    return Targets(rows=tuple(rows), pos=tuple(pos), target=tuple(target))
