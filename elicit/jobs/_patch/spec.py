"""What `elicit patch` was asked to do, checked before any work."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._spec import PairSpec
from elicit.sites import KINDS

SITES = {
    "across": ("resid_post", "attn_out", "mlp_out"),
    "within": ("resid_pre", "attn_out", "mlp_out"),
}
"""Sites that are swept when none are named."""
OWN_PROBLEMS = 60
"""Problems of an embedded pair that are used when no number is given."""
_ACROSS = ("post_to_base", "base_to_post")


class PatchSpec(PairSpec):
    """What `elicit patch` was asked to do."""

    command: ClassVar[str] = "patch"

    direction: Literal["both", "post_to_base", "base_to_post", "denoise", "noise"] = "both"
    """Across the two models, or within one from clean and corrupted prompts."""
    model: Literal["base", "post"] = "base"
    """Which of the two is patched within."""
    sites: tuple[str, ...] = ()
    """Names as `sites.expand` reads them; none means those of `SITES`."""
    positions: Literal["each", "all", "last"] | tuple[int, ...] = "each"
    metrics: tuple[Literal["logit_diff", "log_prob", "probability", "kl"], ...] = ()
    """None means `logit_diff` where answers allow it, else `log_prob`."""
    widths: tuple[int, ...] = (1,)
    controls: tuple[Literal["other_prompt", "noise"], ...] = ("other_prompt", "noise")
    factorial: bool | None = None
    """None means: across the two models, where a metric allows it."""
    engine: Literal["lanes", "loop"] = "lanes"
    limit: int | None = Field(default=None, ge=2)
    """Most problems; of an embedded pair's own, None means `OWN_PROBLEMS`."""

    @field_validator("direction", mode="before")
    @classmethod
    def _underscored(cls, direction: object) -> object:
        return direction.replace("-", "_") if isinstance(direction, str) else direction

    @field_validator("positions", mode="before")
    @classmethod
    def _listed(cls, positions: object) -> object:
        """Numbers as the command line has them: `-2,-1`."""
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
        kinds = [kind for kind in KINDS if kind != "pattern"]
        for site in sites:
            if site.strip().split(".")[0] not in kinds:
                raise ValueError(
                    f"{site!r} begins with no kind of site that has positions; kinds are "
                    f"{', '.join(kinds)}"
                )
        return tuple(dict.fromkeys(sites))

    @field_validator("metrics", "controls", "widths")
    @classmethod
    def _each_once(cls, listed: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(dict.fromkeys(listed))

    @field_validator("widths")
    @classmethod
    def _positive(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
        if min(widths, default=1) < 1:
            raise ValueError("a window holds at least 1 layer")
        return widths

    @model_validator(mode="after")
    def _fits(self) -> "PatchSpec":
        if self.problems is None and self.pair is None:
            raise ValueError(
                "problems are not given, so there is nothing to patch on. Give a JSONL file"
            )
        if self.question == "within" and self.problems is None:
            raise ValueError(
                f"direction is {self.direction}, which goes from clean to corrupted prompts or "
                "back, and no problems are given to take them from. Give a JSONL file whose lines "
                "have prompt, corrupted, answer and wrong"
            )
        if self.question == "within" and self.factorial:
            raise ValueError(
                f"direction is {self.direction}, which stays within one model, and a factorial is "
                "asked for, which mixes two. Leave factorial out, or choose another direction"
            )
        if self.question == "across" and self.model == "post":
            raise ValueError(
                f"model is post, and direction is {self.direction}, which patches across both "
                "models. Leave model out, or choose denoise or noise"
            )
        if self.factorial and self.metrics and set(self.metrics) == {"kl"}:
            raise ValueError(
                "a factorial is asked for and the only metric is kl, which needs a donor that a "
                "factorial does not have. Add logit_diff, log_prob or probability"
            )
        return self

    @property
    def question(self) -> Literal["across", "within"]:
        """Whether activations come from the other model or from another prompt."""
        return "within" if self.direction in ("denoise", "noise") else "across"

    @property
    def directions(self) -> tuple[str, ...]:
        """Every sweep, by its name."""
        return _ACROSS if self.direction == "both" else (self.direction,)
