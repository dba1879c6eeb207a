"""Settling sections of the page: profiles, texts, sensitivity to the convention, difficulty."""

from collections.abc import Sequence

from elicit.page import Plot, Section, plot
from elicit.page.revision import tables as t
from elicit.page.revision.text import NAMES, convention_text
from elicit.results import Result
from elicit.revision import DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit
from elicit.revision.figures import profile_figure, strip_figure
from elicit.revision.figures.lines import LINE

_STRIPS = 2
"""Maximum number of rows whose text is shown."""


def revise_sections(results: Sequence[Result]) -> list[Section]:
    """Sections of settling depths, then of profiles, sensitivity and groups."""
    profiles = [result for result in results if isinstance(result, Profile)]
    sections: list[Section] = []
    for n, result in enumerate(r for r in results if isinstance(r, Settling)):
        sections.append(_settling(result, n))
        strips = _strips(result, profiles, n)
        if strips:
            sections.append(
                Section(
                    f"texts-{n}",
                    "On the text",
                    "Settling depth of every token of a text, in both models.",
                    strips,
                )
            )
    bands = [result for result in results if isinstance(result, Sensitivity)]
    groups = [result for result in results if isinstance(result, DepthByGroup)]
    return [
        *sections,
        *(_profile(result, n) for n, result in enumerate(profiles)),
        *(_band(result, n) for n, result in enumerate(bands)),
        *(_groups(result, n) for n, result in enumerate(groups)),
        *_lenses([result for result in results if isinstance(result, TunedLensFit)]),
    ]


def _settling(result: Settling, n: int) -> Section:
    caption = (
        "Above: divergence of the prediction after each layer from the model’s final one, averaged "
        "over tokens, then over problems; dashed: the threshold g. Below: post minus base on the "
        "same tokens, filled marks exclude 0. Bands are "
        f"simultaneous {100 * result.level:g} % intervals over depths"
        f"{' and models' if len(result.model) > 1 else ''}. Grey: depths at which settling is deep."
    )
    return Section(
        f"settling-{n}",
        "When predictions settle",
        convention_text(result.convention, result.n_layers),
        (
            plot(
                f"plot-settling-{n}",
                result.figure(),
                caption,
                columns=max(16, 14 * len(result.source), len(result.layer)),
            ),
            t.source_table(result),
            t.profile_table(result),
        ),
    )


def _strips(result: Settling, profiles: Sequence[Profile], n: int) -> tuple[Plot, ...]:
    """Texts of some rows; those of the profile if it covers the same texts."""
    source = next((p.source for p in profiles if p.source in result.source), result.source[0])
    here = result.source_of == result.source.index(source)
    lengths = result.row[here].bincount().tolist()
    rows = [row for row, length in enumerate(lengths) if length > 1]
    wanted = {name for p in profiles if p.source == source for name in p.problem}
    names = {
        int(result.row[i]): result.problem[int(result.problem_of[i])]
        for i in here.nonzero()[:, 0].tolist()
    }
    rows = [row for row in rows if names[row] in wanted] or rows
    caption = (
        "The text of one problem; under each token, the depth at which its prediction settles "
        "(number of layers run), in base and in post. Orange and bold: deep. Hover over a cell for "
        "its divergences."
    )
    return tuple(
        plot(
            f"plot-strip-{n}-{place}",
            strip_figure(result, row=row, source=source),
            "The same for another problem." if place else caption,
            columns=LINE,
        )
        for place, row in enumerate(rows[:_STRIPS])
    )


def _profile(result: Profile, n: int) -> Section:
    lengths = result.row.bincount().tolist()
    row = next((i for i, length in enumerate(lengths) if length > 1), 0)
    caption = (
        "Each cell: the top token at this position after the number of layers on the y axis, read "
        "as if no layer followed; along the bottom, the token that follows. Faint: it agrees "
        "with the model’s final prediction; strong blue: it does not. Hover over a cell for "
        "probabilities, rank, entropy and divergences."
    )
    return Section(
        f"profile-{n}",
        "Prediction of every layer",
        f"One complete row, from {NAMES.get(result.source, result.source)}. The saved result holds "
        f"{len(result.problem)} rows.",
        tuple(
            plot(
                f"plot-profile-{n}-{m}",
                profile_figure(result, row=row, model=model),
                caption,
                columns=LINE,
                folded=f"The same in {model}" if m else "",
            )
            for m, model in enumerate(result.model)
        ),
    )


def _band(result: Sensitivity, n: int) -> Section:
    caption = (
        "Difference in the share of tokens that settle deep, post minus base on the same tokens, "
        "for every threshold g and every ρ; hollow: the interval, simultaneous over all settings, "
        "includes 0. A difference that changes sign here depends on the convention."
    )
    return Section(
        f"band-{n}",
        "Sensitivity to the convention",
        "The deep-thinking ratio depends on two chosen cut-offs, g and ρ.",
        (
            plot(
                f"plot-band-{n}",
                result.figure(),
                caption,
                columns=max(20, 2 * result.dtr_diff.value.numel()),
            ),
            t.band_table(result),
        ),
    )


def _groups(result: DepthByGroup, n: int) -> Section:
    caption = (
        "Mean settling depth by difficulty, with intervals over problems; below, post minus base "
        "on the same tokens (hollow: the interval includes 0). Harder problems have longer texts "
        "with another mix of tokens, so depth may fall with difficulty although no token is easier."
    )
    return Section(
        f"groups-{n}",
        "Harder problems",
        "Settling depth as a function of problem difficulty.",
        (
            plot(
                f"plot-groups-{n}", result.figure(), caption, columns=max(20, 3 * len(result.group))
            ),
            t.group_table(result),
        ),
    )


def _lenses(fits: Sequence[TunedLensFit]) -> list[Section]:
    if not fits:
        return []
    caption = (
        "Divergence of the prediction after each layer from the model’s final one, on held-out "
        "problems. "
        "The gain of the affine map over a bias alone may be computed by the lens itself."
    )
    return [
        Section(
            "lenses",
            "The lenses",
            "Fitted on half of the problems, one lens per depth and model.",
            tuple(
                plot(f"plot-lens-{n}", fit.figure(), caption, columns=max(16, len(fit.layer)))
                for n, fit in enumerate(fits)
            ),
        )
    ]
