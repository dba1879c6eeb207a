"""What `elicit features` was asked to do, checked before any work."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._cued import CuedSpec

Which = Literal["base", "post"]
TRAINING = ("train_on", "site", "d_sae", "k", "steps")
"""Options of an SAE that is trained in the run."""


class FeaturesSpec(CuedSpec):
    """What `elicit features` was asked to do."""

    command: ClassVar[str] = "features"
    sought: ClassVar[str] = "what features are looked for"

    traces: tuple[str, ...] = ()
    """Texts that are read: `own`, what both models write; `task`, the problems' own traces; else
    JSONL files of lines with `text`. None means `own`, and `task` where every problem has one."""
    sae: str | None = None
    """A folder of SAELens or `sae:<release>/<id>`; None trains one in the run directory."""
    train_on: Literal["base", "post", "both"] | None = None
    """Whose activations the trained one learns; None means base."""
    site: str | None = None
    """Where the trained one reads; None means resid_post after 0.6 of the layers."""
    d_sae: int | None = Field(default=None, ge=2)
    """Features of the trained one; None means twice the width it reads."""
    k: int | None = Field(default=None, ge=1)
    """Active features a token; None means 4, with which a small dictionary splits states least."""
    steps: int | None = Field(default=None, ge=1)
    """Steps of 512 tokens; None means 400."""
    on: Which | None = None
    """Which model's features are searched; None means the one that the SAE belongs to, else
    base."""
    groups: Path | None = None
    """JSON file with the spellings of each group of words of reasoning."""
    features: tuple[int, ...] = ()
    """Candidates besides those that are found."""
    top: int = Field(default=4, ge=1)
    """Candidates that each score gives."""
    max_fvu: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Largest unexplained share of the variance with which features are still named."""
    least_recovered: float = Field(default=0.5, gt=0, le=1)
    """Smallest share of the cross-entropy recovered with which features are still named."""
    allow_unfaithful: bool = False
    """Name features of an SAE that fails its gates."""
    outliers: float | None = Field(default=None, gt=1, allow_inf_nan=False)
    """Tokens above that many times the median norm are left out of the gates."""
    n_places: int = Field(default=16, ge=2)
    """Problems whose texts are written again for each candidate."""
    n_samples: int = Field(default=8, ge=1)
    """Continuations of each place."""
    window: int = Field(default=8, ge=1)
    """Tokens of each."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """At which texts are written, and written again."""
    max_new_tokens: int = Field(default=128, ge=2)

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
                f"sae is {self.sae!r} and {', '.join(given)} are of one that would be trained, so "
                "they would be ignored. Leave them out, or leave sae out"
            )
        if self.templated and "task" in self.traces:
            raise ValueError(
                "templated is given and traces of the task are asked for, which stand in the plain "
                "text of their problems. Leave templated out, or choose traces own"
            )
        return self
