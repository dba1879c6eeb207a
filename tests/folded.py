"""Flat options of a test, folded into the values that functions take."""

from dataclasses import fields

from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference

VALUES = {"generation": Generation, "inference": Inference, "execution": Execution}


def folded(options: dict, *, keep: tuple[str, ...] = (), **defaults) -> dict:
    """Options with every field of `Generation`, `Inference` and `Execution` in its value.

    Args:
        options: Flat, of which later ones override `defaults`.
        keep: Names that stay options, such as a seed beside a generation.
        defaults: Flat as well.
    """
    rest = {**defaults, **options}
    for name, cls in VALUES.items():
        given = {f.name: rest.pop(f.name) for f in fields(cls) if f.name in rest.keys() - {*keep}}
        if given:
            rest[name] = cls(**given)
    return rest
