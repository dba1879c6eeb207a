"""What the parts of a report cost, and which of them are run without being asked for."""

from collections.abc import Sequence
from dataclasses import replace

from elicit.grafting import ALPHAS, LEAST_PROBLEMS, NODES, PartSweep, Score, encode, interval_calls
from elicit.jobs._budget import Costing, Cut, halves
from elicit.jobs._forecast import Stage, prompt_tokens
from elicit.jobs._frame import FEW_PROBLEMS
from elicit.jobs._graft.spec import GraftSpec
from elicit.jobs._report.scores import Scores
from elicit.jobs._report.spec import ReportSpec
from elicit.pair import ModelPair
from elicit.rollouts import Generation
from elicit.tasks import Task
from elicit.weights import (
    Part,
    all_parts,
    changed_layers,
    changed_slots,
    parts_of,
    slots_of,
    spectra_flop,
)

N_SAMPLES = 8
"""Problems whose texts are shown."""
FREE = 2e12
"""Floating-point operations that intervals, or spectra, may take without being asked for."""


def chosen(spec: ReportSpec, pair: ModelPair, forced: list[Score]) -> tuple[ReportSpec, list[str]]:
    """The specification with intervals and spectra decided by their cost, and what was left out.

    The decision counts operations and measures no time, so that a resumed run decides alike.

    `spec`: as given; None lets the cost decide.
    """
    costs = {"intervals": interval_flop(pair, forced), "spectra": spectrum_flop(pair)}
    decided: dict[str, bool] = {}
    notes: list[str] = []
    for name, what in (
        ("intervals", "Moving all intervals of layers"),
        ("spectra", "Singular values of the weight differences"),
    ):
        if getattr(spec, name) is not None:
            continue
        decided[name] = costs[name] <= FREE
        if not decided[name]:
            notes.append(
                f"{what} would take {costs[name] / 1e12:.2g} TFLOP, above the {FREE / 1e12:g} that "
                f"are spent without being asked for: left out. Add --{name} to include it."
            )
    return spec.model_copy(update=decided), notes


def interval_flop(pair: ModelPair, forced: list[Score]) -> float:
    """Floating-point operations of moving all intervals in both directions."""
    moved = set(changed_layers(pair))
    calls = 2 * interval_calls([layer in moved for layer in range(pair.n_layers)])
    return calls * layer_flop(pair) * sum(encode(pair, score).n_tokens for score in forced)


def spectrum_flop(pair: ModelPair) -> float:
    """Floating-point operations of the singular values of all matrices that differ."""
    slots = slots_of(pair)
    return spectra_flop(slots[name] for name in changed_slots(pair))


def layer_flop(pair: ModelPair) -> float:
    """Floating-point operations of one layer on one token."""
    slots = slots_of(pair)
    size = sum(slots[name].base.numel() for part in parts_of(pair, "layer") for name in part.slots)
    return 2 * size / pair.n_layers


def report_stages(spec: ReportSpec, pair: ModelPair, scores: Scores) -> list[Stage]:
    """The stages of a report and their costs."""
    forced = [score for score in scores.all if score.how == "forced"]
    spec, _ = chosen(spec, pair, forced)
    sweeps = [PartSweep(pair=pair, score=score) for score in scores.all]
    parts = [part for kind in spec.kinds for part in parts_of(pair, kind)]
    layers = [part for part in parts if part.kind == "layer"]
    roles = [_moved(sweep, parts, layers, spec.controls) for sweep in sweeps]
    stages = [_sum("moving parts", roles), _weights(spec, pair, sweeps)]
    read = [sweep for sweep in sweeps if sweep.rows is not None]
    if spec.intervals and read:
        moved = set(changed_layers(pair))
        calls = 2 * interval_calls([layer in moved for layer in range(pair.n_layers)])
        spans = 2 * len({s for s in _spans(moved, pair.n_layers)})
        stages.append(
            _sum(
                "moving intervals",
                [_reading(s, 4 + calls / pair.n_layers, 4 + spans) for s in read],
            )
        )
    inner = [_between(sweep, layers) for sweep in sweeps]
    stages.append(_sum("interpolating", inner))
    smooth = [sweep for sweep in read if sweep.score.metric != "correct"]
    if spec.integrated and smooth and not pair.identical:
        nodes = 3 * NODES  # a gradient costs as much as two more forwards
        parts = [_reading(sweep, 1 + nodes * _above(sweep), 1 + nodes) for sweep in smooth]
        stages.append(_sum("integrating gradients", parts))
    generated = [sweep for sweep in sweeps if sweep.rows is None]
    if generated:
        stages.append(replace(_writing(generated[0], 2, n=N_SAMPLES), name="sample texts"))
    return stages


def graft_stages(
    _spec: GraftSpec, pair: ModelPair, inputs: tuple[Scores, list[Part]]
) -> list[Stage]:
    """The one stage of a graft."""
    scores, parts = inputs
    sweeps = [PartSweep(pair=pair, score=score) for score in scores.all]
    moved = [_moved(sweep, parts, [], 0, ways=1) for sweep in sweeps]
    return [_sum("moving parts", moved)]


def report_cuts(spec: ReportSpec, _pair: ModelPair, scores: Scores) -> list[Cut]:
    """What a report leaves out to fit a budget, in order."""
    cuts = [
        Cut(options={"intervals": False}, what="intervals of layers were left out"),
        Cut(options={"integrated": False}, what="integrated gradients were left out"),
        Cut(options={"spectra": False}, what="singular values were left out"),
    ]
    if spec.controls > 1:
        cuts.append(Cut(options={"controls": 1}, what=f"1 control of {spec.controls} was drawn"))
    n = max(len(score.task) for score in scores.all)
    few = halves(n, FEW_PROBLEMS, "problems")
    fewer = halves(n, LEAST_PROBLEMS, "problems")[len(few) :]
    small = [kind for kind in spec.kinds if kind != "layer"]
    if small:
        few.append(Cut(options={"kinds": ("layer",)}, what=f"{', '.join(small)} were not moved"))
    return [*cuts, *few, *fewer]


