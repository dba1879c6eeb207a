"""What a run was asked to do: one value that round-trips through YAML, checked before work."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from elicit import organisms
from elicit.results import ElicitError, write_atomic
from elicit.stats import Inference

S = TypeVar("S", bound="PairSpec")
KINDS = ("layer", "attn", "mlp", "norms", "matrix", "outside")


class SpecError(ElicitError):
    """A run that cannot be started as it was asked for."""


class PairSpec(BaseModel):
    """What every job on a pair needs: two models, problems, a place for the results."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    command: ClassVar[str] = "report"
    """Command whose options these are."""

    pair: str | None = None
    """An embedded pair, `organism:NAME`; instead of `base` and `post`."""
    base: str | None = None
    """Hub id, local directory or organism of the base."""
    post: str | None = None
    """Hub id, local directory, PEFT adapter or organism of the post-trained model."""
    problems: Path | None = None
    """JSONL file of problems, where post may have gained."""
    out: Path
    """Run directory."""
    vocab: Literal["exact", "shared"] = "exact"
    allow_identical: bool = False
    trust_remote_code: bool = False
    device: str = "cpu"
    device_map: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    attn_implementation: Literal["eager", "sdpa"] | None = None
    limit: int | None = Field(default=None, ge=2)
    """Most problems a task, drawn with every difficulty represented."""
    templated: bool = False
    level: float = Field(default=0.95, gt=0.5, lt=1)
    n_resamples: int = Field(default=2000, ge=100)
    seed: int = Field(default=0, ge=0, lt=2**31)
    max_tokens: int = Field(default=8192, ge=1)
    fresh: bool = False

    @property
    def inference(self) -> Inference:
        """How intervals and tests are made."""
        return Inference(level=self.level, n_resamples=self.n_resamples, seed=self.seed)

    @field_validator("problems", "facts", "out", check_fields=False)
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """A run must be found again from every folder."""
        return None if path is None else path.expanduser().absolute()

    @field_validator("base", "post")
    @classmethod
    def _absolute_if_local(cls, name: str | None) -> str | None:
        """A directory by its whole path; hub ids and organisms as they are."""
        local = name is not None and Path(name).expanduser().is_dir()
        return str(Path(str(name)).expanduser().absolute()) if local else name

    @model_validator(mode="after")
    def _names_a_pair(self: S) -> S:
        if self.pair is not None and (self.base is not None or self.post is not None):
            raise ValueError(
                f"pair is {self.pair!r} and base or post is given too, so it is not clear which "
                f"models are meant. "
                "Give pair, or base and post"
            )
        if self.pair is not None and not organisms.is_organism(self.pair):
            raise ValueError(
                f"pair is {self.pair!r}, and only an embedded pair has one name. "
                "Write organism:NAME (`elicit organisms` lists them), or give base and post"
            )
        if self.pair is None and (self.base is None or self.post is None):
            missing = [name for name in ("base", "post") if getattr(self, name) is None]
            raise ValueError(
                f"{' and '.join(missing)} not given, so there are no two models to compare. "
                "Give base and post, or an embedded pair (pair: organism:rl)"
            )
        return self

    @classmethod
    def from_options(cls: type[S], *sources: Mapping[str, object]) -> S:
        """A specification from options by name, later sources over earlier ones.

        Args:
            sources: For example the content of a file, then the command line.

        Raises:
            SpecError: An option is unknown, of the wrong kind or out of range, or they do not fit
            together.
        """
        options: dict[str, Any] = {}
        for source in sources:
            options |= source
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            raise SpecError(_told(cls, error)) from error

    @classmethod
    def from_yaml(cls: type[S], path: Path) -> S:
        """Read what `to_yaml` wrote, or a person.

        Args:
            path: YAML file with a mapping of options.

        Raises:
            SpecError: The file cannot be read, is no YAML mapping, or holds a wrong option.
        """
        return cls.from_options(read_yaml(path))

    def to_yaml(self, path: Path) -> None:
        """Write every option, defaults too, so that a newer default changes no old run.

        Args:
            path: Written atomically.
        """
        import yaml

        values = self.model_dump(mode="json")
        write_atomic(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode())

    def arguments(self) -> dict[str, object]:
        """What the values of a run depend on: everything but where they go."""
        return self.model_dump(mode="json", exclude={"out", "fresh", "problems", "facts"})


class JobSpec(PairSpec):
    """What a job that scores both models on tasks needs besides."""

    facts: Path | None = None
    """JSONL file of facts, where post may have lost."""
    problems_how: Literal["generated", "forced"] = "generated"
    facts_how: Literal["generated", "forced"] = "forced"
    max_new_tokens: int = Field(default=128, ge=1)
    extractor: str = "default"
    end: str = ""
    """Text that closes a teacher-forced answer; a written `\\n` is a line end."""

    @model_validator(mode="after")
    def _has_a_task(self) -> "JobSpec":
        if self.pair is None and self.problems is None and self.facts is None:
            raise ValueError(
                "neither problems nor facts are given, so nothing could be lost or gained. "
                "Give a JSONL file of at least one"
            )
        return self


class ReportSpec(JobSpec):
    """What `elicit report` was asked to do."""

    kinds: tuple[Literal["layer", "attn", "mlp", "norms", "matrix", "outside"], ...] = Field(
        default=("layer", "attn", "mlp", "outside"), min_length=1
    )
    controls: int = Field(default=2, ge=0)
    """Shuffled differences of the same norm a layer and direction; generated tasks use one at
    most."""
    intervals: bool = True
    integrated: bool = True
    spectra: bool | None = None
    """Singular values of the weight differences; None computes them where the models are small."""
    margin: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    share_margin: float = Field(default=0.05, ge=0, lt=1)

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kinds))

    @model_validator(mode="after")
    def _moves_layers(self) -> "ReportSpec":
        if "layer" not in self.kinds:
            raise ValueError(
                f"kinds are {', '.join(self.kinds)} without layer, so no layer would get a "
                f"verdict. Add layer"
            )
        return self


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a YAML file.

    Raises:
        SpecError: The file cannot be read or is no mapping of names to values.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise SpecError(
            f"the configuration {path} cannot be read ({why}), so there is no run to start. Check "
            f"it."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SpecError(
            f"the configuration {path} holds {type(found).__name__} where a mapping of option "
            f"names to values was "
            "expected. Write lines such as `pair: organism:rl`."
        )
    return found


def _told(kind: type[PairSpec], error: ValidationError) -> str:
    """Every wrong option in one line each."""
    lines = []
    for fault in error.errors():
        name = ".".join(str(piece) for piece in fault["loc"][:1])
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, kind.model_fields, n=1)
            lines.append(
                f"there is no option {name}" + (f" (did you mean {close[0]}?)" if close else "")
            )
        elif fault["type"] == "missing":
            lines.append(f"{name} is not given")
        elif name:
            given = repr(fault["input"])
            lines.append(
                f"{name} is {given if len(given) < 80 else given[:80] + '…'}: "
                f"{fault['msg'].lower()}"
            )
        else:
            lines.append(fault["msg"].removeprefix("Value error, "))
    what = "; ".join(lines)
    return (
        f"{what}. Nothing was run. Options are those of `elicit {kind.command} --help`, with "
        "underscores in a file."
    )
