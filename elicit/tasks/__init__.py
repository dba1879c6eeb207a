"""Tasks: problems with their answers, and how right a model is on them.

`load_task` reads problems; `check` grades what a model wrote; `encode_forced` and `score_forced`
ask how probable it finds each answer without letting it write.
"""

from elicit.tasks.answers import parse_number, same_answer
from elicit.tasks.behaviour import (
    NEGATIVE,
    PLAIN,
    POSITIVE,
    REASONS,
    Behaviour,
    Marker,
    PromptOf,
    labelled_behaviour,
    longer_than,
    matching,
    reasoning_behaviour,
)
from elicit.tasks.border import Continued, Join, continued, joined, n_common, separator
from elicit.tasks.encoding import encode_forced
from elicit.tasks.extraction import (
    AfterMarker,
    Extractor,
    Graded,
    after_marker,
    boxed,
    check,
    default_extractor,
    extractor,
    last_candidate,
    last_number,
    math_verify,
    ungradable,
)
from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.forced import ForcedBatch, ForcedRows
from elicit.tasks.jsonl import load_task, parse_line, read_file, save_task
from elicit.tasks.mentions import Mention, mentions
from elicit.tasks.numbers import Number, ends_word, numbers, plain, starts_word
from elicit.tasks.problems import (
    Edited,
    Problem,
    edge_faults,
    misspelt,
    problem_faults,
    text_faults,
)
from elicit.tasks.scoring import ForcedScores, ReadScores, read_scores, reduce_scores, score_forced
from elicit.tasks.split import LEAST, Split
from elicit.tasks.task import Task

__all__ = [
    "separator",
    "joined",
    "continued",
    "Join",
    "Continued",
    "AfterMarker",
    "Behaviour",
    "Edited",
    "Extractor",
    "Fault",
    "ForcedBatch",
    "ForcedRows",
    "ForcedScores",
    "Graded",
    "LEAST",
    "Marker",
    "Mention",
    "NEGATIVE",
    "Number",
    "PLAIN",
    "POSITIVE",
    "Problem",
    "PromptOf",
    "REASONS",
    "ReadScores",
    "Split",
    "Task",
    "TaskError",
    "after_marker",
    "boxed",
    "check",
    "default_extractor",
    "edge_faults",
    "encode_forced",
    "ends_word",
    "extractor",
    "labelled_behaviour",
    "last_candidate",
    "last_number",
    "load_task",
    "longer_than",
    "matching",
    "math_verify",
    "mentions",
    "n_common",
    "numbers",
    "parse_line",
    "parse_number",
    "plain",
    "problem_faults",
    "read_file",
    "read_scores",
    "reasoning_behaviour",
    "reduce_scores",
    "same_answer",
    "save_task",
    "score_forced",
    "shown",
    "text_faults",
    "ungradable",
    "misspelt",
    "starts_word",
]
