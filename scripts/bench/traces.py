"""Speed of reading written thoughts: forced answers at every cut, and the whole ledger.

    python scripts/bench/traces.py --json FILE              (embedded pair)
    python scripts/bench/traces.py --json FILE --model DIR  (and a real model, beside itself)

Ours is beside the best plain way: every prefix as a padded row of a batch of similar lengths, whose
last position alone is unembedded. CPU time of one thread, turns taken, medians. A row is `name,
value, unit, goal, ok`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from elicit import organisms
from elicit.pair import ModelPair, load_pair
from elicit.tasks import Problem, Task, load_task
from elicit.texts import AnswerForm, CutText, EncodedText, LaneReader, StepRule, encode_cuts
from elicit.traces import given_thoughts, ledger
from elicit.traces.thoughts import answer_pool, cut_texts

Row = dict[str, object]
FORM = AnswerForm(lead_in="answer")
PROSE = (
    "Tom has {a} boxes of {b} pencils and finds {c} more. First we count the pencils in the boxes. "
    "There are {a} boxes, and each of them holds {b} pencils, so they hold {d} pencils in all. "
    "Then there are the pencils that he finds on the way home. He finds {c} of them. "
    "So we add the two numbers. The boxes hold {d} pencils and he finds {c} more. "
    "Adding {c} to {d} gives {e}. We can check this again. Taking {c} from {e} gives {d}. "
    "And {d} divided by {a} is {b}, which is what each box holds. So nothing was lost on the way. "
    "Therefore Tom has {e} pencils in total, as we have seen above."
)


def row(name: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure beside its goal, e.g. `>= 4`."""
    ok: bool | None = None
    if goal:
        sign, limit = goal.split()
        ok = value <= float(limit) if sign == "<=" else value >= float(limit)
    return {"name": name, "value": round(value, 6), "unit": unit, "goal": goal, "ok": ok}


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one run."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def texts_of(pair: ModelPair, task: Task, steps: str, n: int) -> tuple[CutText, ...]:
    """The first thoughts of a task with their cuts."""
    thoughts = given_thoughts(task.subset(n, seed=0), FORM)
    return cut_texts(thoughts, StepRule.parse(steps), answer_pool([thoughts]), pair.alignment)


def beside_prefixes(name: str, pair: ModelPair, rows: tuple[EncodedText, ...], goal: str,
                    repeats: int) -> list[Row]:  # fmt: skip
    """Lanes over one read of each text, beside every prefix as a padded row."""
    side = pair.side("base")
    ours, plain = LaneReader(side), LaneReader(side, every_prefix=True)

    def run(reader: LaneReader) -> torch.Tensor:
        parts = [
            reader.read([rows[i] for i in chunk], max_tokens=8192, states=reader is ours)
            for chunk in reader.chunks(rows, 8192)
        ]
        return torch.cat([part.candidate_log_prob for part in parts]).softmax(-1)

    gap = (run(ours) - run(plain)).abs().nan_to_num(0).max().item()
    times = [(seconds(lambda: run(ours)), seconds(lambda: run(plain))) for _ in range(repeats)]
    n_cuts = sum(len(each.lanes) for each in rows)
    return [
        row(f"{name}: {len(rows)} texts, {n_cuts} cuts", median(t for t, _ in times), "s"),
        row(f"{name}: padded prefixes over it", median(b / a for a, b in times), "", goal),
        row(f"{name}: largest difference", gap, "share", "<= 1e-5"),
    ]


def whole(pair: ModelPair, task: Task, repeats: int) -> list[Row]:
    """The ledger of both models, beside two prefills with all logits and the lanes."""
    thoughts = given_thoughts(task.subset(60, seed=0), FORM)
    steps = StepRule.parse("marker:;")
    texts = cut_texts(thoughts, steps, answer_pool([thoughts]), pair.alignment)
    readers = [LaneReader(pair.side(name)) for name in ("base", "post")]

    def floor() -> None:
        """Tokens of all texts, two prefills unembedded at every position, and their lanes."""
        rows = encode_cuts(pair.alignment, texts, FORM)
        for reader in readers:
            for chunk in reader.chunks(rows, 8192):
                read = reader.read([rows[i] for i in chunk], max_tokens=8192)
                with torch.no_grad():
                    states = read.states[None]
                    assert reader.decomposed is not None
                    reader.decomposed.unembed.logits(states)[0].log_softmax(-1)

    ledger(pair, thoughts, form=FORM, steps=steps)
    times = [
        (seconds(lambda: ledger(pair, thoughts, form=FORM, steps=steps)), seconds(floor))
        for _ in range(repeats)
    ]
    return [
        row("ledger of both models, 60 texts", median(a for a, _ in times), "s"),
        row(
            "ledger over two prefills with their lanes",
            median(a / b for a, b in times), "", "<= 1.3",
        ),
    ]  # fmt: skip


def real(folder: Path) -> list[Row]:
    """Twenty traces of about 200 tokens with ten cuts, read by a real model twice."""
    problems = []
    for i in range(20):
        a, b, c = 3 + i % 7, 4 + i % 5, 5 + i
        d, e = a * b, a * b + c
        text = PROSE.format(a=a, b=b, c=c, d=d, e=e)
        problems.append(
            Problem(
                id=str(i),
                prompt=f"Tom has {a} boxes of {b} pencils and finds {c} more. How many in total?",
                answer=str(e),
                trace=text,
            )
        )
    task = Task(name="pencils", problems=tuple(problems))
    pair = load_pair(folder, folder, allow_identical=True)
    form = AnswerForm(lead_in="The answer is", end=".")
    thoughts = given_thoughts(task, form)

    def run() -> None:
        found.append(ledger(pair, thoughts, form=form, steps=StepRule.parse("sentence")))

    found = []
    begin = time.monotonic()
    taken = seconds(run)
    wall = time.monotonic() - begin
    book = found[0]
    same = float((book.candidate_log_prob[0] - book.candidate_log_prob[1]).abs().nan_to_num().max())
    return [
        row("real model: tokens a text", len(book.token_id) / 20, ""),
        row("real model: cuts a text", len(book.lane_at) / 20, ""),
        row("real model: 20 texts, both models", taken, "CPU s", "<= 180"),
        row("real model: the same, one thread", wall, "s"),
        row("real model: a model beside itself differs by", same, "nats", "<= 0"),
    ]


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pair = load_pair("organism:rl")
    task = load_task(organisms.resolve("organism:rl").problems, name="problems")
    rows: list[Row] = []
    for name, steps, n, goal in (
        ("4 or 5 cuts", "marker:;", 60, ">= 4"),
        ("a cut at every token", "tokens:1", 30, ">= 12"),
    ):
        encoded = encode_cuts(pair.alignment, texts_of(pair, task, steps, n), FORM)
        rows += beside_prefixes(name, pair, encoded, goal, options.repeats)
    rows += whole(pair, task, options.repeats)
    if options.model is not None:
        rows += real(options.model)
    options.json.write_text(json.dumps(rows, indent=1))
    for each in rows:
        sys.stdout.write(json.dumps(each) + "\n")


if __name__ == "__main__":
    main()
