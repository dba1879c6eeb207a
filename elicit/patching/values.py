"""Raw values of a sweep: one number per problem, cell and metric."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.patching.errors import PatchError
from elicit.sites import Site

Metric = Literal["logit_diff", "log_prob", "probability", "kl"]
METRICS: tuple[Metric, ...] = get_args(Metric)
UNITS: dict[str, str] = {
    "logit_diff": "logits",
    "log_prob": "nats",
    "probability": "probability",
    "kl": "nats",
}
"""Unit of each metric."""
MARGINS: dict[str, float] = {"logit_diff": 0.1, "log_prob": 0.1, "probability": 0.01, "kl": 0.01}
"""Gap of each metric, in its unit, up to which there is no difference worth locating."""


def check_metrics(metrics: Sequence[str]) -> None:
    """Refuse unknown, duplicate or missing metrics.

    Raises:
        PatchError: A name is unknown or duplicate, or the list is empty.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics or len(set(metrics)) != len(metrics):
        fault = f"{unknown[0]!r} is not known" if unknown else "at least one is needed, each once"
        raise PatchError(
            f"the metrics are {list(metrics)}, and {fault}. Pass a subset of {', '.join(METRICS)}."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class SweepValues:
    """Metrics of every problem, unpatched and with each cell patched; float64 on the CPU.

    `kl` is KL(donor‖patched run): 0 for the donor, and the distance to it for the host.

    Raises:
        PatchError: Two fields disagree on an axis, or an axis has duplicates.
    """

    sites: tuple[Site, ...]
    """Site of each row of the grid."""
    pos: tuple[str, ...]
    """Label of each column: `all`, or a position and its token, `-1 A`."""
    metric: tuple[str, ...]
    """`logit_diff`, `log_prob`, `probability` or `kl`."""
    width: tuple[int, ...]
    """Layers patched together from the site's own on; 1 first."""
    host: Float[Tensor, "metric problem"]
    """Unpatched host."""
    donor: Float[Tensor, "metric problem"]
    """Donor run."""
    patched: Float[Tensor, "width metric site pos problem"]
    """Host with one cell patched from the donor."""
    other_prompt: Float[Tensor, "metric site pos problem"] | None = None
    """Control: the cell patched from the donor's run on another problem, width 1. NaN for all
    problems of a cell: not run."""
    noise: Float[Tensor, "metric site pos problem"] | None = None
    """Control: noise with the norm of the donor-host difference, width 1."""
    resolution: Float[Tensor, " metric"] | None = None
    """Per-problem effects up to this are rounding; None: no rounding."""

    def __post_init__(self) -> None:
        """Validate the axes."""
        check_metrics(self.metric)
        sizes = {"width": len(self.width), "metric": len(self.metric), "site": len(self.sites)}
        sizes |= {"pos": len(self.pos), "problem": self.host.shape[-1]}
        axes = {
            "host": "metric problem",
            "donor": "metric problem",
            "patched": "width metric site pos problem",
            "other_prompt": "metric site pos problem",
            "noise": "metric site pos problem",
        }
        for name, on in axes.items():
            value = getattr(self, name)
            expected = tuple(sizes[axis] for axis in on.split())
            if value is not None and tuple(value.shape) != expected:
                raise PatchError(
                    f"{name} has shape {tuple(value.shape)} and the axes {on!r} have sizes "
                    f"{expected}, so its values cannot be named. Pass one entry for each."
                )
            if value is not None and (value.dtype != torch.float64 or value.device.type != "cpu"):
                raise PatchError(
                    f"{name} is {value.dtype} on {value.device}, and means over problems are taken "
                    "in float64 on the CPU. Pass .double().cpu()."
                )
        for axis, names in (("sites", self.sites), ("pos", self.pos), ("width", self.width)):
            twice = [str(name) for name, times in Counter(names).items() if times > 1]
            if twice or not names:
                what = f"names {twice[0]!r} twice" if twice else "is empty"
                raise PatchError(
                    f"{axis} {what}, so cells would not be identifiable. Name each one once."
                )
        if self.width[0] != 1 or min(self.width) < 1:
            raise PatchError(
                f"width is {self.width}, and wide windows inflate peaks, so width 1 must come "
                "first. Pass 1, then the wider ones."
            )

    @property
    def n_problems(self) -> int:
        """Problems, the unit of every interval."""
        return int(self.host.shape[-1])


def resolution_of(
    dtype: torch.dtype, metric: Sequence[str], scores: Float[Tensor, "metric some_problem"]
) -> Float[Tensor, " metric"]:
    """Numerical difference between two runs of one computation, in the unit of each metric.

    A patched run goes through matrix products of other shapes than the unpatched one, and rounding
    of one sign in every problem would look like a certain effect. Measured on ten architectures:
    up to 20 units of the last place in float32, 1 in bfloat16, of the largest score.
    """
    eps = torch.finfo(dtype).eps
    units = 64 if eps < 1e-6 else 2
    scale = scores.abs().amax(dim=1)
    # A small probability is as precise, relatively, as the logits it is computed from.
    floor = torch.tensor([name != "probability" for name in metric], dtype=scale.dtype)
    return units * eps * torch.maximum(scale, floor)
