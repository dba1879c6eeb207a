"""What does the written thought do? Both models read the same thoughts, once."""

from elicit.surroundings import guard_room
from elicit.traces.errors import TraceError
from elicit.traces.ledger import Ledger, ledger
from elicit.traces.thoughts import (
    Thought,
    Thoughts,
    answer_pool,
    cut_texts,
    given_thoughts,
    own_thoughts,
)

__all__ = [
    "Ledger",
    "Thought",
    "Thoughts",
    "TraceError",
    "answer_pool",
    "cut_texts",
    "given_thoughts",
    "ledger",
    "own_thoughts",
]

guard_room(__name__)
