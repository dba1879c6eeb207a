"""The page: results in, one HTML file out that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from elicit.directions import DirectionSet
from elicit.elicitation import DoseCurve, SteeredTexts
from elicit.grafting import Attribution, Interpolation, IntervalSweep, Samples, WeightIG
from elicit.page.elicitation.sections import steer_sections
from elicit.page.elicitation.text import steer_sentences
from elicit.page.features.sections import features_sections
from elicit.page.features.text import features_sentences
from elicit.page.grafting.sections import FEATURES, Section, other_sections, sections
from elicit.page.grafting.tables import task_table
from elicit.page.grafting.text import MARKS, VERDICTS, summary_sentence
from elicit.page.patching.sections import patch_sections
from elicit.page.patching.text import patch_sentences
from elicit.page.plot import Plot
from elicit.page.revision.sections import revise_sections
from elicit.page.revision.text import convention_text, revise_sentences
from elicit.page.tables import Table
from elicit.page.verdicts.sections import ladder_sections, ladder_sentence
from elicit.patching import Factorial, PatchGrid
from elicit.results import ElicitError, Provenance, Result, write_atomic
from elicit.results.drawing import visible
from elicit.results.store import disk_errors
from elicit.revision import DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit
from elicit.verdicts import Ladder
from elicit.weights import WeightChange

R = TypeVar("R", bound=Result)


READINGS = (DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit)
"""Results of running both models as they are, with nothing moved."""
STEERED = (DirectionSet, DoseCurve, SteeredTexts)
"""Results of finding a direction and adding it."""


class PageError(ElicitError):
    """A page that cannot be made or written."""


@dataclass(frozen=True)
class Glance:
    """One layer in the row of marks under the summary."""

    layer: int
    mark: str
    word: str
    ground: str


def write(
    results: Sequence[Result],
    path: Path | str,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    command: str = "report",
) -> Path:
    """Write one self-contained page about some results: the same results give the same bytes.

    Args:
        results: Whatever was measured; what is missing leaves its section out.
        path: HTML file; its folder is made if it is not there.
        title: Heading; the names of the models if None.
        notes: Remarks about this run, shown under the summary.
        config: Arguments that repeat the run, shown as the YAML that `--config` reads.
        command: Command of `elicit` that reads them.

    Returns:
        The file.

    Raises:
        PageError: There is no result, or the file cannot be written.
    """
    path = Path(path)
    html = render(results, title=title, notes=notes, config=config, command=command)
    with disk_errors(path, PageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, html.encode("utf-8"))
    return path


def render(
    results: Sequence[Result],
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    command: str = "report",
) -> str:
    """The page as text, for those who write it themselves.

    Args:
        results: Whatever was measured.
        title: Heading; the names of the models if None.
        notes: Remarks about this run.
        config: Arguments that repeat the run.
        command: Command of `elicit` that reads them.

    Raises:
        PageError: There is no result.
    """
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    if not results:
        raise PageError(
            "a page was asked for without any result, so it would say nothing. Pass what a "
            "question returned, for example the Attribution of grafting.revert."
        )

    def shown(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["plot"] = lambda value: isinstance(value, Plot)
    environment.tests["table"] = lambda value: isinstance(value, Table)
    attribution, settled = first(results, Attribution), first(results, Settling)
    origins = [r.provenance for r in results if r.provenance is not None]
    origin = next((o for o in origins if o.base and o.post), origins[0] if origins else None)
    return environment.get_template("template.html").render(
        title=title or _title(origin),
        origin=origin,
        eyebrow=_eyebrow(results),
        sentences=_sentences(results, attribution),
        notes=[str(note) for note in notes],
        attribution=attribution,
        glance=_glance(attribution) if attribution else [],
        tasks=task_table(attribution) if attribution else None,
        sections=_sections(results),
        samples=[r for r in results if isinstance(r, Samples)],
        has={
            "weights": first(results, WeightChange) is not None,
            "integrated": first(results, WeightIG) is not None,
            "intervals": first(results, IntervalSweep) is not None,
            "interpolation": first(results, Interpolation) is not None,
            "patching": first(results, PatchGrid) is not None,
            "factorial": first(results, Factorial) is not None,
            "revision": any(isinstance(result, READINGS) for result in results),
            "ladder": first(results, Ladder) is not None,
            "features": any(isinstance(result, FEATURES) for result in results),
            "steering": first(results, DoseCurve) is not None,
        },
        settled=settled,
        tuned=any(isinstance(result, TunedLensFit) for result in results),
        convention=convention_text(settled.convention, settled.n_layers) if settled else None,
        command=command,
        arguments=_arguments(results),
        config=_yaml(config) if config else None,
        plotly_js=get_plotlyjs(),
    )


def first(results: Sequence[Result], kind: type[R]) -> R | None:
    """First result of a class; None where there is none."""
    return next((result for result in results if isinstance(result, kind)), None)


def _sections(results: Sequence[Result]) -> list[Section]:
    return [
        *ladder_sections(results),
        *features_sections(results),
        *steer_sections(results),
        *sections(
            attribution=first(results, Attribution),
            change=first(results, WeightChange),
            integrated=first(results, WeightIG),
            sweep=first(results, IntervalSweep),
            interpolation=first(results, Interpolation),
        ),
        *patch_sections(results),
        *revise_sections(results),
        *other_sections(results),
    ]


def _sentences(results: Sequence[Result], attribution: Attribution | None) -> list[str]:
    """What was found: in the base, features, by moved weights, activations, then depths."""
    told = [ladder_sentence(result) for result in results if isinstance(result, Ladder)]
    told += features_sentences(results)
    told += steer_sentences(results)
    told += [summary_sentence(attribution)] if attribution else []
    told += [*patch_sentences(results), *revise_sentences(results)]
    return told or [_without_attribution(results)]


def _eyebrow(results: Sequence[Result]) -> str:
    """What the page is about, in small print above its title."""
    if all(isinstance(result, Ladder) for result in results):
        return "What the post-trained model shows, looked for in its base"
    if all(isinstance(result, FEATURES) for result in results):
        return "Features of a dictionary: which are about reasoning, and do they stay in post?"
    if all(isinstance(result, STEERED) for result in results):
        return "One model steered, beside controls that push as hard"
    grids = [result for result in results if isinstance(result, PatchGrid)]
    if len(grids) == len(results) and all(grid.question == "within" for grid in grids):
        return "One model, and activations moved between its runs on two prompts"
    if all(isinstance(result, READINGS) for result in results):
        return "Base model against its post-trained sibling: when do their predictions settle?"
    patched = bool(grids) or first(results, Factorial) is not None
    silent = (PatchGrid, Factorial, Ladder, *READINGS, *FEATURES, *STEERED)
    moved = any(not isinstance(result, silent) for result in results)
    what = ["weights"] if moved else []
    what += ["activations"] if patched else []
    return (
        "Base model against its post-trained sibling, compared by moving "
        f"{' and '.join(what)} between them"
    )


def _title(origin: Provenance | None) -> str:
    """Names of the models."""
    if origin is None or origin.base is None or origin.post is None:
        return "What post-training did to each layer"
    return f"{_short(origin.base.name)} → {_short(origin.post.name)}"


def _short(name: str) -> str:
    """A model's name without the folders before it."""
    return name if len(name) <= 60 else f"…{name[-59:]}"


