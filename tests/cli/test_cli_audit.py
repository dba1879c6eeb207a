"""Audits: every question by its own command, one page that answers three, a protocol first."""

import json
from pathlib import Path

import pytest
import torch

from elicit.jobs import COMMANDS, AuditSpec, SpecError, audit
from elicit.jobs._audit.cost import costing_of
from elicit.jobs._audit.inputs import Inputs
from elicit.jobs._audit.parts import parts_of
from elicit.jobs._audit.protocol import FILE, Hypothesis, read_protocol
from elicit.jobs._audit.run import job_of
from elicit.jobs._budget import Planned, with_options
from elicit.jobs._forecast import Speed, forecast
from elicit.jobs._frame import execute
from elicit.jobs._shared import SharedTexts
from elicit.pair import load_pair
from elicit.results import load_result
from elicit.runs import NoCheckpoint, RunDirectory
from elicit.verdicts import Audit
from tests.cli.conftest import called

QUICK = (
    *("--max-new-tokens", "2", "--n-resamples", "100"),
    *("--set", "report.controls=0", "--set", "report.kinds=layer"),
    *("--set", "report.intervals=false", "--set", "report.integrated=false"),
    *("--set", "report.spectra=false", "--set", "revise.traces=decision"),
)
SETTINGS = tuple(word for word in QUICK if "=" in word)
CUES = ("--reasoning-cue", "the dog ", "--direct-cue", "the cat ")
PROTOCOL = """
margins: {report: {margin: 0.05}}
hypotheses:
  - {says: Post knows as many facts., primary: report.facts.gap, within: 0.9}
  - {says: Predictions settle later., primary: revise.prompt.depth, above: 100}
"""


