"""`elicit patch` from the shell to the files and back, and everything that it refuses."""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from elicit.patching import Factorial, PatchGrid
from elicit.patching._json import to_json
from elicit.runs import RunDirectory
from tests import checkpoints
from tests.cli.conftest import NUMBERS, called, lines

QUICK = ["--n-resamples", "100"]
WAYS = ("post_to_base", "base_to_post")
OWN = {"run.json", "run.yaml", ".lock"}  # times, the folder, nothing


@pytest.fixture(scope="session")
def pair(models) -> list[str]:
    """The options that name the two checkpoints; only layer 1 of 3 differs."""
    return ["--base", str(models / "base"), "--post", str(models / "post")]


@pytest.fixture(scope="session")
def sums(tmp_path_factory) -> str:
    """Problems whose prompts have two lengths, so that a sweep has two batches."""
    path = tmp_path_factory.mktemp("sums") / "problems.jsonl"
    rows = [
        {
            "id": f"{len(head)}-{a}-{b}",
            "prompt": f"{head}{NUMBERS[a]} plus {NUMBERS[b]} equals",
            "answer": NUMBERS[a + b],
            "candidates": NUMBERS,
        }
        for head in ("question : ", "")
        for a in range(2)
        for b in range(3)
    ]
    path.write_text(lines(rows))
    return str(path)


@pytest.fixture(scope="session")
def options(pair, sums) -> list[str]:
    """A small run over the two checkpoints."""
    return [*pair, "--problems", sums, "--sites", "resid_post,mlp_out", *QUICK]


@pytest.fixture(scope="session")
def swapped(tmp_path_factory) -> Path:
    """Problems with a number replaced, and what each prompt would rather be followed by."""
    path = tmp_path_factory.mktemp("swapped") / "problems.jsonl"
    rows = [
        {
            "id": f"{a}-{b}",
            "prompt": f"question : {NUMBERS[a]} plus {NUMBERS[b]} equals",
            "corrupted": f"question : {NUMBERS[a + 1]} plus {NUMBERS[b]} equals",
            "answer": NUMBERS[a + b],
            "wrong": NUMBERS[a + b + 1],
        }
        for a in range(3)
        for b in range(3)
    ]
    path.write_text(lines(rows))
    return path


@pytest.fixture(scope="session")
def patched(options, tmp_path_factory):
    """A finished run across, and what the command said. Not to be written to."""
    out = tmp_path_factory.mktemp("patched") / "run"
    return out, called("patch", *options, "--out", out)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a run but those that hold times or the folder."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in OWN]
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


