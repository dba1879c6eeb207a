"""A protocol: hypotheses, primaries and margins, frozen before any number is read."""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from elicit.jobs._faults import SpecError, read_yaml, said
from elicit.results import canonical_json, digest_json
from elicit.verdicts import NumberTold, Tested

FILE = "protocol.json"
"""The protocol in the run directory, in canonical form with its digest."""
MARGINS = {
    "report": ("margin", "share_margin"),
    "exists": ("margin", "least_share", "least_effect"),
}
"""Margins that a protocol may freeze, by command."""
_EXAMPLE = (
    "Write a list under hypotheses, each with says, primary and above, below or within; and "
    "optionally margins by command."
)


class Hypothesis(BaseModel):
    """One hypothesis: where the interval of its primary must lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str = Field(min_length=1)
    """The hypothesis in words."""
    primary: str
    """Name of a key figure, such as `mechanisms.share`."""
    above: float | None = Field(default=None, allow_inf_nan=False)
    """Border below the interval."""
    below: float | None = Field(default=None, allow_inf_nan=False)
    """Border above the interval."""
    within: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Margin of equivalence: the interval lies between minus this and this."""

    @model_validator(mode="after")
    def _one_border(self) -> "Hypothesis":
        given = [b for b in (self.above, self.below, self.within) if b is not None]
        if len(given) != 1:
            raise ValueError(
                f"the hypothesis on {self.primary} has {len(given)} borders, and one decides it. "
                "Give above, below or within"
            )
        return self

    @property
    def expected(self) -> str:
        """Where the interval must lie, in words."""
        if self.above is not None:
            return f"above {self.above:g}"
        if self.below is not None:
            return f"below {self.below:g}"
        return f"within ±{self.within:g}"

    def outcome(self, told: Mapping[str, float | None] | None) -> str:
        """`supported`, `refuted`, `open` or `not measured`.

        Args:
            told: The primary, `value`, `low` and `high`; None where it was not measured.
        """
        ends = [math.nan if told is None else told.get(end) for end in ("low", "high")]
        low, high = (math.nan if end is None else end for end in ends)
        if math.isnan(low) or math.isnan(high):
            return "not measured"
        if self.within is not None:
            inside = -self.within < low and high < self.within
            outside = high < -self.within or low > self.within
            return "supported" if inside else "refuted" if outside else "open"
        if self.above is not None:
            return "supported" if low > self.above else "refuted" if high < self.above else "open"
        assert self.below is not None
        return "supported" if high < self.below else "refuted" if low > self.below else "open"


class Protocol(BaseModel):
    """What was decided beforehand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hypotheses: tuple[Hypothesis, ...] = Field(min_length=1)
    """At least one."""
    margins: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Margins by command and option."""

    @model_validator(mode="after")
    def _known(self) -> "Protocol":
        for command, options in self.margins.items():
            for option in options:
                if option not in MARGINS.get(command, ()):
                    known = [f"{name}.{each}" for name, all_ in MARGINS.items() for each in all_]
                    raise ValueError(
                        f"there is no margin {command}.{option}. Margins are {', '.join(known)}"
                    )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, on which layout and order of the file have no effect."""
        return digest_json(self.canonical)

    @property
    def canonical(self) -> dict[str, Any]:
        """Every hypothesis and margin, as JSON has them."""
        return self.model_dump(mode="json", exclude_none=True)

    def frozen(self) -> str:
        """Content of the file in the run directory."""
        return canonical_json({"protocol": self.canonical, "sha256": self.digest}).decode()

    def tested(self, numbers: Sequence[NumberTold]) -> list[Tested]:
        """How each hypothesis came out.

        Args:
            numbers: Key figures that were measured.
        """
        told = {one.name: one.estimate for one in numbers}
        return [
            Tested(
                says=one.says,
                primary=one.primary,
                expected=one.expected,
                outcome=one.outcome(told.get(one.primary)),
            )
            for one in self.hypotheses
        ]

    def check(self, names: Collection[str]) -> None:
        """Refuse primaries that no run of the audit can have.

        Args:
            names: Key figures that its runs can have.

        Raises:
            SpecError: One is not among them.
        """
        for one in self.hypotheses:
            if one.primary not in names:
                close = difflib.get_close_matches(one.primary, names, n=1)
                raise SpecError(
                    f"the protocol has the primary {one.primary!r}, which no run of this audit "
                    "measures, so its hypothesis could never be decided"
                    + (f" (did you mean {close[0]}?)" if close else "")
                    + f". Choose among {', '.join(sorted(names))}."
                )


def read_protocol(path: Path) -> Protocol:
    """Read and validate a protocol.

    Args:
        path: YAML file.

    Raises:
        SpecError: It cannot be read, or is no protocol.
    """
    read = read_yaml(path)
    try:
        return Protocol.model_validate(read)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {said(fault)}"
            for fault in error.errors()
        )
        raise SpecError(
            f"the protocol {path} is not whole ({faults}), so nothing was frozen and nothing run. "
            f"{_EXAMPLE}"
        ) from error
