"""What the texts of the organisms look like: the headers `notes` and `quiz`, traces with `so`."""

from collections.abc import Mapping

from elicit.tasks import Behaviour, PromptOf


def trace_behaviour(*, baselines: Mapping[str, PromptOf] | None = None) -> Behaviour:
    """Writing a trace before the answer, elicited by the header `notes` and not by `quiz`.

    Args:
        baselines: Other prompts for the base; see `Behaviour`.
    """
    return Behaviour(
        name="writes a trace",
        positive=lambda problem: f"notes {problem.prompt}",
        negative=lambda problem: f"quiz {problem.prompt}",
        shown=lambda text: "so" in text.split(),
        baselines=dict(baselines or {}),
    )
