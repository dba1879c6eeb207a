"""A finished training as a result, with its origin."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.bench import Sees
from elicit.elicitation.training._course import Course
from elicit.elicitation.training._parametrised import size_of
from elicit.elicitation.training.plans import Trainable
from elicit.elicitation.training.trained import Trained, digest_under
from elicit.pair import Side, device_of, hugging_face_model, weights_digest
from elicit.results import Provenance, digest_json
from elicit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a training was asked for."""

    side: Side
    """The model."""
    method: str
    """How it is trained, with the reward or the documents."""
    trainable: Trainable
    """What is trained."""
    sees: Sees
    """What training is told."""
    seed: int
    """Of whatever is drawn."""
    tasks: tuple[Task, ...]
    """Problems to train and to choose on."""
    plan: Any
    """Sizes, rates and budgets."""
    data: str = ""
    """Digest of documents, where there are any."""

    @property
    def settings(self) -> dict[str, object]:
        """The plan as JSON has it; the extractor by its name."""
        plan = asdict(
            replace(self.plan, generation=replace(self.plan.generation, extractor="default"))
        )
        plan["generation"]["extractor"] = self.plan.generation.extractor_name
        return plan

    @property
    def rate(self) -> float:
        """Learning rate."""
        return self.plan.rate(self.trainable)


def origin_of(told: Told) -> str:
    """Digest of all that the updates depend on.

    Args:
        told: What was asked for.
    """
    return digest_json(
        [
            weights_digest(told.side.bridge),
            told.side.alignment.digest,
            told.method,
            told.trainable,
            told.seed,
            [task.digest for task in told.tasks],
            told.settings,
            told.data,
        ]
    )


def finished(
    told: Told,
    course: Course,
    measured: Float[Tensor, "step measure"],
    measures: Sequence[str],
) -> Trained:
    """The result; called when the model is as it was.

    Args:
        told: What was asked for.
        course: What followed the training.
        measured: What each update measured, with its bits, tokens and operations.
        measures: Names of the measurements.
    """
    side = told.side
    names = list(measures)
    n_answered = 0 if course.choose is None else len(course.choose)
    hf = hugging_face_model(side.bridge)
    answered = 2 * size_of(side.bridge) * course.n_tokens
    flops = measured[:, names.index("flops")].sum().item() + answered
    return Trained(
        provenance=Provenance(
            seed=told.seed,
            dtype=str(next(side.bridge.parameters()).dtype).removeprefix("torch."),
            device=str(device_of(hf)),
            arguments={
                "question": told.method,
                "model": str(getattr(hf.config, "name_or_path", "")),
                "trainable": told.trainable,
                "plan": told.settings,
                "data": told.data,
            },
            task_digests={task.name: task.digest for task in told.tasks},
        ),
        method=told.method,
        trainable=told.trainable,
        backend=told.plan.backend,
        model=str(getattr(hf.config, "name_or_path", "")),
        model_digest=weights_digest(side.bridge),
        trained_digest=digest_under(side, course.best, told.trainable),
        parameters=course.best,
        measure=tuple(measures),
        curve=measured.T.contiguous(),
        choice=torch.tensor(course.choice, dtype=torch.long),
        chosen=torch.stack(course.right)
        if course.right
        else torch.zeros(0, n_answered, dtype=torch.bool),
        n_updates=course.n_updates,
        stopped=course.stopped,
        sees=told.sees,
        bits=measured[: course.n_updates, names.index("bits")].sum().item(),
        n_trained=course.trained.n_trained,
        n_tokens=int(measured[:, names.index("tokens")].sum()) + course.n_tokens,
        flops=flops,
        setting=f"{told.trainable}, learning rate {told.rate:g}, {course.n_updates} updates",
    )
