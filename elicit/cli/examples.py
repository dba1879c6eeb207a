"""Examples at the end of each command's help."""

from elicit.jobs import PairSpec

_GIVEN = {
    "problems": "--problems P.jsonl",
    "facts": "--facts F.jsonl",
    "reasoning_cue": '--reasoning-cue "Think. " --direct-cue "Answer. "',
}
"""What a run on two models is given, by the field that a command may have."""


def examples_of(spec: type[PairSpec]) -> list[str]:
    """Commands that run as they are: on an embedded pair, on two models, and with an option.

    Args:
        spec: Class of a command's options.
    """
    head = f"elicit {spec.command}"
    first, *more = (f"{head} {words} --out DIR" for words in spec.help_examples)
    given = " ".join(text for name, text in _GIVEN.items() if name in spec.model_fields)
    return [first, f"{head} --base A --post B {given} --out DIR", *more]


def epilog(*examples: str) -> str:
    """The end of a command's help, one line an example.

    Args:
        examples: Whole commands.
    """
    return "\n\n".join(["Examples:", *(f"  {line}" for line in examples)])
