"""Speed of reading written thoughts: forced answers at every cut, and the whole ledger.

    python scripts/bench/traces.py --json FILE              (embedded pair)
    python scripts/bench/traces.py --json FILE --model DIR  (and a real model, beside itself)
    python scripts/bench/traces.py --json FILE --only null  (false positives on null pairs alone)

Ours is beside the best plain way: every prefix as a padded row of a batch of similar lengths, whose
last position alone is unembedded. CPU time of one thread, turns taken, medians. A row is `name,
value, unit, goal, ok`.

False positives: both models of a pair that differs in its training seed alone are swapped at random
within every problem, many times; each primary of the scorecard is tested each time as there.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from elicit import organisms
from elicit.pair import ModelPair, load_pair
from elicit.rollouts import Generation, rollouts
from elicit.stats import (
    Inference,
    holm,
    measure_discrimination,
    paired_permutation,
)
from elicit.tasks import Problem, Task, load_task
from elicit.texts import AnswerForm, CutText, EncodedText, LaneReader, StepRule, encode_cuts
from elicit.traces import Readings, dependence, given_thoughts, information, ledger
from elicit.traces.discrimination import right_of, signals_of
from elicit.traces.reach import coverage_p, numbered
from elicit.traces.thoughts import answer_pool, cut_texts
from elicit.verdicts import PRIMARIES, judge

Row = dict[str, object]
FORM = AnswerForm(lead_in="answer")
FEW = Inference(n_resamples=200)
SIDES = ("base", "post")
NULL_PAIRS = ("continued", "b-continued")
"""Pairs whose post was only trained on, with another seed."""
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


def speed(repeats: int) -> list[Row]:
    """Lanes beside padded prefixes, and the whole ledger."""
    pair = load_pair("organism:rl")
    task = load_task(organisms.resolve("organism:rl").problems, name="problems")
    rows: list[Row] = []
    for name, steps, n, goal in (
        ("4 or 5 cuts", "marker:;", 60, ">= 4"),
        ("a cut at every token", "tokens:1", 30, ">= 12"),
    ):
        encoded = encode_cuts(pair.alignment, texts_of(pair, task, steps, n), FORM)
        rows += beside_prefixes(name, pair, encoded, goal, repeats)
    return rows + whole(pair, task, repeats)


class Null:
    """What both models of a null pair did on every problem, for swapping them within problems."""

    def __init__(self, name: str, n: int, n_samples: int) -> None:
        """Read given thoughts and draw samples, once."""
        self.pair = load_pair(f"organism:{name}")
        path = organisms.resolve(f"organism:{name}").problems
        task = load_task(path, name="problems").subset(n, seed=0)
        thoughts = given_thoughts(task, FORM)
        book = ledger(self.pair, thoughts, form=FORM, steps=StepRule.parse("marker:;"))
        readings = Readings.of_given(thoughts, book)
        found = dependence(self.pair, readings, form=FORM)
        how = Generation(max_new_tokens=72, temperature=1.0, n_samples=n_samples)
        written = [rollouts(self.pair.side(side), task, generation=how) for side in SIDES]
        self.answers, self.right = numbered(task, written)
        correct = [(answer == self.right[:, None]).double() for answer in self.answers]
        self.rows = {
            "pass@1": torch.stack([each.mean(1) for each in correct]),
            "follows": found.of("follows"),
            "CIR": found.of("CIR where the thought is needed"),
            "ig_total": information(self.pair, readings).of("gain"),
        }
        self.edited = found.of("follows the edited question with the old thought")
        self.signals = [dict(signals_of(reading)) for reading in readings.both]
        self.is_right = torch.stack([right_of(reading) for reading in readings.both])
        self.solved = correct[1].mean(1) > 0.5

    def p(self, flip: torch.Tensor, random: torch.Generator) -> list[float]:
        """P-values of the six primaries with some problems' models swapped."""
        found = [self._p(self._swapped(rows, flip)) for rows in self.rows.values()]
        return [*found, self._p_of_confidence(flip), self._p_of_coverage(random)]

    def verdict(self, flip: torch.Tensor) -> str:
        """The verdict on dependence with some problems' models swapped."""
        return judge(
            follows=self._swapped(self.rows["follows"], flip),
            accuracy=self._swapped(self.rows["pass@1"], flip),
            edited_with_thought=self._swapped(self.edited, flip),
            inference=FEW,
        ).verdict

    @staticmethod
    def _swapped(rows: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
        return torch.where(flip, rows.flip(0), rows)

    @staticmethod
    def _p(rows: torch.Tensor) -> float:
        both = ~rows.isnan().any(0)
        if int(both.sum()) < 2:
            return 1.0
        return paired_permutation(rows[1, both], rows[0, both], n_resamples=1000, seed=0).p

    def _p_of_confidence(self, flip: torch.Tensor) -> float:
        right = self._swapped(self.is_right, flip)
        if not all(0 < int(row.sum()) < len(row) for row in right):
            return 1.0
        problem, smallest = torch.arange(len(flip)), 1.0
        for name in ("answer share", "lowest group"):
            signal = self._swapped(torch.stack([each[name] for each in self.signals]), flip)
            sides = [
                measure_discrimination({name: s}, r, problem).by_problem[:, 0]
                for s, r in zip(signal, right, strict=True)
            ]
            smallest = min(smallest, self._p(torch.stack(sides)))
        return min(1.0, 2 * smallest)

    def _p_of_coverage(self, random: torch.Generator) -> float:
        """Base's samples against right answers of other problems: no skill at all."""
        right = self.right[torch.randperm(len(self.right), generator=random)]
        return coverage_p(self.answers[0], right, self.solved, n_draws=1000)


def false_positives(name: str, n: int = 40, n_samples: int = 4, swaps: int = 400) -> list[Row]:
    """How often a primary differs on a pair without a difference, by Holm's p and alone."""
    null = Null(name, n, n_samples)
    random = torch.Generator().manual_seed(0)
    alone, held = np.zeros(len(PRIMARIES)), np.zeros(len(PRIMARIES))
    any_of = lost = 0
    for _ in range(swaps):
        flip = torch.rand(n, generator=random) < 0.5
        p = np.array(null.p(flip, random))
        adjusted = holm(p)
        alone += p < 0.05
        held += adjusted < 0.05
        any_of += bool((adjusted < 0.05).any())
        lost += null.verdict(flip) in ("hollow", "internalised", "decoupled")
    rows = []
    for i, primary in enumerate(PRIMARIES):
        rows += [
            row(f"{name}: {primary} differs, Holm", float(held[i]) / swaps, "share", "<= 0.05"),
            row(f"{name}: {primary} differs, p alone", float(alone[i]) / swaps, "share"),
        ]
    return [
        *rows,
        row(f"{name}: any primary differs, Holm", any_of / swaps, "share", "<= 0.05"),
        row(f"{name}: verdict of a loss", lost / swaps, "share", "<= 0.05"),
    ]


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=("speed", "null"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    if options.only != "null":
        rows += speed(options.repeats)
    if options.only != "speed":
        rows += [each for name in NULL_PAIRS for each in false_positives(name)]
    if options.model is not None:
        rows += real(options.model)
    options.json.write_text(json.dumps(rows, indent=1))
    for each in rows:
        sys.stdout.write(json.dumps(each) + "\n")


if __name__ == "__main__":
    main()
