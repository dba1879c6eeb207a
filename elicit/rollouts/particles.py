"""Texts from a sharpened distribution, by sequential Monte Carlo with exact weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.pair import Encoded, Side
from elicit.results import digest_json
from elicit.rollouts._cached import CachedReader
from elicit.rollouts._population import Population
from elicit.rollouts._recorded import reader_of
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.streams import draw, stream_key, uniforms
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Row, Writer
from elicit.runs import Execution
from elicit.tasks import Task

_RESAMPLES = -1
"""Sample number of the stream from which a problem's resampling draws."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Particles:
    """Weighted texts of every problem: their weighted distribution is the sharpened one."""

    rollouts: Rollouts
    """All particles, by problem; equal texts are there as often as they were kept."""
    log_weight: Float[Tensor, "problem particle"]
    """Log of each particle's share in the weights of its problem."""
    log_prob: Float[Tensor, "problem particle"]
    """Log-probability of each text under the model at temperature 1, nats."""
    ess: Float[Tensor, " problem"]
    """Effective number of particles at the end: 1 / sum of squared shares."""
    least_ess: Float[Tensor, " problem"]
    """The least it was before a resampling, or at the end."""
    n_resamplings: Int[Tensor, " problem"]
    """How often particles were resampled by their weights."""
    chosen: Int[Tensor, " problem"]
    """A particle drawn by its weight: one text of the sharpened distribution."""

    def drawn(self) -> Rollouts:
        """The chosen text of each problem."""
        n = self.log_weight.shape[1]
        return self.rollouts.select([i * n + at for i, at in enumerate(self.chosen.tolist())])


