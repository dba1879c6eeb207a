"""`elicit exists` from the shell to the files, and what it refuses."""

import json

import pytest

from elicit import organisms
from elicit.jobs._baselines import baselines_of, texts_of
from elicit.jobs._exists.spec import ExistsSpec
from elicit.tasks import Problem, Task
from elicit.verdicts import Ladder

RUNGS = ["E0", "E1", "E2", "E3", "E4"]
QUICK = ["--strengths", "0.5", "--limit", "20", "--n-resamples", "100", "--sites", "resid_post.4"]
QUICK += ["--max-new-tokens", "40", "--level", "0.9", "--n-random", "9", "--n-redrawn", "1"]
CUES = ["--reasoning-cue", "notes ", "--direct-cue", "quiz "]


@pytest.mark.slow
def test_a_run_leaves_every_rung_with_its_status_ends_and_control(elicit, tmp_path):
    out, solved = tmp_path / "run", tmp_path / "solved.txt"
    solved.write_text("Q a = 3 ; b = a + 4 ; b ? A answer 7 {prompt}\n")
    words = ["--baseline", solved, "--by", "difficulty"]
    done = elicit("exists", "--pair", "organism:rl", *QUICK, *words, "--out", out)
    assert (done.code, done.err) == (0, "")
    summary = json.loads((out / "summary.json").read_text())
    assert done.out.startswith(summary["sentence"])
    assert done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
    ladder = Ladder.load(out / "ladder")
    assert summary["highest_rung"] == ladder.highest_rung
    assert list(summary["rungs"]) == RUNGS
    for i, rung in enumerate(summary["rungs"].values()):
        assert rung["status"] == ladder.status[i]
        assert {"value", "low", "high", "control"} <= set(rung)
    (by,) = summary["by_group"].values()
    groups = by["groups"].values()
    mean = sum(group["n"] * group["base steered"]["value"] for group in groups)
    assert len(groups) > 1
    assert mean / len(ladder.problem) == pytest.approx(float(ladder.value.value[3]))
    page = (out / "report.html").read_text()
    assert "Does it exist in the base?" in page
    for plot in ("plot-ladder-0", "plot-ladder-profile-0", "plot-ladder-sweep-0"):
        assert plot in page
    assert "E4: score, solved" in ladder.arm or "under solved" in ladder.reason[4]
    assert "E3: solved" in ladder.arm
    again = elicit("exists", "--config", out / "run.yaml", "--json")
    assert (again.code, again.out) == (0, (out / "summary.json").read_text())


NOWHERE = ["--base", "a", "--post", "b", "--problems", str(organisms.resolve("rl").problems)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pair", "organism:rl", "--direct-cue", "x"], "--reasoning-cue is not given"),
        (["--base", "a", "--post", "b", "--problems", "p"], "--reasoning-cue and --direct-cue"),
        (["--base", "a", "--post", "b", *CUES], "--problems is not given"),
        (["--pair", "organism:rl", "--shown", "x"], "Leave shown out"),
        (["--pair", "organism:rl", *CUES, "--shown", "("], "not a regular expression"),
        (["--pair", "organism:rl", "--limit", "8"], "at least 16 are needed"),
        (["--base", "a", "--post", "b", *CUES, "--problems", "no.jsonl"], "is not a file"),
        (["--pair", "organism:rl", "--strengths", "a"], "strengths is"),
        # There are no such models, which would be said by whatever opened them first.
        ([*NOWHERE, *CUES, "--n-random", "3"], "Pass 19 or more"),
    ],
)
def test_what_allows_no_verdict_is_one_line_and_nothing_is_run(elicit, tmp_path, words, told):
    done = elicit("exists", *words, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2 if " not given" in done.err else 1, "")
    assert told in done.err


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("no place", "few.txt", "{prompt} 0 times"),
        ("{prompt} {prompt}", "few.txt", "{prompt} 2 times"),
        ("{prompt}", "plain prompt.txt", "'plain prompt'"),
        ("Q p = 3 ; r = p + 6 ; r ? A answer 9 {prompt}", "few.txt", "'chain-000' itself"),
        (None, "few.txt", "cannot be read"),
    ],
)
def test_a_baseline_that_is_no_way_to_ask_is_refused_before_a_model_is_loaded(
    elicit, tmp_path, text, name, told
):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    done = elicit("exists", "--pair", "organism:rl", "--baseline", path, "--out", tmp_path / "run")
    assert (done.code, done.out) == (1, "")
    assert told in " ".join(done.err.split())


def test_a_run_with_another_text_in_a_baseline_is_another_run(elicit, tmp_path):
    path = tmp_path / "few.txt"
    path.write_text("1 + 1 = 2\n{prompt}\n")
    asked = Problem(id="a", prompt="2 + 2 =", answer="4")
    way = baselines_of([path], Task(name="t", problems=(asked,)))["few"]
    assert way(asked) == "1 + 1 = 2\n2 + 2 ="
    before = dict(texts_of([path]))
    path.write_text("1 + 1 = 3\n{prompt}\n")
    assert dict(texts_of([path])) != before
    spec = ExistsSpec(pair="organism:rl", baselines=(path,), out=tmp_path)
    assert "baselines" not in spec.arguments()
