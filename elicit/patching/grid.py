"""Which activations carry the difference: the result of a patching sweep."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.patching._json import values_json
from elicit.patching.errors import PatchError
from elicit.patching.peak import Peak
from elicit.results import Estimate, Result
from elicit.sites import RESIDUAL_KINDS


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchGrid(Result):
    """Effect of patching one site at a time from donor into host."""

    metric: tuple[str, ...]
    """`logit_diff` (answer minus wrong), `log_prob` of the whole answer, its `probability`, or
    `kl`, KL(donor‖patched run)."""
    unit: tuple[str, ...]
    """Unit of each metric."""
    question: str
    """`within` one model, from another prompt, or `across` two models on the same prompt."""
    direction: str
    """Direction of patching, in words."""
    host: str
    """Host run."""
    donor: str
    """Donor run."""
    site: tuple[str, ...]
    """Name of each site."""
    kind: tuple[str, ...]
    """Kind of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    head: Int[Tensor, " site"]
    """Head of each site; -1: all heads, or none."""
    pos: tuple[str, ...]
    """Label of each position; `all`: every position at once."""
    width: Int[Tensor, " width"]
    """Layers patched together from the site's own on. Wide windows inflate peaks: read 1 first."""
    n_problems: int
    """Number of problems, the unit of every interval."""
    level: float
    """Nominal coverage of the intervals."""
    resolution: Float[Tensor, " metric"]
    """Per-problem effects up to this are rounding and count as 0, in the unit of each metric."""
    host_score: Annotated[Estimate, " metric"]
    """Mean of the unpatched host."""
    donor_score: Annotated[Estimate, " metric"]
    """Mean of the donor."""
    gap: Annotated[Estimate, " metric"]
    """Donor minus host, paired by problem."""
    gap_clear: Bool[Tensor, " metric"]
    """Whether the gap's interval excludes 0; where it does not, shares are not reported."""
    margin: Float[Tensor, " metric"]
    """Gap up to which there is no difference worth locating, in the unit of each metric."""
    detectable: Float[Tensor, " metric"]
    """Step that these problems would show at any cell with a chance of 80 %, allowing for all
    cells; where nothing is found, smaller ones may have been missed."""
    score: Float[Tensor, "width metric site pos"]
    """Mean of the patched host."""
    effect: Annotated[Estimate, "width metric site pos"]
    """Patched minus unpatched host, in the metric's unit; intervals are simultaneous over the
    cells of a metric and width."""
    share: Annotated[Estimate, "width metric site pos"]
    """Effect as a share of the gap: 0 none, 1 all, never clipped; NaN where the gap is not clear.
    Intervals (Fieller) are pointwise."""
    joint_share: Annotated[Estimate, "metric site pos"]
    """The same share, width 1, with intervals simultaneous over the cells of a metric: for a cell
    that was chosen as the largest. NaN where the gap is not clear enough for that."""
    p: Float[Tensor, "width metric site pos"]
    """Two-sided p-value of the effect, adjusted over the cells of a metric and width: below
    1 - level exactly where the interval excludes 0."""
    step: Annotated[Estimate, "metric site pos"]
    """Contribution of a site, width 1: for a component its effect, for the residual stream its
    effect minus that one layer earlier at the same position; NaN where nothing earlier was
    patched. Intervals are simultaneous over the cells of a metric."""
    step_layer: Int[Tensor, " site"]
    """Layer that wrote a site's step: the one before `resid_pre`, else the site's layer; -1: the
    embedding. If layers were skipped, the last of them."""
    other_prompt: Annotated[Estimate, "metric site pos"]
    """Control, width 1: effect of the donor's activation from another problem; NaN where not run.
    Intervals are simultaneous over the cells of a metric."""
    noise: Annotated[Estimate, "metric site pos"]
    """Control, width 1: effect of noise with the norm of the patched difference; NaN where not run.
    Intervals are simultaneous over the cells of a metric."""
    noise_size: Float[Tensor, "metric site pos"]
    """Root mean square over problems of the effect of noise: of what size the effect of one
    arbitrary perturbation would be, the same for all problems. NaN where not run."""
    above_other_prompt: Bool[Tensor, "metric site pos"]
    """Whether the effect, width 1, exceeds that of another problem's activation, in the effect's
    direction and with a simultaneous interval that excludes 0. If all problems have the same
    answer, the control carries it too, and the effect is not specific to a problem."""
    above_noise: Bool[Tensor, "metric site pos"]
    """Whether the effect exceeds that of noise, in the same sense."""
    above_control: Bool[Tensor, "metric site pos"]
    """Whether the effect exceeds every control that was run; False if none was."""

    def peaks(self, metric: str | None = None) -> dict[str, Peak]:
        """Cell where most of the effect enters, width 1, for each kind of site with evidence of it.

        The largest of each kind (`largest`), if the gap exceeds its margin, the interval of the
        step, simultaneous over all cells, excludes 0 and, where noise was run, the cell beats it
        (`beats_noise`).

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            PatchError: The metric was not read.
        """
        if not self.gap_found[self.metric_row(metric)]:
            return {}
        return {
            kind: peak
            for kind, peak in self.largest(metric).items()
            if peak.clear and self.beats_noise(peak)
        }

    @property
    def gap_found(self) -> Bool[Tensor, " metric"]:
        """Whether the whole interval of the gap lies beyond its margin."""
        beyond = torch.maximum(self.gap.low, -self.gap.high) > self.margin
        return beyond & self.gap_clear

    def beats_noise(self, peak: Peak) -> bool:
        """Whether a cell beats the noise control, simultaneous over cells; true where none was run.

        Its effect clearly exceeds that of noise; and there or, of the residual stream, at a later
        layer of the same position, which carries what came in, the effect exceeds what one
        arbitrary perturbation of that size, the same for all problems, would have at any cell.

        Args:
            peak: A cell of this grid.
        """
        from scipy.special import stdtrit

        row, site = self.metric.index(peak.metric), self.site.index(peak.site)
        pos = self.pos.index(peak.pos)
        size = self.noise_size[row, :, pos]
        if bool(size[site].isnan()):
            return True
        n_cells = max(int((self.noise_size[row] > 0).sum()), 1)
        # Half of what may fail is left to the interval of the step.
        reach = float(stdtrit(self.n_problems, 1 - (1 - self.level) / (4 * n_cells)))
        stream = torch.tensor([kind in RESIDUAL_KINDS for kind in self.kind])
        carries = stream & stream[site] & (self.layer >= self.layer[site])
        carries[site] = True
        effect = self.effect.value[0, row, :, pos] * torch.sign(peak.effect.value)
        beyond = carries & (size > 0) & (effect > reach * size)
        return bool(self.above_noise[row, site, pos]) and bool(beyond.any())

    def lacking(self, metric: str | None = None) -> str | None:
        """What is missing for a place to be named; None if `peak` names one.

        Args:
            metric: Name of a metric; None takes the first.

        Returns:
            `gap` (not clear), `margin` (gap too small), `effect` (none at all), `step` (none is
            clear) or `noise` (the largest does not beat it).

        Raises:
            PatchError: The metric was not read.
        """
        row, peak = self.metric_row(metric), self.candidate(metric)
        if not self.gap_clear[row]:
            return "gap"
        if not self.gap_found[row]:
            return "margin"
        if peak is None:
            return "effect"
        if not peak.clear:
            return "step"
        return None if self.beats_noise(peak) else "noise"

    def largest(self, metric: str | None = None) -> dict[str, Peak]:
        """Cell with the largest step, width 1, for each kind of site, whatever its evidence.

        For the residual stream, which accumulates, this is the largest step from one layer to the
        next towards the donor; for components, the largest effect of either sign. Kinds whose steps
        are all 0 or unknown are left out.

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            PatchError: The metric was not read.
        """
        row = self.metric_row(metric)
        # Without a gap there is no direction towards the donor.
        sign = float(torch.sign(self.gap.value[row])) if self.gap_clear[row] else 0.0
        found: dict[str, Peak] = {}
        for kind in dict.fromkeys(self.kind):
            own = torch.tensor([one == kind for one in self.kind])
            toward = sign and kind in RESIDUAL_KINDS
            step = self.step.value[row]
            steps = step * sign if toward else step.abs()
            steps = torch.where(own[:, None], steps, torch.nan).nan_to_num(nan=-torch.inf)
            site, pos = divmod(int(steps.argmax()), len(self.pos))
            if steps[site, pos] > 0:
                found[kind] = self._peak(row, site, pos)
        return found

    def peak(self, metric: str | None = None) -> Peak | None:
        """Cell where most of the effect enters; None without evidence of one, see `peaks`.

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            PatchError: The metric was not read.
        """
        return None if self.lacking(metric) else self.candidate(metric)

    def candidate(self, metric: str | None = None) -> Peak | None:
        """Cell with the largest step, whatever its evidence; None if every step is 0 or unknown.

        Uses the residual stream if it was swept, else all kinds: components may cancel each other,
        and the stream holds their sum.

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            PatchError: The metric was not read.
        """
        found = self.largest(metric)
        streams = [peak for kind, peak in found.items() if kind in RESIDUAL_KINDS]
        return max(streams or found.values(), key=lambda peak: abs(peak.step.ends[0]), default=None)

    @property
    def peak_layer(self) -> int | None:
        """Layer at which most of the effect on the first metric enters; -1: the embedding.

        None without evidence of one, see `peaks`.
        """
        peak = self.peak()
        return None if peak is None else peak.layer

    def metric_row(self, metric: str | None = None) -> int:
        """Index of a metric.

        Args:
            metric: Name of the metric; None takes the first.

        Raises:
            PatchError: The metric was not measured.
        """
        if metric is None:
            return 0
        if metric not in self.metric:
            raise PatchError(
                f"{metric!r} was not measured in this sweep, which has {', '.join(self.metric)}. "
                "Pass one of these, or run the sweep with it."
            )
        return self.metric.index(metric)

    def summary(self) -> dict[str, object]:
        """Axes, values, intervals and peaks for JSON; unknown values are null."""
        axes = {name: list(getattr(self, name)) for name in ("metric", "unit", "site", "kind")}
        plain = ("question", "direction", "host", "donor", "n_problems", "level")
        peaks = {metric: self.peaks(metric) for metric in self.metric}
        return {
            **{name: getattr(self, name) for name in plain},
            "axes": {
                **axes,
                "layer": self.layer.tolist(),
                "head": self.head.tolist(),
                "step_layer": self.step_layer.tolist(),
                "pos": list(self.pos),
                "width": self.width.tolist(),
            },
            **values_json(self, without=("layer", "head", "width", "step_layer")),
            "peak_layer": self.peak_layer,
            "nothing_found": {metric: self.lacking(metric) for metric in self.metric},
            "peaks": {
                metric: {kind: peak.to_json() for kind, peak in found.items()}
                for metric, found in peaks.items()
            },
        }

    def _peak(self, row: int, site: int, pos: int) -> Peak:
        cell = (row, site, pos)
        return Peak(
            metric=self.metric[row],
            kind=self.kind[site],
            site=self.site[site],
            pos=self.pos[pos],
            layer=int(self.step_layer[site]),
            head=int(self.head[site]),
            effect=self.effect[0, row, site, pos],
            step=self.step[cell],
            share=self.joint_share[cell],
        )
