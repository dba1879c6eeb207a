"""What may be said of a part: one vocabulary for results, figures, pages and the command line."""

from enum import Enum


class Verdict(Enum):
    """What may be said of a part; a part can be both corrupted and a carrier of the skill."""

    CORRUPTED = ("corrupted", "corrupted", "is corrupted", "✕")
    SKILL = ("skill", "carries the skill", "carries the skill", "★")
    CHANGED = ("changed", "changed, not distinguishable", "changed", "○")
    UNCHANGED = ("unchanged", "unchanged", "did not change", "−")

    def __init__(self, word: str, label: str, predicate: str, mark: str) -> None:
        """The four ways of writing it.

        Args:
            word: In tables and JSON.
            label: In legends.
            predicate: In a sentence, after the name of the part.
            mark: One character.
        """
        self.word, self.label, self.predicate, self.mark = word, label, predicate, mark
