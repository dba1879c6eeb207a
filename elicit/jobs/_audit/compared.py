"""What an audit compared, in words for a reader who knows nothing of it."""

from elicit import organisms
from elicit.grafting import LayerRoles, Samples
from elicit.jobs._audit.spec import AuditSpec
from elicit.pair import ModelPair
from elicit.results import number
from elicit.verdicts import Compared

_UNITS = {
    "share right": "the model writes, and the answer in its text is right or not",
    "probability of the answer": "the probability of the right answer is read, nothing is written",
}
"""What a score is, by its unit."""


def compared_of(
    spec: AuditSpec, pair: ModelPair, roles: LayerRoles | None, samples: Samples | None
) -> Compared:
    """Sizes, tasks and one problem with both answers.

    Args:
        spec: Options of the audit.
        pair: The two models.
        roles: Scores of both models; None where `report` did not tell.
        samples: Texts of both models; None where none were kept.
    """
    size = sum(p.numel() for p in pair.base.parameters())
    lines = [
        f"Base {pair.base_name} and post {pair.post_name}: {_count(size)} parameters in "
        f"{pair.n_layers} layers."
    ]
    if spec.pair is not None:
        what = str(organisms.resolve(spec.pair).truth["what"])
        lines.append(
            f"A tiny pair that was trained to know the truth beforehand. Planted: {what} What the "
            "page says was found without it, and says nothing about large models."
        )
    for t, name in enumerate(() if roles is None else roles.task):
        assert roles is not None
        scores = (roles.base_score, roles.post_score)
        base, post = (number(each[t].item(), digits=2) for each in scores)
        how = f"; {_UNITS[roles.unit[t]]}" if roles.unit[t] in _UNITS else ""
        lines.append(
            f"{int(roles.n_problems[t])} {name}: base {base}, post {post} ({roles.unit[t]}{how})."
        )
    return Compared(lines=tuple(lines), example=_example(samples))


def _example(samples: Samples | None) -> tuple[str, ...]:
    """A problem on which the models differ, else the first."""
    if samples is None or not samples.sample:
        return ()
    differ = (samples.base_correct != samples.post_correct).tolist()
    at = differ.index(True) if True in differ else 0
    return (
        samples.prompt[at],
        samples.answer[at],
        samples.base_text[at],
        samples.post_text[at],
    )


def _count(size: int) -> str:
    for unit, word in ((10**9, "billion"), (10**6, "million")):
        if size >= unit:
            return f"{size / unit:.2g} {word}"
    return f"{size:,}"
