"""Think@n: is it worth finishing only the samples that begin with deep thought?

`think_at_n` measures that beside every control; `think` just does it.
"""

from elicit.revision.thinking._prefixes import PrefixSelection
from elicit.revision.thinking.experiment import think_at_n
from elicit.revision.thinking.result import ThinkAtN, Thought
from elicit.revision.thinking.think import think

__all__ = ["PrefixSelection", "ThinkAtN", "Thought", "think", "think_at_n"]
