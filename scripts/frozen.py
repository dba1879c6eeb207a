"""Whether the same seeds still give the same numbers: freeze the summaries of one version, compare.

    git archive COMMIT | tar -x -C OLD
    (cd OLD && PYTHONPATH=. python HERE/scripts/frozen.py run FROZEN)
    python scripts/frozen.py run NOW
    python scripts/frozen.py compare FROZEN NOW

`run` runs report, patch, revise, exists, features and steer, small, on three embedded pairs,
through the command line of the version of elicit that is imported, and keeps each
`summary.json`. `compare` counts what both have under the same key: equal to 1e-6 (relative above
1), or different ends of intervals, p-values, words, and values, which are listed.
"""

import argparse
import contextlib
import io
import json
import math
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PAIRS = ("shuffled-l3", "when-l3", "rl")
COMMON = ("--n-resamples", "200", "--quiet")
GENERATED = ("--max-new-tokens", "32")
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": (*GENERATED, "--limit", "12", "--kinds", "layer", "--controls", "1"),
    "patch": ("--limit", "12", "--sites", "resid_post", "--positions", "last"),
    "revise": (*GENERATED, "--limit", "8"),
    "exists": (
        *GENERATED,
        *("--limit", "30", "--strengths", "0.5,1.25", "--sites", "resid_post.4"),
        *("--n-random", "19", "--n-redrawn", "1"),
    ),
    "features": (
        *GENERATED,
        *("--limit", "16", "--traces", "task", "--steps", "40", "--d-sae", "64", "--top", "2"),
        *("--n-samples", "2", "--allow-unfaithful"),
    ),
    "steer": (
        *GENERATED,
        *("--limit", "30", "--strengths", "0.5,1", "--sites", "resid_post.4", "--n-random", "2"),
    ),
}
"""Options that both versions know."""
RENAMED = {"mean moved": "mean-shifted", ".coherence.": ".log_prob."}
KINDS = ("ends", "p-values", "words", "values")
TOLERANCE = 1e-6
UNEQUAL_BY_NATURE = ("seconds", "cost", "versions", "provenance", "device", "schema", "machine")


def run(out: Path, only: list[str]) -> None:
    """Keep the summary of every command on every pair."""
    from elicit.cli import main

    out.mkdir(parents=True, exist_ok=True)
    for pair in PAIRS:
        for command, options in COMMANDS.items():
            path = out / f"{command} {pair}.json"
            if path.exists() or (only and command not in only):
                continue
            began, said = time.process_time(), io.StringIO()
            with tempfile.TemporaryDirectory() as folder:
                words = [command, "--pair", f"organism:{pair}", "--out", f"{folder}/run"]
                words += [*COMMON, *options]
                code: object = 0
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    try:
                        main(words)
                    except SystemExit as left:
                        code = left.code
                found = Path(folder) / "run" / "summary.json"
                text = found.read_text() if found.exists() else json.dumps({"failed": str(code)})
            path.write_text(text)
            last = said.getvalue().strip().splitlines()[-1:] if code else [""]
            seconds = time.process_time() - began
            sys.stdout.write(f"{command} {pair}: {seconds:.1f} CPU s {code or ''} {last[0]}\n")
            sys.stdout.flush()


def leaves(value: object, at: str = "") -> Iterator[tuple[str, object]]:
    """Every number, truth value and text of a summary, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in UNEQUAL_BY_NATURE:
                yield from leaves(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{at}[{i}]")
    else:
        yield at, value


def same(one: object, two: object) -> bool:
    """Equal to 1e-6, relative above 1."""
    numbers = isinstance(one, int | float) and isinstance(two, int | float)
    if not numbers or isinstance(one, bool) or isinstance(two, bool):
        return one == two
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    return abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two))


def respelt(old: dict[str, object]) -> dict[str, object]:
    """The keys of 0.1 as they are spelt since: `x` and `x_low` are `x.value` and `x.low`."""
    found: dict[str, object] = {}
    for key, value in old.items():
        stem, end, places = re.fullmatch(r"(.*?)(_low|_high)?((?:\[\d+\])*)", key).groups()
        if end:
            key = f"{stem}.{end[1:]}{places}"
        elif f"{stem}_low{places}" in old:
            key = f"{stem}.value{places}"
        for before, since in RENAMED.items():
            key = key.replace(before, since)
        found[key] = value
    return found


def kind(key: str, old: object, new: object) -> str:
    """What differs: a value, an end of an interval, a p-value, or words."""
    name = re.sub(r"(\[\d+\])+$", "", key).rpartition(".")[2]
    if isinstance(old, str) or isinstance(new, str):
        return "words"
    return {"low": "ends", "high": "ends", "p": "p-values"}.get(name, "values")


def compare(before: Path, after: Path) -> None:
    """Tell what differs, words apart."""
    sys.stdout.write("| | equal | ends | p-values | words | values |\n|---|---|---|---|---|---|\n")
    told: list[str] = []
    for path in sorted(before.glob("*.json")):
        if not (after / path.name).exists():
            continue
        old, new = (
            dict(leaves(json.loads((folder / path.name).read_text()))) for folder in (before, after)
        )
        old = {**old, **respelt(old)}
        shared = [key for key in old if key in new]
        different = {key: kind(key, old[key], new[key]) for key in shared}
        different = {key: what for key, what in different.items() if not same(old[key], new[key])}
        counts = Counter(different.values())
        cells = (len(shared) - len(different), *(counts[what] for what in KINDS))
        sys.stdout.write(f"| {path.stem} | {' | '.join(map(str, cells))} |\n")
        told += [
            f"{path.stem}: {key}: {old[key]} -> {new[key]}"
            for key, what in different.items()
            if what == "values"
        ]
    sys.stdout.write("\n".join(["", *told, ""]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    steps = parser.add_subparsers(dest="step", required=True)
    running = steps.add_parser("run")
    running.add_argument("out", type=Path)
    running.add_argument("--only", nargs="*", default=[], choices=list(COMMANDS))
    comparing = steps.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.step == "run":
        run(given.out, given.only)
    else:
        compare(given.before, given.after)


if __name__ == "__main__":
    main()
