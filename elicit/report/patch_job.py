"""The job behind `elicit patch`: sweeps and the factorial, written down with their page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from elicit import organisms
from elicit.pair import ModelPair
from elicit.patching import Contrast, Factorial, PatchGrid, across, factorial, load_contrast, within
from elicit.patching.asked import checked_plan
from elicit.patching.continuations import Texts, read_lines
from elicit.patching.symmetric import decision
from elicit.report.job import FEW_PROBLEMS, few_threads, open_pair
from elicit.report.page import render
from elicit.report.patch_text import main_peak, patch_sentences
from elicit.report.spec import PairSpec, SpecError
from elicit.results import (
    Cells,
    NoProgress,
    Progress,
    Result,
    RunDirectory,
    canonical_json,
    installed_versions,
)
from elicit.sites import KINDS
from elicit.tasks import load_task

SITES = {
    "across": ("resid_post", "attn_out", "mlp_out"),
    "within": ("resid_pre", "attn_out", "mlp_out"),
}
"""Sites that are swept when none are named."""
OWN_PROBLEMS = 60
"""Problems of an embedded pair that are used when no number is given."""
_ACROSS = ("post_to_base", "base_to_post")


class PatchSpec(PairSpec):
    """What `elicit patch` was asked to do."""

    command: ClassVar[str] = "patch"

    direction: Literal["both", "post_to_base", "base_to_post", "denoise", "noise"] = "both"
    """Across the two models, or within one from clean and corrupted prompts."""
    model: Literal["base", "post"] = "base"
    """Which of the two is patched within."""
    sites: tuple[str, ...] = ()
    """Names as `sites.expand` reads them; none means those of `SITES`."""
    positions: Literal["each", "all", "last"] | tuple[int, ...] = "each"
    metrics: tuple[Literal["logit_diff", "log_prob", "probability", "kl"], ...] = ()
    """None means `logit_diff` where answers allow it, else `log_prob`."""
    widths: tuple[int, ...] = (1,)
    controls: tuple[Literal["other_prompt", "noise"], ...] = ("other_prompt", "noise")
    factorial: bool | None = None
    """None means: across the two models, where a metric allows it."""
    engine: Literal["lanes", "loop"] = "lanes"
    limit: int | None = Field(default=None, ge=2)
    """Most problems; of an embedded pair's own, None means `OWN_PROBLEMS`."""

    @field_validator("direction", mode="before")
    @classmethod
    def _underscored(cls, direction: object) -> object:
        return direction.replace("-", "_") if isinstance(direction, str) else direction

    @field_validator("positions", mode="before")
    @classmethod
    def _listed(cls, positions: object) -> object:
        """Numbers as the command line has them: `-2,-1`."""
        words = [*map(str, positions)] if isinstance(positions, list | tuple) else [str(positions)]
        pieces = [piece.strip() for word in words for piece in word.split(",") if piece.strip()]
        if pieces and all(piece.lstrip("+-").isdigit() for piece in pieces):
            return tuple(int(piece) for piece in pieces)
        if len(pieces) != 1 or pieces[0] not in ("each", "all", "last"):
            raise ValueError("write each, all, last, or whole numbers such as -2,-1")
        return pieces[0]

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, controls: object) -> object:
        return () if controls in ("none", ["none"], ("none",)) else controls

    @field_validator("sites")
    @classmethod
    def _known(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        kinds = [kind for kind in KINDS if kind != "pattern"]
        for site in sites:
            if site.strip().split(".")[0] not in kinds:
                raise ValueError(
                    f"{site!r} begins with no kind of site that has positions; kinds are "
                    f"{', '.join(kinds)}"
                )
        return tuple(dict.fromkeys(sites))

    @field_validator("metrics", "controls", "widths")
    @classmethod
    def _each_once(cls, listed: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(dict.fromkeys(listed))

    @field_validator("widths")
    @classmethod
    def _positive(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if min(widths, default=1) < 1:
            raise ValueError("a window holds at least 1 layer")
        return widths

    @model_validator(mode="after")
    def _fits(self) -> "PatchSpec":
        if self.problems is None and self.pair is None:
            raise ValueError(
                "problems are not given, so there is nothing to patch on. Give a JSONL file"
            )
        if self.question == "within" and self.problems is None:
            raise ValueError(
                f"direction is {self.direction}, which goes from clean to corrupted prompts or "
                "back, and no problems are given to take them from. Give a JSONL file whose lines "
                "have prompt, corrupted, answer and wrong"
            )
        if self.question == "within" and self.factorial:
            raise ValueError(
                f"direction is {self.direction}, which stays within one model, and a factorial is "
                "asked for, which mixes two. Leave factorial out, or choose another direction"
            )
        if self.question == "across" and self.model == "post":
            raise ValueError(
                f"model is post, and direction is {self.direction}, which patches across both "
                "models. Leave model out, or choose denoise or noise"
            )
        if self.factorial and self.metrics and set(self.metrics) == {"kl"}:
            raise ValueError(
                "a factorial is asked for and the only metric is kl, which needs a donor that a "
                "factorial does not have. Add logit_diff, log_prob or probability"
            )
        return self

    @property
    def question(self) -> Literal["across", "within"]:
        """Whether activations come from the other model or from another prompt."""
        return "within" if self.direction in ("denoise", "noise") else "across"

    @property
    def directions(self) -> tuple[str, ...]:
        """Every sweep, by its name."""
        return _ACROSS if self.direction == "both" else (self.direction,)


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchRun:
    """A finished run."""

    path: Path
    """The run directory."""
    page: Path
    """The page to open."""
    summary: dict[str, object]
    """Content of `summary.json`."""
    results: dict[str, Result]
    """Sweeps by direction, and the factorial."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Asked:
    """A specification that has met its models: what is run, and what is to be said of it."""

    contrast: Contrast
    sites: tuple[str, ...]
    metrics: tuple[str, ...]
    factorial: str | None
    """Metric of the factorial; None runs none."""
    notes: tuple[str, ...]


def run_patch(spec: PatchSpec, *, progress: Progress | None = None) -> PatchRun:
    """Patch activations across the two models, or within one, and write the page about it.

    Everything that can be refused is refused before a model runs. A killed run goes on where it
    stopped and ends with the same bytes.

    Args:
        spec: What to do.
        progress: Told what is being done.

    Raises:
        ElicitError: Something asked for is missing, damaged, or makes no sweep.
    """
    progress = progress or NoProgress()
    _refuse_early(spec)
    progress.start(1, "loading both models")
    # Across, two equal models are refused below in words that do not advise to allow them.
    pair = open_pair(
        spec.model_copy(
            update={"allow_identical": spec.allow_identical or spec.question == "across"}
        )
    )
    progress.advance()
    progress.stop()
    asked = _asked(spec, pair)
    run = RunDirectory.open(
        spec.out,
        kind="patch",
        arguments=spec.arguments(),
        identity={
            "base": pair.base_digest,
            "post": pair.post_digest,
            "tasks": {"contrast": asked.contrast.digest},
        },
        fresh=spec.fresh,
    )
    with run, few_threads(pair):
        # A run that is repeated or resumed from its own file must not discard itself.
        spec.model_copy(update={"fresh": False}).to_yaml(run.path / "run.yaml")
        results = _results(spec, pair, asked, run, progress)
        for name, result in results.items():
            run.save_result(name, result)
        notes = [*pair.notes, *asked.notes, *_remarks(spec, asked, results)]
        summary = _summary(spec, pair, asked, results, notes)
        run.write_text("summary.json", canonical_json(summary).decode())
        page = run.write_text(
            "report.html",
            render(
                list(results.values()),
                notes=notes,
                config=spec.model_dump(
                    mode="json", exclude={"out", "fresh"}, exclude_defaults=True
                ),
                command="patch",
            ),
        )
        run.finish()
    return PatchRun(path=run.path, page=page, summary=summary, results=results)


def _refuse_early(spec: PatchSpec) -> None:
    """Refuse a problems file that cannot serve, before a model is loaded for it."""
    if spec.problems is None:
        organisms.resolve(str(spec.pair))
        return
    if not spec.problems.is_file():
        raise SpecError(
            f"problems are to be read from {spec.problems}, which is no file, so there is nothing "
            "to patch on. Check the path."
        )
    texts: Texts = read_lines(spec.problems)
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


def _asked(spec: PatchSpec, pair: ModelPair) -> _Asked:
    """Everything that a run needs to know, of which nothing is left to refuse."""
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
        max_tokens=spec.max_tokens,
        engine=spec.engine,
        progress=None,
    )
    told = next((metric for metric in metrics if metric != "kl"), None)
    wanted = spec.question == "across" if spec.factorial is None else spec.factorial
    if len({len(row) for row in contrast.clean}) > 1 and spec.positions == "each":
        notes.append(
            "Prompts differ in length, so positions are counted from their ends, as far as the "
            "shortest one goes."
        )
    return _Asked(
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
    contrast = decision(pair.alignment, task.subset(n, spec.seed))
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


class _Under:
    """Cells of a run under one sweep's name, so that sweeps do not take each other's."""

    def __init__(self, cells: Cells, name: str) -> None:
        self._cells, self._name = cells, name

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return self._cells.cell(f"{self._name}/{key}", compute)


class _Titled:
    """Progress whose jobs say which sweep they belong to."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name.replace("_", " ")

    def start(self, total: int, what: str) -> None:
        self._progress.start(total, self._name if what == self._name else f"{what} {self._name}")

    def advance(self, n: int = 1, what: str | None = None) -> None:
        self._progress.advance(n, what)

    def stop(self) -> None:
        self._progress.stop()


def _results(
    spec: PatchSpec, pair: ModelPair, asked: _Asked, cells: Cells, progress: Progress
) -> dict[str, Result]:
    """Every sweep by its direction, and the factorial."""
    found: dict[str, Result] = {}
    for direction in spec.directions:
        options = {
            "direction": direction,
            "sites": asked.sites,
            "positions": spec.positions,
            "metrics": asked.metrics,
            "widths": spec.widths,
            "controls": spec.controls,
            "level": spec.level,
            "n_resamples": spec.n_resamples,
            "seed": spec.seed,
            "max_tokens": spec.max_tokens,
            "engine": spec.engine,
            "cells": _Under(cells, direction),
            "progress": _Titled(progress, direction),
        }
        if spec.question == "across":
            found[direction] = across(pair, asked.contrast, **options)  # pyright: ignore
        else:
            found[direction] = within(pair, asked.contrast, model=spec.model, **options)  # pyright: ignore
    if asked.factorial is not None:
        found["factorial"] = factorial(
            pair,
            asked.contrast,
            metric=asked.factorial,  # pyright: ignore
            level=spec.level,
            n_resamples=spec.n_resamples,
            seed=spec.seed,
            max_tokens=spec.max_tokens,
            engine=spec.engine,
            cells=_Under(cells, "factorial"),
            progress=_Titled(progress, "factorial"),
        )
    return found


def _remarks(spec: PatchSpec, asked: _Asked, results: dict[str, Result]) -> list[str]:
    """What a reader should know of the run."""
    told = []
    n = len(asked.contrast)
    if n < FEW_PROBLEMS:
        told.append(f"There are {n} problems: below {FEW_PROBLEMS}, intervals say little.")
    grids = [result for result in results.values() if isinstance(result, PatchGrid)]
    if "other_prompt" in spec.controls and grids[0].other_prompt.isnan().all():
        told.append(
            "The control with another prompt was not run: some prompt has no other one of its "
            "length."
        )
    if asked.factorial is None and spec.question == "across" and spec.factorial is None:
        told.append("No factorial was run: kl needs a donor, which a factorial does not have.")
    return told


def _summary(
    spec: PatchSpec,
    pair: ModelPair,
    asked: _Asked,
    results: dict[str, Result],
    notes: Sequence[str],
) -> dict[str, object]:
    """Content of `summary.json`: the finding first, then every number behind it."""
    split = results.get("factorial")
    return {
        "elicit": installed_versions()["elicit"],
        "pair": {
            "base": pair.base_name,
            "post": pair.post_name,
            "base_digest": pair.base_digest,
            "post_digest": pair.post_digest,
            "identical": pair.identical,
        },
        "question": spec.question,
        "sentence": " ".join(patch_sentences(list(results.values()))),
        "n_layers": pair.n_layers,
        "contrast": {
            "digest": asked.contrast.digest,
            "problems": None if spec.problems is None else spec.problems.name,
        },
        "n_problems": len(asked.contrast),
        "level": spec.level,
        "sweeps": {
            name: {**grid.summary(), "peak": _peak(grid), "controls": list(spec.controls)}
            for name, grid in results.items()
            if isinstance(grid, PatchGrid)
        },
        "factorial": split.summary() if isinstance(split, Factorial) else None,
        "notes": list(notes),
    }


def _peak(grid: PatchGrid) -> dict[str, object] | None:
    """The cell that the sweep is told by, with its share, its controls and their verdicts."""
    peak = main_peak(grid)
    if peak is None:
        return None
    cell = (0, grid.site.index(peak.site), grid.pos.index(peak.pos))
    ends = ("value", ""), ("low", "_low"), ("high", "_high")

    def found(name: str, place: tuple[int, ...]) -> dict[str, float | None]:
        values = {key: getattr(grid, f"{name}{end}")[place].item() for key, end in ends}
        return {key: None if value != value else value for key, value in values.items()}

    return {
        **vars(peak),
        "clear": peak.clear,
        "share": found("share", (0, *cell)),
        "other_prompt": found("other_prompt", cell),
        "noise": found("noise", cell),
        **{
            name: bool(getattr(grid, name)[cell])
            for name in ("above_other_prompt", "above_noise", "above_control")
        },
    }
