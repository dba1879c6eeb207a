"""What was compared: the box from which a stranger learns what the numbers are about."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One model of the pair."""

    role: str
    """base or post."""
    name: str
    """As it was given."""
    n_parameters: int
    """Parameters in all."""
    n_layers: int
    """Layers, counted from 0 on the page."""
    architecture: str
    """Family of its architecture."""

    @property
    def size(self) -> str:
        """Parameters in words.

        >>> ComparedModel(
        ...     role="base", name="x", n_parameters=7_240_000_000, n_layers=32, architecture="llama"
        ... ).size
        '7.2 billion parameters'
        """
        for unit, word in ((10**9, "billion"), (10**6, "million")):
            if self.n_parameters >= unit:
                return f"{self.n_parameters / unit:.1f} {word} parameters"
        return f"{self.n_parameters:,} parameters"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One problem, with what is right and what each model says."""

    prompt: str
    """Prompt."""
    answer: str
    """Right answer."""
    said: tuple[tuple[str, str, str], ...] = ()
    """Who says, what, and `right`, `wrong` or empty. Texts of models: never trusted."""


@dataclass(frozen=True, kw_only=True)
class ComparedTask:
    """Problems on which the models were compared."""

    name: str
    """Its name."""
    n: int
    """Number of problems."""
    score: str
    """What a problem's number is."""
    examples: tuple[Example, ...] = ()
    """Some of its problems."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Content of the box."""

    models: tuple[ComparedModel, ...]
    """Base, then post."""
    tasks: tuple[ComparedTask, ...]
    """Tasks in order."""
    planted: str = ""
    """What was planted, where the pair is an embedded toy; else empty."""
