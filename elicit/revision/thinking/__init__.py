"""Think@n: finish only the samples whose prefixes think deepest, then vote.

`think_at_n` evaluates this against controls; `think` applies it.
"""

from elicit.revision.thinking._prefixes import PrefixSelection
from elicit.revision.thinking.experiment import think_at_n
from elicit.revision.thinking.result import ThinkAtN, Thought
from elicit.revision.thinking.think import think

__all__ = ["PrefixSelection", "ThinkAtN", "Thought", "think", "think_at_n"]
