"""What is refused before any text is written."""

from collections.abc import Sequence

import torch

from elicit.edits import Edited, Where
from elicit.elicitation.arms import Arm, check_arms
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.rollouts import Generation, check_prompts, check_strengths, edits_digest
from elicit.tasks import Task


def check_request(
    side: Side, task: Task, arms: Sequence[Arm], strengths: Sequence[float], generation: Generation
) -> None:
    """Refuse what would fail, or show nothing, only after long work.

    Raises:
        ElicitationError: There are fewer than 2 problems, or arms are not comparable.
        RolloutError: Strengths are missing, not finite or repeated, or an edit's function has no
            digest.
        EditError: An edit does not fit the model, or its tokens the prompts.
        TaskError: A prompt leaves no room for a text.
    """
    check_strengths(strengths)
    check_arms(arms)
    dosed = [arm for arm in arms if arm.dose is not None]
    if dosed and len(strengths) > 1:
        raise ElicitationError(
            f"{dosed[0].name!r} is run at strength {dosed[0].dose:g} alone, and there are "
            f"{len(strengths)} strengths, so its row of the curve would repeat one number. Pass "
            "one strength, or an arm without a dose."
        )
    if len(task) < 2:
        raise ElicitationError(
            f"the task has {len(task)} problem, and intervals are over problems, so nothing "
            "could be said about others. Pass at least 2."
        )
    prompts = check_prompts(side, task, templated=generation.templated)
    lengths = sorted({len(ids) for ids in prompts})
    for arm in arms:
        edits = arm.edits()
        Edited(side.bridge, edits, None)
        edits_digest(edits)  # a result names its edits, so what has no digest is refused
        for edit in edits:
            where = getattr(edit, "where", None)
            if isinstance(where, Where) and where.form in ("at", "last"):
                for length in lengths:
                    where.check(torch.arange(length)[None], torch.tensor([length]), (0,))
