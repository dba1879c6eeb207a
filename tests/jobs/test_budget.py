"""Forecasts count what is run; a budget leaves out what does not fit, and says so."""

import importlib
import json
from dataclasses import replace

import pytest

from elicit import jobs, organisms
from elicit.grafting import PartSweep
from elicit.jobs import _budget, _page
from elicit.jobs._budget import Costing, Cut, Planned, fit, halves
from elicit.jobs._forecast import Forecast, Size, Speed, Stage, calibrate, forecast
from elicit.jobs._lengths import MANY, MARGIN, with_texts
from elicit.jobs._report.cost import chosen, interval_flop, report_stages
from elicit.jobs._report.scores import Scores
from elicit.jobs._report.spec import ReportSpec
from elicit.jobs._stages import UNITS, StageProgress, Weighted
from elicit.rollouts import Generation, rollouts
from elicit.runs import RunError
from elicit.tasks import load_task
from elicit.weights import changed_layers

pytestmark = pytest.mark.usefixtures("loads_once")
SIZE = Size(layers=1000, head=100, nbytes=2**30)
SPEED = Speed(reading=1e6, writing=1e5)


class Watch:
    """What a person would see."""

    def __init__(self) -> None:
        self.total, self.done, self.said, self.lines = 0, [], [], []

    def start(self, total, what):
        self.total = total
        self.done.append(0)
        self.said.append(what)

    def advance(self, n=1, what=None):
        assert n >= 0
        self.done.append(self.done[-1] + n)
        if what is not None:
            self.said.append(what)

    def stop(self):
        assert self.done[-1] == self.total

    def announce(self, line):
        self.lines.append(line)


def test_a_forecast_adds_reading_writing_and_other_work():
    stages = (
        Stage(name="a", tokens=10, unembedded=2, nbytes=2**20),
        Stage(name="b", written=5, flop=1e6, nbytes=2**29),
    )
    cost = Forecast(stages=stages, size=SIZE)
    assert cost.flop == 2 * (1000 * 10 + 100 * 2) + 2 * 1100 * 5 + 1e6
    assert cost.gib == 1.5
    seconds = (2 * (1000 * 10 + 100 * 2) + 1e6) / 1e6 + 2 * 1100 * 5 / 1e5
    assert cost.minutes(SPEED) == pytest.approx(seconds / 60)
    assert cost.to_json()["tokens_written"] == 5
    assert "2 stages" in cost.sentence(SPEED)


def test_a_token_attends_to_its_context_and_its_keys_and_values_are_kept():
    """Scores and their products with values: four operations a position and width of the heads."""
    wide = replace(SIZE, attention=64, cached=128)
    read = Stage(name="a", tokens=10, reread=5, context=20)
    written = Stage(name="b", written=5, context=30, cached=2**20)
    plain = Forecast(stages=(read, written), size=SIZE)
    assert wide.read_flop(read, 0.4) - SIZE.read_flop(read, 0.4) == 4 * 64 * 20 * (10 + 0.4 * 5)
    assert wide.write_flop(written) - SIZE.write_flop(written) == 4 * 64 * 30 * 5
    whole = Forecast(stages=(read, written), size=wide)
    assert whole.flop - plain.flop == 4 * 64 * (20 * 15 + 30 * 5)
    assert whole.gib - plain.gib == pytest.approx(2**27 / 2**30)


def test_texts_are_expected_as_long_as_a_few_are_and_counted_at_their_longest():
    stages = (Stage(name="texts", tokens=10, written=50, reread=20),)
    cost, short = Forecast(stages=stages, size=SIZE), replace(SPEED, length=0.2)
    assert cost.flop == 2 * (1000 * 80 + 100 * 70)
    seconds = 2 * (1000 * 10 + 1100 * 4) / 1e6 + 2 * 1100 * 10 / 1e5
    assert cost.minutes(short) == pytest.approx(seconds / 60)
    assert "30 tokens read and at most 50 written" in cost.sentence(short)


@pytest.mark.slow(checked=True)
def test_texts_that_end_early_are_seen_to_and_what_has_no_time_is_at_its_longest(organism):
    pair = organism("rl")
    task = load_task(organisms.resolve("rl").problems)
    how, fast = Generation(max_new_tokens=512), Speed(reading=1e15, writing=1e15)
    found = with_texts(pair, task, how, fast, seconds=60.0)
    some = task.subset(MANY, 0)
    lengths = rollouts(pair.side("post"), some, generation=how).n_tokens.double()
    assert found.length == pytest.approx(MARGIN * lengths.mean().item() / 512)
    assert found.length < 0.2 and found.writing == fast.writing
    assert with_texts(pair, task, how, SPEED, seconds=1e-9) == SPEED
    slow = replace(SPEED, writing=1e7)
    assert with_texts(pair, task, how, slow, seconds=60.0).writing > slow.writing