@pytest.fixture(scope="session")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("protocol") / "study.yaml"
    path.write_text(PROTOCOL, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def audited(both, protocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished audit of the two checkpoints, with a protocol. Not to be written to."""
    out = tmp_path_factory.mktemp("audited") / "run"
    words = ("--commands", "report,revise,exists", "--protocol", protocol, *CUES)
    done = called("audit", *both, *QUICK, *words, "--out", out)
    assert done.code == 0, done.err
    return out


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file but for times and locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", ".lock")
    }


@pytest.mark.slow(checked=True)
def test_the_runs_of_an_audit_have_the_numbers_of_the_commands_alone(audited, reported, tmp_path):
    alone, _ = reported
    assert summary(audited / "report") == summary(alone)
    spec = COMMANDS["revise"].spec.from_yaml(audited / "revise" / "run.yaml")
    COMMANDS["revise"].run(spec.model_copy(update={"out": tmp_path / "alone"}))
    assert summary(audited / "revise") == summary(tmp_path / "alone")
    told = summary(audited)["numbers"]
    gaps = {task["name"]: task["gap"] for task in summary(alone)["tasks"]}
    depth = summary(tmp_path / "alone")["sources"]["prompt"]["depth_diff"]
    for name, number in (
        ("report.facts.gap", gaps["facts"]),
        ("report.problems.gap", gaps["problems"]),
        ("revise.prompt.depth", depth),
    ):
        assert {end: told[name][end] for end in ("value", "low", "high")} == number


def test_an_audit_answers_three_questions_and_names_what_was_not_asked(audited):
    found = load_result(audited / "audit")
    assert isinstance(found, Audit) and len(found.says) == 3
    status = dict(zip(found.run, found.run_status, strict=True))
    assert status == {"report": "finished", "revise": "finished", "exists": "not asked"}
    assert "at least 16 are needed" in found.run_note[found.run.index("exists")]
    assert found.strength[found.question.index("trace")] == "not asked"
    page = (audited / "report.html").read_text(encoding="utf-8")
    for text in (*found.asked, found.headline):
        assert text in page
    assert 'href="report/report.html"' in page and 'href="exists/report.html"' not in page
    assert len(page) < 150_000  # no figure, so the script that draws figures stays out


def test_a_protocol_is_frozen_and_the_page_says_what_was_registered(audited, protocol):
    read = read_protocol(protocol)
    frozen = json.loads((audited / FILE).read_text(encoding="utf-8"))
    assert frozen == {"protocol": read.canonical, "sha256": read.digest}
    found = load_result(audited / "audit")
    assert isinstance(found, Audit) and found.protocol == read.digest
    assert found.outcome[1] == "refuted"
    registered = {n for n, own in zip(found.number, found.registered.tolist(), strict=True) if own}
    assert registered == {"report.facts.gap", "revise.prompt.depth"}
    page = (audited / "report.html").read_text(encoding="utf-8")
    assert read.digest in page and "exploratory" in page and "Predictions settle later." in page


def test_another_protocol_is_refused_on_resume_and_changes_nothing(audited, both, tmp_path):
    before = bytes_of(audited)
    other = tmp_path / "other.yaml"
    other.write_text(PROTOCOL.replace("above: 100", "above: 1"), encoding="utf-8")
    words = ("--commands", "report,revise,exists", *CUES, "--out", audited)
    done = called("audit", *both, *QUICK, *words, "--protocol", other)
    assert done.code == 1 and "identity.protocol" in done.err
    without = called("audit", *both, *QUICK, *words)
    assert without.code == 1 and "identity.protocol" in without.err
    assert bytes_of(audited) == before


def test_layout_and_order_of_a_protocol_have_no_effect_on_its_digest(protocol, tmp_path):
    turned = tmp_path / "turned.yaml"
    turned.write_text(
        """
# a remark
hypotheses:
- within: 0.90
  says: "Post knows as many facts."
  primary: report.facts.gap
- above: 100
  primary: revise.prompt.depth
  says: Predictions settle later.
margins:
  report:
    margin: 0.05
""",
        encoding="utf-8",
    )
    first = read_protocol(protocol).digest
    assert read_protocol(turned).digest == first
    for old, new in (("0.90", "0.8"), ("Post knows", "Base knows"), ("0.05", "0.06")):
        turned.write_text(turned.read_text().replace(old, new), encoding="utf-8")
        assert read_protocol(turned).digest != first


@pytest.mark.parametrize(
    ("border", "interval", "outcome"),
    [
        ({"above": 0.5}, (0.6, 0.9), "supported"),
        ({"above": 0.5}, (0.2, 0.4), "refuted"),
        ({"above": 0.5}, (0.4, 0.6), "open"),
        ({"below": 0.5}, (0.2, 0.4), "supported"),
        ({"below": 0.5}, (0.6, 0.9), "refuted"),
        ({"within": 0.1}, (-0.05, 0.09), "supported"),
        ({"within": 0.1}, (-0.3, -0.2), "refuted"),
        ({"within": 0.1}, (-0.05, 0.2), "open"),
        ({"within": 0.1}, (None, None), "not measured"),
    ],
)
def test_a_hypothesis_is_decided_by_its_whole_interval(border, interval, outcome):
    one = Hypothesis(says="x", primary="y", **border)
    assert one.outcome({"value": 0.0, "low": interval[0], "high": interval[1]}) == outcome
    assert one.outcome(None) == "not measured"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hypotheses: []", "give at least 1"),
        ("hypotheses: [{says: x, primary: y}]", "0 borders"),
        ("hypotheses: [{says: x, primary: y, above: 1, below: 2}]", "2 borders"),
        ("hypotheses: [{says: x, primary: report.fact.gap, above: 0}]", "mean report.facts.gap"),
        ("hypotheses: [{says: x, primary: report.facts.gap, above: 0}]\nmargins: {trace: {x: 1}}",
         "no margin trace.x"),
        ("hypothesis: x", "hypothesis: there is no such entry"),
    ],
)  # fmt: skip
def test_a_protocol_that_decides_nothing_is_refused_before_anything_runs(
    text, what, both, tmp_path
):
    path, out = tmp_path / "p.yaml", tmp_path / "run"
    path.write_text(text, encoding="utf-8")
    done = called("audit", *both, *QUICK, "--commands", "report", "--protocol", path, "--out", out)
    assert done.code == 1 and what in done.err and not out.exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--set", "report.control=1"), "did you mean controls"),
        (("--set", "guess.x=1"), "no command guess"),
        (("--set", "report.controls=-1"), "report: controls is -1"),
        (("--reasoning-cue", "x"), "--direct-cue is not given"),
        (("--problems", "/nowhere.jsonl"), "is not a file"),
        (("--commands", "exists"), "no question of the audit can be asked"),
    ],
)
def test_what_could_not_be_asked_as_written_is_refused(words, what, both, tmp_path):
    out = tmp_path / "run"
    done = called("audit", *both, *QUICK, *words, "--out", out)
    assert done.code == (2 if " not given" in what else 1) and what in done.err and not out.exists()


def test_settings_are_options_of_their_command_and_lists_survive_the_command_line(tmp_path):
    spec = AuditSpec(
        pair="organism:rl",
        # As the command line splits `mechanisms.arms=prompt,dial`.
        settings=("mechanisms.arms=prompt", "dial", "report.spectra=false", "exists.margin=0.2"),
        opener="so",
        limit=40,
        out=tmp_path,
    )
    parts = parts_of(spec, None)
    told = {n: part.spec.model_dump() for n, part in parts.items() if not isinstance(part, str)}
    assert told["mechanisms"]["arms"] == ("prompt", "dial")
    assert told["mechanisms"]["openers"] == ("so",) and told["trace"]["opener"] == "so"
    assert told["report"]["spectra"] is False and told["exists"]["margin"] == 0.2
    assert {one["limit"] for one in told.values()} == {40}
    assert [one["out"].name for one in told.values()] == list(told)
    with pytest.raises(SpecError, match="write COMMAND.OPTION=VALUE"):
        AuditSpec.from_options({"pair": "organism:rl", "settings": ["report"], "out": tmp_path})


def test_a_budget_leaves_out_one_thing_after_the_other_and_whole_runs_last(both, tmp_path):
    names = {both[i].removeprefix("--"): both[i + 1] for i in range(0, len(both), 2)}
    spec = AuditSpec.from_options(names, {"out": tmp_path / "run", "max_new_tokens": 2})
    pair, inputs = load_pair(names["base"], names["post"]), Inputs()
    found = inputs.prepare(spec, pair, inputs.check(spec)).inputs
    costing = costing_of(inputs)
    planned = Planned(
        spec=spec, inputs=found, forecast=forecast(pair, costing.stages(spec, pair, found))
    )
    flops, whats = [planned.forecast.flop], []

    def again(spec: AuditSpec):
        return inputs.prepare(spec, pair, inputs.check(spec)).inputs

    for cut in costing.cuts(spec, pair, found):
        planned = with_options(costing, planned, cut.options, pair, again)
        flops.append(planned.forecast.flop)
        whats.append(cut.what)
    assert flops == sorted(flops, reverse=True) and flops[-1] < flops[0] / 4
    assert "report: intervals of layers were left out" in whats[-1 - len(whats) // 2]
    assert whats[-1].endswith("not run at all")
    assert not {"patch", "revise", "trace"} & {*planned.spec.commands}


def test_an_audit_costs_what_its_commands_cost_and_knows_how_long_texts_are(both, tmp_path):
    names = {both[i].removeprefix("--"): both[i + 1] for i in range(0, len(both), 2)}
    spec = AuditSpec.from_options(names, {"out": tmp_path / "run", "max_new_tokens": 2})
    pair, inputs = load_pair(names["base"], names["post"]), Inputs()
    found = inputs.prepare(spec, pair, inputs.check(spec)).inputs
    written = {}
    for name, part in found.parts.items():
        job = COMMANDS[part.command].job
        alone = job.prepare(part.spec, pair, job.check(part.spec)).inputs
        stages = job.costing.stages(part.spec, pair, alone)
        whole = forecast(pair, [found.stages[name]])
        assert whole.flop == pytest.approx(forecast(pair, stages).flop, rel=1e-12)
        assert whole.gib >= forecast(pair, stages).gib
        if asked := job.costing.asked(part.spec, alone):
            written[found.stages[name].written] = asked
    task, generation = written[max(written)]
    assert found.texts is not None and costing_of(inputs).asked(spec, found) == found.texts
    assert (found.texts[0].digest, found.texts[1]) == (task.digest, generation)


@pytest.mark.slow(checked=True)
def test_what_a_budget_left_out_and_what_failed_is_named_and_stops_nothing(
    both, tmp_path, monkeypatch
):
    speed = Speed(reading=1e6, writing=1e5)
    monkeypatch.setattr("elicit.jobs._frame.calibrate", lambda _pair: speed)

    def fails(job, spec, progress=None, shared=None):
        if spec.command == "report":
            return execute(job, spec, progress, shared)
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("elicit.jobs._audit.run.execute", fails)
    out = tmp_path / "run"
    names = {both[i].removeprefix("--"): both[i + 1] for i in range(0, len(both), 2)}
    found = _told(names, out, commands=("report", "revise"), budget=0.1, settings=SETTINGS)
    status = dict(zip(found.run, found.run_status, strict=True))
    assert status == {"report": "finished", "revise": "left out"}
    assert "revise not run at all" in found.left_out
    assert json.loads((out / "plan.json").read_text())["options"]["commands"] == ["report"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "To stay within a budget of 0.1 minutes" in page
    whole = _told(names, tmp_path / "whole", commands=("report", "revise"), settings=SETTINGS)
    assert whole.run_status == ("finished", "failed")
    assert "ZeroDivisionError: by nothing (see revise.log)" in whole.run_note[1]
    assert "ZeroDivisionError" in (tmp_path / "whole" / "revise.log").read_text()


def _told(names: dict, out: Path, **options: object) -> Audit:
    spec = AuditSpec.from_options(
        names, {"out": out, "max_new_tokens": 2, "n_resamples": 100, **options}
    )
    job = job_of()
    found = execute(job, spec).results["audit"]
    assert isinstance(found, Audit)
    return found


def test_texts_of_another_run_are_taken_where_all_that_they_depend_on_is_equal():
    texts: dict = {}
    first, second = (SharedTexts(NoCheckpoint(), texts) for _ in range(2))
    made = {"written": torch.arange(3)}
    assert first.get_or_compute("texts/base/rollouts-1", lambda: made) is made
    assert second.get_or_compute("both/rollouts-1", lambda: pytest.fail("written twice")) is made
    other = {"written": torch.arange(2)}
    assert second.get_or_compute("both/rollouts-2", lambda: other) is other
    # What is not told apart by content is each run's own.
    assert second.get_or_compute("scores", lambda: other) is other
    assert first.get_or_compute("scores", lambda: made) is made


@pytest.mark.slow(checked=True)
def test_identical_models_say_first_that_nothing_could_be_found(models, tasks, tmp_path):
    spec = AuditSpec(
        base=str(models / "base"),
        post=str(models / "base"),
        facts=tasks / "facts.jsonl",
        allow_identical=True,
        n_resamples=100,
        commands=("report", "patch"),
        settings=("report.kinds=layer",),
        out=tmp_path / "run",
    )
    run = audit(spec)
    assert str(run.summary["sentence"]).startswith("Nothing was found, and nothing could be")
    found = run.results["audit"]
    assert isinstance(found, Audit) and not found.found
    assert found.strength[1] == "none" and found.changed_layers == ()
    shown = run._repr_html_()
    assert "Nothing was found" in shown and "<iframe srcdoc=" in shown and "<script>" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 20])
def test_an_audit_that_was_killed_goes_on_to_the_same_bytes(
    at, both, audited, protocol, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    words = ("--commands", "report,revise,exists", "--protocol", protocol, *CUES, "--out", out)
    calls, real = [0], RunDirectory.get_or_compute

    def dies(self, key, compute):
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return real(self, key, compute)

    monkeypatch.setattr(RunDirectory, "get_or_compute", dies)
    killed = called("audit", *both, *QUICK, *words)
    assert killed.code == 130 and "elicit audit --config" in killed.err
    monkeypatch.setattr(RunDirectory, "get_or_compute", real)
    resumed = called("audit", "--config", out / "run.yaml")
    assert resumed.code == 0, resumed.err
    mine, whole = bytes_of(out), bytes_of(audited)
    assert mine.keys() == whole.keys()
    # Only the folder that run.yaml names differs.
    assert [name for name in mine if mine[name] != whole[name]] == [
        name for name in mine if name.endswith("run.yaml")
    ]


def alone(command: str, folder: Path) -> None:
    """Run a command of an audit by itself, and hold every number of the two against each other."""
    own = folder / "run" / command
    spec = COMMANDS[command].spec.from_yaml(own / "run.yaml")
    COMMANDS[command].run(spec.model_copy(update={"out": folder / "alone" / command}))
    assert summary(own) == summary(folder / "alone" / command)


@pytest.mark.slow
def test_every_command_of_an_audit_has_the_numbers_of_the_command_alone(tmp_path, request):
    """A minute; `report`, `revise` and `trace` are held to it by the tests around."""
    if not request.config.getoption("full"):
        pytest.skip("takes a minute; pass --full")
    commands = ("patch", "exists", "mechanisms")
    spec = AuditSpec(
        pair="organism:when-l3",
        commands=("report", *commands),
        limit=34,
        n_resamples=100,
        max_new_tokens=72,
        settings=(
            *("report.kinds=layer", "report.controls=0", "report.intervals=false"),
            *("report.integrated=false", "report.spectra=false"),
            *("exists.strengths=1", "exists.sites=resid_post.4", "exists.n_redrawn=1"),
            *("exists.n_random=19", "exists.n_dosed=0"),
            *("mechanisms.arms=prompt", "mechanisms.samples=0", "mechanisms.controls="),
        ),
        out=tmp_path / "run",
    )
    found = audit(spec).results["audit"]
    assert isinstance(found, Audit) and set(found.run_status) == {"finished"}
    for command in commands:
        alone(command, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shuffled-l3", "continued"])
def test_the_first_screen_says_what_was_planted(name, tmp_path):
    from elicit import organisms

    card = organisms.resolve(name).truth
    spec = AuditSpec(
        pair=f"organism:{name}",
        commands=("report", "trace"),
        limit=48,
        n_resamples=500,
        settings=(
            *("report.kinds=layer", "report.intervals=false", "report.integrated=false"),
            *("report.spectra=false", "report.problems_how=forced", "trace.alterations=filler"),
        ),
        out=tmp_path / "run",
    )
    found = audit(spec).results["audit"]
    assert isinstance(found, Audit)
    alone("trace", tmp_path)
    assert found.corrupted_layers == tuple(card["corrupted_layers"])
    assert found.changed_layers == tuple(card["changed_layers"])
    if name == "continued":
        assert not found.found
        assert found.headline.startswith("Nothing was found, where a gap of ")
        assert "would likely have been seen" in found.headline
    else:
        assert found.found and "corrupted layer 3" in found.headline
        assert found.strength[1] == "strong"
