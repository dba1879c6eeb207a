"""A whole dose curve in one go: rows of every strength side by side in a batch."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from elicit.edits import names_rows
from elicit.pair import Alignment
from elicit.rollouts.beginning import begin
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.values import Rollouts, Sampling
from elicit.rollouts.writing import Dose, Writer, edits_digest
from elicit.runs import Execution
from elicit.tasks import Extractor, Task, default_extractor


def dose_rollouts(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    edit: Dose,
    *,
    strengths: Sequence[float],
    stop_ids: Sequence[int],
    n_samples: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    seed: int = 0,
    extractor: Extractor = default_extractor,
    templated: bool = False,
    prefixes: Mapping[str, Sequence[int]] | None = None,
    execution: Execution = Execution(),
) -> Rollouts:
    """Texts under edits of several strengths, all strengths in the same batches.

    A row's random stream does not depend on the strength, so that what differs along a dose curve
    is the edit and not the luck of the draw: at strength 0 it is the unsteered text.

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        task: Problems with their right answers.
        edit: Gives the edits of a batch from the strength of each of its rows, for example
            `lambda s: [Steer(resid_post(3), vector, scale=s, where=generated())]`. It must treat
            each row by its strength alone.
        strengths: Each once.
        stop_ids: Tokens that end a text; none lets every text run to its longest.
        n_samples: Texts a problem and strength.
        temperature: 0 is greedy.
        top_p: Mass of the most probable tokens among which one is drawn, in (0, 1].
        max_new_tokens: Longest text; near the model's last position there is less.
        batch_size: Rows a batch.
        seed: Of all random streams.
        extractor: Finds the answer in a text.
        templated: Whether prompts go through the chat template.
        prefixes: Token ids with which the texts of a problem must begin, by its id; see `rollouts`.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Returns:
        Rows by strength, then problem, then sample.

    Raises:
        TaskError: A prompt leaves no room for a text, or is not made of known words.
        RolloutError: See `rollouts`; or the strengths are not finite, are there twice or make no
            difference to the edits, or an edit names rows.
        EditError: An edit does not fit the model, or was never made.
    """
    check_strengths(strengths)
    _check_edit(edit, strengths)
    sampling = Sampling(
        stop_ids=tuple(stop_ids),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        templated=templated,
    )
    writer = Writer(
        model=model,
        alignment=alignment,
        sampling=sampling,
        batch_size=batch_size,
        dose=edit,
        cells=execution.checkpoint,
        progress=execution.progress,
    )
    return begin(
        writer,
        task,
        strengths=[float(strength) for strength in strengths],
        n_samples=n_samples,
        prefixes=prefixes or {},
        extractor=extractor,
    )


def check_strengths(strengths: Sequence[float]) -> None:
    """Refuse a dose curve without points, or with one of them twice.

    Args:
        strengths: Of the edits.

    Raises:
        RolloutError: There is none, one is not finite, or one is there twice.
    """
    if not len(strengths):
        raise RolloutError("strengths is empty, so there would be no text. Pass one or more.")
    if not all(math.isfinite(strength) for strength in strengths):
        raise RolloutError(
            f"strengths is {list(strengths)}, and each scales an activation, so it must be finite. "
            "Take the others out."
        )
    if len(set(map(float, strengths))) != len(strengths):
        raise RolloutError(
            f"strengths is {list(strengths)} and has one of them twice, whose rows would be equal "
            "and be counted double. Pass each once, and n_samples for more texts."
        )


def _check_edit(edit: Dose, strengths: Sequence[float]) -> None:
    """Edits follow the strength, and name no rows, for rows are put into batches anew."""
    batch = torch.tensor([float(strength) for strength in strengths])
    edits = edit(batch)
    for one in edits:
        if names_rows(one):
            raise RolloutError(
                f"{one} names rows, and rows are put into batches here, so it would reach others "
                "than meant. Leave rows and marks out and give each row its strength."
            )
    others = edit(batch + 1)
    if edits_digest(edits, by_identity=True) == edits_digest(others, by_identity=True):
        raise RolloutError(
            f"the edits are the same at strengths {list(strengths)} and at one more each, so the "
            "dose curve would be flat whatever the edit does. Use the strengths given to edit, for "
            "example as Steer(..., scale=strengths)."
        )
