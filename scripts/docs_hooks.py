"""What mkdocs does beside its plugins: API pages by room, tables of options, formulas as MathML."""

import html
import re
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from elicit import __all__ as NAMES
from elicit.jobs import COMMANDS, PANELS, Option

ROOT = Path(__file__).resolve().parents[1]
_OPTIONS = re.compile(r"^<!-- options of (\w+) -->$", re.M)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def rooms() -> list[str]:
    """Public rooms of the package, in the order of the alphabet."""
    places = (ROOT / "elicit").iterdir()
    return sorted({path.stem for path in places} & set(NAMES))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API pages into the navigation, before what is about the inside."""
    pages: list[Any] = [{room: f"api/{room}.md"} for room in rooms()]
    assert config.nav is not None
    place = next(i for i, entry in enumerate(config.nav) if "Extending" in entry)
    config.nav.insert(place, {"Python": [{"After import elicit": "api/index.md"}, *pages]})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Make the API pages."""
    top = sorted(set(NAMES) - set(rooms()))
    members = "\n".join(f"        - {name}" for name in top)
    head = (
        "# After `import elicit`\n\n"
        "The names that a user types; every room is reached the same way.\n\n"
    )
    made = {"index": f"{head}::: elicit\n    options:\n      members:\n{members}\n"}
    made |= {room: f"# `elicit.{room}`\n\n::: elicit.{room}\n" for room in rooms()}
    for name, text in made.items():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace each `<!-- options of COMMAND -->` by the options of the specification."""
    return _OPTIONS.sub(lambda found: _options(found[1]), markdown)


def on_page_content(content: str, **_: object) -> str:
    """Turn formulas into MathML, which browsers draw without scripts."""

    def drawn(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        made = latex2mathml.converter.convert(html.unescape(found[2]), display=display)
        return f'<div class="formula">{made}</div>' if display == "block" else made

    return _FORMULA.sub(drawn, content)


def _options(command: str) -> str:
    """Options of a command that not every command has, with their defaults, folded."""
    everywhere = set.intersection(*(set(c.spec.model_fields) for c in COMMANDS.values()))
    rows = []
    fields = COMMANDS[command].spec.model_fields
    for name, field in fields.items():
        option = next(item for item in field.metadata if isinstance(item, Option))
        if name in everywhere:
            continue
        flag = f"--{name.replace('_', '-')}"
        place = PANELS.index(option.panel) if option.panel in PANELS else PANELS.index("")
        default = option.default or _written(field.default)
        rows.append((place, f"| `{flag}` | {_cell(option.help)} | {_cell(default)} |"))
    rows.sort(key=lambda row: row[0])
    table = "\n".join(
        ["| option | what it does | default |", "|---|---|---|", *(r for _, r in rows)]
    )
    lines = "\n".join(f"    {line}" for line in table.splitlines())
    shared = "Models, machine and output are set as in every [command](../commands.md)."
    return f'??? note "Options of `elicit {command}`"\n\n{lines}\n\n    {shared}\n'


def _written(value: object) -> str:
    """A default as the command line takes it; a dash where there is none."""
    if value is None or value == "" or type(value).__name__ == "PydanticUndefinedType":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|").replace("*", "\\*")
