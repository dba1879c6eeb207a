"""The rows to generate: one for every strength, problem and sample."""

from collections.abc import Mapping, Sequence

from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Row, Writer
from elicit.tasks import Fault, Task, TaskError


def begin(
    writer: Writer,
    task: Task,
    *,
    strengths: Sequence[float | None],
    generation: Generation,
    prefixes: Mapping[str, Sequence[int]],
) -> Rollouts:
    """Start texts for every problem of a task.

    `strengths`: of the edits; None alone where there are none. `prefixes`: token ids with which
    the texts of a problem must begin, by its id.

    Raises:
        TaskError: A prompt or prefix fills the context window or cannot be encoded.
    """
    sampling = writer.sampling
    prompts = check_prompts(writer.side, task, templated=sampling.templated)
    others = writer.other_prompts(task)
    _check_prefixes(writer, task, prompts, prefixes)
    forced = [tuple(map(int, prefixes.get(problem.id, ()))) for problem in task]
    rows = [
        Row(
            problem=problem.id,
            place=place,
            sample=sample,
            prompt=tuple(prompts[place]),
            text=forced[place],
            strength=strength,
            other_prompts=others[place],
        )
        for strength in strengths
        for place, problem in enumerate(task)
        for sample in range(generation.n_samples)
    ]
    return graded(
        writer.side.alignment,
        task,
        rows,
        writer.write(rows),
        prompts=prompts,
        n_forced=[len(ids) for ids in forced],
        sampling=sampling,
        extractor=generation.extract,
    )


def _check_prefixes(
    writer: Writer,
    task: Task,
    prompts: Sequence[Sequence[int]],
    prefixes: Mapping[str, Sequence[int]],
) -> None:
    """Refuse prefixes after which nothing could be generated."""
    sampling, d_vocab = writer.sampling, writer.n_ids
    limit = writer.side.n_positions
    known = {problem.id: place for place, problem in enumerate(task)}
    faults: list[Fault] = []
    for problem, ids in prefixes.items():
        if problem not in known:
            faults.append(Fault(where=problem, what="no such problem", fix="Name one of the task"))
            continue
        room = sampling.max_new_tokens
        if limit is not None:
            room = min(room, limit - len(prompts[known[problem]]))
        if len(ids) >= room:
            what = f"{len(ids)} tokens, and a text has at most {room} here"
            faults.append(Fault(where=problem, what=what, fix="Shorten it, or raise the length"))
        stops = sorted(set(ids) & set(sampling.stop_ids))
        if stops:
            what = f"it has the stop token {stops[0]}"
            faults.append(Fault(where=problem, what=what, fix="Cut it before that token"))
        strange = [i for i in ids if not 0 <= i < d_vocab]
        if strange:
            what = f"it has the id {strange[0]}, and ids go from 0 to {d_vocab - 1}"
            faults.append(Fault(where=problem, what=what, fix="Use ids of this tokenizer"))
    if faults:
        raise TaskError("prefixes has beginnings after which nothing could be written:", faults)
