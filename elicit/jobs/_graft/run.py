"""The job behind `elicit graft`: one model with parts of the other, scored and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.grafting.measure import Measure, mean_interval
from elicit.grafting.sweep import Bench, Direction
from elicit.jobs._frame import Job, Outcome, Prepared, Run, Work, execute
from elicit.jobs._graft.spec import GraftSpec
from elicit.jobs._report.run import Measures, load_measures, prepare_measures
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Checkpoint, Execution, Progress
from elicit.stats import Inference, simultaneous_intervals
from elicit.weights import Part, is_changed, part, parts_of, slots_of


@dataclass(frozen=True, eq=False, kw_only=True)
class GraftSweep(Result):
    """Scores of one model with one part of the other at a time."""

    direction: str
    """`revert`: post receives parts of base; `graft`: base receives parts of post."""
    task: tuple[str, ...]
    """Name of each task."""
    unit: tuple[str, ...]
    """Unit of each task's values."""
    n_problems: Int[Tensor, " task"]
    """Problems in each task, the unit of every interval."""
    base_score: Float[Tensor, " task"]
    """Mean value of base."""
    base_score_low: Float[Tensor, " task"]
    """Lower end."""
    base_score_high: Float[Tensor, " task"]
    """Upper end."""
    post_score: Float[Tensor, " task"]
    """Mean value of post."""
    post_score_low: Float[Tensor, " task"]
    """Lower end."""
    post_score_high: Float[Tensor, " task"]
    """Upper end."""
    part: tuple[str, ...]
    """Name of each part."""
    changed: Bool[Tensor, " part"]
    """Whether any weight of the part differs."""
    score: Float[Tensor, "task part"]
    """Mean value of the host with the part moved."""
    score_low: Float[Tensor, "task part"]
    """Lower end, for this part alone."""
    score_high: Float[Tensor, "task part"]
    """Upper end, for this part alone."""
    effect: Float[Tensor, "task part"]
    """The score minus that of the host with nothing moved, paired by problem."""
    effect_low: Float[Tensor, "task part"]
    """Lower end, jointly over the parts."""
    effect_high: Float[Tensor, "task part"]
    """Upper end, jointly over the parts."""
    level: float
    """Nominal coverage of the intervals."""

    def summary(self) -> dict[str, object]:
        """The numbers by name, as `summary.json` holds them."""
        return {
            "direction": self.direction,
            "tasks": [
                {
                    "name": name,
                    "unit": self.unit[t],
                    "n": int(self.n_problems[t]),
                    "base": _ends(
                        self.base_score[t], self.base_score_low[t], self.base_score_high[t]
                    ),
                    "post": _ends(
                        self.post_score[t], self.post_score_low[t], self.post_score_high[t]
                    ),
                }
                for t, name in enumerate(self.task)
            ],
            "parts": [
                {
                    "part": name,
                    "changed": bool(self.changed[p]),
                    "effects": {
                        task: {
                            "score": _ends(
                                self.score[t, p], self.score_low[t, p], self.score_high[t, p]
                            ),
                            "effect": _ends(
                                self.effect[t, p], self.effect_low[t, p], self.effect_high[t, p]
                            ),
                        }
                        for t, task in enumerate(self.task)
                    },
                }
                for p, name in enumerate(self.part)
            ],
        }


def graft(spec: GraftSpec, *, progress: Progress | None = None) -> Run:
    """Score both models, and one of them with parts of the other.

    Everything that can be refused is refused before a model runs. A killed run continues where it
    stopped and ends with the same bytes. Leaves the page, `summary.json`, `run.yaml` and every
    result in `spec.out`.

    Args:
        spec: What to do.
        progress: Receives what is being done.

    Raises:
        ElicitError: Something is missing, damaged, or cannot be compared.
    """
    return execute(_JOB, spec, progress)


def _prepare(
    spec: GraftSpec, pair: ModelPair, checked: Measures
) -> Prepared[tuple[Measures, list[Part]]]:
    parts = [part(pair, name) for name in dict.fromkeys(spec.parts)]
    measures = prepare_measures(spec, pair, checked)
    return Prepared((checked, parts or [*parts_of(pair, "layer")]), measures.identity)


def _measure(work: Work[GraftSpec, tuple[Measures, list[Part]]]) -> Outcome:
    measures, parts = work.inputs
    sweep = sweep_parts(
        work.pair,
        measures.all,
        parts,
        work.spec.direction,
        inference=work.spec.inference,
        execution=work.execution,
    )
    return Outcome(results={"graft": sweep}, summary={"level": sweep.level, **sweep.summary()})


_JOB = Job(check=load_measures, prepare=_prepare, measure=_measure)


