"""`elicit report` and `elicit graft` from the shell to the files and back."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from elicit.cli import main
from elicit.grafting import PartSweep
from elicit.jobs._report.spec import ReportSpec
from elicit.jobs._report.terminal import tables
from elicit.jobs._terminal import interval
from elicit.runs import RunDirectory
from tests.cli.conftest import QUICK, QUICK_REPORT, called

EFFECTS = ("revert", "graft")


@pytest.fixture(scope="module")
def options(both) -> list[str]:
    """A small report on the two checkpoints."""
    return [*both, *QUICK_REPORT]


@pytest.fixture(scope="module")
def few(both) -> list[str]:
    """A small graft on the two checkpoints."""
    return [*both, *QUICK]


def no_scoring(monkeypatch) -> None:
    """From here on a score that is not on disk is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("something was scored again")

    monkeypatch.setattr(PartSweep, "evaluate", refuse)
    monkeypatch.setattr(PartSweep, "sweep", refuse)


def test_a_run_says_its_finding_the_layers_and_where_the_page_is(reported):
    out, done = reported
    summary = json.loads((out / "summary.json").read_text())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(summary["sentence"])
    assert (
        done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
        and (out / "report.html").exists()
    )
    rows = {line.split()[0]: line for line in done.out.splitlines() if re.match(r"L\d", line)}
    assert list(rows) == ["L0", "L1", "L2"]
    for layer in summary["layers"]:
        assert " and ".join(layer["verdict"]) in rows[f"L{layer['layer']}"]
        for effects in layer["effects"].values():
            for way in EFFECTS:
                assert interval(effects[way], signed=True) in done.out
    assert [layer["changed"] for layer in summary["layers"]] == [False, True, False]


