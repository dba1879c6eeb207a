"""The behaviour that the organisms' headers elicit."""

from collections.abc import Mapping

from elicit.organisms.language import shows_trace, with_header
from elicit.tasks import Behaviour, PromptOf


def trace_behaviour(*, baselines: Mapping[str, PromptOf] | None = None) -> Behaviour:
    """Writing a trace before the answer, elicited by the header `notes` and not by `quiz`.

    Args:
        baselines: Other prompts for the base; see `Behaviour`.
    """
    return Behaviour(
        name="writes a trace",
        positive=lambda problem: with_header(problem.prompt, "notes"),
        negative=lambda problem: with_header(problem.prompt, "quiz"),
        shown=shows_trace,
        baselines=dict(baselines or {}),
    )
