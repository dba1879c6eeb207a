"""Prompt pairs in the language of the organisms."""

from elicit.directions import PromptPairs
from elicit.organisms import headed
from elicit.tasks import Task


def header_pairs(task: Task) -> PromptPairs:
    """Problems under the header that calls for a trace, and under the one that calls for none."""
    return PromptPairs(positive=headed(task, "notes"), negative=headed(task, "quiz"))
