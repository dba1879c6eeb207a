"""The audit of a pair: three answers from the results of its runs."""

from elicit.verdicts.audit._controls import ARM_CONTROLS
from elicit.verdicts.audit._existence import Gain, existence_answer
from elicit.verdicts.audit._layers import layers_answer
from elicit.verdicts.audit._trace import trace_answer
from elicit.verdicts.audit.conclude import Findings, conclude
from elicit.verdicts.audit.result import (
    ASKED,
    QUESTIONS,
    Audit,
    NumberTold,
    RunTold,
    Tested,
)

__all__ = [
    "ARM_CONTROLS",
    "ASKED",
    "Audit",
    "Findings",
    "Gain",
    "NumberTold",
    "QUESTIONS",
    "RunTold",
    "Tested",
    "conclude",
    "existence_answer",
    "layers_answer",
    "trace_answer",
]
