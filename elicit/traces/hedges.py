"""Hedges of written thoughts: markers before values, against the reader's entropy at the value."""

from collections.abc import Sequence

import torch

from elicit.stats import Inference, problem_numbers
from elicit.tasks import numbers, plain
from elicit.traces.errors import TraceError
from elicit.traces.hedging import Hedging, hedging_slope
from elicit.traces.markers import MARKERS, frequency_matched, marked_before
from elicit.traces.reading import Reading


def hedging(
    reading: Reading,
    *,
    markers: Sequence[str] = MARKERS,
    controls: Sequence[str] | None = None,
    inference: Inference = Inference(),
) -> Hedging:
    """Whether markers stand before the values that a reader is unsure of, from a ledger.

    The value of a step is that of its numbers which the reader is least sure of (a guessed operand,
    say, with a result that follows from it). Its entropy is that of the prediction at the token
    which begins it, not at the marker: there it is the entropy of whether to hedge.

    Args:
        reading: One model's reading of thoughts.
        markers: Words or phrases that hedge.
        controls: Words that stand beside; None for words about as frequent, one for each marker.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: The tokenizer does not tell where tokens end, or no step has a number.
    """
    ledger = reading.ledger
    if bool((ledger.token_char < 0).any()):
        raise TraceError(
            "the tokenizer does not tell at which character a token ends, so the token that begins "
            "a value is not known. Use a fast tokenizer."
        )
    if controls is None:
        try:
            controls = frequency_matched(ledger.text, markers)
        except TraceError:
            controls = ()  # no marker occurs, or no other word does
    entropy: list[float] = []
    names: list[str] = []
    marked: dict[str, list[bool]] = {word: [] for word in ("", *controls)}
    for curve in reading.curves():
        text = ledger.text[curve.thought]
        tokens = ledger.tokens_of(curve.thought)
        ends, unsure = ledger.token_char[tokens], ledger.entropy[reading.scorer, tokens]
        starts: list[int] = []
        for places in _values(text, curve.char.tolist()):
            at = [float(unsure[int((ends > start).nonzero()[0])]) for start in places]
            starts.append(places[at.index(max(at))])
            entropy.append(max(at))
            names.append(ledger.problem[curve.thought])
        for word, found in marked.items():
            asked = markers if word == "" else (word,)
            found += marked_before(text, starts, asked).tolist() if starts else []
    if not entropy:
        raise TraceError(
            "no step of these thoughts has a number, so there is no value whose entropy could "
            "be held against a marker. Cut steps where values are stated."
        )
    return hedging_slope(
        torch.tensor(entropy),
        torch.tensor(marked[""]),
        problem_numbers(names),
        controls={word: torch.tensor(marked[word]) for word in controls},
        inference=inference,
    )


def _values(text: str, chars: Sequence[int]) -> list[list[int]]:
    """Characters at which the numbers of each step begin; steps without one are left out."""
    even = plain(text)
    if len(even) != len(text):
        return []
    places = [number.start for number in numbers(even)]
    steps = zip(chars, chars[1:], strict=False)
    found = [[place for place in places if start <= place < end] for start, end in steps]
    return [inside for inside in found if inside]
