"""The options that commands share, each said once.

An option that was not given is None, so that it does not override a configuration file; the default
that then holds is the specification's, and the help repeats it.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from elicit.cli.progress import Shown

MODELS, TASKS, RUN, STATISTICS, MACHINE, OUTPUT = (
    "Models",
    "Tasks",
    "What is run",
    "Statistics",
    "Machine",
    "Output",
)

Pair = Annotated[
    str | None,
    typer.Option(
        "--pair",
        metavar="NAME",
        help="An embedded pair, such as organism:answers-only.",
        rich_help_panel=MODELS,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Base model: hub id, directory or organism.", rich_help_panel=MODELS
    ),
]
Post = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Post-trained model or adapter: the same.", rich_help_panel=MODELS
    ),
]
Vocab = Annotated[
    Literal["exact", "shared"] | None,
    typer.Option(
        help="shared compares the ids that both know (default: exact).", rich_help_panel=MODELS
    ),
]
AllowIdentical = Annotated[
    bool | None,
    typer.Option(
        "--allow-identical",
        help="Take a pair without any difference, as a control.",
        rich_help_panel=MODELS,
    ),
]
TrustRemoteCode = Annotated[
    bool | None,
    typer.Option(
        "--trust-remote-code",
        help="Let code that comes with a checkpoint run.",
        rich_help_panel=MODELS,
    ),
]

Problems = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Problems as JSONL: what post may do better.", rich_help_panel=TASKS
    ),
]
Facts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Facts as JSONL: what post may have lost.", rich_help_panel=TASKS
    ),
]
ProblemsHow = Annotated[
    Literal["generated", "forced"] | None,
    typer.Option(
        help="Whether problems are written out or read (default: generated).", rich_help_panel=TASKS
    ),
]
FactsHow = Annotated[
    Literal["forced", "generated"] | None,
    typer.Option(help="The same for facts (default: forced).", rich_help_panel=TASKS),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="At most N problems of each task (default: all).", rich_help_panel=TASKS
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Longest written answer, tokens (default: 128).", rich_help_panel=TASKS
    ),
]
Extractor = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Finds the answer in a text: last-candidate, last-number, boxed, marker:WORD, "
        "math-verify (default: default, the last candidate, else the last number).",
        rich_help_panel=TASKS,
    ),
]
End = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help=r"Closes a teacher-forced answer, so that 1 differs from the start of 10; \n is a "
        "line end.",
        rich_help_panel=TASKS,
    ),
]
Templated = Annotated[
    bool | None,
    typer.Option(
        "--templated",
        help="Put prompts into the chat template.",
        rich_help_panel=TASKS,
    ),
]

ReasoningCue = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help=r"Words before a problem that call for reasoning; \n is a line end.",
        rich_help_panel=TASKS,
    ),
]
DirectCue = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Words before a problem that call for the answer at once; best of as many tokens.",
        rich_help_panel=TASKS,
    ),
]
ShownBy = Annotated[
    str | None,
    typer.Option(
        "--shown",
        metavar="REGEX",
        help="What a text that reasons has in it (default: 12 words or more).",
        rich_help_panel=TASKS,
    ),
]
Baselines = Annotated[
    list[Path] | None,
    typer.Option(
        "--baselines",
        "--baseline",
        metavar="FILE",
        help="Another way to ask the base, as text with {prompt} in place of the problem, after "
        "solved ones for example. The gap begins at the best way. May be given again.",
        rich_help_panel=TASKS,
    ),
]
ChooseShare = Annotated[
    float | None,
    typer.Option(
        metavar="P",
        help="Share of the problems to choose on (default: 0.5).",
        rich_help_panel=STATISTICS,
    ),
]

Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Of every random draw (default: 0).", rich_help_panel=STATISTICS
    ),
]
Level = Annotated[
    float | None,
    typer.Option(
        metavar="P", help="Coverage of the intervals (default: 0.95).", rich_help_panel=STATISTICS
    ),
]
Resamples = Annotated[
    int | None,
    typer.Option(
        "--n-resamples",
        metavar="N",
        help="Resamples of the problems (default: 2000).",
        rich_help_panel=STATISTICS,
    ),
]

Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="cpu, cuda, cuda:1, mps (default: cpu).", rich_help_panel=MACHINE
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="float32, bfloat16 or float16 (default: float32).",
        rich_help_panel=MACHINE,
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="MAP", help="Placement over several devices, such as auto.", rich_help_panel=MACHINE
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attn-implementation",
        metavar="NAME",
        help="eager or sdpa (default: eager).",
        rich_help_panel=MACHINE,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Tokens in a forward; bounds memory (default: 8192).",
        rich_help_panel=MACHINE,
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the run, made if needed.", rich_help_panel=OUTPUT),
]
Fresh = Annotated[
    bool | None,
    typer.Option("--fresh", help="Discard an earlier run in that folder.", rich_help_panel=OUTPUT),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Options from YAML, such as a run's run.yaml; flags override it.",
        rich_help_panel=OUTPUT,
    ),
]
SaveConfig = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write all options there.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the summary as JSON and nothing else.", rich_help_panel=OUTPUT
    ),
]
Progress = Annotated[
    Shown,
    typer.Option(
        "--progress",
        help="How progress is shown; auto: a bar on a terminal.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=OUTPUT)
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)
]
