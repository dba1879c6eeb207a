"""Options of a run: one validated value that round-trips through YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from elicit import organisms
from elicit.jobs._faults import NotGivenError, SpecError, hidden_faults, read_yaml
from elicit.jobs._machine_options import DeviceMap, Graphs, Offload, PostDevice, ShareWeights
from elicit.jobs._option import MACHINE, MODELS, OUTPUT, STATISTICS, TASKS, Option
from elicit.jobs._task_options import MAP_HELP, ColumnMap, TaskFormat, is_elsewhere

if TYPE_CHECKING:
    from elicit.stats import Inference

S = TypeVar("S", bound="PairSpec")
_ELSEWHERE = {"out", "fresh", "problems", "facts", "share_weights", "offload", "cuda_graphs"}
"""Options that determine no value, or whose content is part of a run's identity for itself."""


class PairSpec(BaseModel):
    """Options of every job on a pair: two models, problems, a run directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    command: ClassVar[str] = "report"
    """Command of these options."""
    help_examples: ClassVar[tuple[str, ...]] = ("--pair organism:rl",)
    """Options of its examples in the help, without `--out`; one on two models is added there."""

    pair: Annotated[
        str | None, Option("Embedded pair, such as organism:answers-only.", MODELS, "NAME")
    ] = None
    base: Annotated[
        str | None,
        Option(
            "Base model: hub id, directory or organism.",
            MODELS,
            "MODEL",
            required="without --pair",
        ),
    ] = None
    post: Annotated[
        str | None,
        Option(
            "Post-trained model: hub id, directory, adapter or organism.",
            MODELS,
            "MODEL",
            required="without --pair",
        ),
    ] = None
    base_revision: Annotated[
        str | None,
        Option("Branch, tag or commit of the base on the hub.", MODELS, "REV", default="newest"),
    ] = None
    post_revision: Annotated[
        str | None,
        Option("Branch, tag or commit of post on the hub.", MODELS, "REV", default="newest"),
    ] = None
    renamed_tokens: Annotated[
        tuple[str, ...],
        Option("A special token that post calls otherwise: BASE=POST.", MODELS, "NAMES"),
    ] = ()
    adds_bos: Annotated[
        bool | None,
        Option("Whether texts begin with bos.", MODELS, default="as both tokenizers agree"),
    ] = None
    vocab: Annotated[
        Literal["exact", "shared"],
        Option(
            "exact: vocabularies must match; shared: compare only token ids known to both.", MODELS
        ),
    ] = "exact"
    allow_identical: Annotated[
        bool, Option("Accept two identical models, as a control.", MODELS)
    ] = False
    trust_remote_code: Annotated[bool, Option("Run code that comes with a checkpoint.", MODELS)] = (
        False
    )
    unused_tensors: Annotated[
        Literal["refuse", "ignore"],
        Option("Tensors in the files that the model does not read: refuse or ignore.", MODELS),
    ] = "refuse"
    problems: Annotated[
        Path | None,
        Option(
            "Problems on which post may improve: JSONL, CSV, parquet, or hf:NAME[:CONFIG]:SPLIT.",
            TASKS,
            "FILE",
        ),
    ] = None
    map: Annotated[ColumnMap, Option(MAP_HELP, TASKS, "COLUMN=FIELD,…")] = ()
    task_format: TaskFormat = "auto"
    limit: Annotated[
        int | None,
        Option(
            "Maximum number of problems per task, with every difficulty represented.",
            TASKS,
            "N",
            default="all",
        ),
    ] = Field(default=None, ge=2)
    templated: Annotated[bool, Option("Put prompts into the chat template.", TASKS)] = False
    separator: Annotated[
        str | None,
        Option(
            "Text between a plain prompt and its continuation, such as '' for a language without "
            "spaces.",
            TASKS,
            "TEXT",
            default="by script",
        ),
    ] = None
    template_date: Annotated[
        str | None,
        Option("Day that a chat template writes, YYYY-MM-DD.", TASKS, "DATE", default="2024-07-26"),
    ] = None
    seed: Annotated[int, Option("Seed of every random draw.", STATISTICS, "N")] = Field(
        default=0, ge=0, lt=2**31
    )
    level: Annotated[float, Option("Nominal coverage of the intervals.", STATISTICS, "P")] = Field(
        default=0.95, gt=0.5, lt=1
    )
    n_resamples: Annotated[int, Option("Bootstrap resamples of the problems.", STATISTICS, "N")] = (
        Field(default=2000, ge=100)
    )
    device: Annotated[
        str, Option("auto (a GPU where there is one), cpu, cuda, cuda:1 or mps.", MACHINE, "NAME")
    ] = "auto"
    post_device: PostDevice = None
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16", "float64", "auto"],
        Option("float32, bfloat16, float16, float64, or auto: the checkpoints'.", MACHINE, "NAME"),
    ] = "float32"
    device_map: DeviceMap = None
    offload: Offload = False
    share_weights: ShareWeights = False
    cuda_graphs: Graphs = False
    attn_implementation: Annotated[
        Literal["eager", "sdpa"] | None, Option("eager or sdpa.", MACHINE, "NAME", default="eager")
    ] = None
    max_tokens: Annotated[
        int, Option("Tokens per forward pass, which bounds memory.", MACHINE, "N")
    ] = Field(default=8192, ge=1)
    budget: Annotated[
        float | None,
        Option(
            "Minutes that the run may take on this device: what does not fit is left out, and said "
            "so.",
            MACHINE,
            "MINUTES",
            default="no limit",
        ),
    ] = Field(default=None, gt=0, allow_inf_nan=False)
    out: Annotated[Path, Option("Run directory, created if needed.", OUTPUT, "DIR")]
    fresh: Annotated[bool, Option("Discard an earlier run in that directory.", OUTPUT)] = False

    @property
    def loads_identical(self) -> bool:
        """Whether two identical models are accepted rather than refused."""
        return self.allow_identical

    @property
    def inference(self) -> "Inference":
        """Settings of intervals and tests."""
        from elicit.stats import Inference

        return Inference(level=self.level, n_resamples=self.n_resamples, seed=self.seed)

    @field_validator(
        *("problems", "facts", "protocol", "out", "vector", "groups", "baselines", "sae"),
        check_fields=False,
    )
    @classmethod
    def _absolute(cls, given: Any) -> Any:
        """Absolute paths, so that a saved run does not depend on the working directory."""
        if isinstance(given, tuple):
            return tuple(cls._absolute(path) for path in given)
        if given is None or str(given).startswith("sae:") or is_elsewhere(given):
            return given
        return type(given)(Path(given).expanduser().absolute())

    @field_validator("base", "post")
    @classmethod
    def _absolute_if_local(cls, name: str | None) -> str | None:
        """The absolute path of a directory; hub ids and organisms unchanged."""
        local = name is not None and Path(name).expanduser().is_dir()
        return str(Path(str(name)).expanduser().absolute()) if local else name

    @field_validator(
        *(
            "baselines",
            "sites",
            "strengths",
            "features",
            "traces",
            "kinds",
            "alterations",
            "metrics",
            "controls",
        ),
        "widths",
        check_fields=False,
    )
    @classmethod
    def _each_once(cls, given: Any) -> Any:
        return tuple(dict.fromkeys(given)) if isinstance(given, tuple) else given

    @field_validator("renamed_tokens")
    @classmethod
    def _two_names(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [one for one in listed if not all(one.partition("=")[::2])]
        if wrong:
            raise ValueError(f"{wrong[0]!r} does not name two tokens. Write BASE=POST")
        return listed

    @model_validator(mode="after")
    def _names_a_pair(self: S) -> S:
        if self.pair is not None and (self.base is not None or self.post is not None):
            raise ValueError(
                f"pair is {self.pair!r} and base or post is given too, so the models are "
                "ambiguous. Give pair, or base and post"
            )
        if self.pair is not None and not organisms.is_organism(self.pair):
            raise ValueError(
                f"pair is {self.pair!r}, but only embedded pairs are named so. "
                "Write organism:NAME (`elicit organisms` lists them), or give base and post"
            )
        if self.pair is None and (self.base is None or self.post is None):
            missing = [name for name in ("base", "post") if getattr(self, name) is None]
            raise NotGivenError(
                missing,
                ", so there are no two models to compare. Give both models, or an embedded pair "
                "(pair: organism:rl)",
            )
        return self

    @classmethod
    def from_options(cls: type[S], *sources: Mapping[str, object]) -> S:
        """A specification from options by name; later sources override earlier ones.

        Args:
            sources: For example the content of a file, then the command line.

        Raises:
            SpecError: An option is unknown, of the wrong type or out of range, or options
                contradict each other.
        """
        options: dict[str, Any] = {}
        for source in sources:
            options |= source
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            errors = (error, *hidden_faults(cls, options))
            raise SpecError.of(cls.command, cls.model_fields, *errors) from error

    @classmethod
    def from_yaml(cls: type[S], path: Path) -> S:
        """Read a specification from YAML.

        Args:
            path: YAML file with a mapping of options.

        Raises:
            SpecError: The file cannot be read, is no YAML mapping, or has an invalid option.
        """
        return cls.from_options(read_yaml(path))

    def to_yaml(self, path: Path) -> None:
        """Write every option, including defaults, so that a run survives changed defaults.

        Args:
            path: Written atomically.
        """
        from elicit.results import write_atomic

        write_atomic(path, self.yaml().encode())

    def yaml(self) -> str:
        """Every option as YAML, ready to begin or resume a run but never to discard one."""
        import yaml

        values = self.model_dump(mode="json") | {"fresh": False}
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    def arguments(self) -> dict[str, object]:
        """Options that determine the values of a run: all but its output, `auto` resolved."""
        from elicit.pair import resolve_device

        kept: dict[str, object] = self.model_dump(mode="json", exclude=_ELSEWHERE)
        kept["device"] = str(resolve_device(self.device))
        if self.post_device is not None:
            kept["post_device"] = str(resolve_device(self.post_device))
        return kept
