"""What a sweep reads off a model: a task, how it is scored, and the values of each problem."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.pair import ModelPair
from elicit.results import ElicitError
from elicit.rollouts import Generation, answer_task
from elicit.stats import Inference, Interval, bootstrap_mean, wilson
from elicit.tasks import ForcedRows, ReadScores, Task, encode_forced, reduce_scores

How = Literal["forced", "generated"]
Metric = Literal["probability", "correct", "log_prob"]


class GraftError(ElicitError):
    """A sweep that could show nothing."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A task and how it is scored.

    `forced` reads the probability of each written answer after the prompt; `generated` lets the
    model write and grades the text.
    """

    task: Task
    how: How = "forced"
    metric: Metric = "probability"
    """`probability` of the answer among the candidates, `correct` (0 or 1), or `log_prob`, nats."""
    extractor: str = "default"
    """Finds the answer in generated text."""
    max_new_tokens: int = 128
    templated: bool = False
    """Whether prompts go through the chat template (generated only)."""
    end: str = ""
    """Closes an answer and is scored with it (forced only): tells `1` from the start of `10`."""

    def __post_init__(self) -> None:
        """Refuse a metric that this way of scoring does not give."""
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

    def to_json(self) -> dict[str, object]:
        """What a run directory must know to recognise the same measurement."""
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


def facts(task: Task, *, end: str = "") -> Measure:
    """The default for knowledge: teacher-forced, candidates compared where there are any."""
    metric: Metric = "probability" if task.kind == "choice" else "correct"
    return Measure(task=task, how="forced", metric=metric, end=end)


def mean_interval(
    measure: Measure, values: Float[Tensor, " problem"], *, inference: Inference = Inference()
) -> Interval:
    """Mean score of one model, with an interval that stays where scores can be.

    Args:
        measure: What was measured.
        values: One value a problem.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    if measure.metric == "correct":
        # All right or all wrong has no spread to resample, and is not certain for that.
        return wilson(int(values.sum()), len(values), level=inference.level)
    return bootstrap_mean(
        values.numpy(),
        level=inference.level,
        n_resamples=inference.n_resamples,
        method="bca",
        seed=inference.seed,
    )


def skills(
    task: Task, *, max_new_tokens: int = 128, extractor: str = "default", templated: bool = False
) -> Measure:
    """The default for problems: the model writes, its last answer counts."""
    return Measure(
        task=task,
        how="generated",
        metric="correct",
        max_new_tokens=max_new_tokens,
        extractor=extractor,
        templated=templated,
    )


def encode(pair: ModelPair, measure: Measure) -> ForcedRows:
    """Rows of a forced measurement, the same for both models."""
    return encode_forced(
        measure.task,
        pair.alignment.plain,
        pair.alignment.pad_id,
        n_positions=pair.side("base").n_positions,
        end=measure.end,
        unk_id=pair.tokenizer.unk_token_id,  # pyright: ignore[reportArgumentType]
    )


def forced_values(
    measure: Measure, rows: ForcedRows, reads: ReadScores
) -> Float[Tensor, " problem"]:
    """Value of each problem from the reads of all its rows."""
    scores = reduce_scores(rows, reads)
    if measure.metric == "probability":
        return scores.probability
    return scores.correct.double() if measure.metric == "correct" else scores.normalised_log_prob


def generated_values(
    pair: ModelPair, model: nn.Module, measure: Measure
) -> Float[Tensor, " problem"]:
    """1 for every problem whose generated text holds the right answer, else 0."""
    answers = answer_task(
        pair.side("base" if model is pair.base else "post"),
        measure.task,
        generation=measure.generation,
    )
    return answers.correct.to(torch.float64)