def _without_attribution(results: Sequence[Result]) -> str:
    """The summary of a page on which no layer was moved."""
    if all(isinstance(result, READINGS) for result in results):
        return "Nothing was compared between base and post in this run; the figures show one text."
    names = ", ".join(dict.fromkeys(type(result).__name__ for result in results))
    return (
        "No layers were moved between base and post in this run, so this page cannot say which "
        "are corrupted or "
        f"carry a skill. It shows: {names}."
    )


def _glance(attribution: Attribution) -> list[Glance]:
    """Every layer's verdict as one mark."""
    found = []
    for i, kind in enumerate(attribution.kind):
        if kind == "layer":
            words = attribution.verdict[i].split("+")
            found.append(
                Glance(
                    layer=int(attribution.layer[i].item()),
                    mark="".join(MARKS.get(word, "?") for word in words),
                    word=" and ".join(VERDICTS.get(word, word) for word in words),
                    ground="both" if len(words) > 1 else words[0],
                )
            )
    return found


def _arguments(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Arguments of every result that has some, as indented JSON."""
    return [
        (
            type(result).__name__,
            json.dumps(result.provenance.arguments, indent=2, sort_keys=True, ensure_ascii=False),
        )
        for result in results
        if result.provenance is not None and result.provenance.arguments
    ]


def _yaml(config: Mapping[str, object]) -> str:
    """A flat mapping as YAML, of which every JSON value is a part."""
    return "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in config.items()
    )