def particle_rollouts(
    side: Side,
    task: Task,
    *,
    alpha: float,
    particles: int = 16,
    ramp: int = 8,
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Particles:
    """Texts x from the distribution proportional to p(x)^alpha over whole texts.

    Tokens are drawn at temperature 1/alpha. The weight of a text is then the product, over its
    tokens, of the sum over the vocabulary of p(token | text so far)^alpha: it depends on where the
    text went and not on what was drawn there. Particles are drawn anew, systematically and before
    the next token is drawn, when their effective number falls below half. A text that has ended
    keeps its weight and may be drawn again. A text cut at its longest is one like the others.

    Args:
        side: The model; grafts and edits in force apply.
        task: Problems with their reference answers.
        alpha: Exponent, above 0; 1 is the model itself, with equal weights.
        particles: Texts of each problem, at least 1. The distribution is exact as they grow; with
            few it lies between that at temperature 1/alpha and the exact one.
        ramp: Tokens over which the exponent rises evenly from 1 to alpha, at least 1. At 1 all
            particles begin as temperature 1/alpha would, and a text that begins improbably and is
            sure from there on is lost unless there are very many; the limit is the same.
        generation: Longest text, stops, extraction and batches; its temperature is not used.
        seed: Seed of all random streams, one a problem and particle.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: An option is out of range, a temperature is given, or see `rollouts`.
        TaskError: See `rollouts`.

    Source: Power-SMC, arXiv:2602.10273; target of Karan & Du 2025, arXiv:2510.14901, whose
        Metropolis-Hastings loop leaves it (proposals there never grow, and are compared up to
        their own length).
    """
    if not (alpha > 0 and math.isfinite(alpha)) or particles < 1 or ramp < 1:
        raise RolloutError(
            f"alpha is {alpha}, particles {particles} and ramp {ramp}, but probabilities are "
            "raised to alpha, and texts are drawn. Pass a finite alpha above 0, and 1 or more "
            "particles and tokens of the ramp."
        )
    if generation.temperature > 0 or generation.top_p < 1 or generation.n_samples > 1:
        raise RolloutError(
            f"generation has temperature {generation.temperature}, top_p {generation.top_p} and "
            f"{generation.n_samples} samples, but here tokens are drawn at temperature 1/alpha = "
            f"{1 / alpha:g} among all. Leave these options as they are by default."
        )
    prompts = check_prompts(side, task, templated=generation.templated)
    rows = [
        Row(problem=problem.id, place=place, sample=at, prompt=tuple(prompts[place]), text=())
        for place, problem in enumerate(task)
        for at in range(particles)
    ]
    writer = _ParticleWriter(
        side=side,
        sampling=replace(generation.sampling(side, seed), temperature=1 / alpha),
        batch_size=max(1, generation.batch_size // particles) * particles,
        edits_at=None,
        execution=execution,
        alpha=alpha,
        particles=particles,
        ramp=ramp,
    )
    texts: list[tuple[int, ...]] = [()] * len(rows)
    log_prob = torch.zeros(len(task), particles, dtype=torch.float64)
    log_weight, numbers = torch.zeros_like(log_prob), torch.zeros(len(task), 4).double()
    for places, found in writer.parts(rows):
        new = found["written"].split(found["n_tokens"].tolist())
        for place, ids in zip(places, new, strict=True):
            texts[place] = tuple(ids.tolist())
        problems = torch.tensor(places[::particles]) // particles
        log_prob[problems], log_weight[problems] = found["log_prob"], found["log_weight"]
        numbers[problems] = found["numbers"]
    return Particles(
        rollouts=graded(
            side.alignment,
            task,
            rows,
            texts,
            prompts=prompts,
            n_forced=[0] * len(prompts),
            sampling=writer.sampling,
            extractor=generation.extract,
        ),
        log_weight=log_weight,
        log_prob=log_prob,
        ess=numbers[:, 0],
        least_ess=numbers[:, 1],
        n_resamplings=numbers[:, 2].long(),
        chosen=numbers[:, 3].long(),
    )


@dataclass(frozen=True, kw_only=True)
class _ParticleWriter(Writer):
    """Writes all particles of some problems together."""

    alpha: float
    particles: int
    ramp: int

    def _origin(self) -> str:
        return digest_json(["particles", self.alpha, self.particles, self.ramp, super()._origin()])

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        first = slice(None, None, self.particles)
        reader = reader_of(model, padded.ids[first], padded.mask[first], [0] * len(batch[first]))
        longest, seed = max(rooms), self.sampling.seed
        keys = [stream_key(seed, row.problem, row.sample) for row in batch]
        shared = [stream_key(seed, row.problem, _RESAMPLES) for row in batch[first]]
        population = Population(
            room=torch.tensor(rooms), particles=self.particles, pad_id=self.side.alignment.pad_id
        )
        # The last number of a problem's own stream draws the text that stands for all.
        common = uniforms(shared, [0] * len(shared), longest + 1)
        self._write(reader, population, uniforms(keys, [0] * len(keys), longest), common)
        return {
            **self._ended(population.ids, rooms),
            "log_prob": population.log_prob.view(-1, self.particles),
            "log_weight": population.shares(),
            "numbers": population.numbers(common[:, -1]),
        }

    @torch.no_grad()
    def _write(
        self,
        reader: CachedReader,
        population: Population,
        numbers: Float[Tensor, "row length"],
        common: Float[Tensor, "problem number"],
    ) -> None:
        """Write all texts to their ends.

        `reader`: at the end of each prompt. `numbers`: random numbers of each particle. `common`:
        of each problem.
        """
        stops = torch.tensor(self.sampling.stop_ids, dtype=torch.long)
        # Where each particle's keys and values are among the rows that are read.
        read = torch.arange(len(population.ids)) // self.particles
        n_read, exponent = len(common), 1.0
        for step in range(population.ids.shape[1]):
            device = reader.device
            logits = reader.logits(torch.ones(n_read, dtype=torch.bool, device=device))
            if not bool(logits.amax(-1).isfinite().all()):
                raise RolloutError(
                    f"logits are not finite at new token {step}, so what is drawn there means "
                    "nothing. Use a dtype of more range, such as bfloat16 or float32."
                )
            before, exponent = exponent, self._exponent(step)
            log_probs = logits.double().log_softmax(-1)
            total = (exponent * log_probs).logsumexp(-1).cpu()
            going = ~population.done
            population.log_weight += (exponent - before) * population.log_prob
            population.log_weight[going] += total[read[going]]
            moved = population.resample(common[:, step])
            read = read[moved]
            going = (~population.done).nonzero()[:, 0]
            at = read[going].to(device)
            token = draw(
                logits[at],
                temperature=1 / exponent,
                top_p=1.0,
                uniform=numbers[going, step].to(device),
            )
            own = log_probs[at].gather(1, token[:, None])[:, 0].cpu()
            population.extend(going, token.cpu(), own, stops=stops)
            live = ~population.done[going]
            if not bool(live.any()):
                break
            kept = going[live]
            reader.keep(read[kept].to(device))
            reader.append(
                token[live.to(device)], torch.ones(len(kept), dtype=torch.bool, device=device)
            )
            n_read = len(kept)
            read = torch.full_like(read, -1)
            read[kept] = torch.arange(n_read)
        population.log_weight += (self.alpha - exponent) * population.log_prob

    def _exponent(self, step: int) -> float:
        """Exponent of the distribution after a token."""
        return 1 + (self.alpha - 1) * min(1.0, (step + 1) / self.ramp)
