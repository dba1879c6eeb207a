"""Epistemic markers: how often texts hedge, and whether words of the same frequency do as well."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference, joint_estimate, linearised_ratio
from elicit.traces.errors import TraceError

MARKERS = (
    "wait",
    "hmm",
    "perhaps",
    "maybe",
    "actually",
    "alternatively",
    "seems",
    "might",
    "likely",
    "check",
)
"""Markers of Kim et al. 2026, arXiv:2603.24472."""
_WORD = r"\w+(?:[-'’]\w+)*"


@dataclass(frozen=True, eq=False, kw_only=True)
class MarkerRates(Result):
    """How often each marker occurs in texts."""

    marker: tuple[str, ...]
    """The markers, and `any` of them in the last row."""
    per_text: Annotated[Estimate, "marker"]
    """Occurrences a text, with intervals simultaneous over markers."""
    per_100_tokens: Annotated[Estimate, "marker"]
    """Occurrences in 100 tokens of all texts: post-training that shortens texts leaves it alone."""
    count: Int[Tensor, "marker text"]
    """Occurrences in each text."""
    n_tokens: Int[Tensor, " text"]
    """Tokens of each text."""
    level: float
    """Nominal coverage of the intervals."""


def marker_rates(
    texts: Sequence[str],
    n_tokens: Int[Tensor, " text"],
    problem: Int[Tensor, " text"],
    *,
    markers: Sequence[str] = MARKERS,
    inference: Inference = Inference(),
) -> MarkerRates:
    """How often each marker occurs, a text and in 100 tokens.

    Markers are whole words or phrases, in any case: `might` is not in "mighty", nor `check` in
    "check-in" or "checks".

    Args:
        texts: Written texts.
        n_tokens: Tokens of each, at least 1.
        problem: Number of each text's problem, from 0 on without gaps, the unit of the intervals.
        markers: Words or phrases.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        TraceError: Columns of different lengths, no texts, a text without tokens, a problem without
            texts, or markers that are empty or given twice.
    """
    if not len(texts) == len(n_tokens) == len(problem) or not texts or int(n_tokens.min()) < 1:
        raise TraceError(
            f"there are {len(texts)} texts, {len(n_tokens)} lengths and {len(problem)} problems, "
            "so rates have nothing to be divided by. Pass at least one text, each with its tokens, "
            "1 or more, and its problem."
        )
    _all_present(problem)
    each = torch.tensor([[len(found) for found in _found(text, markers)] for text in texts])
    count = torch.cat([each, each.sum(dim=1, keepdim=True)], dim=1)
    size, one = n_tokens.double()[:, None].expand(count.shape), torch.ones(count.shape)

    def rate(below: Float[Tensor, "text marker"], unit: float) -> Estimate:
        told = unit * linearised_ratio(count.double(), below, problem)
        # What one problem with one occurrence would add, where none was seen.
        span = unit * len(told) / float(below[:, 0].sum())
        found = joint_estimate(told, inference=inference, span=span)
        none = found.value == 0
        return Estimate(value=found.value, low=found.low.masked_fill(none, 0.0), high=found.high)

    return MarkerRates(
        marker=(*markers, "any"),
        per_text=rate(one.double(), 1.0),
        per_100_tokens=rate(size, 100.0),
        count=count.T.contiguous(),
        n_tokens=n_tokens,
        level=inference.level,
    )


def marked_before(
    text: str, places: Sequence[int], markers: Sequence[str] = MARKERS
) -> Bool[Tensor, " place"]:
    """Whether a marker begins between each place and the one before it (or the text's start).

    Args:
        text: Text whose places are characters.
        places: Where each value begins, in characters, rising.
        markers: Words or phrases.

    Raises:
        TraceError: Places do not rise, lie outside the text, or markers are empty or given twice.
    """
    borders = [0, *places]
    rising = all(a < b for a, b in zip(borders[1:], borders[2:], strict=False))
    if not rising or any(not 0 <= place <= len(text) for place in places):
        raise TraceError(
            f"the places {list(places)[:8]} do not rise within the {len(text)} characters of the "
            "text, so a marker belongs to none. Pass where each value begins, in the text's order."
        )
    starts = torch.tensor(sorted(at for found in _found(text, markers) for at in found)).long()
    before = torch.searchsorted(starts, torch.tensor(borders).long())
    return before.diff() > 0


def frequency_matched(
    texts: Sequence[str], markers: Sequence[str] = MARKERS, *, each: int = 1
) -> tuple[str, ...]:
    """For every marker that occurs, other words of the texts that occur about as often.

    Args:
        texts: Texts in which markers and words are counted.
        markers: Words or phrases. No word that is one of them, or part of one, is taken.
        each: Words for each marker, at least 1.

    Returns:
        Words, each once: those nearest to a marker's count by ratio, the alphabetically first of
        equals; markers that occur often choose first. Numbers are no words.

    Raises:
        TraceError: No marker occurs, the texts have too few other words, or an option is out of
            range.
    """
    if each < 1:
        raise TraceError(f"each is {each}, so no control would be taken. Pass 1 or more.")
    own = {word for marker in markers for word in re.findall(_WORD, marker.lower())}
    words = Counter(
        word
        for text in texts
        for word in re.findall(_WORD, text.lower())
        if word not in own and not any(letter.isdigit() for letter in word)
    )
    counts = [sum(len(_found(text, markers)[at]) for text in texts) for at in range(len(markers))]
    wanted = sorted((n for n in counts if n), reverse=True)
    if not wanted or len(words) < each * len(wanted):
        raise TraceError(
            f"{len(wanted)} markers occur in these texts beside {len(words)} other words, and "
            f"{each} a marker are asked for, so controls of their frequency cannot be had. Pass "
            "more texts, or markers that occur."
        )
    taken: list[str] = []
    for n in wanted:
        for _ in range(each):
            best = min(words, key=lambda word: (_ratio(words[word], n), word))
            taken.append(best)
            del words[best]
    return tuple(taken)


def _ratio(a: int, b: int) -> float:
    """How many times one count is the other, at least 1."""
    return max(a, b) / min(a, b)


def _found(text: str, markers: Sequence[str]) -> list[list[int]]:
    """Where each marker begins."""
    return [[start for start, _ in found] for found in places_of(text, markers)]


def places_of(text: str, markers: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Where each marker begins and ends, as a word or phrase of its own.

    Args:
        text: Any text.
        markers: Words or phrases, in any case.

    Raises:
        TraceError: Markers are empty or there twice.
    """
    named = [" ".join(marker.lower().split()) for marker in markers]
    if not named or "" in named or len(set(named)) < len(named):
        raise TraceError(
            f"the markers are {list(markers)}, but one is empty or there twice, so its rate would "
            "be meaningless or counted double. Pass different words or phrases."
        )
    return [[match.span() for match in _pattern(each).finditer(text)] for each in named]


def _pattern(marker: str) -> re.Pattern[str]:
    """A marker as a word of its own, whatever stands for the spaces in it."""
    spaced = r"\s+".join(re.escape(part) for part in marker.split(" "))
    # Letters before or after it, also across a hyphen, and an apostrophe before it make another
    # word: "check-in", "recheck"; "might've" is still a hedge.
    left = r"(?<![\w])(?<!\w[-'’])" if re.match(r"\w", marker) else ""
    right = r"(?!\w)(?!-\w)" if re.search(r"\w$", marker) else ""
    return re.compile(left + spaced + right, re.IGNORECASE)


def _all_present(problem: Int[Tensor, " row"]) -> None:
    present = problem.unique().tolist()
    if present != list(range(len(present))):
        raise TraceError(
            f"problems are numbered {present[:6]}…, with gaps, so a problem without rows would "
            "count as one that shows nothing. Number them from 0 on (elicit.stats.problem_numbers)."
        )
