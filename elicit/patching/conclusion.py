"""From the values of a sweep to what it says: effects, shares, controls, and how sure they are."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.grid import PatchGrid
from elicit.patching.values import UNITS, SweepValues
from elicit.results import Provenance
from elicit.sites import RESIDUAL_KINDS, Site
from elicit.stats import bootstrap_mean, max_t
from elicit.stats._resampling import bootstrap_t, mid_quantile, standard_error, student_floor

Question = Literal["within", "across"]
_PARTS = 1024
"""Cells resampled at once: 16 MiB for 2000 resamples, however large the grid."""
_ENDS = ("", "_low", "_high")
_SCORES = ("host_score", "donor_score", "gap")
_CELLS = ("effect", "share")
_CONTROLS = ("other_prompt", "noise")
_FIRSTS = ("step", *_CONTROLS)


def conclude_grid(
    values: SweepValues,
    *,
    contrast: Contrast,
    direction: str,
    host_name: str,
    donor_name: str,
    question: Question,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    provenance: Provenance | None = None,
) -> PatchGrid:
    """Effects, intervals, shares, p-values and controls of a sweep, always paired by problem.

    Args:
        values: Metrics of every problem under every patch.
        contrast: What the sweep ran on.
        direction: What is patched into what, in words.
        host_name: Run that is patched.
        donor_name: Run that the activations come from.
        question: Whether the donor is another prompt or another model. Across models the embedding
            reads the same tokens, so that what stands before the first layer counts as the host's;
            within a model it does not, so the first step is not known.
        level: Coverage of the intervals, in (0, 1).
        n_resamples: Resamples of problems, and sign flips, at least 100.
        seed: Of the resampling.
        provenance: Origin of the values.

    Raises:
        PatchError: There are fewer than two problems, not those of the contrast, or a value is NaN
            or infinite; names the cell.
        ValueError: `level` or `n_resamples` is out of range.

    Source: joint intervals as `stats.simultaneous_intervals`, p as `stats.max_t`, shares as
        `stats.gap_share` (Fieller).
    """
    _refuse(values, contrast)
    n_metrics, n_widths, n_pos = len(values.metric), len(values.width), len(values.pos)
    n_cells = len(values.sites) * n_pos
    before, step_layer = _steps(values.sites, question)
    known = np.repeat([earlier is not None for earlier in before], n_pos)
    host, donor = values.host.numpy(), values.donor.numpy()
    rounding = values.resolution
    resolution = [0.0] * n_metrics if rounding is None else rounding.tolist()
    ends = {name: np.full((3, n_metrics), np.nan) for name in _SCORES}
    cells = {name: np.full((3, n_widths, n_metrics, n_cells), np.nan) for name in _CELLS}
    firsts = {name: np.full((3, n_metrics, n_cells), np.nan) for name in _FIRSTS}
    p = np.ones((n_widths, n_metrics, n_cells))
    above = {name: np.zeros((n_metrics, n_cells), dtype=bool) for name in ("control", *_CONTROLS)}
    for m in range(n_metrics):
        scores = {"host_score": host[m], "donor_score": donor[m], "gap": donor[m] - host[m]}
        for name, column in scores.items():
            found = bootstrap_mean(column, level=level, n_resamples=n_resamples, seed=seed)
            ends[name][:, m] = found.value, found.low, found.high
        clear = not ends["gap"][1, m] <= 0 <= ends["gap"][2, m]
        for w in range(n_widths):
            table = _table(values.patched[w, m], host[m], resolution[m])
            cells["effect"][:, w, m] = joint_intervals(table, level, n_resamples, seed)
            p[w, m] = max_t(table, n_resamples=n_resamples, seed=seed)
            if clear:
                cells["share"][:, w, m] = _shares(table, scores["gap"], level)
        effects = _table(values.patched[0, m], host[m], resolution[m])
        if all(earlier == -1 for earlier in before):
            firsts["step"][:, m] = cells["effect"][:, 0, m]
        else:
            steps = _step_table(effects, before, n_pos)[:, known]
            firsts["step"][:, m, known] = joint_intervals(steps, level, n_resamples, seed)
        beyond, ran_any = np.ones(n_cells, dtype=bool), np.zeros(n_cells, dtype=bool)
        for name in _CONTROLS:
            control = getattr(values, name)
            if control is None:
                continue
            table = _table(control[m], host[m], resolution[m])
            ran = ~np.isnan(table).any(axis=0)
            table, own = table[:, ran], effects[:, ran]
            firsts[name][:, m, ran] = joint_intervals(table, level, n_resamples, seed)
            _, low, high = joint_intervals(own - table, level, n_resamples, seed)
            above[name][m, ran] = np.where(own.mean(axis=0) > 0, low > 0, high < 0)
            beyond &= ~ran | above[name][m]
            ran_any |= ran
        above["control"][m] = beyond & ran_any
    # A gap may be clear by the bootstrap and not by Fieller's own condition: one word for both.
    gap_clear = np.isfinite(cells["share"][0, 0]).all(axis=-1)
    grid = (len(values.sites), n_pos)
    fields = {
        f"{name}{end}": torch.from_numpy(array[place].reshape(*array.shape[1:-1], *grid))
        for name, array in {**cells, **firsts}.items()
        for place, end in enumerate(_ENDS)
    }
    fields |= {
        f"{name}{end}": torch.from_numpy(array[place])
        for name, array in ends.items()
        for place, end in enumerate(_ENDS)
    }
    fields |= {
        f"above_{name}": torch.from_numpy(array.reshape(n_metrics, *grid))
        for name, array in above.items()
    }
    return PatchGrid(
        provenance=provenance,
        metric=values.metric,
        unit=tuple(UNITS[name] for name in values.metric),
        question=question,
        direction=direction,
        host=host_name,
        donor=donor_name,
        site=tuple(str(site) for site in values.sites),
        kind=tuple(site.kind for site in values.sites),
        layer=torch.tensor([site.layer for site in values.sites]),
        head=torch.tensor([-1 if site.head is None else site.head for site in values.sites]),
        pos=values.pos,
        width=torch.tensor(values.width),
        n_problems=values.n_problems,
        level=level,
        resolution=torch.tensor(resolution, dtype=torch.float64),
        gap_clear=torch.from_numpy(gap_clear),
        score=values.patched.mean(-1),
        p=torch.from_numpy(p.reshape(*p.shape[:-1], *grid)),
        step_layer=step_layer,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def joint_intervals(
    rows: Float[np.ndarray, "problem part"], level: float, n_resamples: int, seed: int
) -> Float[np.ndarray, "end part"]:
    """Mean, lower and upper end of every part, the ends jointly over parts.

    The same numbers as `stats.simultaneous_intervals`, a thousand parts at a time: every block of
    parts is drawn with the same resamples of problems, of which only the largest |t| is kept.

    Args:
        rows: Effect for each problem and part, any unit.
        level: Chance that all intervals cover, in (0, 1).
        n_resamples: Resamples of the problems.
        seed: Of the resampling.
    """
    n, n_parts = rows.shape
    if not n_parts:
        return np.zeros((3, 0))
    varies = rows.min(axis=0) < rows.max(axis=0)
    value = np.where(varies, rows.mean(axis=0), rows[0])
    deviations = rows - value
    moving = np.flatnonzero(varies)
    critical = 0.0
    if len(moving):
        largest = np.zeros(n_resamples)
        for start in range(0, len(moving), _PARTS):
            block = deviations[:, moving[start : start + _PARTS]]
            t = bootstrap_t(block, n_resamples, seed=seed)
            np.maximum(largest, t.max(axis=1), out=largest)
        critical = float(mid_quantile(largest[:, None], level)[0])
        critical = max(critical, student_floor(n, level, n_parts=len(moving)))
    half = critical * standard_error(deviations)
    return np.stack([value, value - half, value + half])


def _shares(
    gains: Float[np.ndarray, "problem part"], gap: Float[np.ndarray, " problem"], level: float
) -> Float[np.ndarray, "end part"]:
    """Share of the gap, lower and upper end of every part alone; NaN where the gap is not clear.

    Source: Fieller 1954, as in `stats.gap_share`, here for all parts at once.
    """
    from scipy.special import stdtrit

    n, mean_gap = len(gap), float(gap.mean())
    critical = float(stdtrit(n - 1, (1 + level) / 2))
    half = critical * float(standard_error((gap - mean_gap)[:, None])[0])
    if np.ptp(gap) == 0:
        half = 0.0
    if abs(mean_gap) <= half:
        return np.full((3, gains.shape[1]), np.nan)
    share = gains.mean(axis=0) / mean_gap
    rest = gains - share * gap[:, None]
    product = ((gap - mean_gap)[:, None] * rest).mean(axis=0) / (n - 1)
    room = mean_gap**2 - half**2
    middle = -(critical**2) * product / room
    reach = np.sqrt(middle**2 + (critical * standard_error(rest)) ** 2 / room)
    return np.stack([share, share + middle - reach, share + middle + reach])


def _steps(
    sites: tuple[Site, ...], question: Question
) -> tuple[list[int | None], Int[Tensor, " site"]]:
    """Row that stands before each site (-1: the unpatched host, None: unknown), and whose step.

    Twice the number of a boundary between layers: `resid_pre.l` 2l, `resid_mid.l` 2l+1,
    `resid_post.l` 2l+2, which is `resid_pre` of the next layer.
    """
    shift = {"resid_pre": 0, "resid_mid": 1, "resid_post": 2}
    place = {row: 2 * s.layer + shift[s.kind] for row, s in enumerate(sites) if s.kind in shift}
    before: list[int | None] = []
    layer = []
    for row, site in enumerate(sites):
        if site.kind not in RESIDUAL_KINDS:
            before.append(-1)
            layer.append(site.layer)
            continue
        # Whole layers are steps between their ends; a resid_mid would cut one in two.
        earlier = {
            at: other
            for other, at in place.items()
            if at < place[row] and (site.kind == "resid_mid" or sites[other].kind != "resid_mid")
        }
        first = -1 if question == "across" and place[row] <= 2 else None
        before.append(earlier[max(earlier)] if earlier else first)
        layer.append(site.layer - 1 if site.kind == "resid_pre" else site.layer)
    return before, torch.tensor(layer)


def _step_table(
    effects: Float[np.ndarray, "problem cell"], before: list[int | None], n_pos: int
) -> Float[np.ndarray, "problem cell"]:
    """Effects less those of the site before, position by position."""
    by_site = effects.reshape(len(effects), len(before), n_pos)
    steps = by_site.copy()
    for row, earlier in enumerate(before):
        if earlier is not None and earlier >= 0:
            steps[:, row] -= by_site[:, earlier]
    return steps.reshape(effects.shape)


def _table(
    scores: Float[Tensor, "site pos problem"],
    host: Float[np.ndarray, " problem"],
    resolution: float,
) -> Float[np.ndarray, "problem cell"]:
    """Effects as the statistics read them: a row a problem, a column a cell.

    What rounding alone may do counts as 0: rounding of one sign is no effect.
    """
    table = np.ascontiguousarray((scores.numpy() - host).reshape(-1, len(host)).T)
    return np.where(np.abs(table) <= resolution, 0.0, table)


def _refuse(values: SweepValues, contrast: Contrast) -> None:
    """Refuse values that say nothing, before anything is resampled."""
    n = values.n_problems
    if n != len(contrast):
        raise PatchError(
            f"the sweep has values of {n} problems and the contrast has {len(contrast)}, so "
            "effects would be named after other prompts. Pass the contrast that was swept."
        )
    if n < 2:
        raise PatchError(
            f"the sweep has {n} problem, and one has no spread, so nothing would say how sure an "
            "effect is. Pass at least 2 problems, better 50."
        )
    for name in ("host", "donor", "patched", "other_prompt", "noise"):
        scores = getattr(values, name)
        if scores is None:
            continue
        bad = ~scores.isfinite()
        if name in _CONTROLS:
            # NaN for every problem of a cell says that the control was not run there.
            bad &= ~scores.isnan().all(dim=-1, keepdim=True)
        if bad.any():
            *cell, problem = bad.nonzero()[0].tolist()
            labels = (values.width, values.metric, values.sites, values.pos)
            axes = labels[1:2] if len(cell) == 1 else labels[-len(cell) :]
            told = ", ".join(str(names[at]) for names, at in zip(axes, cell, strict=True))
            told = f"width {told}" if len(cell) == 4 else told
            raise PatchError(
                f"{name} of problem {contrast.id[problem]!r} at ({told}) is "
                f"{scores[(*cell, problem)].item()}, in {int(bad.sum())} of {scores.numel()} "
                "values, and one such value makes every mean meaningless. Find out why it is not "
                "finite, or leave that problem out."
            )