def test_progress_over_stages_is_weighted_never_falls_and_ends_where_it_said():
    watch = Watch()
    shown = StageProgress(
        watch,
        [
            Weighted(name="short", weight=1.0),
            Weighted(name="texts", weight=8.0, texts=20),
            Weighted(name="two jobs", weight=1.0, jobs=2),
        ],
    )
    with shown.stage("short"):
        shown.start(4, "short")
        shown.advance(4)
        shown.stop()
    assert watch.done[-1] == UNITS // 10
    with shown.stage("texts"):
        shown.start(3, "reading activations")  # not counted: texts are the cost
        shown.advance(3)
        assert watch.done[-1] == UNITS // 10
        for _ in range(2):
            shown.start(10, "rollouts")
            shown.advance(5, "half")
            shown.advance(5)
        assert watch.done[-1] == 9 * UNITS // 10
    with shown.stage("two jobs"):
        for _ in range(2):
            shown.start(2, "job")
            shown.advance(2)
        assert watch.done[-1] == UNITS
    assert watch.done == sorted(watch.done)
    assert watch.done[-1] == watch.total == UNITS
    assert watch.said[0].startswith("1/3 short")
    assert any(said.startswith("2/3 texts") for said in watch.said)


def test_a_stage_that_is_read_from_a_checkpoint_still_ends_where_it_said():
    watch = Watch()
    shown = StageProgress(watch, [Weighted(name=name, weight=0) for name in ("first", "second")])
    for name in ("first", "second"):
        with shown.stage(name):
            pass
    assert watch.done[0] == 0 and watch.done.count(0) == len(watch.done) - 1  # begun once
    assert watch.done[-1] == watch.total == UNITS


def test_a_budget_leaves_out_one_thing_after_the_other_until_it_fits(organism):
    spec = ReportSpec(pair="organism:shuffled-l3", out="unused", budget=1.0)
    costs = {True: 8.0, False: 3.0}

    def stages(spec, _pair, n):
        tokens = costs[bool(spec.integrated)] * n * (1 if spec.limit is None else spec.limit / 64)
        return [Stage(name="a", flop=tokens * 1e6)]

    half, *smaller = halves(64, 4, "problems")
    costing = Costing(
        stages=stages,
        cuts=lambda _spec, _pair, _n: [
            half,
            Cut(options={"integrated": False}, what="gradients were left out"),
            *smaller,
            Cut(options={"controls": 0}, what="never reached"),
        ],
    )
    pair = organism("shuffled-l3")
    start = Planned(spec=spec, inputs=80, forecast=forecast(pair, stages(spec, pair, 80)))
    planned, options = fit(costing, start, pair, SPEED, lambda _spec: 80)
    # 640 s, then 320, 120 and 60 s, which fits; of the problems only the last cut is said.
    assert options == {"integrated": False, "limit": 16}
    assert planned.left_out == ("16 of 64 problems were used", "gradients were left out")
    assert planned.forecast.minutes(SPEED) <= 1.0
    assert planned.spec.controls == spec.controls
    rich = replace(start, spec=spec.model_copy(update={"budget": 1000.0}))
    assert fit(costing, rich, pair, SPEED, lambda _spec: 80) == (rich, {})


def test_a_budget_that_nothing_fits_says_what_is_expected(organism):
    spec = ReportSpec(pair="organism:shuffled-l3", out="unused", budget=1.0)
    costing = Costing(stages=lambda *_: [Stage(name="a", flop=6e9)])
    pair = organism("shuffled-l3")
    start = Planned(spec=spec, inputs=None, forecast=forecast(pair, [Stage(name="a", flop=6e9)]))
    planned, options = fit(costing, start, pair, SPEED, lambda _spec: None)
    assert options == {}
    assert "about 1.7 hours" in planned.left_out[0]


def test_a_calibration_takes_no_longer_than_it_says(organism):
    speed = calibrate(organism("shuffled-l3"), seconds=0.2)
    assert speed.reading > speed.writing * 0.1 > 0


def test_the_forecast_of_a_report_counts_the_layers_that_are_run(organism, tasks_of):
    pair, (known, _) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    known = replace(known, task=known.task.subset(8, 0))
    spec = ReportSpec(pair="organism:shuffled-l3", out="unused", kinds=("layer", "mlp"))
    scores = Scores(damage=known, skill=None)
    stages = {stage.name: stage for stage in report_stages(spec, pair, scores)}
    assert list(stages) == [
        "moving parts",
        "comparing weights",
        "moving intervals",
        "interpolating",
        "integrating gradients",
    ]
    sweep = PartSweep(pair=pair, score=known)
    rows = sum(batch.ids.numel() for batch in sweep.batches)
    above = (pair.n_layers - 3) / pair.n_layers
    # Two hosts, two trunks, and layer 3 both ways with its MLP and two controls.
    assert stages["moving parts"].tokens == pytest.approx(rows * (4 + 2 * 4 * above))
    assert stages["integrating gradients"].tokens == pytest.approx(rows * (1 + 48 * above))
    spans = stages["moving intervals"].tokens
    assert spans == pytest.approx(rows * (4 + 2 * above))
    assert changed_layers(pair) == (3,)


