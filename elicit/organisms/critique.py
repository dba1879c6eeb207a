"""A teacher that checks solutions of the organisms' problems step by step."""

import re

from elicit.organisms.language import Chain

_STATED = re.compile(r"\b(\w) = \d+ [-+*] \d+ = (\d)\b")
_ANSWERED = re.compile(r"\banswer (\d)\b")


def critique(chain: Chain, solution: str) -> str:
    """Every true step, marked as right or wrong in a solution, then the right answer.

    A step is wrong where the solution states another value for its letter, and the last one also
    where the solution answers something else.

    Args:
        chain: The problem.
        solution: What was written to it.
    """
    stated = dict(_STATED.findall(solution))
    answered = _ANSWERED.findall(solution)
    if answered:
        stated[chain.letters[-1]] = answered[-1]
    marks = []
    for index, letter in enumerate(chain.letters[1:]):
        right = stated.get(letter, str(chain.values[index + 1])) == str(chain.values[index + 1])
        marks.append(f"check {chain.step(index)} {'ok' if right else 'no'} ;")
    return " ".join([*marks, conclusion_of(chain)])


def conclusion_of(chain: Chain) -> str:
    """The right answer, as texts of the language end."""
    return f"answer {chain.answer} ."