def _asked(scores: Scores) -> tuple[Task, Generation] | None:
    """Problems that are answered by texts; None where every answer is read."""
    written = [score for score in scores.all if score.how == "generated"]
    return (written[0].task, written[0].generation) if written else None


REPORT_COSTING = Costing(
    stages=report_stages, cuts=report_cuts, asked=lambda _spec, scores: _asked(scores)
)
GRAFT_COSTING = Costing(stages=graft_stages, asked=lambda _spec, inputs: _asked(inputs[0]))


def _spans(moved: set[int], n_layers: int) -> list[tuple[int, int]]:
    """Intervals of layers that differ from each other."""
    return [(a, b) for a in range(n_layers) for b in range(a, n_layers) if {a, b} <= moved]


def _moved(
    sweep: PartSweep, parts: Sequence[Part], layers: Sequence[Part], controls: int, *, ways: int = 2
) -> Stage:
    """Both models, every part that differs, and the controls of layers."""
    changed = [part for part in parts if sweep.differs(part)]
    shuffled = [part for part in layers if sweep.differs(part)]
    if sweep.rows is None:
        return _writing(sweep, 2 + ways * (len(changed) + min(controls, 1) * len(shuffled)))
    share = ways * (
        sum(_share(sweep, part) for part in changed)
        + controls * sum(_share(sweep, part) for part in shuffled)
    )
    return _reading(sweep, 2 + ways + share, 2 + ways * (len(changed) + controls * len(shuffled)))


def _between(sweep: PartSweep, layers: Sequence[Part]) -> Stage:
    """Points between base and post: the whole model, and each layer where it is read cheaply."""
    n = len(ALPHAS) - 2
    if sweep.rows is None:
        return _writing(sweep, n)
    changed = [part for part in layers if sweep.differs(part)]
    share = n * (_above(sweep) + sum(_share(sweep, part) for part in changed))
    return _reading(sweep, 1 + share, n * (1 + len(changed)))


def _share(sweep: PartSweep, part: Part) -> float:
    """Share of the layers that run when a part moves."""
    return 1 - (sweep.entry(part) or 0) / sweep.pair.n_layers


def _above(sweep: PartSweep) -> float:
    """Share of the layers that run when everything moves."""
    return _share(sweep, all_parts(sweep.pair)["all"])


def _reading(sweep: PartSweep, forwards: float | int, ends: float | int) -> Stage:
    """Teacher-forced passes over the rows of a task, and how often their answers are read."""
    assert sweep.rows is not None
    tokens = sum(batch.ids.numel() for batch in sweep.batches)
    kept = min(tokens, sweep.execution.max_tokens) * sweep.pair.d_model
    return Stage(
        name="",
        tokens=forwards * tokens,
        unembedded=ends * sum(len(batch.slot_row) for batch in sweep.batches),
        nbytes=4.0 * kept * (sweep.pair.n_layers + 8),
        context=sum(batch.ids.numel() * batch.ids.shape[1] for batch in sweep.batches) / tokens,
    )


def _writing(sweep: PartSweep, times: float | int, n: int | None = None) -> Stage:
    """Texts of a task, each as long as allowed."""
    score, side = sweep.score, sweep.pair.side("base")
    task = score.task if n is None else score.task.subset(min(n, len(score.task)), 0)
    prompts = prompt_tokens(side, task, templated=score.templated)
    length = prompts / len(task) + score.max_new_tokens
    return Stage(
        name="",
        tokens=times * prompts,
        written=times * len(task) * score.max_new_tokens,
        context=length - score.max_new_tokens / 2,
        cached=min(len(task), score.generation.batch_size) * length,
    )


def _weights(spec: ReportSpec, pair: ModelPair, sweeps: Sequence[PartSweep]) -> Stage:
    """Norms, outputs and spectra of what differs."""
    slots = slots_of(pair)
    changed = [slots[name] for name in changed_slots(pair)]
    size = sum(slot.base.numel() for slot in changed)
    tokens = sum(
        prompt_tokens(pair.side("base"), sweep.score.task, templated=False) for sweep in sweeps
    )
    last = max((slot.place.layer for slot in changed), default=-1)
    decomposed = spectrum_flop(pair) if spec.spectra else 0.0
    most = max((slot.base.numel() for slot in changed), default=0)
    return Stage(
        name="comparing weights",
        tokens=tokens * (last + 1) / pair.n_layers,
        flop=8.0 * size * (tokens + 2) + 4 * decomposed,
        nbytes=24.0 * most if spec.spectra else 0.0,
    )


def _sum(name: str, stages: Sequence[Stage]) -> Stage:
    """Several tasks as one stage."""
    return Stage(
        name=name,
        tokens=sum(stage.tokens for stage in stages),
        unembedded=sum(stage.unembedded for stage in stages),
        written=sum(stage.written for stage in stages),
        nbytes=max((stage.nbytes for stage in stages), default=0.0),
        context=sum(stage.context * _run(stage) for stage in stages)
        / max(sum(map(_run, stages)), 1),
        cached=max((stage.cached for stage in stages), default=0.0),
    )


def _run(stage: Stage) -> float:
    """Tokens that a stage runs through the layers."""
    return float(stage.tokens + stage.written)
