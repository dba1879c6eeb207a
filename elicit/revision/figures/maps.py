"""Heat map of one row: what every layer would say of every token, and how far off that is."""

from typing import Any

import torch

from elicit.results import figure, label, marks, number
from elicit.revision.errors import RevisionError
from elicit.revision.figures.lines import after, lines_of, scale, token_axis
from elicit.revision.profile import Profile
from elicit.texts import LN2

AWAY = [[2 * place - 1, color] for place, color in marks.STOPS if place >= 0.5]
"""Near white where a layer says what is final, dark blue where it says something else."""


@figure.register
def profile_figure(profile: Profile, row: int = 0, model: str | None = None) -> Any:
    """Layers × tokens of one row, coloured by divergence, each cell with the layer's first token.

    Args:
        profile: What every layer says.
        row: Row that is drawn.
        model: Which model; the first if None.

    Raises:
        RevisionError: The row or the model was not read.
    """
    model = model if model is not None else profile.model[0]
    if model not in profile.model:
        raise RevisionError(
            f"model is {model!r} and {' and '.join(profile.model)} were read, so there is nothing "
            "to draw. Pass one of these."
        )
    index = (profile.row == row).nonzero()[:, 0].tolist()
    if not index:
        raise RevisionError(
            f"row is {row} and rows {_listed(profile.row)} were read, so there is nothing to draw. "
            "Pass one of these."
        )
    m = profile.model.index(model)
    lines = lines_of([profile.token[i] for i in index])
    spans = lines.spans()
    n_states = len(profile.layer)
    height = min(max(20 * n_states, 100), 560)
    figure = marks.stack([height] * len(spans), lines.room)
    words = profile.words()
    for line, span in enumerate(spans, 1):
        tokens = [index[i] for i in span]
        values = [profile.jsd[m, n, tokens].tolist() for n in range(n_states)]
        first = [[_first(profile, words, m, n, token, lines.letters) for token in tokens]
                 for n in range(n_states)]  # fmt: skip
        hover = [[_hover(profile, words, m, n, token) for token in tokens] for n in range(n_states)]
        look = {"textfont": {"size": 10}, "coloraxis": "coloraxis"}
        figure.add_trace(marks.heat(values, first, hover) | look, row=line, col=1)
    marks.style(figure, len(spans) * (height + lines.room))
    figure.update_layout(margin={"b": lines.room})
    for line, span in enumerate(spans, 1):
        token_axis(figure, lines, span, line, side="bottom")
    scale(
        figure,
        f"<b>{label(model)}</b> on {label(profile.problem[row])} "
        f"({label(profile.source)}){lines.cut}",
        "divergence of the prediction after each layer from the final one, nats",
        {
            "colorscale": AWAY,
            "cmin": 0,
            "cmax": LN2,
            "colorbar": {
                "tickvals": [0, LN2 / 2, LN2],
                "ticktext": ["0", f"{LN2 / 2:.2f} (½ bit)", f"{LN2:.2f} (1 bit)"],
            },
        },
        room=0,
    )
    step = 1 if n_states <= 16 else 4
    figure.update_yaxes(
        tickvals=list(range(0, n_states, step)),
        ticktext=["0 (embedding)", *map(str, range(step, n_states, step))],
        tickfont={"size": 10},
        showgrid=False,
        ticks="",
        title={"text": "layers run"},
    )
    return figure


def _listed(rows: torch.Tensor) -> str:
    listed = rows.unique().tolist()
    return ", ".join(map(str, listed[:6])) + (", …" if len(listed) > 6 else "")


def _first(
    profile: Profile, words: dict[int, str], m: int, layer: int, token: int, letters: int
) -> str:
    """First token of a layer as a cell shows it; empty where it was not kept."""
    if profile.top_id is None:
        return ""
    word = words[int(profile.top_id[m, layer, token, 0])].strip()
    return label(word, letters)


def _hover(profile: Profile, words: dict[int, str], m: int, layer: int, token: int) -> str:
    """Everything that is known of a cell, as plotly shows it."""
    p, at = profile, (m, layer, token)
    where = after(layer)
    lines = [f"{where}, before “{label(p.token[token])}”"]
    if p.top_id is not None and p.top_log_prob is not None:
        first = label(words[int(p.top_id[at][0])])
        lines.append(f"it would say “{first}” (p {number(p.top_log_prob[at][0].exp().item())})")
    final = label(words[int(p.top[m, token])])
    lines.append(f"the model says “{final}” (p {number(p.top_prob[m, token].item())})")
    lines.append(f"of which here: p {number(p.prob[at].item())}, rank {int(p.rank[at])}")
    nats = p.jsd[at].item()
    lines.append(f"divergence {number(nats)} nats = {number(nats / LN2)} bits")
    lines.append(f"KL {number(p.kl[at].item())} nats, entropy {number(p.entropy[at].item())} nats")
    return "<br>".join(lines)
