"""From a specification and its models to a sweep that is worth running."""

from dataclasses import dataclass

from elicit import organisms
from elicit.jobs._patch.spec import OWN_PROBLEMS, SITES, PatchSpec
from elicit.jobs._spec import SpecError
from elicit.pair import ModelPair
from elicit.patching import Contrast, load_contrast
from elicit.patching.asked import checked_plan
from elicit.patching.continuations import read_lines
from elicit.runs import Execution
from elicit.tasks import load_task


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """A specification that has met its models: what is run, and what is to be said of it."""

    contrast: Contrast
    """Problems."""
    sites: tuple[str, ...]
    """Rows of the grid, as short names."""
    metrics: tuple[str, ...]
    """What is read."""
    factorial: str | None
    """Metric of the factorial; None runs none."""
    notes: tuple[str, ...]
    """What a reader should know of them."""


def refuse_early(spec: PatchSpec) -> None:
    """Refuse a problems file that cannot serve, before a model is loaded for it.

    Args:
        spec: What to do.

    Raises:
        ElicitError: The file is missing or wrong, or lacks what the sweep needs.
    """
    if spec.problems is None:
        organisms.resolve(str(spec.pair))
        return
    if not spec.problems.is_file():
        raise SpecError(
            f"problems are to be read from {spec.problems}, which is no file, so there is nothing "
            "to patch on. Check the path."
        )
    texts = read_lines(spec.problems)
    if len(texts.id) < 2:
        raise SpecError(
            f"{spec.problems} holds 1 problem, and an interval needs at least 2 (a useful one 50 "
            "or more). Add problems."
        )
    if spec.question == "within" and texts.corrupted is None:
        raise SpecError(
            f"direction is {spec.direction} and the lines of {spec.problems} have no 'corrupted' "
            "prompt, so clean and corrupted runs would be the same. Add one to every line, or "
            "patch across the two models."
        )
    if "logit_diff" in spec.metrics and texts.wrong is None:
        raise SpecError(
            f"logit_diff is the answer's logit minus that of a wrong one, and the lines of "
            f"{spec.problems} have no 'wrong' answer and no candidates to take one from. Add "
            "'wrong' to every line, or choose --metrics log_prob."
        )


def asked_of(spec: PatchSpec, pair: ModelPair) -> Asked:
    """Everything that a run needs to know, of which nothing is left to refuse.

    Args:
        spec: What to do.
        pair: The two models.

    Raises:
        ElicitError: The models, the problems and the options make no sweep.
    """
    if spec.question == "across" and pair.identical:
        raise SpecError(
            f"{pair.base_name} and {pair.post_name} have the same weights, so every effect across "
            "them would be exactly 0 and look like a finding. Give a model and its post-trained "
            "sibling, or patch within one (--direction denoise)."
        )
    notes: list[str] = []
    contrast = _contrast(spec, pair, notes)
    metrics: tuple[str, ...] = spec.metrics or _metric(contrast, notes)
    sites = spec.sites or SITES[spec.question]
    checked_plan(
        pair,
        contrast,
        host=pair.post if spec.model == "post" else pair.base,
        donor=pair.post if spec.model == "post" else pair.base,
        host_rows=contrast.clean,
        donor_rows=contrast.clean,
        sites=sites,
        positions=spec.positions,
        metrics=metrics,
        widths=spec.widths,
        controls=spec.controls,
        seed=spec.seed,
        execution=Execution(max_tokens=spec.max_tokens),
        engine=spec.engine,
    )
    told = next((metric for metric in metrics if metric != "kl"), None)
    wanted = spec.question == "across" if spec.factorial is None else spec.factorial
    if len({len(row) for row in contrast.clean}) > 1 and spec.positions == "each":
        notes.append(
            "Prompts differ in length, so positions are counted from their ends, as far as the "
            "shortest one goes."
        )
    return Asked(
        contrast=contrast,
        sites=sites,
        metrics=metrics,
        factorial=told if wanted else None,
        notes=tuple(notes),
    )


def _contrast(spec: PatchSpec, pair: ModelPair, notes: list[str]) -> Contrast:
    """The problems of a file, or an embedded pair's decision to reason."""
    if spec.problems is not None:
        contrast = load_contrast(spec.problems, pair.alignment, templated=spec.templated)
        if spec.limit is not None and len(contrast) > spec.limit:
            contrast = contrast.subset(spec.limit, spec.seed)
        return contrast
    task = load_task(organisms.resolve(str(spec.pair)).problems)
    n = min(spec.limit or OWN_PROBLEMS, len(task))
    decisions = organisms.decision(task.subset(n, spec.seed))
    contrast = Contrast.from_pairs(pair.alignment, decisions)
    notes.append(
        f"No problems were given: the contrast is the decision to reason, “so” (a trace begins) "
        f"against “answer” (none does), after {n} of the pair’s own {len(task)} problems."
    )
    return contrast


def _metric(contrast: Contrast, notes: list[str]) -> tuple[str]:
    """What is read when nothing was asked for."""
    if contrast.wrong is None:
        why = "not every problem has a wrong answer"
    elif any(len(row) != 1 for row in (*contrast.answer, *contrast.wrong)):
        why = "some answer or wrong answer is more than one token"
    else:
        return ("logit_diff",)
    notes.append(f"Effects are on the log-probability of the whole answer (log_prob), for {why}.")
    return ("log_prob",)
