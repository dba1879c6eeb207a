"""Scoring of a task, and a model's values on its problems."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.pair import ModelPair
from elicit.results import ElicitError, Estimate
from elicit.rollouts import Generation, answer_task
from elicit.stats import Inference, problem_mean
from elicit.tasks import ForcedRows, ReadScores, Task, encode_forced, reduce_scores

How = Literal["forced", "generated"]
Metric = Literal["probability", "correct", "log_prob"]


class GraftError(ElicitError):
    """An invalid sweep."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A task and how it is scored.

    `forced` scores each candidate answer after the prompt by teacher forcing; `generated` generates
    a text and grades it.
    """

    task: Task
    how: How = "forced"
    metric: Metric = "probability"
    """`probability` of the answer among the candidates, `correct` (0 or 1), or `log_prob`, nats."""
    extractor: str = "default"
    """Extracts the answer from generated text."""
    max_new_tokens: int = 128
    templated: bool = False
    """Whether prompts use the chat template."""
    end: str = ""
    """Scored after the answer (forced only); separates `1` from a prefix of `10`."""

    def __post_init__(self) -> None:
        """Refuse a metric that this scoring method does not support."""
        if self.how == "generated" and self.metric != "correct":
            raise GraftError(
                f"task {self.task.name!r} is scored by generation with the metric {self.metric!r}, "
                f"but generated text "
                "is only right or wrong. Use metric='correct', or how='forced'."
            )
        if self.how == "forced" and self.metric == "probability" and self.task.kind != "choice":
            raise GraftError(
                f"task {self.task.name!r} has problems without candidates, so an answer has no "
                f"probability among them. "
                "Use metric='correct' or 'log_prob', or give every problem its candidates."
            )

    @property
    def generation(self) -> Generation:
        """How the model generates (generated only)."""
        return Generation(
            extractor=self.extractor,
            max_new_tokens=self.max_new_tokens,
            templated=self.templated,
            batch_size=128,
        )

    @property
    def unit(self) -> str:
        """Unit of its values."""
        return {
            "probability": "probability of the answer",
            "correct": "share right",
            "log_prob": "nats",
        }[self.metric]

    def mean(
        self, values: Float[Tensor, "row problem"], *, inference: Inference = Inference()
    ) -> Estimate:
        """Mean of each row, with pointwise intervals within the range of scores.

        Args:
            values: One value per problem in each row.
            inference: Coverage and resamples of the intervals, and the seed.
        """
        proportion = self.metric == "correct"
        return Estimate.of_intervals(
            problem_mean(row, inference=inference, method="bca", proportion=proportion)
            for row in values
        )

    def to_json(self) -> dict[str, object]:
        """Fields that identify the measurement in a run directory."""
        return {
            "task": self.task.name,
            "digest": self.task.digest,
            "how": self.how,
            "metric": self.metric,
            "extractor": self.extractor,
            "max_new_tokens": self.max_new_tokens,
            "templated": self.templated,
            "end": self.end,
        }


def facts(task: Task, *, end: str = "", templated: bool = False) -> Score:
    """Default score for knowledge: teacher-forced, among the candidates if given."""
    metric: Metric = "probability" if task.kind == "choice" else "correct"
    return Score(task=task, how="forced", metric=metric, end=end, templated=templated)


def skills(
    task: Task, *, max_new_tokens: int = 128, extractor: str = "default", templated: bool = False
) -> Score:
    """Default score for problems: generation, graded by the last answer."""
    return Score(
        task=task,
        how="generated",
        metric="correct",
        max_new_tokens=max_new_tokens,
        extractor=extractor,
        templated=templated,
    )


def encode(pair: ModelPair, score: Score) -> ForcedRows:
    """Rows of a teacher-forced task, the same for both models."""
    return encode_forced(
        score.task,
        partial(pair.alignment.read, templated=score.templated),
        pair.alignment.pad_id,
        n_positions=pair.side("base").n_positions,
        end=score.end,
        unknown=partial(pair.alignment.unknown, templated=score.templated),
        join=partial(pair.alignment.joined, templated=score.templated),
    )


def forced_values(score: Score, rows: ForcedRows, reads: ReadScores) -> Float[Tensor, " problem"]:
    """Value of each problem from the scores of its rows."""
    reduced = reduce_scores(rows, reads)
    if score.metric == "probability":
        return reduced.probability
    return reduced.correct.double() if score.metric == "correct" else reduced.normalised_log_prob


def generated_values(pair: ModelPair, model: nn.Module, score: Score) -> Float[Tensor, " problem"]:
    """1 for every problem whose generated text has the right answer, else 0."""
    answers = answer_task(
        pair.side("base" if model is pair.base else "post"), score.task, generation=score.generation
    )
    return answers.correct.to(torch.float64)
