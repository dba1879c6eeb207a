"""Options of `elicit steer`, validated before any work."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._cued_spec import GradedSpec
from elicit.jobs._faults import NotGivenError
from elicit.jobs._option import STATISTICS, Option

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Default strengths, in units of the difference of means or of the feature's amount."""
Method = Literal["diff-mean", "pca", "trained", "feature", "vector"]


class SteerSpec(GradedSpec):
    """Steer one model by a direction or a feature, with controls at their own best strength."""

    command: ClassVar[str] = "steer"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:rl",
        "--pair organism:rl --method trained --sites resid_post.4",
    )

    method: Annotated[
        Literal["diff-mean", "pca", "trained", "feature"] | None,
        Option("How the direction is computed.", default="feature with --sae, else diff-mean"),
    ] = None
    vector: Annotated[
        Path | None,
        Option("Saved direction instead of a method, such as a run's vector/.", metavar="DIR"),
    ] = None
    sae: Annotated[
        str | None, Option("Directory of an SAE, or sae:RELEASE/ID.", metavar="SOURCE")
    ] = None
    feature: Annotated[int | None, Option("Index of the SAE feature.", metavar="N")] = Field(
        default=None, ge=0
    )
    how: Annotated[
        Literal["add", "clamp", "project-out"], Option("Intervention on the feature.")
    ] = "add"
    amount: Annotated[
        float | None,
        Option(
            "Activation of the feature at strength 1.",
            metavar="X",
            default="twice its largest activation",
        ),
    ] = Field(default=None, allow_inf_nan=False)
    steps: Annotated[int, Option("Optimisation steps for a trained vector.", metavar="N")] = Field(
        default=100, ge=1
    )
    where: Annotated[
        Literal["last", "first", "generated", "all"],
        Option(
            "The prompt's last token, the first generated one, all generated ones, or all tokens."
        ),
    ] = "last"
    on: Annotated[
        Literal["base", "post"],
        Option(
            "Model that is steered and in which directions are computed; the other is the target."
        ),
    ] = "base"
    strengths: Annotated[
        tuple[float, ...],
        Option("Strengths, in units of the difference of means or the amount.", metavar="X,…"),
    ] = STRENGTHS
    choose_by: Annotated[
        Literal["accuracy", "shown"] | None,
        Option(
            "Criterion for the strength.",
            STATISTICS,
            default="accuracy if its gap is clear, else shown",
        ),
    ] = None
    n_random: Annotated[int, Option("Random directions.", metavar="N")] = Field(default=4, ge=1)
    n_live: Annotated[
        int,
        Option(
            "Random control features with a firing rate similar to the steered one.", metavar="N"
        ),
    ] = Field(default=4, ge=0)
    live_factor: Annotated[
        float, Option("Maximum ratio of their firing rate to the steered feature's.", metavar="X")
    ] = Field(default=2.0, ge=1)
    max_loss: Annotated[
        float,
        Option(
            "Tolerated drop in the log-probability of steered texts, nats per token.",
            STATISTICS,
            "X",
        ),
    ] = Field(default=1.0, ge=0)

    @property
    def source(self) -> Method:
        """Kind of steering vector."""
        if self.vector is not None:
            return "vector"
        return self.method or ("diff-mean" if self.sae is None else "feature")

    @property
    def needs_cues(self) -> bool:
        """Whether the direction is a contrast between two kinds of prompts."""
        return self.source in ("diff-mean", "pca")

    @field_validator("strengths")
    @classmethod
    def _does_something(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if not any(strengths):
            raise ValueError("all strengths are 0, so nothing would be steered; give others")
        return strengths

    @model_validator(mode="after")
    def _fits_together(self) -> "SteerSpec":
        given = {name for name in ("sae", "feature", "amount") if getattr(self, name) is not None}
        given |= {"how"} if self.how != "add" else set()
        if self.vector is not None and (self.method is not None or given):
            others = sorted(given | ({"method"} if self.method is not None else set()))
            raise ValueError(
                f"vector is given and {' and '.join(others)} too, so the steering vector is "
                "ambiguous. Give a saved vector, or a method to compute one"
            )
        if self.source == "feature":
            missing = [name for name in ("sae", "feature") if getattr(self, name) is None]
            if missing:
                raise NotGivenError(
                    missing,
                    ", so the feature is undefined. Give an SAE directory or sae:<release>/<id>, "
                    "and the feature index",
                )
        elif given:
            raise ValueError(
                f"{' and '.join(sorted(given))} apply to a feature, but the steering method is "
                f"{self.source}, so they would be ignored. Leave them out, or give an SAE and a "
                "feature index"
            )
        if self.how == "project-out" and self.amount is not None:
            raise ValueError(
                f"amount is {self.amount:g}, but projecting out removes the whole component, "
                "so it would be ignored. Leave it out, or clamp the feature to it"
            )
        if self.source in ("feature", "vector") and self.sites and self.sae is not None:
            raise ValueError(
                f"sites are {', '.join(self.sites)}, but a feature is written at its SAE's site. "
                "Leave sites out"
            )
        if self.source == "trained" and len(self.sites) != 1:
            raise ValueError(
                f"{len(self.sites)} sites are given, but a vector is trained at one. Give one, "
                "such as resid_post.12"
            )
        return self
