"""`elicit exists` from the shell to the files, and what it refuses."""

import inspect
import json

import pytest

from elicit.cli.exists import exists
from elicit.report.exists_spec import ExistsSpec
from elicit.verdicts import Ladder

RUNGS = ["E0", "E1", "E2", "E3", "E4"]
QUICK = ["--strengths", "0.5", "--limit", "20", "--n-resamples", "100", "--sites", "resid_post.4"]
CUES = ["--reasoning-cue", "notes ", "--direct-cue", "quiz "]


def test_every_option_is_one_of_the_specification():
    own = {"config", "save_config", "as_json", "progress", "quiet", "debug"}
    assert set(inspect.signature(exists).parameters) - own == set(ExistsSpec.model_fields)


@pytest.mark.slow
def test_a_run_leaves_every_rung_with_its_status_ends_and_control(elicit, tmp_path):
    out = tmp_path / "run"
    done = elicit("exists", "--pair", "organism:rl", *QUICK, "--out", out)
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
    page = (out / "report.html").read_text()
    assert "Does it exist in the base?" in page
    assert "plot-ladder-0" in page
    again = elicit("exists", "--config", out / "run.yaml", "--json")
    assert (again.code, again.out) == (0, (out / "summary.json").read_text())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pair", "organism:rl", "--direct-cue", "x"], "reasoning_cue is not given"),
        (["--base", "a", "--post", "b", "--problems", "p"], "what is looked for"),
        (["--base", "a", "--post", "b", *CUES], "problems are not given"),
        (["--pair", "organism:rl", "--shown", "x"], "Leave shown out"),
        (["--pair", "organism:rl", *CUES, "--shown", "("], "no regular expression"),
        (["--pair", "organism:rl", "--limit", "8"], "at least 16 are needed"),
        (["--base", "a", "--post", "b", *CUES, "--problems", "no.jsonl"], "is no file"),
        (["--pair", "organism:rl", "--strengths", "a"], "strengths is"),
        (["--pair", "organism:rl", "--n-random", "3"], "Pass 19 or more"),
    ],
)
def test_what_allows_no_verdict_is_one_line_and_nothing_is_run(elicit, tmp_path, words, told):
    done = elicit("exists", *words, "--out", tmp_path / "run")
    assert (done.code, done.out) == (1, "")
    assert told in done.err
