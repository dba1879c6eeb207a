"""Inference on a sweep's values: effects, shares, controls and their intervals."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.patching.grid import PatchGrid
from elicit.patching.swap import Swap
from elicit.patching.values import MARGINS, UNITS, SweepValues
from elicit.results import Estimate, Provenance
from elicit.sites import RESIDUAL_KINDS, Site
from elicit.stats import (
    Inference,
    bootstrap_mean,
    gap_shares,
    joint_gap_shares,
    joint_intervals,
    joint_tests,
    minimum_detectable_effect,
)

_SCORES = ("host_score", "donor_score", "gap")
_CELLS = ("effect", "share")
_CONTROLS = ("other_prompt", "noise")
_FIRSTS = ("step", "joint_share", *_CONTROLS)


def conclude_grid(
    values: SweepValues,
    *,
    contrast: Contrast,
    swap: Swap,
    embeds_alike: bool = True,
    inference: Inference = Inference(),
    provenance: Provenance | None = None,
) -> PatchGrid:
    """Effects, intervals, shares, p-values and controls of a sweep, paired by problem.

    `swap`: swap of the sweep. Across models both embed the same tokens, so the stream before the
    first layer counts as the host's; within a model the first step is unknown. `embeds_alike`:
    whether host and donor have equal embeddings of the prompts. If not, the first layer's step is
    known only if `resid_pre.0` was swept.

    Raises:
        PatchError: There are fewer than two problems, not those of the contrast, or a value is NaN
            or infinite; the cell is named.
        ValueError: `level` or `n_resamples` is out of range.

    Source: joint intervals and p as `stats.simultaneous_intervals`, shares as `stats.gap_share`
        (Fieller).
    """
    _refuse(values, contrast)

    def joint(table: Float[np.ndarray, "problem cell"]) -> Float[np.ndarray, "end cell"]:
        if not table.shape[1]:
            return np.zeros((3, 0))
        return joint_intervals(
            table, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
        )

    n_metrics, n_widths, n_pos = len(values.metric), len(values.width), len(values.pos)
    n_cells = len(values.sites) * n_pos
    before, step_layer = _steps(values.sites, swap.question, embeds_alike)
    known = np.repeat([earlier is not None for earlier in before], n_pos)
    host, donor = values.host.numpy(), values.donor.numpy()
    rounding = values.resolution
    resolution = [0.0] * n_metrics if rounding is None else rounding.tolist()
    ends = {name: np.full((3, n_metrics), np.nan) for name in _SCORES}
    cells = {name: np.full((3, n_widths, n_metrics, n_cells), np.nan) for name in _CELLS}
    firsts = {name: np.full((3, n_metrics, n_cells), np.nan) for name in _FIRSTS}
    p = np.ones((n_widths, n_metrics, n_cells))
    noise_size, detectable = np.full((n_metrics, n_cells), np.nan), np.zeros(n_metrics)
    above = {name: np.zeros((n_metrics, n_cells), dtype=bool) for name in ("control", *_CONTROLS)}
    for m in range(n_metrics):
        gap = donor[m] - host[m]
        gap = np.where(np.abs(gap) <= resolution[m], 0.0, gap)
        scores = {"host_score": host[m], "donor_score": donor[m], "gap": gap}
        for name, column in scores.items():
            mean = bootstrap_mean(
                column,
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
            ends[name][:, m] = mean.value, mean.low, mean.high
        clear = not ends["gap"][1, m] <= 0 <= ends["gap"][2, m]
        for w in range(n_widths):
            table = _table(values.patched[w, m], host[m], resolution[m])
            *ends_of, p[w, m] = joint_tests(
                table, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
            )
            cells["effect"][:, w, m] = _exact(np.stack(ends_of), values.patched[w, m], host[m])
            if clear:
                cells["share"][:, w, m] = gap_shares(table, scores["gap"], level=inference.level)
        effects = _table(values.patched[0, m], host[m], resolution[m])
        if clear:
            firsts["joint_share"][:, m] = joint_gap_shares(
                effects,
                scores["gap"],
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
        steps = _step_table(effects, before, n_pos)[:, known]
        if all(earlier == -1 for earlier in before):
            firsts["step"][:, m] = cells["effect"][:, 0, m]
        else:
            firsts["step"][:, m, known] = joint(steps)
        if steps.shape[1]:
            # Of the cell where it is largest, at the level that is left for one of so many.
            detectable[m] = minimum_detectable_effect(
                steps[:, steps.std(axis=0).argmax()],
                level=1 - (1 - inference.level) / steps.shape[1],
            )
        beyond, ran_any = np.ones(n_cells, dtype=bool), np.zeros(n_cells, dtype=bool)
        for name in _CONTROLS:
            control = getattr(values, name)
            if control is None:
                continue
            table = _table(control[m], host[m], resolution[m])
            ran = ~np.isnan(table).any(axis=0)
            table, own = table[:, ran], effects[:, ran]
            firsts[name][:, m, ran] = joint(table)
            if name == "noise":
                noise_size[m, ran] = np.sqrt((table**2).mean(axis=0))
            _, low, high = joint(own - table)
            above[name][m, ran] = np.where(own.mean(axis=0) > 0, low > 0, high < 0)
            beyond &= ~ran | above[name][m]
            ran_any |= ran
        above["control"][m] = beyond & ran_any
        # Against a control of the opposite sign, an effect of 0 would look large.
        sure = (cells["effect"][1, 0, m] > 0) | (cells["effect"][2, 0, m] < 0)
        for name in above:
            above[name][m] &= sure
    # A gap may be clear by the bootstrap but not by Fieller's condition; both are required.
    gap_clear = np.isfinite(cells["share"][0, 0]).all(axis=-1)
    grid = (len(values.sites), n_pos)
    estimates = {name: Estimate.of(array) for name, array in ends.items()}
    estimates |= {
        name: Estimate.of(array.reshape(*array.shape[:-1], *grid))
        for name, array in {**cells, **firsts}.items()
    }
    flags = {
        name: torch.from_numpy(array.reshape(n_metrics, *grid)) for name, array in above.items()
    }
    return PatchGrid(
        provenance=provenance,
        metric=values.metric,
        unit=tuple(UNITS[name] for name in values.metric),
        question=swap.question,
        direction=swap.direction,
        host=swap.runs[0],
        donor=swap.runs[1],
        site=tuple(str(site) for site in values.sites),
        kind=tuple(site.kind for site in values.sites),
        layer=torch.tensor([site.layer for site in values.sites]),
        head=torch.tensor([-1 if site.head is None else site.head for site in values.sites]),
        pos=values.pos,
        width=torch.tensor(values.width),
        n_problems=values.n_problems,
        level=inference.level,
        resolution=torch.tensor(resolution, dtype=torch.float64),
        gap_clear=torch.from_numpy(gap_clear),
        margin=torch.tensor([MARGINS[name] for name in values.metric], dtype=torch.float64),
        detectable=torch.from_numpy(detectable),
        score=values.patched.mean(-1),
        p=torch.from_numpy(p.reshape(*p.shape[:-1], *grid)),
        step_layer=step_layer,
        **estimates,
        noise_size=torch.from_numpy(noise_size.reshape(n_metrics, *grid)),
        above_other_prompt=flags["other_prompt"],
        above_noise=flags["noise"],
        above_control=flags["control"],
    )


def _steps(
    sites: tuple[Site, ...], question: str, embeds_alike: bool
) -> tuple[list[int | None], Int[Tensor, " site"]]:
    """Row preceding each site (-1: the unpatched host, None: unknown), and the step's layer.

    Streams are ordered by 2l for `resid_pre.l`, 2l+1 for `resid_mid.l`, and 2l+2 for
    `resid_post.l`, which is `resid_pre` of the next layer.
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
        # Steps span whole layers; a resid_mid would split one.
        earlier = {
            at: other
            for other, at in place.items()
            if at < place[row] and (site.kind == "resid_mid" or sites[other].kind != "resid_mid")
        }
        nothing_before = place[row] == 0 or (embeds_alike and place[row] <= 2)
        first = -1 if question == "across" and nothing_before else None
        before.append(earlier[max(earlier)] if earlier else first)
        layer.append(site.layer - 1 if site.kind == "resid_pre" else site.layer)
    return before, torch.tensor(layer)


