"""Verdicts of parts, shared by results, figures, pages and the command line."""

from enum import Enum


class Verdict(Enum):
    """Verdict of a part; a part can be both corrupted and a carrier of the skill."""

    CORRUPTED = ("corrupted", "corrupted", "is corrupted", "✕")
    SKILL = ("skill", "carries the skill", "carries the skill", "★")
    CHANGED = ("changed", "changed", "changed", "○")
    UNCHANGED = ("unchanged", "unchanged", "did not change", "−")

    def __init__(self, word: str, label: str, predicate: str, mark: str) -> None:
        """Store the four spellings.

        `word`: for tables and JSON. `label`: for legends. `predicate`: for sentences, after the
        name of the part. `mark`: one character.
        """
        self.word, self.label, self.predicate, self.mark = word, label, predicate, mark
