"""Origin of numbers about one model's texts."""

from collections.abc import Mapping

from elicit.pair import Side, hugging_face_model, weights_digest
from elicit.results import Provenance
from elicit.rollouts import Generation
from elicit.stats import Inference
from elicit.tasks import Task


def model_name(side: Side) -> str:
    """Name of a model."""
    return str(getattr(hugging_face_model(side.bridge).config, "name_or_path", ""))


def provenance(
    side: Side,
    task: Task,
    arguments: Mapping[str, object],
    *,
    generation: Generation,
    inference: Inference,
) -> Provenance:
    """Origin of numbers about texts of one model.

    Args:
        side: The model.
        task: The problems.
        arguments: Of the question, JSON values only.
        generation: How texts were written.
        inference: Coverage, resamples and seed.
    """
    parameter = next(side.bridge.parameters())
    return Provenance(
        seed=inference.seed,
        dtype=str(parameter.dtype).removeprefix("torch."),
        device=str(parameter.device),
        arguments={
            **arguments,
            "model": model_name(side),
            "model_digest": weights_digest(side.bridge),
            "stop_ids": list(generation.stops(side)),
            "max_new_tokens": generation.max_new_tokens,
            "extractor": generation.extractor_name,
            "templated": generation.templated,
            "level": inference.level,
            "n_resamples": inference.n_resamples,
        },
        task_digests={task.name: task.digest},
    )
