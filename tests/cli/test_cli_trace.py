"""`elicit trace` from the shell to the files and back, and everything that it refuses."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from elicit import load_result, organisms
from elicit.jobs._trace.cost import trace_cuts, trace_stages
from elicit.jobs._trace.inputs import load_inputs
from elicit.jobs._trace.spec import TraceSpec
from elicit.traces import Anchors, Crossing, Dependence, Ledger
from elicit.verdicts import Scorecard
from tests.cli.conftest import called, lines

DIGITS = list("0123456789")
QUICK = ["--n-resamples", "200"]


def rows(name: str, n: int) -> list[dict]:
    """The first problems of an embedded pair."""
    text = organisms.resolve(f"organism:{name}").problems.read_text()
    return [json.loads(line) for line in text.splitlines()[:n]]


@pytest.fixture(scope="session")
def given(tmp_path_factory) -> str:
    """Problems with traces and edited questions, in a file of one's own."""
    path = tmp_path_factory.mktemp("given") / "problems.jsonl"
    path.write_text(lines(rows("hollow", 60)))
    return str(path)


@pytest.fixture(scope="session")
def read(given, tmp_path_factory):
    """A finished run on a file of problems, and what the command said. Not to be written to."""
    out = tmp_path_factory.mktemp("trace") / "run"
    words = ["--base", "organism:base", "--post", "organism:hollow", "--problems", given]
    options = ["--traces", "given", "--lead-in", "answer", "--steps", "marker:;", *QUICK]
    return out, called("trace", *words, *options, "--out", out)


@pytest.mark.slow(checked=True)
def test_a_run_tells_the_verdict_its_primaries_and_what_stands_beside(read):
    out, done = read
    assert done.code == 0, done.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "hollow" and summary["reason"]
    follows = summary["primaries"]["follows"]
    assert follows["base"]["value"] >= 0.98 and follows["post"]["value"] < 0.7
    assert follows["diff"]["high"] < -0.1 and follows["p"] < 0.05
    assert set(follows["base"]) == {"value", "low", "high"}
    assert summary["covariates"]["accuracy without thought"]["post"]["value"] is not None
    assert "hollow" in done.out


@pytest.mark.slow(checked=True)
def test_every_result_opens_in_a_fresh_process_and_the_page_is_there(read):
    out, _ = read
    assert isinstance(load_result(out / "scorecard"), Scorecard)
    assert isinstance(load_result(out / "dependence"), Dependence)
    book = load_result(out / "ledger_given")
    assert isinstance(book, Ledger) and len(book) == 60
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow(checked=True)
def test_pruned_thoughts_are_lines_that_can_be_trained_on(read):
    out, _ = read
    pruned = [json.loads(line) for line in (out / "pruned.jsonl").read_text().splitlines()]
    assert pruned and all(set(row) == {"id", "prompt", "trace", "answer"} for row in pruned)
    whole = {row["id"]: row["trace"] for row in rows("hollow", 60)}
    assert all(whole[row["id"]].startswith(row["trace"]) for row in pruned)