def _ends(value: Tensor, low: Tensor, high: Tensor) -> dict[str, float]:
    return {"value": value.item(), "low": low.item(), "high": high.item()}


def sweep_parts(
    pair: ModelPair,
    measures: Sequence[Measure],
    parts: Sequence[Part],
    direction: Direction,
    *,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> GraftSweep:
    """Score base, post, and the host with each part of the donor.

    Args:
        pair: The two models.
        measures: Tasks and how they are scored, each of at least two problems.
        parts: What is moved, one at a time.
        direction: `revert` moves parts from base into post, `graft` from post into base.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TaskError: A problem does not fit into the models.
    """
    # Every task is encoded before any is scored: one that does not fit must not show after an hour.
    benches = [
        Bench(
            pair=pair, measure=measure, max_tokens=execution.max_tokens, progress=execution.progress
        )
        for measure in measures
    ]
    execution.progress.start(len(benches) * (2 + len(parts)), "scoring both models")
    columns: dict[str, list[list[float]]] = {}
    for bench in benches:
        found = _one_task(bench, parts, direction, execution.checkpoint)
        for name, values in _numbers(bench.measure, *found, direction, inference).items():
            columns.setdefault(name, []).append(values)
    execution.progress.stop()
    slots = slots_of(pair)
    tensors = {name: torch.tensor(rows, dtype=torch.float64) for name, rows in columns.items()}
    return GraftSweep(
        provenance=pair.provenance(
            inference.seed,
            {
                "direction": direction,
                "parts": [part.name for part in parts],
                "measures": [measure.to_json() for measure in measures],
                "level": inference.level,
                "n_resamples": inference.n_resamples,
            },
            task_digests={measure.task.name: measure.task.digest for measure in measures},
        ),
        direction=direction,
        task=tuple(measure.task.name for measure in measures),
        unit=tuple(measure.unit for measure in measures),
        n_problems=torch.tensor([len(measure.task) for measure in measures]),
        part=tuple(part.name for part in parts),
        changed=torch.tensor([is_changed(slots, part) for part in parts]),
        level=inference.level,
        **{
            name: tensor[:, 0] if name.startswith(("base", "post")) else tensor
            for name, tensor in tensors.items()
        },
    )


def _one_task(
    bench: Bench, parts: Sequence[Part], direction: Direction, cells: Checkpoint
) -> tuple[Mapping[str, Tensor], Float[Tensor, "part problem"]]:
    """Values of both models, and of the host with each part moved."""
    name, progress = bench.measure.task.name, bench.progress
    hosts: dict[str, Tensor] = {}
    for host, model in (("base", bench.pair.base), ("post", bench.pair.post)):
        progress.advance(0, f"{name}: scoring {host}")
        hosts[host] = cells.get_or_compute(
            f"{name}/{host}", lambda model=model: {"values": bench.score(model)}
        )["values"]
        progress.advance()
    values = hosts["post" if direction == "revert" else "base"]
    # Resumed forwards share their trunk over all parts; written answers are a run for each part.
    groups = [list(parts)] if bench.rows is not None else [[part] for part in parts]
    rows = []
    for group in groups:
        names = "+".join(part.name for part in group)
        progress.advance(0, f"{name}: {direction} {names}")
        swept: list[Tensor] = []

        def compute(
            group: Sequence[Part] = group, swept: list[Tensor] = swept
        ) -> dict[str, Tensor]:
            swept.append(bench.sweep(group, direction, values))
            return {"values": swept[0]}

        rows.append(cells.get_or_compute(f"{name}/{direction}/{names}", compute)["values"])
        if not swept:
            progress.advance(len(group))
    return hosts, torch.cat(rows)


def _numbers(
    measure: Measure,
    hosts: Mapping[str, Tensor],
    moved: Float[Tensor, "part problem"],
    direction: Direction,
    inference: Inference,
) -> dict[str, list[float]]:
    """Every number of one task, by field; one for each part, or one in all."""
    out: dict[str, list[float]] = {}
    rows = {"base_score": [hosts["base"]], "post_score": [hosts["post"]], "score": list(moved)}
    for field, values in rows.items():
        found = [mean_interval(measure, row, inference=inference) for row in values]
        out |= {
            field: [each.value for each in found],
            f"{field}_low": [each.low for each in found],
            f"{field}_high": [each.high for each in found],
        }
    host = hosts["post" if direction == "revert" else "base"]
    joint = simultaneous_intervals(
        (moved - host).T.numpy(),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    ends = (("effect", joint.value), ("effect_low", joint.low), ("effect_high", joint.high))
    return out | {field: np.asarray(values, dtype=np.float64).tolist() for field, values in ends}