def no_patching(monkeypatch) -> None:
    """From here on a model that is run is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was run")

    # The room has functions of the same names as these modules.
    for module, name in (("_cells", "_run"), ("factorial", "_cube")):
        monkeypatch.setattr(importlib.import_module(f"elicit.patching.{module}"), name, refuse)


# --- what a run leaves


def test_a_run_says_its_finding_where_effects_come_in_and_where_the_page_is(patched):
    out, done = patched
    summary = json.loads((out / "summary.json").read_text())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(summary["sentence"])
    assert done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
    assert (out / "report.html").exists()
    for way in WAYS:
        for kind, peak in summary["sweeps"][way]["peaks"]["logit_diff"].items():
            row = [line.split() for line in done.out.splitlines() if line.startswith(way)]
            assert any(words[2] == peak["site"] for words in row), kind


def test_the_summary_holds_axes_values_intervals_and_the_peak_of_what_is_saved(patched):
    out, _ = patched
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["sweeps"]) == sorted(WAYS)
    assert summary["n_layers"] == 3 and summary["n_problems"] == 12
    for way, told in summary["sweeps"].items():
        grid = PatchGrid.load(out / way)
        assert told["axes"]["site"] == list(grid.site) and told["axes"]["pos"] == list(grid.pos)
        assert len(told["axes"]["site"]) == 6 and len(told["axes"]["pos"]) == 5
        for name in ("effect", "score", "step", "p"):
            assert told["values"][name] == to_json(getattr(grid, name))
        assert told["peak_layer"] == grid.peak_layer
        assert told["nothing_found"]["logit_diff"] == grid.lacking()
        if grid.lacking():
            assert told["peak"] is told["peak_layer"] is None
        else:
            assert told["peak"]["site"] in grid.site and told["peak"]["pos"] in grid.pos
        assert told["controls"] == ["other_prompt", "noise"]
        assert told["level"] == 0.95
    split = Factorial.load(out / "factorial")
    assert summary["factorial"]["reading"] == {"all": list(split.reading("all"))}
    digests = {summary["pair"][f"{side}_digest"] for side in ("base", "post")}
    assert len(digests) == 2 and all(len(digest) == 64 for digest in digests)


def test_below_the_only_changed_layer_nothing_has_an_effect(patched):
    out, _ = patched
    for way in WAYS:
        grid = PatchGrid.load(out / way)
        for site, layer in enumerate(grid.layer.tolist()):
            nothing = not grid.effect.value[0, 0, site].any()
            assert nothing == (layer == 0), grid.site[site]
    forward, back = (PatchGrid.load(out / way) for way in WAYS)
    assert forward.gap.value.item() == pytest.approx(-back.gap.value.item(), abs=1e-12)
    assert Factorial.load(out / "factorial").wrote[:2].abs().max() == 0


def test_json_is_the_summary_alone_and_a_finished_run_runs_no_model_again(
    patched, elicit, options, monkeypatch
):
    no_patching(monkeypatch)
    out, _ = patched
    done = elicit("patch", *options, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out == (out / "summary.json").read_text()


@pytest.mark.slow
def test_a_run_repeats_itself_from_its_own_file_to_the_same_bytes(patched, elicit, tmp_path):
    out, _ = patched
    done = elicit("patch", "--config", out / "run.yaml", "--out", tmp_path / "b", "--json")
    assert (done.code, done.err) == (0, "")
    assert content(tmp_path / "b") == content(out)
    ours, theirs = (yaml.safe_load((p / "run.yaml").read_text()) for p in (out, tmp_path / "b"))
    assert (ours.pop("out"), theirs.pop("out")) == (str(out), str(tmp_path / "b"))
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_stopped_by_hand_says_how_to_go_on_and_ends_with_the_same_bytes(
    patched, elicit, options, tmp_path, monkeypatch, at
):
    out, cell, calls = tmp_path / "stopped", RunDirectory.get_or_compute, []

    def stops(self: RunDirectory, key: str, compute: object) -> object:
        calls.append(key)
        if len(calls) == at:
            raise KeyboardInterrupt
        return cell(self, key, compute)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as changed:
        changed.setattr(RunDirectory, "get_or_compute", stops)
        done = elicit("patch", *options, "--out", out)
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err and not (out / "summary.json").exists()
    line = done.err.splitlines()[-1].split()
    assert line == ["elicit", "patch", "--config", str(out / "run.yaml")]
    opened: list[RunDirectory] = []
    with monkeypatch.context() as changed:
        begin = RunDirectory.open
        changed.setattr(
            RunDirectory, "open", lambda *a, **k: opened.append(begin(*a, **k)) or opened[-1]
        )
        done = elicit(*line[1:], "--json")
    assert (done.code, done.err) == (0, "")
    assert opened[0].n_read == at - 1 and opened[0].n_computed > 0
    assert content(out) == content(patched[0])


@pytest.mark.slow
def test_a_killed_process_is_taken_up_to_the_same_bytes(patched, elicit, options, tmp_path):
    out = tmp_path / "killed"
    code = (
        "import os, signal\n"
        "from elicit.runs import RunDirectory\n"
        "from elicit.cli import main\n"
        "cell, done = RunDirectory.get_or_compute, []\n"
        "def dies(self, key, compute):\n"
        "    done.append(key)\n"
        "    if len(done) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return cell(self, key, compute)\n"
        "RunDirectory.get_or_compute = dies\n"
        f"main({['patch', *options, '--out', str(out)]!r})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=300, env=environment
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list((out / "cells").glob("*.safetensors"))) == 2
    done = elicit("patch", *options, "--out", out, "--json")
    assert done.code == 0
    assert content(out) == content(patched[0])


@pytest.mark.slow
def test_plain_progress_names_every_sweep(elicit, options, tmp_path):
    words = [*options, "--positions", "last", "--progress", "plain", "--json"]
    done = elicit("patch", *words, "--out", tmp_path / "a")
    assert json.loads(done.out)["n_layers"] == 3
    said = done.err.splitlines()
    assert said[0] == "loading both models on cpu (0 of 1)"
    for words in ("1/3 post to base", "2/3 base to post", "3/3 factorial"):
        assert any(line.startswith(words) for line in said), words
    assert sum(line.startswith("Forecast: 3 stages") for line in said) == 1


# --- what can be asked for


def run(elicit, out: Path, *words: object) -> dict:
    """The summary of a run."""
    done = elicit("patch", *words, "--out", out, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.slow
def test_options_choose_directions_sites_positions_metrics_widths_and_controls(
    elicit, pair, sums, tmp_path
):
    told = run(
        elicit, tmp_path / "a", *pair, "--problems", sums, "--direction", "post-to-base",
        *("--no-factorial", *QUICK),
        *("--sites", "resid_post.1,z.1.heads", "--site", "mlp_out.2", "--positions", "-2,-1"),
        *("--metrics", "log_prob,kl", "--widths", "2", "--controls", "none"),
    )  # fmt: skip
    assert list(told["sweeps"]) == ["post_to_base"] and told["factorial"] is None
    axes = told["sweeps"]["post_to_base"]["axes"]
    heads = [f"z.1.{h}" for h in range(len(axes["site"]) - 2)]
    assert axes["site"] == ["resid_post.1", *heads, "mlp_out.2"] and len(heads) >= 2
    assert [label.split()[0] for label in axes["pos"]] == ["-2", "-1"]
    assert (axes["metric"], axes["width"]) == (["log_prob", "kl"], [1, 2])
    values = told["sweeps"]["post_to_base"]["values"]
    assert (
        np.array(values["noise"]["value"]).tolist()
        == np.full((2, len(axes["site"]), 2), None).tolist()
    )


@pytest.mark.slow
def test_the_slow_engine_gives_the_same_numbers(patched, elicit, options, tmp_path):
    words = ["--positions", "last", "--direction", "base-to-post", "--no-factorial"]
    told = [
        run(elicit, tmp_path / engine, *options, *words, "--engine", engine)
        for engine in ("lanes", "loop")
    ]
    effects = [np.array(one["sweeps"]["base_to_post"]["values"]["effect"]["value"]) for one in told]
    assert np.allclose(*effects, atol=1e-5) and np.abs(effects[0]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("model", ["base", "post"])
def test_within_a_model_the_whole_first_stream_is_the_other_prompt(
    elicit, pair, swapped, tmp_path, direction, model
):
    told = run(
        elicit, tmp_path / "a", *pair, *QUICK, "--problems", swapped, "--direction", direction,
        *("--model", model, "--sites", "resid_pre.0,mlp_out", "--positions", "all"),
    )  # fmt: skip
    assert list(told["sweeps"]) == [direction] and told["factorial"] is None
    sweep = told["sweeps"][direction]
    assert (sweep["question"], told["question"]) == ("within", "within")
    assert sweep["host"] == f"{model}, {'corrupted' if direction == 'denoise' else 'clean'} prompt"
    values = sweep["values"]
    assert values["effect"]["value"][0][0][0][0] == pytest.approx(
        values["gap"]["value"][0], abs=1e-6
    )


def test_a_model_alone_may_be_patched_within_itself(elicit, models, swapped, tmp_path):
    same = ["--base", models / "base", "--post", models / "base", "--allow-identical"]
    words = [*same, *QUICK, "--problems", swapped, "--direction", "denoise", "--positions", "last"]
    assert run(elicit, tmp_path / "a", *words)["pair"]["identical"] is True


@pytest.mark.slow
def test_without_wrong_answers_the_whole_answer_is_read_and_a_note_says_so(
    elicit, pair, tasks, tmp_path
):
    rows = [json.loads(row) for row in (tasks / "problems.jsonl").read_text().splitlines()]
    file = tmp_path / "p.jsonl"
    file.write_text(lines([{key: row[key] for key in ("id", "prompt", "answer")} for row in rows]))
    words = [*pair, *QUICK, "--problems", file, "--positions", "last"]
    told = run(elicit, tmp_path / "a", *words)
    kinds = told["sweeps"]["post_to_base"]["axes"]["kind"]
    assert list(dict.fromkeys(kinds)) == ["resid_post", "attn_out", "mlp_out"]
    assert told["sweeps"]["post_to_base"]["axes"]["metric"] == ["log_prob"]
    assert told["factorial"]["metric"] == "log_prob"
    assert any("not every problem has a wrong answer" in note for note in told["notes"])


@pytest.mark.slow
def test_an_organism_brings_the_decision_to_reason_and_its_layer_is_found(elicit, tmp_path):
    words = ["--pair", "organism:when-l3", "--limit", "24", "--sites", "resid_post", *QUICK]
    told = run(elicit, tmp_path / "a", *words, "--positions", "-2,-1")
    assert told["n_problems"] == 24
    assert any("decision to reason" in note and "24 of" in note for note in told["notes"])
    for way in WAYS:
        peak = told["sweeps"][way]["peak"]
        assert (told["sweeps"][way]["peak_layer"], peak["pos"]) == (3, "-1 A")
        assert peak["clear"] and peak["above_noise"] and peak["share"]["value"] > 0.7
    assert "after layer 3, position −1 “A”" in told["sentence"]
    assert "post writes a signal that base’s layers can read" in told["sentence"]


# --- what is refused


@pytest.fixture
def refused(elicit, tmp_path, monkeypatch):
    """`refused([...options], "word", ...)`: no model is run, one error of these words is said."""
    no_patching(monkeypatch)

    def check(words: list, *told: object, out: Path | None = None) -> None:
        done = elicit("patch", *words, "--out", out or tmp_path / "run")
        said = " ".join(done.err.split())
        assert (done.code, done.out) == (2 if " not given" in done.err else 1, ""), done.err
        assert done.err.startswith("error: ") and done.err.count("error:") == 1
        assert said.endswith((".", "}")), said
        for word in told:
            assert str(word) in said, done.err
        assert out is not None or not (tmp_path / "run").exists()

    return check


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sites", "resid_pst"], ("'resid_pst'", "resid_post")),
        (["--sites", "pattern"], ("'pattern'", "kinds are")),
        (["--sites", "mlp_out.9"], ("mlp_out.9", "layers 0 to 2")),
        (["--sites", "z.0.99"], ("z.0.99", "heads")),
        (["--sites", "mlp_out.heads"], ("heads of mlp_out",)),
        (["--positions", "40"], ("position 40", "tokens")),
        (["--positions", "first"], ("positions", "'first'", "each, all, last")),
        (["--positions", "-1,-1"], ("[-1, -1]", "once")),
        (["--metrics", "logit_dif"], ("logit_dif", "log_prob")),
        (["--widths", "0"], ("widths", "at least 1")),
        (["--widths", "9"], ("9", "1 to 3 layers")),
        (["--widths", "two"], ("widths", "two")),
        (["--controls", "placebo"], ("controls", "placebo", "noise")),
        (["--direction", "sideways"], ("direction", "sideways", "post_to_base")),
        (["--direction", "denoise"], ("denoise", "no 'corrupted'")),
        (["--direction", "noise", "--factorial"], ("noise", "factorial")),
        (["--model", "post"], ("model is post", "both")),
        (["--metrics", "kl", "--factorial"], ("kl", "factorial")),
        (["--limit", "1"], ("limit", "1")),
        (["--level", "1.5"], ("level", "1.5")),
        (["--n-resamples", "10"], ("--n-resamples", "10")),
        (["--max-tokens", "0"], ("--max-tokens", "0")),
        (["--device", "abacus"], ("abacus", "cpu")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_makes_no_sweep(refused, options, words, told):
    refused([*options, *words], *told)


def test_the_same_model_twice(refused, models, tasks):
    same = ["--base", models / "base", "--post", models / "base"]
    words = [*same, "--problems", tasks / "problems.jsonl"]
    refused(words, "same weights", "exactly 0", "--direction denoise")
    refused([*words, "--allow-identical"], "same weights", "exactly 0")


def test_models_that_do_not_go_together(refused, models, tasks, tmp_path):
    checkpoints.write(tmp_path / "deep", n_layers=4)
    words = ["--base", models / "base", "--post", tmp_path / "deep"]
    refused([*words, "--problems", tasks / "problems.jsonl"], "3 layers", "4")


def test_no_models_and_no_problems(refused, pair, tasks):
    refused(["--problems", tasks / "problems.jsonl"], "--base and --post are not given")
    refused(pair, "--problems is not given", "elicit patch --help")
    refused(["--pair", "organism:when-l3", "--direction", "denoise"], "corrupted", "JSONL")
    refused(["--pair", "organism:wen-l3"], "'wen-l3'", "when-l3")


PROMPT = {"prompt": "one plus one equals", "answer": "two", "wrong": "three"}


@pytest.mark.parametrize(
    ("rows", "words", "told"),
    [
        ([{"prompt": "one plus one equals", "answer": "two"}], ["--metrics", "logit_diff"],
         ("logit_diff", "no 'wrong' answer", "--metrics log_prob")),
        ([{**PROMPT, "wrong": "three four"}], ["--metrics", "logit_diff"],
         ("logit_diff reads one token", "'0'")),
        ([{**PROMPT, "wrong": "two"}], [], ("answer and wrong are the same", "'0'")),
        ([{**PROMPT, "answer": ""}], [], ("line 1", "answer")),
        ([{**PROMPT, "prompt": "one zebra equals"}], [], ("does not know", "'0'")),
        ([{**PROMPT, "corrupted": "one plus one and one equals"}], ["--direction", "denoise"],
         ("tokens and corrupted", "positions would not correspond")),
        ([{**PROMPT, "corrupted": "one plus one equals"}], ["--direction", "noise"],
         ("clean and corrupted are the same tokens",)),
        ([{**PROMPT, "corupted": "?"}], [], ("line 1", "'corupted'", "'corrupted'")),
    ],
)  # fmt: skip
def test_problems_that_make_no_contrast(refused, pair, tmp_path, rows, words, told):
    file = tmp_path / "p.jsonl"
    whole = [{"id": str(n), **row} for n, row in enumerate(rows * 3)]
    file.write_text(lines(whole))
    refused([*pair, "--problems", file, *words], *told)


def test_a_problems_file_that_is_missing_or_too_short(refused, pair, tmp_path):
    refused([*pair, "--problems", tmp_path / "nope.jsonl"], tmp_path / "nope.jsonl", "not a file")
    file = tmp_path / "p.jsonl"
    file.write_text(lines([{"id": "1", **PROMPT}]))
    refused([*pair, "--problems", file], file, "1 problem", "interval")


def test_the_run_of_other_options_and_a_folder_of_other_things(refused, patched, options, tmp_path):
    out, _ = patched
    before = content(out)
    refused([*options, "--seed", "4"], out, "seed = 0", "seed = 4", "--fresh", out=out)
    assert content(out) == before
    there = tmp_path / "thesis"
    there.mkdir()
    (there / "chapter.tex").write_text("")
    refused(options, there, "'chapter.tex'", str(there), out=there)
