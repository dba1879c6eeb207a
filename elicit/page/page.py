"""The page: results in, one HTML file out that needs nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elicit.page.plots import Plot
from elicit.page.registry import PageError, Part, present, unknown
from elicit.page.section import Section, generic_section
from elicit.page.tables import Table
from elicit.results import Provenance, Result, disk_errors, write_atomic
from elicit.results.drawing import visible

_MODELS = "Base model against its post-trained sibling"


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
    from plotly.offline import get_plotlyjs

    if not results:
        raise PageError(
            "a page was asked for without any result, so it would say nothing. Pass what a "
            "question returned, for example the LayerRoles of grafting.localise."
        )
    environment = _environment()
    shown, others = present(results), unknown(results)
    origins = [r.provenance for r in results if r.provenance is not None]
    origin = next((o for o in origins if o.base and o.post), origins[0] if origins else None)
    return environment.get_template("template.html").render(
        title=title or _title(origin),
        origin=origin,
        eyebrow=_eyebrow(shown, others),
        sentences=_sentences(shown, results),
        notes=[str(note) for note in notes],
        glances=[glance for part, own in shown if (glance := part.glance(own)) is not None],
        tables=[table for part, own in shown for table in part.tables(own)],
        sections=_sections(shown, others),
        methods=_partials(environment, shown, "methods.html"),
        limits=_partials(environment, shown, "limits.html"),
        command=command,
        arguments=_arguments(results),
        config=_yaml(config) if config else None,
        plotly_js=get_plotlyjs(),
    )


Shown = Sequence[tuple[Part, Sequence[Result]]]


def _environment() -> Any:
    """Templates in which whatever comes from a result is escaped and visible."""
    import jinja2
    from markupsafe import Markup

    def finalize(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        autoescape=True,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["plot"] = lambda value: isinstance(value, Plot)
    environment.tests["table"] = lambda value: isinstance(value, Table)
    environment.globals["fragment"] = lambda value: _partial(
        environment, value.template, value.values
    )
    return environment


def _partial(environment: Any, template: Path, values: Mapping[str, object]) -> Any:
    """A template that lies beside its renderer, filled in."""
    from markupsafe import Markup

    text = template.read_text(encoding="utf-8")
    return Markup(environment.from_string(text).render(**values))


def _partials(environment: Any, shown: Shown, name: str) -> list[Any]:
    """What every part says about its methods, or about what it cannot show."""
    return [
        _partial(
            environment,
            part.folder / name,
            {"kinds": {type(result).__name__ for result in own}, "values": part.values(own)},
        )
        for part, own in shown
        if part.folder is not None and (part.folder / name).is_file()
    ]


def _sections(shown: Shown, others: Sequence[Result]) -> list[Section]:
    return [
        *(section for part, own in shown for section in part.sections(own)),
        *(generic_section(result, n) for n, result in enumerate(others)),
    ]


def _sentences(shown: Shown, results: Sequence[Result]) -> list[str]:
    """What was found; where no part has a sentence, what the page holds instead."""
    said = [sentence for part, own in shown for sentence in part.sentences(own)]
    if said:
        return said
    names = ", ".join(dict.fromkeys(type(result).__name__ for result in results))
    silent = [part.silent for part, _ in shown if part.silent]
    return [" ".join([*silent, f"This page shows: {names}."])]


def _eyebrow(shown: Shown, others: Sequence[Result]) -> str:
    """What the page is about, in small print above its title."""
    if len(shown) == 1 and not others and (alone := shown[0][0].eyebrow(shown[0][1])):
        return alone
    moved = [part.moved for part, _ in shown if part.moved]
    if not moved:
        return _MODELS
    return f"{_MODELS}, compared by moving {' and '.join(moved)} between them"


def _title(origin: Provenance | None) -> str:
    """Names of the models."""
    if origin is None or origin.base is None or origin.post is None:
        return "Base and post-trained model compared"
    return f"{_short(origin.base.name)} → {_short(origin.post.name)}"


def _short(name: str) -> str:
    """A model's name without the folders before it."""
    return name if len(name) <= 60 else f"…{name[-59:]}"


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