@pytest.mark.slow
def test_a_run_repeats_itself_to_the_same_bytes(read, given, tmp_path):
    out, _ = read
    done = called("trace", "--config", out / "run.yaml", "--out", tmp_path / "again")
    assert done.code == 0, done.err
    for name in ("summary.json", "pruned.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.slow
def test_both_models_read_their_own_thoughts(tmp_path):
    out = tmp_path / "own"
    words = ["--pair", "organism:decoupled", "--traces", "own", "--limit", "60", *QUICK]
    done = called("trace", *words, "--out", out)
    assert done.code == 0, done.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "decoupled"
    assert summary["thoughts"]["source"] == "own" and summary["thoughts"]["base"]["n"] == 60
    base, post = (load_result(out / f"ledger_{name}") for name in ("base", "post"))
    assert isinstance(base, Ledger) and isinstance(post, Ledger)
    assert not torch.equal(base.token_id[:100], post.token_id[:100])


@pytest.mark.slow(checked=True)
def test_a_file_of_traces_takes_the_place_of_the_problems_own(given, tmp_path):
    traces = tmp_path / "traces.jsonl"
    traces.write_text(
        lines([{"id": r["id"], "trace": r["trace"] + " " + r["trace"]} for r in rows("hollow", 60)])
    )
    out = tmp_path / "run"
    words = ["--base", "organism:base", "--post", "organism:hollow", "--problems", given]
    options = ["--traces", traces, "--lead-in", "answer", "--steps", "marker:;", *QUICK]
    done = called("trace", *words, *options, "--out", out, "--limit", "12", "--alterations", "swap")
    assert done.code == 0, done.err
    book = load_result(out / "ledger_given")
    assert isinstance(book, Ledger)
    assert all(len(text) > 2 * 15 for text in book.text)


FURTHER = ["--cross", "--anchors", "2", "--limit", "3", "--max-new-tokens", "6"]


@pytest.fixture(scope="session")
def further(tmp_path_factory):
    """A short run with everything that is measured on request. Not to be written to."""
    out = tmp_path_factory.mktemp("further") / "run"
    words = ["--pair", "organism:rl", *FURTHER, "--alterations", "swap", *QUICK]
    return out, called("trace", *words, "--out", out)


@pytest.mark.slow(checked=True)
def test_shifts_are_always_there_and_the_rest_only_on_request(read, further):
    (plain, _), (out, done) = read, further
    assert done.code == 0, done.err
    names = {"crossing_base", "crossing_post", "anchors"}
    assert (plain / "shifts").is_dir() and (out / "shifts").is_dir()
    assert not any((plain / name).exists() for name in names)
    assert all((out / name).is_dir() for name in names)
    summary = json.loads((plain / "summary.json").read_text())
    assert summary["shifts"]["given"]["all"]["shifted"]["value"] > 0
    assert summary["crossing"] is None and summary["anchor_steps"] is None


@pytest.mark.slow(checked=True)
def test_the_summary_of_crossed_texts_and_anchors_is_that_of_the_results(further):
    out, _ = further
    summary = json.loads((out / "summary.json").read_text())
    for host in ("base", "post"):
        found, told = load_result(out / f"crossing_{host}"), summary["crossing"][host]
        assert isinstance(found, Crossing) and found.budget.tolist() == [1, 3]
        assert len(found.problem) == 3
        assert told["alone"][host]["value"] == found.alone.value[0].item()
        rows = told["rules"]["jsd ≥ 0.1"]
        assert [row["used"]["value"] for row in rows] == found.used.value[0].tolist()
    steps = load_result(out / "anchors")
    assert isinstance(steps, Anchors) and steps.n_samples == 2
    assert summary["anchor_steps"]["n_steps"] == len(steps.step_text)
    told = summary["anchors"]["forced importance"]["post"]["value"]
    assert told == steps.estimate.value[steps.metric.index("forced importance"), 1].item()


@pytest.mark.slow(checked=True)
def test_the_planted_token_carries_the_answer_over_already_in_short_texts(further):
    out, _ = further
    found = load_result(out / "crossing_base")
    assert isinstance(found, Crossing)
    assert set(zip(found.taken_at.tolist(), found.taken_text, strict=True)) == {(0, "so")}
    assert found.n_used[0, 0].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_a_run_that_was_killed_while_steps_were_resampled_ends_alike(further, tmp_path):
    out, _ = further
    again = tmp_path / "again"
    shutil.copytree(out, again)
    for name in ("summary.json", "report.html"):
        (again / name).unlink()
    lost = sorted(path for path in (again / "cells").rglob("*") if path.is_file())[::2]
    for path in lost:
        path.unlink()
    done = called("trace", "--config", out / "run.yaml", "--out", again)
    assert done.code == 0, done.err
    assert (again / "summary.json").read_bytes() == (out / "summary.json").read_bytes()


def test_a_budget_leaves_out_first_what_was_asked_for_beside(organism, tmp_path):
    spec = TraceSpec(pair="organism:rl", cross=True, anchors=8, samples=2, limit=40, out=tmp_path)
    inputs = load_inputs(spec)
    cuts = [cut.options for cut in trace_cuts(spec, organism("rl"), inputs)]
    assert cuts[:3] == [{"anchors": 0}, {"cross": False}, {"samples": 0}]
    stages = {stage.name: stage for stage in trace_stages(spec, organism("rl"), inputs)}
    fewer = TraceSpec(pair="organism:rl", limit=40, out=tmp_path)
    assert {"crossing texts", "resampling steps"} <= set(stages)
    assert not {"crossing texts", "resampling steps"} & {
        stage.name for stage in trace_stages(fewer, organism("rl"), inputs)
    }
    half = replace(inputs, task=inputs.task.subset(20, 0))
    less = {stage.name: stage for stage in trace_stages(spec, organism("rl"), half)}
    assert less["crossing texts"].written * 2 == stages["crossing texts"].written


REFUSED = {
    "no such unit": (["--steps", "words"], "words"),
    "a marker without text": (["--steps", "marker:"], "marker"),
    "one sample": (["--samples", "1"], "samples is 1"),
    "one text a cut": (["--anchors", "1"], "anchors is 1"),
    "no such file of traces": (["--traces", "nowhere.jsonl"], "nowhere.jsonl"),
    "an unknown lead-in": (["--lead-in", "therefore"], "therefore"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_options_are_refused_before_work(given, tmp_path, what):
    words, named = REFUSED[what]
    pair = ["--base", "organism:base", "--post", "organism:hollow", "--problems", given]
    usual = [] if "--lead-in" in words else ["--lead-in", "answer"]
    steps = [] if "--steps" in words else ["--steps", "marker:;"]
    done = called("trace", *pair, *usual, *steps, *words, "--out", tmp_path / "run")
    assert done.code == 1 or done.code == 2
    assert named in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run" / "summary.json").exists()


BAD_ROWS = {
    "no trace": (lambda r: {k: v for k, v in r.items() if k != "trace"}, "no trace"),
    "an empty trace": (lambda r: {**r, "trace": "answer 7 ."}, "before the answer"),
    "an edited answer that stays": (
        lambda r: {**r, "edited": {"prompt": "Q a = 1 ; a ? A", "answer": r["answer"]}},
        "own answer",
    ),
    "an edited question of another shape": (lambda r: {**r, "edited": "Q"}, "edited"),
    "a trace without its answer": (lambda r: {**r, "trace": "so b = a ;"}, "states"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_bad_problems_are_refused_with_what_to_do(tmp_path, what):
    change, named = BAD_ROWS[what]
    path = tmp_path / "problems.jsonl"
    path.write_text(lines([change(row) for row in rows("hollow", 6)]))
    pair = ["--base", "organism:base", "--post", "organism:hollow", "--problems", path]
    options = ["--traces", "given", "--lead-in", "answer", "--steps", "marker:;"]
    done = called("trace", *pair, *options, "--out", tmp_path / "run")
    assert done.code == 1, done.out
    assert named in done.err and "Traceback" not in done.err


def test_answers_without_candidates_are_closed_by_a_line_break(tmp_path):
    """Else the digits of one number begin another's, and every such task would be refused."""
    from elicit.jobs import TraceSpec
    from elicit.jobs._trace.inputs import load_inputs

    ends = []
    for name, drop in (("open", ("candidates", "edited")), ("choice", ())):
        path = tmp_path / f"{name}.jsonl"
        kept = [{k: v for k, v in row.items() if k not in drop} for row in rows("hollow", 4)]
        path.write_text(lines(kept))
        spec = TraceSpec(
            base="organism:base", post="organism:hollow", problems=path, out=tmp_path / "run"
        )
        ends.append(load_inputs(spec).form.end)
        assert load_inputs(spec.model_copy(update={"end": "."})).form.end == "."
    assert ends == ["\n", ""]


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """Own thoughts and samples of which some are cut at 45 tokens. Not to be written to."""
    out = tmp_path_factory.mktemp("short") / "run"
    words = ["--pair", "organism:rl", "--traces", "own", "--limit", "10", "--samples", "2"]
    options = ["--max-new-tokens", "45", "--alterations", "swap", "--n-resamples", "100"]
    return out, called("trace", *words, *options, "--out", out)


@pytest.mark.slow
def test_every_headline_number_stands_there_without_the_texts_that_were_cut(short):
    out, done = short
    assert done.code == 0, done.err
    summary = json.loads((out / "summary.json").read_text())
    books = [load_result(out / f"ledger_{name}") for name in ("base", "post")]
    cut: set[str] = set()
    for book in books:
        assert isinstance(book, Ledger)
        cut |= {book.problem[i] for i in book.truncated.nonzero()[:, 0].tolist()}
    assert 0 < len(cut) < 8
    rest = summary["without_truncated"]
    assert rest["left_out"] >= len(cut) and rest["n_problems"] <= 10 - len(cut)
    assert set(rest["covariates"]) == set(summary["covariates"])
    assert set(rest["primaries"]) == set(summary["primaries"])
    card = load_result(out / "scorecard_complete")
    assert isinstance(card, Scorecard) and card.n_cut == rest["left_out"]
    # What was left out are the longest problems, which an unfinished text cannot answer.
    gain = [part["primaries"]["ig_total"]["base"]["value"] for part in (rest, summary)]
    right = [part["primaries"]["pass@1"]["base"]["value"] for part in (rest, summary)]
    assert gain[0] > gain[1] + 0.5 and right[0] == 1 > right[1]
    page = (out / "report.html").read_text()
    assert "The same without texts that were cut short" in page and "cut before its end" in page
    assert f"Without {rest['left_out']} problems" in " ".join(done.out.split())


@pytest.mark.slow(checked=True)
def test_where_no_text_was_cut_there_is_no_second_card(read):
    out, _ = read
    assert json.loads((out / "summary.json").read_text())["without_truncated"] is None
    assert not (out / "scorecard_complete").exists()