def _step_table(
    effects: Float[np.ndarray, "problem cell"], before: list[int | None], n_pos: int
) -> Float[np.ndarray, "problem cell"]:
    """Effects minus those of the preceding site, by position."""
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
    """Effects, one row per problem and one column per cell.

    Effects within rounding count as 0: rounding of one sign is not an effect.
    """
    table = np.ascontiguousarray((scores.numpy() - host).reshape(-1, len(host)).T)
    return np.where(np.abs(table) <= resolution, 0.0, table)


def _exact(
    ends: Float[np.ndarray, "end cell"],
    scores: Float[Tensor, "site pos problem"],
    host: Float[np.ndarray, " problem"],
) -> Float[np.ndarray, "end cell"]:
    """Ends of the effects, a point where a patch changed no bit: there nothing differs to show."""
    still = (scores.numpy() == host).all(axis=-1).ravel()
    ends[1:, still] = ends[0, still]
    return ends


def _refuse(values: SweepValues, contrast: Contrast) -> None:
    """Validate values before resampling."""
    n = values.n_problems
    if n != len(contrast):
        raise PatchError(
            f"the sweep has values of {n} problems and the contrast has {len(contrast)}, so "
            "effects would be assigned to other prompts. Pass the contrast that was swept."
        )
    if n < 2:
        raise PatchError(
            f"the sweep has {n} problem, which has no spread, so its effects "
            "would have no interval. Pass at least 2 problems, better 50."
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
            where = ", ".join(str(names[at]) for names, at in zip(axes, cell, strict=True))
            where = f"width {where}" if len(cell) == 4 else where
            raise PatchError(
                f"{name} of problem {contrast.id[problem]!r} at ({where}) is "
                f"{scores[(*cell, problem)].item()}, in {int(bad.sum())} of {scores.numel()} "
                "values, and one such value makes every mean meaningless. Check the model's "
                "precision, or leave that problem out."
            )
