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
    Extractor,
    Graded,
    check,
    default_extractor,
    extractor,
    math_verify,
    ungradable,
)
from elicit.tasks.faults import Fault, TaskError, shown
from elicit.tasks.forced import ForcedBatch, ForcedRows
from elicit.tasks.formats import FORMATS, Format
from elicit.tasks.hub import is_hub_id
from elicit.tasks.jsonl import parse_line, save_task
from elicit.tasks.loading import load_task, read_records, spoken
from elicit.tasks.mapping import Columns, parse_map
from elicit.tasks.marker import AfterMarker, after_marker
from elicit.tasks.mentions import Mention, mentions
from elicit.tasks.named import boxed, choice, gsm8k, last_candidate, last_number
from elicit.tasks.numbers import Number, ends_word, numbers, plain, starts_word
from elicit.tasks.problems import (
    Edited,
    Problem,
    edge_faults,
    misspelt,
    problem_faults,
    text_faults,
)
from elicit.tasks.records import Record, Records, Source
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
    "Columns",
    "Edited",
    "Extractor",
    "Fault",
    "ForcedBatch",
    "ForcedRows",
    "ForcedScores",
    "FORMATS",
    "Format",
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
    "Record",
    "Records",
    "Source",
    "Split",
    "Task",
    "TaskError",
    "after_marker",
    "boxed",
    "check",
    "choice",
    "default_extractor",
    "edge_faults",
    "encode_forced",
    "ends_word",
    "extractor",
    "gsm8k",
    "is_hub_id",
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
    "parse_map",
    "parse_number",
    "plain",
    "problem_faults",
    "read_records",
    "read_scores",
    "reasoning_behaviour",
    "reduce_scores",
    "same_answer",
    "save_task",
    "score_forced",
    "shown",
    "spoken",
    "text_faults",
    "ungradable",
    "misspelt",
    "starts_word",
]