def test_json_is_the_summary_and_nothing_else_and_a_finished_run_is_not_measured_again(
    reported, elicit, options, monkeypatch
):
    no_scoring(monkeypatch)
    out, _ = reported
    done = elicit("report", *options, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out == (out / "summary.json").read_text()


@pytest.mark.slow
def test_a_run_repeats_itself_from_its_own_file_to_the_same_bytes(
    reported, elicit, tmp_path, monkeypatch
):
    out, _ = reported
    again = elicit("report", "--config", out / "run.yaml", "--out", tmp_path / "b", "--json")
    assert again.out == (out / "summary.json").read_text()
    ours = yaml.safe_load((out / "run.yaml").read_text())
    theirs = yaml.safe_load((tmp_path / "b" / "run.yaml").read_text())
    assert (ours.pop("out"), theirs.pop("out")) == (str(out), str(tmp_path / "b"))
    assert ours == theirs
    for name in ("roles", "weights", "interpolation"):
        manifest = Path("results") / name / "result.json"
        there = out / (manifest if (out / manifest).exists() else manifest.relative_to("results"))
        assert there.read_bytes() == (tmp_path / "b" / there.relative_to(out)).read_bytes()
    no_scoring(monkeypatch)
    assert elicit("report", "--config", out / "run.yaml", "--json").out == again.out


def test_options_saved_to_a_file_are_those_given_and_flags_override_a_file(
    reported, elicit, options, tmp_path, monkeypatch
):
    seen: list[ReportSpec] = []
    monkeypatch.setattr(
        "elicit.jobs._report.run.report", lambda spec, progress: seen.append(spec) or 1 / 0
    )
    file = tmp_path / "saved.yaml"
    for words in (
        [*options, "--seed", "3", "--fresh", "--save-config", file],
        ["--config", file, "--limit", "5"],
    ):
        with pytest.raises(ZeroDivisionError):
            main(["report", *map(str, words), "--out", str(tmp_path / "x")])
    first, second = seen
    assert first.seed == second.seed == 3 and first.kinds == second.kinds == ("layer",)
    assert (first.limit, second.limit) == (None, 5)
    # What repeats a run must not discard it.
    assert (first.fresh, second.fresh) == (True, False)
    with pytest.raises(ZeroDivisionError):
        main(
            ["report", "--config", str(file), "--pair", "organism:x", "--out", str(tmp_path / "y")]
        )
    assert (seen[2].pair, seen[2].base, seen[2].post) == ("organism:x", None, None)


@pytest.mark.slow
def test_a_run_stopped_by_hand_says_how_to_go_on_and_goes_on(
    reported, elicit, options, tmp_path, monkeypatch
):
    out, cell, calls = tmp_path / "stopped", RunDirectory.get_or_compute, []

    def stops(self: RunDirectory, key: str, compute: object) -> object:
        calls.append(key)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return cell(self, key, compute)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patched:
        patched.setattr(RunDirectory, "get_or_compute", stops)
        done = elicit("report", *options, "--out", out)
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err and not (out / "summary.json").exists()
    line = done.err.splitlines()[-1].split()
    assert line == ["elicit", "report", "--config", str(out / "run.yaml")]
    scored: list[object] = []
    with monkeypatch.context() as patched:
        evaluate = PartSweep.evaluate
        patched.setattr(
            PartSweep, "evaluate", lambda self, model: scored.append(model) or evaluate(self, model)
        )
        done = elicit(*line[1:], "--json")
    assert (done.code, done.err) == (0, "")
    theirs = json.loads((reported[0] / "summary.json").read_text())
    assert json.loads(done.out) == theirs
    assert len(calls) == 5 and scored


def test_a_run_stopped_before_it_began_says_so(elicit, options, tmp_path, monkeypatch):
    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("elicit.jobs._opening.load_pair", stops)
    done = elicit("report", *options, "--out", tmp_path / "x")
    assert (done.code, done.out) == (130, "")
    assert "before anything was measured" in done.err and not (tmp_path / "x").exists()


@pytest.mark.slow
def test_an_organism_brings_its_own_tasks_unless_others_are_named(
    elicit, organisms, tasks, tmp_path
):
    words = ["--pair", "organism:tiny-l1", *QUICK, "--part", "L1", "--json"]
    own = json.loads(elicit("graft", *words, "--out", tmp_path / "own").out)
    assert {task["name"]: task["n"] for task in own["tasks"]} == {"facts": 12, "problems": 12}
    assert own["pair"]["post"] == "organism:tiny-l1"
    few = tmp_path / "few.jsonl"
    few.write_text("".join((tasks / "facts.jsonl").read_text().splitlines(keepends=True)[:7]))
    named = json.loads(elicit("graft", *words, "--facts", few, "--out", tmp_path / "named").out)
    assert {task["name"]: task["n"] for task in named["tasks"]} == {"facts": 7}


@pytest.fixture(scope="module")
def swept(few, tmp_path_factory) -> dict[str, dict]:
    """Summaries of both directions, over parts that overlap."""
    found = {}
    for direction in EFFECTS:
        out = tmp_path_factory.mktemp("graft") / direction
        parts = "--parts all,L0,L1 --part L0-L2 --part L1.attn+L1.mlp,embed,L1.attn,L1.mlp"
        done = called("graft", *few, *parts.split(), "--direction", direction, "--out", out)
        assert (done.code, done.err) == (0, ""), done.err
        found[direction] = json.loads((out / "summary.json").read_text()) | {
            "said": done.out,
            "path": str(out),
        }
    return found


@pytest.mark.slow
def test_everything_moved_is_the_other_model_and_what_is_equal_moves_nothing(swept):
    for direction, other in (("revert", "base"), ("graft", "post")):
        summary = swept[direction]
        parts = {part["part"]: part for part in summary["parts"]}
        asked = "all L0 L1 L0-L2 L1.attn+L1.mlp embed L1.attn L1.mlp"
        assert list(parts) == asked.split()
        for task in summary["tasks"]:
            scores = {name: part["effects"][task["name"]]["score"] for name, part in parts.items()}
            # Only layer 1 differs, so these four are one move, up to the rounding of how it is run.
            for name in ("all", "L1", "L0-L2", "L1.attn+L1.mlp"):
                assert scores[name]["value"] == pytest.approx(task[other]["value"], abs=1e-6), name
            for name in ("L0", "embed"):
                effect = parts[name]["effects"][task["name"]]["effect"]
                assert effect == {"value": 0.0, "low": 0.0, "high": 0.0}
                assert not parts[name]["changed"]
        facts = {name: part["effects"]["facts"]["effect"]["value"] for name, part in parts.items()}
        assert abs(facts["L1"]) > 0.01 and facts["L1.attn"] != facts["L1"] != facts["L1.mlp"]


def test_the_two_directions_are_the_same_gap_seen_from_both_ends(swept):
    ends = [
        {part["part"]: part["effects"]["facts"]["effect"] for part in swept[d]["parts"]}["all"]
        for d in EFFECTS
    ]
    assert ends[0]["value"] == pytest.approx(-ends[1]["value"], abs=1e-12)
    for effect in ends:
        assert effect["low"] <= effect["value"] <= effect["high"]


def test_a_graft_says_every_score_and_repeats_itself_from_its_file(swept, elicit, monkeypatch):
    summary = swept["revert"]
    for part in summary["parts"]:
        row = next(
            line
            for line in summary["said"].splitlines()
            if f"post with base's {part['part']} " in f"{line} "
        )
        assert interval(part["effects"]["facts"]["score"]) in row
        assert ("unchanged" in row) == (not part["changed"])
    no_scoring(monkeypatch)
    done = elicit("graft", "--config", Path(summary["path"]) / "run.yaml", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out == (Path(summary["path"]) / "summary.json").read_text()
    from elicit.grafting import GraftSweep

    folders = [path.parent for path in Path(summary["path"]).rglob("result.json")]
    loaded = GraftSweep.load(folders[0])
    assert (
        len(folders) == 1 and json.loads(json.dumps(loaded.summary()["parts"])) == summary["parts"]
    )


def test_runs_of_unchanged_layers_are_one_row_of_the_terminal():
    def layer(i: int, changed: bool) -> dict[str, object]:
        one = {"value": 0.5, "low": 0.4, "high": 0.6}
        return {
            "layer": i,
            "changed": changed,
            "verdict": ["corrupted" if changed else "unchanged"],
            "reason": None,
            "effects": {"facts": {"revert": one, "graft": one}},
        }

    changed = {20, 22}
    (table,) = tables({"layers": [layer(i, i in changed) for i in range(80)]})
    assert [row[0] for row in table.rows] == ["L0–L19", "L20", "L21", "L22", "L23–L79"]
    assert [row[1] for row in table.rows] == [
        "unchanged", "corrupted", "unchanged", "corrupted", "unchanged"
    ]  # fmt: skip
    assert len(table.styles) == len(table.rows)


def test_plain_progress_goes_to_stderr_line_by_line(elicit, few, tmp_path):
    done = elicit(
        "graft",
        *few,
        "--part",
        "L1",
        "--progress",
        "plain",
        "--json",
        "--out",
        tmp_path / "a",
    )
    assert json.loads(done.out)["n_layers"] == 3
    said = done.err.splitlines()
    assert said[0] == "loading both models on cpu (0 of 1)" and "facts: graft L1" in done.err
    counted = [line for line in said if not line.startswith("Forecast: ")]
    assert len(counted) == len(said) - 1
    assert all(re.search(r"\(\d+ of \d+", line) for line in counted)


def test_a_value_and_its_interval_in_few_characters():
    assert (
        interval({"value": 0.974, "low": 0.94, "high": 1.0}, signed=True) == "+0.97 [+0.94, +1.00]"
    )
    assert interval({"value": 0.0, "low": 0.0, "high": 0.0}, signed=True) == "0"
    assert (
        interval({"value": 0.001, "low": -0.02, "high": 0.02}, signed=True)
        == "+0.00 [-0.02, +0.02]"
    )
    assert interval({"value": None, "low": None, "high": None}) == interval(None) == "not run"


@pytest.mark.slow
def test_a_process_without_a_terminal_prints_json_and_lines_of_progress_apart(few, tmp_path):
    words = ["graft", *few, "--part", "L1", "--out", str(tmp_path / "a"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "elicit", *words], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0
    said = done.stderr.splitlines()
    assert said[0] == "loading both models on cpu (0 of 1)"
    assert all(re.search(r"\(\d+ of \d+|^Forecast: ", line) for line in said)
    assert done.stdout == (tmp_path / "a" / "summary.json").read_text()
