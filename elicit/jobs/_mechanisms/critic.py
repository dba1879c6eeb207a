"""Who criticises solutions: of the embedded pairs' problems, a teacher that knows the answer."""

from collections.abc import Sequence

from elicit import organisms
from elicit.elicitation.training import Critique, Solved


def chain_critic(solved: Sequence[Solved]) -> list[Critique]:
    """What a teacher says of solutions to problems of the organisms' language.

    Args:
        solved: Problems with their solutions.
    """
    said = [organisms.critique(each.problem.prompt, each.solution) for each in solved]
    return [Critique(text=text, verdict=verdict) for text, verdict in said]
