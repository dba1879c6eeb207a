"""Contrast of positive and negative prompts, paired by row and read at one token."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import stream
from elicit.directions.errors import DirectionError
from elicit.edits import shape_of
from elicit.pair import Alignment, Text
from elicit.results import digest_json
from elicit.runs import Execution
from elicit.sites import Site
from elicit.tasks import Fault, Task, TaskError, shown

Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Token ids of paired positive and negative prompts, and the position that is read."""

    positive: Rows
    """Token ids of each positive prompt, which has the feature of interest."""
    negative: Rows
    """Token ids of each negative prompt, which lacks it."""
    problem: tuple[str, ...]
    """Problem of each pair, the unit of every interval."""
    position: int
    """Position that is read, from 0; negative counts from the end."""

    @property
    def digest(self) -> str:
        """SHA-256 of all ids, problems and the position."""
        return digest_json([self.positive, self.negative, self.problem, self.position])

    @property
    def n_shifted(self) -> int:
        """Pairs whose read position, counted from the start, differs between the two prompts."""
        if self.position >= 0:
            return 0
        both = zip(self.positive, self.negative, strict=True)
        return sum(len(one) != len(other) for one, other in both)


@dataclass(frozen=True, kw_only=True)
class PromptPairs:
    """Positive and negative prompts of a contrast, paired by row.

    Both prompts of a pair must have the same token at the read position: between different tokens
    or positions the mean difference is mostly that of the tokens, and steering with it does harm.
    """

    positive: Task | Sequence[Text]
    """Prompts with the feature of interest."""
    negative: Task | Sequence[Text]
    """Prompts without it, row by row; two tasks must have the same problems."""
    problem: Sequence[str] | None = None
    """Problem of each pair; None: the ids of the tasks, otherwise every pair is its own problem."""
    position: int = -1
    """Position that is read, from 0; negative counts from the end."""
    match_tokens: bool = True
    """Whether both prompts of a pair must have the same token there."""
    templated: bool = False
    """Whether prompts go through the chat template."""

    def encode(self, alignment: Alignment) -> Sides:
        """Both sides as token ids.

        Raises:
            DirectionError: A side is empty or not paired with the other, a row is too short, or the
                tokens at the position differ.
        """
        return _encoded(self, alignment)


def _encoded(pairs: PromptPairs, alignment: Alignment) -> Sides:
    positive, negative = pairs.positive, pairs.negative
    if not len(positive) or not len(negative):
        empty = "negative" if len(positive) else "positive"
        raise DirectionError(
            f"there are {len(positive)} positive and {len(negative)} negative prompts, so there is "
            f"no contrast. Pass at least one for {empty}."
        )
    if len(positive) != len(negative):
        raise DirectionError(
            f"there are {len(positive)} positive and {len(negative)} negative prompts, so they "
            "cannot be paired row by row. Pass as many of each."
        )
    names = _problems(positive, negative, pairs.problem)
    encode = alignment.templated if pairs.templated else alignment.plain
    sides = Sides(
        positive=tuple(tuple(encode(text)) for text in _texts(positive)),  # pyright: ignore[reportArgumentType]
        negative=tuple(tuple(encode(text)) for text in _texts(negative)),  # pyright: ignore[reportArgumentType]
        problem=names,
        position=pairs.position,
    )
    _check_rows(alignment, sides, pairs.match_tokens)
    return sides


def _texts(side: Task | Sequence[Text]) -> list[Text]:
    """Prompts of one side."""
    return [problem.turns for problem in side] if isinstance(side, Task) else list(side)


