"""Specification of `elicit patch`, validated before any work."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import MACHINE, TASKS, Option
from elicit.jobs._spec import PairSpec

SITES = {
    "across": ("resid_post", "attn_out", "mlp_out"),
    "within": ("resid_pre", "attn_out", "mlp_out"),
}
"""Default sites."""
OWN_PROBLEMS = 60
"""Default number of problems of an embedded pair."""
_ACROSS = ("post_to_base", "base_to_post")


class PatchSpec(PairSpec):
    """Find which activations carry the difference, layer by layer and position by position."""

    command: ClassVar[str] = "patch"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:when-l3",
        "--pair organism:when-l3 --sites attn_out.3 --positions each",
    )

    problems: Annotated[
        Path | None,
        Option(
            "Problems: prompt, answer, and optionally wrong (or candidates) and "
            "corrupted. Default for an embedded pair: its decision to reason.",
            TASKS,
            "FILE",
            required="without --pair",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Option(
            "Maximum number of problems.",
            TASKS,
            "N",
            default=f"all; {OWN_PROBLEMS} of an embedded pair's own",
        ),
    ] = Field(default=None, ge=2)
    direction: Annotated[
        Literal["both", "post_to_base", "base_to_post", "denoise", "noise"],
        Option(
            "Across models: post-to-base, base-to-post, both. Within one model, between clean and "
            "corrupted prompts: denoise, noise.",
            metavar="WAY",
        ),
    ] = "both"
    model: Annotated[Literal["base", "post"], Option("Model that denoise and noise patch.")] = (
        "base"
    )
    sites: Annotated[
        tuple[str, ...],
        Option(
            "Rows: resid_pre, resid_mid, resid_post, attn_out, mlp_out, z, q, k, v at every "
            "layer; z.heads for every head; mlp_out.3, z.3.1 for one site.",
            metavar="SITE,…",
            flags=("--site",),
            default="attn_out, mlp_out, and resid_post across models or resid_pre within one",
        ),
    ] = ()
    positions: Annotated[
        Literal["each", "all", "last"] | tuple[int, ...],
        Option("Columns: each, all (at once), last, or indices such as -2,-1.", metavar="WHICH"),
    ] = "each"
    metrics: Annotated[
        tuple[Literal["logit_diff", "log_prob", "probability", "kl"], ...],
        Option(
            "logit_diff, log_prob, probability or kl.",
            metavar="NAME,…",
            flags=("--metric",),
            default="logit_diff where answers allow it, else log_prob",
        ),
    ] = ()
    widths: Annotated[
        tuple[int, ...], Option("Layers patched together, in addition to 1.", metavar="N,…")
    ] = (1,)
    controls: Annotated[
        tuple[Literal["other_prompt", "noise"], ...],
        Option("Controls: other_prompt, noise, or none.", metavar="NAME,…"),
    ] = ("other_prompt", "noise")
    factorial: Annotated[
        bool | None,
        Option(
            "Run upstream × downstream × unembedding at every boundary.", default="across models"
        ),
    ] = None
    engine: Annotated[
        Literal["lanes", "loop"],
        Option("loop: one full forward pass per cell, slow, to verify lanes.", MACHINE),
    ] = "lanes"

    @field_validator("direction", mode="before")
    @classmethod
    def _underscored(cls, direction: object) -> object:
        return direction.replace("-", "_") if isinstance(direction, str) else direction

    @field_validator("positions", mode="before")
    @classmethod
    def _listed(cls, positions: object) -> object:
        """Parse command-line indices: `-2,-1`."""
        words = [*map(str, positions)] if isinstance(positions, list | tuple) else [str(positions)]
        pieces = [piece.strip() for word in words for piece in word.split(",") if piece.strip()]
        if pieces and all(piece.lstrip("+-").isdigit() for piece in pieces):
            return tuple(int(piece) for piece in pieces)
        if len(pieces) != 1 or pieces[0] not in ("each", "all", "last"):
            raise ValueError("write each, all, last, or whole numbers such as -2,-1")
        return pieces[0]

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, controls: object) -> object:
        return () if controls in ("none", ["none"], ("none",)) else controls

    @field_validator("sites")
    @classmethod
    def _known(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        from elicit.sites import KINDS

        kinds = [kind for kind in KINDS if kind != "pattern"]
        for site in sites:
            if site.strip().split(".")[0] not in kinds:
                raise ValueError(
                    f"{site!r} does not start with a kind of site that has positions; kinds are "
                    f"{', '.join(kinds)}"
                )
        return sites

    @field_validator("widths")
    @classmethod
    def _positive(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if min(widths, default=1) < 1:
            raise ValueError("a window has at least 1 layer")
        return widths

    @model_validator(mode="after")
    def _fits(self) -> "PatchSpec":
        if self.problems is None and self.pair is None:
            raise NotGivenError(
                ["problems"], ", so there are no prompts to patch. Give a file of problems"
            )
        if self.question == "within" and self.problems is None:
            raise ValueError(
                f"direction is {self.direction}, which patches between clean and corrupted "
                "prompts, and no problems are given. Pass a JSONL file whose lines have prompt, "
                "corrupted, answer and wrong"
            )
        if self.question == "within" and self.factorial:
            raise ValueError(
                f"direction is {self.direction}, which stays within one model, and a factorial "
                "mixes two. Leave factorial out, or choose another direction"
            )
        if self.question == "across" and self.model == "post":
            raise ValueError(
                f"model is post, and direction is {self.direction}, which patches across both "
                "models. Leave model out, or choose denoise or noise"
            )
        if self.factorial and self.metrics and set(self.metrics) == {"kl"}:
            raise ValueError(
                "a factorial has no donor, which the only metric, kl, needs. Add logit_diff, "
                "log_prob or probability"
            )
        return self

    @property
    def loads_identical(self) -> bool:
        """Across models, identical ones are refused later with a more specific message."""
        return self.allow_identical or self.question == "across"

    @property
    def question(self) -> Literal["across", "within"]:
        """Whether activations come from the other model or from another prompt."""
        return "within" if self.direction in ("denoise", "noise") else "across"

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the sweeps."""
        return _ACROSS if self.direction == "both" else (self.direction,)