@pytest.mark.slow(checked=True)
def test_intervals_and_spectra_above_what_is_free_wait_to_be_asked_for(
    organism, tasks_of, monkeypatch
):
    pair, (known, _) = organism("continued"), tasks_of("continued")
    spec = ReportSpec(pair="organism:continued", out="unused")
    decided, notes = chosen(spec, pair, [known])
    assert (decided.intervals, decided.spectra, notes) == (True, True, [])
    monkeypatch.setattr("elicit.jobs._report.cost.FREE", interval_flop(pair, [known]) * 0.9)
    decided, notes = chosen(spec, pair, [known])
    assert decided.intervals is False and "--intervals" in notes[0]
    asked = spec.model_copy(update={"intervals": True})
    assert chosen(asked, pair, [known])[0].intervals is True


@pytest.fixture(scope="module")
def slow_device():
    """Speed at which a report on an embedded pair takes hours."""
    return Speed(reading=1e6, writing=1e6)


@pytest.mark.slow
def test_a_run_within_a_budget_keeps_what_it_chose_and_resumes_to_the_same_bytes(
    tmp_path, monkeypatch, slow_device
):
    monkeypatch.setattr("elicit.jobs._frame.calibrate", lambda _pair: slow_device)
    words = {"pair": "organism:shuffled-l3", "n_resamples": 100, "budget": 30.0, "limit": 12}
    words |= {"facts": organisms.resolve("shuffled-l3").facts}
    spec = jobs.ReportSpec(out=tmp_path / "a", kinds=("layer",), controls=0, **words)
    watch = Watch()
    run = jobs.report(spec, progress=watch)
    plan = json.loads((run.path / _budget.PLAN).read_text())
    assert plan["options"]["integrated"] is False
    assert "integrated" not in run.results
    note = next(note for note in run.summary["notes"] if "budget of 30 minutes" in note)
    assert all(what in note for what in plan["left_out"])
    assert watch.lines and watch.lines[0].startswith("Forecast: ")
    assert watch.done[-1] == UNITS
    before = (run.path / "summary.json").read_bytes()
    # Another day the device is fast: the run keeps to what it chose.
    fast = Speed(reading=1e15, writing=1e15)
    monkeypatch.setattr("elicit.jobs._frame.calibrate", lambda _pair: fast)
    again = jobs.report(spec)
    assert (again.path / "summary.json").read_bytes() == before
    foreign = [json.dumps({"options": {name: 1}, "left_out": []}) for name in ("unheard", "facts")]
    for damaged in (*foreign, "[", "[]", '{"options": 3, "left_out": []}', '{"options": {}}'):
        (run.path / _budget.PLAN).write_text(damaged)
        with pytest.raises(RunError, match=r"plan\.json"):
            jobs.report(spec)


COMMANDS = {
    "report": {"limit": 24},
    "graft": {},
    "patch": {},
    "revise": {"traces": ("given", "own", "decision"), "lens": "bias"},
    "exists": {},
    "features": {},
    "steer": {},
    "trace": {"traces": "own"},
    "mechanisms": {"seeds": 2},
}


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_counts_its_stages_and_all_it_can_leave_out_is_valid(
    name, organism, tmp_path
):
    assert set(COMMANDS) == set(jobs.COMMANDS) - {"audit"}  # which divides its own among these
    command, pair = jobs.COMMANDS[name], organism("rl")
    words = {"pair": "organism:rl", "out": tmp_path, "budget": 1e-9, **COMMANDS[name]}
    spec = command.spec(**words)
    job = importlib.import_module(f"elicit.jobs._{name}.run").JOB

    def again(spec):
        return job.prepare(spec, pair, job.check(spec)).inputs

    inputs = again(spec)
    cost = forecast(pair, job.costing.stages(spec, pair, inputs))
    assert cost.flop > 0 and len({stage.name for stage in cost.stages}) == len(cost.stages)
    start = Planned(spec=spec, inputs=inputs, forecast=cost)
    planned, options = fit(job.costing, start, pair, SPEED, again)
    assert "nothing else can be left out" in planned.left_out[-1]
    if name != "graft":
        assert options["limit"] >= 2
        assert planned.forecast.flop < cost.flop / 2


@pytest.mark.slow(checked=True)
def test_the_page_of_an_unfinished_run_shows_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(_page, "REFRESH", 0.0)
    pages = []

    def spectra(*_args, **_more):
        pages.append((tmp_path / "a" / "report.html").read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr("elicit.jobs._report.run.weight_change", spectra)
    words = {"pair": "organism:shuffled-l3", "n_resamples": 100, "limit": 30}
    spec = jobs.ReportSpec(out=tmp_path / "a", kinds=("layer",), controls=0, **words)
    with pytest.raises(KeyboardInterrupt):
        jobs.report(spec)
    assert len(pages) == 1
    assert "not finished" in pages[0]
    assert "Layer 3" in pages[0]
    assert (tmp_path / "a" / "roles").is_dir()
    assert not (tmp_path / "a" / "summary.json").exists()