def _problems(
    positive: Task | Sequence[Text], negative: Task | Sequence[Text], problem: Sequence[str] | None
) -> tuple[str, ...]:
    """Problem of each pair."""
    ids = [[p.id for p in side] for side in (positive, negative) if isinstance(side, Task)]
    if len(ids) == 2 and ids[0] != ids[1]:
        at = next(i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
        raise DirectionError(
            f"row {at} is problem {shown(ids[0][at])} on the positive side and "
            f"{shown(ids[1][at])} on the negative one, so their difference would include "
            "that of the problems. Pass the same problems in the same order."
        )
    if problem is None:
        return tuple(ids[0]) if ids else tuple(map(str, range(len(positive))))
    if len(problem) != len(positive):
        raise DirectionError(
            f"problem has {len(problem)} ids and there are {len(positive)} pairs. Pass one problem "
            "id per pair."
        )
    return tuple(problem)


def _check_rows(alignment: Alignment, sides: Sides, match_tokens: bool) -> None:
    """Refuse rows that lack the position, or whose tokens there differ within a pair."""
    faults: list[Fault] = []
    at, unknown = sides.position, alignment.tokenizer.unk_token_id
    for name, rows in (("positive", sides.positive), ("negative", sides.negative)):
        for place, row in enumerate(rows):
            where = f"{name} prompt {place} ({shown(sides.problem[place])})"
            if not -len(row) <= at < len(row):
                what = f"position {at} is outside its {len(row)} tokens"
                fix = f"Pass a position from {-len(row)} to {len(row) - 1}"
                faults.append(Fault(where=where, what=what, fix=fix))
            elif unknown is not None and unknown in row:
                what = "it contains a word that the tokenizer does not know"
                faults.append(Fault(where=where, what=what, fix="Reword it"))
    if not faults and match_tokens:
        for place, (one, other) in enumerate(zip(sides.positive, sides.negative, strict=True)):
            if one[at] != other[at]:
                left, right = alignment.decode([one[at]]), alignment.decode([other[at]])
                what = (
                    f"its token at {at} is {shown(left)} and the negative prompt's {shown(right)}"
                )
                where = f"positive prompt {place} ({shown(sides.problem[place])})"
                fix = "Read both at the same token, or pass match_tokens=False"
                faults.append(Fault(where=where, what=what, fix=fix))
        if faults:
            told = TaskError(
                "the two sides are read at different tokens, so their difference would reflect the "
                "tokens and their positions, not the contrast:",
                faults,
            )
            raise DirectionError(str(told))
    if faults:
        raise DirectionError(
            str(TaskError("prompts cannot be read at the requested position:", faults))
        )


def check_sites(model: nn.Module, sites: Sequence[Site]) -> None:
    """Refuse sites without a single vector per token, or of different widths.

    Raises:
        SiteError: The model does not have a site.
        DirectionError: There is no site, one is repeated, is a pattern or has several heads, or
            widths differ.
    """
    if not sites:
        raise DirectionError(
            "sites is empty, so no direction can be estimated. Pass at least one site, "
            "for example sites=[resid_post(3)]."
        )
    shape = shape_of(model)
    shape.check(sites)
    for index, site in enumerate(sites):
        if site in sites[:index]:
            raise DirectionError(f"sites names {site} twice. Name each site once.")
        if site.kind == "pattern" or (site.has_heads and site.head is None):
            raise DirectionError(
                f"{site} has no single vector per token, so it has no direction. Pass one "
                "head of z, q, k or v, or a site of the residual stream."
            )
    if len({site.has_heads for site in sites}) > 1:
        raise DirectionError(
            f"sites names heads and whole layers ({', '.join(map(str, sites))}), whose widths "
            "differ, so their directions do not fit into one result. Request each kind separately."
        )


def read_at(
    model: nn.Module,
    rows: Rows,
    *,
    sites: Sequence[Site],
    position: int,
    pad_id: int,
    execution: Execution = Execution(),
) -> Float[Tensor, "site row width"]:
    """Activations of each row at one position, in float64 on the CPU.

    `position`: position that is read, from 0; negative counts from the end.

    Raises:
        DirectionError: An activation is not finite.
    """
    result: list[Tensor] = [torch.empty(0)] * len(rows)
    for chunk in stream(model, rows, sites=sites, pad_id=pad_id, execution=execution):
        indices = [position % len(rows[row]) for row in chunk.rows]
        lines = torch.arange(len(indices))
        values = [chunk.captured.at[site][lines, indices].double().cpu() for site in sites]
        for line, row in enumerate(chunk.rows):
            result[row] = torch.stack([value[line] for value in values])
    states = torch.stack(result, dim=1)
    bad = (~states.isfinite()).flatten(1).any(1).nonzero()
    if len(bad):
        raise DirectionError(
            f"activations at {sites[int(bad[0])]} are not finite, so they have no mean. "
            "Look for NaN in the weights, or run the model in a wider dtype."
        )
    return states
