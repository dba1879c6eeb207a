"""Dose curves: rows of every strength share a batch."""

import math
from collections.abc import Mapping, Sequence

import torch

from elicit.edits import names_rows
from elicit.pair import Side
from elicit.rollouts._edits_digest import edits_digest
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.rows import begin
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import EditsAt, Writer
from elicit.runs import Execution
from elicit.tasks import Task


def dose_rollouts(
    side: Side,
    task: Task,
    edits_at: EditsAt,
    *,
    strengths: Sequence[float],
    generation: Generation = Generation(),
    seed: int = 0,
    prefixes: Mapping[str, Sequence[int]] | None = None,
    execution: Execution = Execution(),
) -> Rollouts:
    """Sample texts under edits of several strengths, all strengths in the same batches.

    A row's random stream does not depend on the strength, so that what differs along a dose curve
    is the edit and not the sampling noise: at strength 0 it is the unsteered text.

    Args:
        side: The model.
        task: Problems with their reference answers.
        edits_at: Gives the edits of a batch from the strength of each of its rows, for example
            `lambda s: [Steer(resid_post(3), vector, scale=s, where=generated())]`. It must treat
            each row by its strength alone.
        strengths: Each once.
        generation: Generation options.
        seed: Seed of all random streams.
        prefixes: Forced first token ids of each problem's texts, by problem id; see `rollouts`.
        execution: Checkpoint and progress.

    Returns:
        Rows by strength, then problem, then sample.

    Raises:
        TaskError: A prompt fills the context window or contains unknown tokens.
        PairError: No end-of-text token is known.
        RolloutError: See `rollouts`; or the strengths are not finite, are there twice or make no
            difference to the edits, or an edit names rows.
        EditError: An edit does not fit the model, or never fired.
    """
    check_strengths(strengths)
    _check_edits(edits_at, strengths)
    writer = Writer(
        side=side,
        sampling=generation.sampling(side, seed),
        batch_size=generation.batch_size,
        edits_at=edits_at,
        execution=execution,
    )
    return begin(
        writer,
        task,
        strengths=[float(strength) for strength in strengths],
        generation=generation,
        prefixes=prefixes or {},
    )


def check_strengths(strengths: Sequence[float]) -> None:
    """Refuse an empty dose curve, or one with repeated strengths.

    Raises:
        RolloutError: There is none, one is not finite, or one is repeated.
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


def _check_edits(edits_at: EditsAt, strengths: Sequence[float]) -> None:
    """Check that edits depend on the strength and name no rows, since rows are rebatched."""
    batch = torch.tensor([float(strength) for strength in strengths])
    edits = edits_at(batch)
    for one in edits:
        if names_rows(one):
            raise RolloutError(
                f"{one} names rows, and rows are put into batches here, so it would reach others "
                "than meant. Leave rows and marks out and give each row its strength."
            )
    others = edits_at(batch + 1)
    if edits_digest(edits, by_identity=True) == edits_digest(others, by_identity=True):
        raise RolloutError(
            f"the edits are the same at strengths {list(strengths)} and at one more each, so the "
            "dose curve would be flat whatever the edit does. Use the strengths given to edits_at, "
            "for example as Steer(..., scale=strengths)."
        )
