"""Options of `elicit features`, checked before any work."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._cued_spec import CuedSpec
from elicit.jobs._option import TASKS, Option

DICTIONARY = "The SAE"
"""Heading of the help for the SAE."""
TRAINING = ("train_on", "site", "d_sae", "k", "steps")
"""Options of an SAE that is trained in the run."""


class FeaturesSpec(CuedSpec):
    """Find SAE features of reasoning, try to reject each, and test whether post still has them."""

    command: ClassVar[str] = "features"
    sought: ClassVar[str] = "what features are looked for"

    traces: Annotated[
        tuple[str, ...],
        Option(
            "own: texts that both models write; task: the problems' written solutions; or JSONL "
            "files with 'text'.",
            TASKS,
            "WHICH,…",
            default="own, and task where every problem has one",
        ),
    ] = ()
    sae: Annotated[
        str | None,
        Option(
            "SAELens directory, or sae:RELEASE/ID.",
            DICTIONARY,
            "SOURCE",
            default="one is trained in the run",
        ),
    ] = None
    train_on: Annotated[
        Literal["base", "post", "both"] | None,
        Option("Model whose activations a trained SAE learns.", DICTIONARY, default="base"),
    ] = None
    site: Annotated[
        str | None,
        Option(
            "Site that a trained SAE reads.",
            DICTIONARY,
            "SITE",
            default="resid_post after 0.6 of the layers",
        ),
    ] = None
    d_sae: Annotated[
        int | None,
        Option("Features of a trained SAE.", DICTIONARY, "N", default="twice the width it reads"),
    ] = Field(default=None, ge=2)
    k: Annotated[int | None, Option("Active features per token.", DICTIONARY, "N", default="4")] = (
        Field(default=None, ge=1)
    )
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
        Option("Model whose features are searched.", default="the one that the SAE belongs to"),
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
        tuple[int, ...],
        Option("Candidates besides those that are found.", metavar="N,…", flags=("--feature",)),
    ] = ()
    top: Annotated[int, Option("Candidates per score.", metavar="N")] = Field(default=4, ge=1)
    max_fvu: Annotated[
        float,
        Option("Largest FVU with which features are still named.", DICTIONARY, "X"),
    ] = Field(default=0.5, gt=0, allow_inf_nan=False)
    least_recovered: Annotated[
        float,
        Option(
            "Smallest share of the cross-entropy recovered with which features are still named.",
            DICTIONARY,
            "SHARE",
        ),
    ] = Field(default=0.5, gt=0, le=1)
    allow_unfaithful: Annotated[
        bool, Option("Name features of an SAE that fails these gates.", DICTIONARY)
    ] = False
    outliers: Annotated[
        float | None,
        Option(
            "Leave tokens above X times the median norm out of the gates.",
            DICTIONARY,
            "X",
            default="none",
        ),
    ] = Field(default=None, gt=1, allow_inf_nan=False)
    n_positions: Annotated[
        int, Option("Problems whose texts are resampled for each candidate.", metavar="N")
    ] = Field(default=16, ge=2)
    n_samples: Annotated[int, Option("Continuations of each cut.", metavar="N")] = Field(
        default=8, ge=1
    )
    window: Annotated[int, Option("Tokens of each continuation.", metavar="N")] = Field(
        default=8, ge=1
    )
    temperature: Annotated[
        float, Option("Temperature at which texts are sampled and resampled.", metavar="T")
    ] = Field(default=1.0, gt=0, allow_inf_nan=False)
    max_new_tokens: Annotated[
        int, Option("Maximum length of a generated text, tokens.", TASKS, "N")
    ] = Field(default=128, ge=2)

    @field_validator("traces")
    @classmethod
    def _whole_paths(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        """A run must find its files again from every folder."""
        return tuple(
            name if name in ("own", "task") else str(Path(name).expanduser().absolute())
            for name in listed
        )

    @field_validator("groups")
    @classmethod
    def _whole_path(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("sae")
    @classmethod
    def _whole_if_local(cls, name: str | None) -> str | None:
        if name is None or name.startswith("sae:"):
            return name
        return str(Path(name).expanduser().absolute())

    @model_validator(mode="after")
    def _fits(self) -> "FeaturesSpec":
        given = [name for name in TRAINING if getattr(self, name) is not None]
        if self.sae is not None and given:
            raise ValueError(
                f"sae is {self.sae!r}, and {', '.join(given)} apply only to one that is trained in "
                "the run, so they would be ignored. Leave them out, or leave sae out"
            )
        if self.templated and "task" in self.traces:
            raise ValueError(
                "templated is given and traces has task, whose traces continue the plain text of "
                "their problems. Leave templated out, or choose traces own"
            )
        return self
