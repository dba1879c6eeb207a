"""Scores of one model with parts of the other, one part at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.grafting.score import Score
from elicit.grafting.sweep import Direction, PartSweep
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate
from elicit.weights import Part, is_changed


@dataclass(frozen=True, eq=False, kw_only=True)
class GraftSweep(Result):
    """Scores of one model with one part of the other at a time."""

    direction: str
    """`revert`: post receives parts of base; `graft`: base receives parts of post."""
    task: tuple[str, ...]
    """Name of each task."""
    unit: tuple[str, ...]
    """Unit of each task's values."""
    n_problems: Int[Tensor, " task"]
    """Number of problems of each task, the unit of every interval."""
    base_score: Annotated[Estimate, " task"]
    """Mean value of base."""
    post_score: Annotated[Estimate, " task"]
    """Mean value of post."""
    part: tuple[str, ...]
    """Name of each part."""
    changed: Bool[Tensor, " part"]
    """Whether any weight of the part differs."""
    score: Annotated[Estimate, "task part"]
    """Mean value of the host with the part moved; intervals are pointwise."""
    effect: Annotated[Estimate, "task part"]
    """Score minus that of the unmodified host, paired by problem; simultaneous over parts."""
    level: float
    """Nominal coverage of the intervals."""

    def summary(self) -> dict[str, object]:
        """Content of `summary.json`."""
        return {
            "direction": self.direction,
            "tasks": [
                {
                    "name": name,
                    "unit": self.unit[t],
                    "n": int(self.n_problems[t]),
                    "base": self.base_score[t].to_json(),
                    "post": self.post_score[t].to_json(),
                }
                for t, name in enumerate(self.task)
            ],
            "parts": [
                {
                    "part": name,
                    "changed": bool(self.changed[p]),
                    "effects": {
                        task: {
                            "score": self.score[t, p].to_json(),
                            "effect": self.effect[t, p].to_json(),
                        }
                        for t, task in enumerate(self.task)
                    },
                }
                for p, name in enumerate(self.part)
            ],
        }


def sweep_parts(
    pair: ModelPair,
    scores: Sequence[Score],
    parts: Sequence[Part],
    direction: Direction,
    *,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> GraftSweep:
    """Score base, post, and the host with each part of the donor.

    Args:
        pair: The two models.
        scores: Tasks and how they are scored, each of at least two problems.
        parts: Parts to move, one at a time.
        direction: `revert` moves parts from base into post, `graft` from post into base.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, checkpoint and progress.

    Raises:
        TaskError: A problem does not fit the models.
    """
    # Every task is encoded before any is scored, so that one that does not fit fails at once.
    sweeps = [PartSweep(pair=pair, score=score, execution=execution) for score in scores]
    execution.progress.start(len(sweeps) * (2 + len(parts)), "scoring both models")
    changed = torch.tensor([is_changed(pair, part) for part in parts], dtype=torch.bool)
    base, post, score, effect = [], [], [], []
    for sweep in sweeps:
        hosts = {}
        for name in ("base", "post"):
            hosts[name] = sweep.host_values(name)
            execution.progress.advance()
        host = hosts["post" if direction == "revert" else "base"]
        values = sweep.part_values(parts, direction, host)
        means = sweep.score.mean(torch.stack([*hosts.values(), *values]), inference=inference)
        base.append(means[0])
        post.append(means[1])
        score.append(means[2:])
        joint = joint_estimate((values - host).T, inference=inference)
        # What did not change has no effect by construction, whatever others show.
        ends = [torch.where(changed, end, joint.value) for end in (joint.low, joint.high)]
        effect.append(Estimate(value=joint.value, low=ends[0], high=ends[1]))
    execution.progress.stop()
    return GraftSweep(
        provenance=pair.provenance(
            inference.seed,
            {
                "direction": direction,
                "parts": [part.name for part in parts],
                "scores": [score.to_json() for score in scores],
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={score.task.name: score.task.digest for score in scores},
        ),
        direction=direction,
        task=tuple(score.task.name for score in scores),
        unit=tuple(score.unit for score in scores),
        n_problems=torch.tensor([len(score.task) for score in scores]),
        base_score=Estimate.stack(base),
        post_score=Estimate.stack(post),
        part=tuple(part.name for part in parts),
        changed=changed,
        score=Estimate.stack(score),
        effect=Estimate.stack(effect),
        level=inference.level,
    )
