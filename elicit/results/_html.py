"""A result as a notebook shows it: its finding first, then its numbers."""

import html
from typing import Any

import numpy as np

from elicit.results import columns as columns_
from elicit.results.drawing import finding
from elicit.results.store import clean_text

_ROWS = 8


def html_of(result: Any, *, axes: tuple[str, ...], title: str) -> str:
    """Finding, title, first rows of a table, meaning of each field folded; all escaped.

    Args:
        result: Any result.
        axes: Axes whose points are the rows of the table.
        title: First line of its class's docstring.
    """
    table = columns_.columns(result, axes, limit=_ROWS)
    sizes = columns_.axis_sizes(result)
    n_rows = int(np.prod([sizes[name] for name in axes], dtype=np.int64))
    head = "".join(f"<th>{_escape(name)}</th>" for name in table)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_escape(_cell(value))}</td>' for value in row)}</tr>"
        for row in zip(*table.values(), strict=True)
    )
    described = "".join(
        f"<dt>{_escape(name)}</dt><dd>{_escape(text)}</dd>"
        for name, text in result.describe().items()
    )
    found = finding(result)
    return (
        f"<div>{f'<p><b>{_escape(found)}</b></p>' if found else ''}"
        f"<p><b>{_escape(type(result).__name__)}</b> {_escape(title)}</p>"
        '<div style="overflow-x: auto">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<p>{min(n_rows, _ROWS)} of {n_rows} rows</p>"
        f"<details><summary>What each field means</summary><dl>{described}</dl></details>"
        "</div>"
    )


def _escape(text: str) -> str:
    """Text that a page shows as it is, whatever a model wrote."""
    return html.escape(clean_text(text))


def _cell(value: object) -> str:
    """One table cell in few characters."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
