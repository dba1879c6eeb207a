"""The page: renders results as one self-contained HTML file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elicit.page.compared import Compared
from elicit.page.plots import Plot
from elicit.page.registry import PageError, Part, present, unknown
from elicit.page.section import Section, generic_section
from elicit.page.tables import Table
from elicit.results import Provenance, Result, disk_errors, marks, visible, write_atomic

_MODELS = "Base model against its post-trained sibling"


def write(
    results: Sequence[Result],
    path: Path | str,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    command: str = "report",
    compared: Compared | None = None,
    further: str = "",
) -> Path:
    """Write one self-contained HTML page; identical results give identical bytes.

    Args:
        results: Results to show; sections without a result are omitted.
        path: HTML file; missing parent folders are created.
        title: Heading; the names of the models if None.
        notes: Remarks about this run, shown under the summary.
        config: Arguments that reproduce the run, shown as YAML for `--config`.
        command: `elicit` command that reads them.
        compared: Models and tasks in words, for who sees the page alone; None leaves the box out.
        further: Command that goes on from the finding; empty if there is none.

    Returns:
        Path of the file.

    Raises:
        PageError: There is no result, or the file cannot be written.
    """
    path = Path(path)
    html = render(
        results,
        title=title,
        notes=notes,
        config=config,
        command=command,
        compared=compared,
        further=further,
    )
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
    compared: Compared | None = None,
    further: str = "",
) -> str:
    """HTML of the page as text.

    Args:
        results: Results to show.
        title: Heading; the names of the models if None.
        notes: Remarks about this run.
        config: Arguments that reproduce the run.
        command: `elicit` command that reads them.
        compared: Models and tasks in words; None leaves the box out.
        further: Command that goes on from the finding; empty if there is none.

    Raises:
        PageError: There is no result.
    """
    if not results:
        raise PageError(
            "results is empty, so the page would have no content. Pass at least one result, "
            "for example the LayerRoles returned by grafting.localise."
        )
    environment = _environment()
    shown, others = present(results), unknown(results)
    origins = [r.provenance for r in results if r.provenance is not None]
    origin = next((o for o in origins if o.base and o.post), origins[0] if origins else None)
    sections = _sections(shown, others)
    return environment.get_template("template.html").render(
        title=title or _title(origin),
        origin=origin,
        eyebrow=_eyebrow(shown, others),
        sentences=_sentences(shown, results),
        notes=[str(note) for note in notes],
        cards=[card for part, own in shown for card in part.cards(own)],
        glances=[glance for part, own in shown if (glance := part.glance(own)) is not None],
        tables=[table for part, own in shown for table in part.tables(own)],
        sections=sections,
        methods=_partials(environment, shown, "methods.html"),
        limits=_partials(environment, shown, "limits.html"),
        command=command,
        compared=compared,
        further=further,
        arguments=_arguments(results),
        config=_yaml(config) if config else None,
        plotly_js=_plotly(sections),
    )


def _plotly(sections: Sequence[Section]) -> str:
    """The script that draws figures; empty where there is none to draw."""
    drawn = any(isinstance(item, Plot) for section in sections for item in section.items)
    return marks.plotly_script() if drawn else ""


Shown = Sequence[tuple[Part, Sequence[Result]]]


def _environment() -> Any:
    """Jinja environment that escapes every value and makes invisible characters visible."""
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
    """Rendered template stored beside its renderer."""
    from markupsafe import Markup

    text = template.read_text(encoding="utf-8")
    return Markup(environment.from_string(text).render(**values))


def _partials(environment: Any, shown: Shown, name: str) -> list[Any]:
    """Methods or limitations of every part of the page."""
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
        *(_told(section, part, own) for part, own in shown for section in part.sections(own)),
        *(generic_section(result, n) for n, result in enumerate(others)),
    ]


def _told(section: Section, part: Part, own: Sequence[Result]) -> Section:
    """A section whose figures say to who does not see them what the part found."""
    finding = next(iter(part.sentences(own)), section.lead)
    items = [
        replace(item, alt=item.alt or f"{section.title}. {finding} The numbers are in the tables.")
        if isinstance(item, Plot)
        else item
        for item in section.items
    ]
    return replace(section, items=tuple(items))


def _sentences(shown: Shown, results: Sequence[Result]) -> list[str]:
    """Summary of the results; a list of the page's sections where no part has a summary."""
    said = [sentence for part, own in shown for sentence in part.sentences(own)]
    if said:
        return said
    names = ", ".join(dict.fromkeys(type(result).__name__ for result in results))
    silent = [part.silent for part, _ in shown if part.silent]
    return [" ".join([*silent, f"This page shows: {names}."])]


def _eyebrow(shown: Shown, others: Sequence[Result]) -> str:
    """Subject of the page, in small print above its title."""
    if len(shown) == 1 and not others and (alone := shown[0][0].eyebrow(shown[0][1])):
        return alone
    moved = [part.moved for part, _ in shown if part.moved]
    if not moved:
        return _MODELS
    return f"{_MODELS}, compared by moving {' and '.join(moved)} between them"


def _title(origin: Provenance | None) -> str:
    """Title made of the models' names."""
    if origin is None or origin.base is None or origin.post is None:
        return "Base and post-trained model compared"
    return f"{_short(origin.base.name)} → {_short(origin.post.name)}"


def _short(name: str) -> str:
    """The last 59 characters of a long model name."""
    return name if len(name) <= 60 else f"…{name[-59:]}"


def _arguments(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Arguments recorded by each result, as indented JSON."""
    return [
        (
            type(result).__name__,
            json.dumps(result.provenance.arguments, indent=2, sort_keys=True, ensure_ascii=False),
        )
        for result in results
        if result.provenance is not None and result.provenance.arguments
    ]


def _yaml(config: Mapping[str, object]) -> str:
    """A flat mapping as YAML; every JSON value is valid YAML."""
    return "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False, default=str)}"
        for key, value in config.items()
    )
