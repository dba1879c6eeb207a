"""Options of `elicit features`, checked before any work."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._cued_spec import CuedSpec
from elicit.jobs._option import TASKS, Option
from elicit.jobs._task_options import NewTokens, is_elsewhere

DICTIONARY = "The SAE"
"""Help panel of the SAE options."""
TRAINING = ("train_on", "site", "d_sae", "k", "steps")
"""Options that apply only to an SAE trained in the run."""


class FeaturesSpec(CuedSpec):
    """Find SAE features of reasoning, try to reject each, and test whether post still has them."""

    command: ClassVar[str] = "features"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:rl",
        "--pair organism:rl --site resid_post.3 --top 8",
    )
    sought: ClassVar[str] = "what features are looked for"

    traces: Annotated[
        tuple[str, ...],
        Option(
            "own: texts sampled from both models; task: the problems' written solutions; or files "
            "with 'text' or 'trace': JSONL, CSV, parquet, .eval, lm-eval's samples, or hf:NAME.",
            TASKS,
            "WHICH,…",
            default="own, and task if every problem has one",
        ),
    ] = ()
    sae: Annotated[
        str | None,
        Option(
            "SAELens folder, or sae:RELEASE/ID.",
            DICTIONARY,
            "SOURCE",
            default="one is trained in the run",
        ),
    ] = None
    train_on: Annotated[
        Literal["base", "post", "both"] | None,
        Option("Model whose activations the SAE is trained on.", DICTIONARY, default="base"),
    ] = None
    site: Annotated[
        str | None,
        Option(
            "Site of a trained SAE.", DICTIONARY, "SITE", default="resid_post at 0.6 of the depth"
        ),
    ] = None
    d_sae: Annotated[
        int | None,
        Option(
            "Number of features of a trained SAE.", DICTIONARY, "N", default="twice its input width"
        ),
    ] = Field(default=None, ge=2)
    k: Annotated[
        int | None,
        Option("Active features per token of a trained SAE.", DICTIONARY, "N", default="4"),
    ] = Field(default=None, ge=1)
    steps: Annotated[
        int | None,
        Option(
            "Training steps of 512 tokens.",
            DICTIONARY,
            "N",
            default="400, enough for an embedded pair",
        ),
    ] = Field(default=None, ge=1)
    model: Annotated[
        Literal["base", "post"] | None,
        Option("Model whose features are searched.", default="the model of the SAE"),
    ] = None
    groups: Annotated[
        Path | None,
        Option(
            "Reasoning words as JSON, a list of spellings per group.",
            metavar="FILE",
            default="ten common ones",
        ),
    ] = None
    features: Annotated[
        tuple[int, ...], Option("Further candidate features.", metavar="N,…", flags=("--feature",))
    ] = ()
    top: Annotated[int, Option("Candidates per score.", metavar="N")] = Field(default=4, ge=1)
    max_fvu: Annotated[
        float, Option("Largest FVU at which features are reported.", DICTIONARY, "X")
    ] = Field(default=0.5, gt=0, allow_inf_nan=False)
    least_recovered: Annotated[
        float,
        Option(
            "Smallest share of cross-entropy recovered at which features are reported.",
            DICTIONARY,
            "SHARE",
        ),
    ] = Field(default=0.5, gt=0, le=1)
    allow_unfaithful: Annotated[
        bool, Option("Report features even if the SAE fails these gates.", DICTIONARY)
    ] = False
    outliers: Annotated[
        float | None,
        Option(
            "Exclude tokens above X times the median norm from the gates.",
            DICTIONARY,
            "X",
            default="none",
        ),
    ] = Field(default=None, gt=1, allow_inf_nan=False)
    n_positions: Annotated[int, Option("Problems resampled per candidate.", metavar="N")] = Field(
        default=16, ge=2
    )
    n_samples: Annotated[int, Option("Continuations per cut.", metavar="N")] = Field(
        default=8, ge=1
    )
    window: Annotated[int, Option("Length of a continuation, tokens.", metavar="N")] = Field(
        default=8, ge=1
    )
    temperature: Annotated[
        float, Option("Temperature of sampling and resampling.", metavar="T")
    ] = Field(default=1.0, gt=0, allow_inf_nan=False)
    max_new_tokens: NewTokens = Field(default=128, ge=2)

    @field_validator("traces")
    @classmethod
    def _whole_paths(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        """Make paths absolute, so that a run finds its files from any folder."""
        return tuple(
            name
            if name in ("own", "task") or is_elsewhere(name)
            else str(Path(name).expanduser().absolute())
            for name in listed
        )

    @model_validator(mode="after")
    def _fits(self) -> "FeaturesSpec":
        given = [name for name in TRAINING if getattr(self, name) is not None]
        if self.sae is not None and given:
            raise ValueError(
                f"sae is {self.sae!r}, but {', '.join(given)} apply only to an SAE trained in "
                "the run and would be ignored. Leave them out, or leave sae out"
            )
        return self
