"""Thoughts of a reading as token ids with the cuts of its ledger."""

from elicit.pair import Side
from elicit.texts import AnswerForm, CutText, EncodedText, encode_cuts
from elicit.traces.reading import Reading
from elicit.traces.thoughts import turns


def encoded(side: Side, reading: Reading, form: AnswerForm) -> tuple[EncodedText, ...]:
    """Token ids of every thought that is read, cut where the ledger cuts it.

    Args:
        side: The model that reads.
        reading: What it reads.
        form: How the answer is asked for, as in the ledger.
    """
    return encode_cuts(
        side.alignment,
        [
            CutText(
                problem=item.problem.id,
                prompt=turns(item.problem),
                text=item.text,
                cuts=tuple(curve.char.tolist()),
                candidates=reading.ledger.candidates[curve.thought],
            )
            for item, curve in zip(reading.thoughts.items, reading.curves(), strict=True)
        ],
        form,
        n_positions=side.n_positions,
    )
