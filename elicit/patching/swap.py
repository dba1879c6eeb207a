"""Swaps: what is patched into what, where, and with which metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from elicit.pair import SideName
from elicit.patching.columns import Positions
from elicit.patching.errors import PatchError
from elicit.sites import Site

Within = Literal["denoise", "noise"]
Across = Literal["post_to_base", "base_to_post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Swap:
    """Activations of a donor run in place of a host's; made by `across` and `within`."""

    question: Literal["across", "within"]
    """`within` one model, from another prompt, or `across` two models on the same prompt."""
    direction: Within | Across
    """Direction of patching."""
    model: SideName | None
    """Model of a swap within; None across."""
    sites: Sequence[Site | str] | None
    """Patched sites; None: the question's default."""
    positions: Positions | None
    """Patched positions; None: the question's default."""
    metrics: Sequence[str]
    """Metrics of the output."""

    @property
    def models(self) -> tuple[SideName, SideName]:
        """Models of host and donor."""
        if self.model is not None:
            return self.model, self.model
        return ("base", "post") if self.direction == "post_to_base" else ("post", "base")

    @property
    def prompts(self) -> tuple[Literal["clean", "corrupted"], Literal["clean", "corrupted"]]:
        """Prompts of host and donor."""
        if self.question == "across":
            return "clean", "clean"
        return ("corrupted", "clean") if self.direction == "denoise" else ("clean", "corrupted")

    @property
    def runs(self) -> tuple[str, str]:
        """Runs of host and donor, in words."""
        if self.question == "across":
            return self.models
        host, donor = self.prompts
        return f"{self.model}, {host} prompt", f"{self.model}, {donor} prompt"


def across(
    direction: Across = "post_to_base",
    *,
    sites: Sequence[Site | str] | None = None,
    positions: Positions | None = None,
    metrics: Sequence[str] = ("logit_diff",),
) -> Swap:
    """Activations of one model in the other, both on the clean prompts.

    The host's own weights run on downstream of the patch.

    Args:
        direction: `post_to_base` puts activations of post into base, `base_to_post` the reverse.
        sites: Sites, or names such as `resid_pre` (every layer), `z.heads` (every head of every
            layer), `z.3.1`; None takes the question's default.
        positions: Positions within the prompt; None takes the question's default.
        metrics: Of `logit_diff`, `log_prob` (whole answer), `probability` and `kl` (to the donor).

    Raises:
        PatchError: There is no such direction.

    Source: cross-model activation patching of Prakash et al. 2024 (arXiv:2402.14811), with every
        site, both directions and the host's downstream weights.
    """
    if direction not in ("post_to_base", "base_to_post"):
        raise PatchError(
            f"direction is {direction!r}. Pass 'post_to_base' or 'base_to_post', or patch one "
            "model with within."
        )
    return Swap(
        question="across",
        direction=direction,
        model=None,
        sites=sites,
        positions=positions,
        metrics=metrics,
    )


def within(
    direction: Within = "denoise",
    *,
    model: SideName = "base",
    sites: Sequence[Site | str] | None = None,
    positions: Positions | None = None,
    metrics: Sequence[str] = ("logit_diff",),
) -> Swap:
    """Activations of one model on the clean prompts in its run on the corrupted ones, or back.

    Args:
        direction: `denoise` puts clean activations into the corrupted run (sufficiency), `noise`
            corrupted ones into the clean run (necessity).
        model: `base` or `post`.
        sites: See `across`.
        positions: See `across`.
        metrics: See `across`.

    Raises:
        PatchError: There is no such direction or model.
    """
    if direction not in ("denoise", "noise"):
        raise PatchError(
            f"direction is {direction!r}. Pass 'denoise' or 'noise', or patch two models with "
            "across."
        )
    if model not in ("base", "post"):
        raise PatchError(f"model is {model!r}. Pass 'base' or 'post'.")
    return Swap(
        question="within",
        direction=direction,
        model=model,
        sites=sites,
        positions=positions,
        metrics=metrics,
    )
