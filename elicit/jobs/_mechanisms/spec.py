"""Options of `elicit mechanisms`, validated before any work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from elicit.jobs._cued_spec import GradedSpec
from elicit.jobs._faults import NotGivenError
from elicit.jobs._mechanisms.names import ARMS, CHEAP, CONTROLLED, DEFAULT, SEEDED, TRAINED
from elicit.jobs._option import MODELS, STATISTICS, TASKS, Option
from elicit.jobs._task_options import ColumnMap

if TYPE_CHECKING:
    from elicit.rollouts import Generation

ARM_OPTIONS = "Mechanisms"
"""Help heading of the options on mechanisms."""
ControlName = Literal["elicited", "created"]
"""Embedded pairs whose truth is known: `organism:rl` has the skill latent, `organism:created` was
taught it."""

_NEEDED = {
    "feature": ("sae", "feature"),
    "feature-controls": ("sae", "feature"),
    "proxy": ("expert", "antiexpert"),
}
"""Options that an arm cannot do without."""


class MechanismsSpec(GradedSpec):
    """Test what elicits the behaviour from the base: decoding, steering, training."""

    command: ClassVar[str] = "mechanisms"
    help_examples: ClassVar[tuple[str, ...]] = (
        "--pair organism:rl",
        "--pair organism:created --arms prompt,diff-mean,rlvr",
    )
    sought: ClassVar[str] = "which behaviour to elicit from the base"

    problems: Annotated[
        Path | None,
        Option(
            "Problems, 200 or more recommended. An embedded pair has its problems.",
            TASKS,
            "FILE",
            required="without --pair",
        ),
    ] = None
    facts: Annotated[
        Path | None,
        Option(
            "Facts, to see what training damages. An embedded pair has its facts.",
            TASKS,
            "FILE",
        ),
    ] = None
    facts_map: Annotated[
        ColumnMap, Option("The same as map, for the facts.", TASKS, "COLUMN=FIELD,…")
    ] = ()
    arms: Annotated[
        tuple[str, ...],
        Option(
            f"Mechanisms to try: {', '.join(ARMS)}.",
            ARM_OPTIONS,
            "NAME,…",
            flags=("--arm",),
            default=f"{', '.join(CHEAP)}; of an embedded pair also what is trained",
        ),
    ] = ()
    seeds: Annotated[
        int,
        Option(
            f"Runs of {', '.join(SEEDED)}, each with its own seed; other training runs once.",
            ARM_OPTIONS,
            "N",
        ),
    ] = Field(default=3, ge=1, le=20)
    training_tokens: Annotated[
        int,
        Option("Most tokens that one training run writes or reads.", ARM_OPTIONS, "N"),
    ] = Field(default=100_000, ge=1)
    samples: Annotated[
        int,
        Option("Texts of each test problem at temperature 1; 0 leaves them out.", ARM_OPTIONS, "N"),
    ] = Field(default=4, ge=0)
    openers: Annotated[
        tuple[str, ...],
        Option(
            "Text with which answers are made to begin, for the arm `prefix`. May be repeated.",
            ARM_OPTIONS,
            "TEXT",
            flags=("--opener",),
            default="none; of an embedded pair: so",
        ),
    ] = ()
    examples: Annotated[
        int,
        Option("Solved examples before each problem, for the arm `few-shot`.", ARM_OPTIONS, "N"),
    ] = Field(default=2, ge=1)
    sae: Annotated[
        str | None,
        Option(
            "Directory of an SAE, or sae:RELEASE/ID, for the arm `feature`.", ARM_OPTIONS, "SOURCE"
        ),
    ] = None
    feature: Annotated[int | None, Option("Index of the SAE feature.", ARM_OPTIONS, "N")] = Field(
        default=None, ge=0
    )
    sae_model: Annotated[
        Literal["base", "post"],
        Option(
            "Model on whose activations the SAE was trained: one of post contains what post knows.",
            ARM_OPTIONS,
        ),
    ] = "base"
    expert: Annotated[
        str | None,
        Option("Post-trained expert of another pair, for the arm `proxy`.", MODELS, "MODEL"),
    ] = None
    antiexpert: Annotated[
        str | None, Option("The expert's own base, for the arm `proxy`.", MODELS, "MODEL")
    ] = None
    host: Annotated[
        str | None,
        Option(
            "A model without the skill, such as an early checkpoint of base, to which post’s "
            "difference is added.",
            MODELS,
            "MODEL",
            default="none; of most embedded pairs organism:decoupled",
        ),
    ] = None
    controls: Annotated[
        tuple[ControlName, ...],
        Option(
            "Embedded pairs of known truth on which the same mechanisms run with the same limits.",
            ARM_OPTIONS,
            "NAME,…",
        ),
    ] = ("elicited", "created")
    checker: Annotated[
        Literal["equations", "none"] | None,
        Option(
            "What verifies the steps of a text: equations of numbers, or nothing.",
            TASKS,
            default="equations",
        ),
    ] = None
    fit_share: Annotated[
        float,
        Option("Share of the problems that mechanisms are trained on.", STATISTICS, "P"),
    ] = Field(default=0.25, gt=0, lt=1)
    choose_share: Annotated[
        float, Option("Share of the problems for choosing settings.", STATISTICS, "P")
    ] = Field(default=0.25, gt=0, lt=1)

    @field_validator("arms")
    @classmethod
    def _known(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [arm for arm in arms if arm not in ARMS]
        if unknown:
            raise ValueError(
                f"there is no mechanism {unknown[0]!r}. Choose among {', '.join(ARMS)}"
            )
        return tuple(dict.fromkeys(arms))

    @field_validator("expert", "antiexpert", "host")
    @classmethod
    def _absolute_models(cls, name: str | None) -> str | None:
        """The absolute path of a directory, as of the two models."""
        return cls._absolute_if_local(name)

    @field_validator("openers")
    @classmethod
    def _newlines(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Shells pass a line break as two characters."""
        return tuple(dict.fromkeys(text.replace("\\n", "\n") for text in given))

    @model_validator(mode="after")
    def _fits_together(self) -> "MechanismsSpec":
        if self.fit_share + self.choose_share >= 0.95 and not self.embedded:
            raise ValueError(
                f"fit_share {self.fit_share:g} and choose_share {self.choose_share:g} leave no "
                "problems to test on. Let them add up to 0.8 or less"
            )
        for arm, names in _NEEDED.items():
            given = [name for name in names if getattr(self, name) is not None]
            if arm in self.arms and len(given) < len(names):
                raise NotGivenError(
                    [name for name in names if name not in given],
                    f", so the arm {arm} is undefined. Give both {' and '.join(names)}, or leave "
                    "the arm out",
                )
            if given and len(given) < len(names):
                raise ValueError(
                    f"{given[0]} is given alone, and the arm {arm} needs {' and '.join(names)}. "
                    "Give both"
                )
            users = [each for each, needed in _NEEDED.items() if needed == names]
            if given and self.arms and not set(users) & set(self.arms):
                raise ValueError(
                    f"{' and '.join(given)} belong to the arm {arm}, which is not among arms, so "
                    "they would be ignored. Add the arm, or leave them out"
                )
        critical = [arm for arm in self.arms if arm.startswith("critique")]
        if critical and not self.embedded:
            raise ValueError(
                f"the arm {critical[0]} learns from a critic, and on the command line there is one "
                "for the embedded pairs' own problems alone. From Python pass any critic to "
                "elicitation.training.training_means, or leave the arm out"
            )
        if "prefix" in self.arms and not self.begins:
            raise NotGivenError(
                ["openers"],
                ", so the arm prefix has no text to begin with. Give one, or leave the arm out",
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether an embedded pair is asked its own problems, whose language is known."""
        return self.pair is not None and self.problems is None

    @property
    def generation(self) -> "Generation":
        """How greedy texts are written."""
        from elicit.rollouts import Generation

        return Generation(
            max_new_tokens=self.max_new_tokens,
            extractor=self.extractor,
            templated=self.templated,
        )

    @property
    def run_seeds(self) -> tuple[int, ...]:
        """Seed of each training run."""
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def begins(self) -> tuple[str, ...]:
        """Texts with which answers are made to begin."""
        return self.openers or (("so",) if self.pair is not None else ())

    @property
    def tried(self) -> tuple[str, ...]:
        """Names of the mechanisms to try, in the order in which they run."""
        wanted = set(self.arms)
        if not self.arms:
            wanted = {*(DEFAULT if self.embedded else CHEAP)}
            wanted |= {"feature", "feature-controls"} if self.sae is not None else set()
            wanted |= {"proxy"} if self.expert is not None else set()
            wanted -= set() if self.begins else {"prefix"}
        return tuple(name for name in ARMS if name in wanted)

    @property
    def known(self) -> tuple[ControlName, ...]:
        """Pairs of known truth, that with the skill first: it says which mechanisms work at all."""
        order: tuple[ControlName, ...] = ("elicited", "created")
        return tuple(name for name in order if name in self.controls and self.repeated)

    @property
    def learns(self) -> bool:
        """Whether all weights are trained on post's right texts, to see what those take to learn.

        It costs as much as an arm, so only where weights are trained anyway.
        """
        return self.embedded or any(name in TRAINED for name in self.tried)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names of the mechanisms that also run on the pairs of known truth."""
        return tuple(name for name in self.tried if name in CONTROLLED)
