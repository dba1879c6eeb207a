"""`elicit revise` from the shell to the files and back, and everything that it refuses."""

import importlib
import json
from pathlib import Path

import pytest
import torch
import yaml

from elicit.revision import DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit
from elicit.runs import RunDirectory
from tests import checkpoints
from tests.cli.conftest import NUMBERS, called, lines

QUICK = ["--n-resamples", "100", "--max-new-tokens", "4"]
OWN = {"run.json", "run.yaml", ".lock"}  # times, the folder, nothing


@pytest.fixture(scope="session")
def pair(models) -> list[str]:
    """The options that name the two checkpoints; only layer 1 of 3 differs."""
    return ["--base", str(models / "base"), "--post", str(models / "post")]


ROWS = [
    {
        "id": f"sum-{a}-{b}",
        "prompt": f"question : {NUMBERS[a]} plus {NUMBERS[b]} equals",
        "answer": NUMBERS[a + b],
        "difficulty": a,
        "trace": " ".join([NUMBERS[a], "plus", NUMBERS[b], "equals", NUMBERS[a + b]][: 3 + b]),
    }
    for a in range(3)
    for b in range(3)
]


@pytest.fixture(scope="session")
def sums(tmp_path_factory) -> str:
    """Problems with traces of several lengths."""
    path = tmp_path_factory.mktemp("sums") / "problems.jsonl"
    path.write_text(lines(ROWS))
    return str(path)


@pytest.fixture(scope="session")
def options(pair, sums) -> list[str]:
    """A small run over the two checkpoints, with every kind of text."""
    return [*pair, "--problems", sums, "--traces", "decision,own,given", *QUICK]


@pytest.fixture(scope="session")
def read(options, tmp_path_factory):
    """A finished run, and what the command said. Not to be written to."""
    out = tmp_path_factory.mktemp("read") / "run"
    return out, called("revise", *options, "--out", out)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a run but those that hold times or the folder."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in OWN]
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


def no_models(monkeypatch) -> None:
    """From here on a model that is run is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was run")

    blocks = importlib.import_module("elicit.revision._readers")
    monkeypatch.setattr(blocks, "residual_states", refuse)
    monkeypatch.setattr("elicit.rollouts.writing.continue_ids", refuse)


# --- what a run leaves


def test_a_run_says_its_finding_both_models_with_their_difference_and_where_the_page_is(read):
    out, done = read
    summary = json.loads((out / "summary.json").read_text())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(summary["sentence"])
    assert done.out.rstrip().endswith(f"Report: {out / 'report.html'}")
    for name in ("given", "base", "post", "prompt"):
        rows = [line for line in done.out.splitlines() if line.startswith(f"{name} ")]
        assert len(rows) == 2
    assert "post minus base" in done.out


def test_the_summary_holds_what_is_saved(read):
    out, _ = read
    summary = json.loads((out / "summary.json").read_text())
    found = Settling.load(out / "settling")
    assert set(found.source) == set(summary["sources"]) == {"given", "base", "post", "prompt"}
    assert found.source[0] == "given"
    for s, name in enumerate(found.source):
        told = summary["sources"][name]
        for key in ("depth_diff", "dtr_diff"):
            assert told[key] == getattr(found, key)[s].to_json()
        for m, model in enumerate(("base", "post")):
            assert told["mean_depth"][model]["value"] == found.mean_depth.value[s, m].item()
            assert told["profile"][model]["low"] == found.profile.low[s, m].tolist()
        assert told["profile"]["diff"]["high"] == found.profile_diff.high[s].tolist()
        assert told["n_problems"] == int(found.n_problems[s])
    assert 0 <= summary["sources"]["post"]["truncated"] <= 1
    assert "truncated" not in summary["sources"]["given"]
    assert (summary["n_layers"], summary["deep_from"]) == (3, 3)
    assert summary["convention"]["unit"] == "bits" and summary["convention"]["threshold"] == 0.5
    band = Sensitivity.load(out / "sensitivity")
    assert summary["sensitivity"]["sign"] == band.sign
    assert summary["sensitivity"]["dtr_diff"]["value"] == band.dtr_diff.value.tolist()
    groups = DepthByGroup.load(out / "by_difficulty")
    assert summary["by_difficulty"]["group"] == list(groups.group) == ["0", "1", "2"]
    assert groups.n_tokens.sum() == (found.source_of == 0).sum()
    assert set(Profile.load(out / "profile").problem) <= {row["id"] for row in ROWS}


def test_what_a_reader_should_know_is_noted(read):
    notes = " ".join(json.loads((read[0] / "summary.json").read_text())["notes"])
    for words in ("There are 9 problems", "last layer", "truncated at 4 tokens", "given traces"):
        assert words in notes


def test_below_the_only_changed_layer_nothing_differs(read):
    found = Settling.load(read[0] / "settling")
    # The final predictions differ, so divergences from them do; tokens and rows are the same.
    assert not torch.equal(found.jsd[0], found.jsd[1])
    assert torch.equal(found.jsd[:, -1], torch.zeros_like(found.jsd[:, -1]))
    assert not found.profile_diff.value[:, -1].any()


def test_json_is_the_summary_alone_and_a_finished_run_runs_no_model_again(
    read, elicit, options, monkeypatch
):
    no_models(monkeypatch)
    out, _ = read
    done = elicit("revise", *options, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out == (out / "summary.json").read_text()


@pytest.mark.slow
def test_a_run_repeats_itself_from_its_own_file_to_the_same_bytes(read, elicit, tmp_path):
    out, _ = read
    done = elicit("revise", "--config", out / "run.yaml", "--out", tmp_path / "b", "--json")
    assert (done.code, done.err) == (0, "")
    assert content(tmp_path / "b") == content(out)
    ours, theirs = (yaml.safe_load((p / "run.yaml").read_text()) for p in (out, tmp_path / "b"))
    assert (ours.pop("out"), theirs.pop("out")) == (str(out), str(tmp_path / "b"))
    assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_stopped_by_hand_says_how_to_go_on_and_ends_with_the_same_bytes(
    read, elicit, options, tmp_path, monkeypatch, at
):
    out, cell, calls = tmp_path / "stopped", RunDirectory.get_or_compute, []

    def stops(self: RunDirectory, key: str, compute: object) -> object:
        calls.append(key)
        if len(calls) == at:
            raise KeyboardInterrupt
        return cell(self, key, compute)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as changed:
        changed.setattr(RunDirectory, "get_or_compute", stops)
        done = elicit("revise", *options, "--out", out)
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err and not (out / "summary.json").exists()
    line = done.err.splitlines()[-1].split()
    assert line == ["elicit", "revise", "--config", str(out / "run.yaml")]
    opened: list[RunDirectory] = []
    with monkeypatch.context() as changed:
        begin = RunDirectory.open
        changed.setattr(
            RunDirectory, "open", lambda *a, **k: opened.append(begin(*a, **k)) or opened[-1]
        )
        done = elicit(*line[1:], "--json")
    assert (done.code, done.err) == (0, "")
    assert opened[0].n_read == at - 1 and opened[0].n_computed > 0
    assert content(out) == content(read[0])


# --- what can be asked for


def run(elicit, out: Path, *words: object) -> dict:
    """The summary of a run."""
    done = elicit("revise", *words, "--out", out, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.mark.slow
def test_given_traces_are_read_where_every_problem_has_one_and_else_what_both_write(
    elicit, pair, sums, tasks, tmp_path
):
    told = run(elicit, tmp_path / "a", *pair, "--problems", sums, *QUICK)
    assert list(told["sources"]) == ["given"]
    told = run(elicit, tmp_path / "b", *pair, "--problems", tasks / "problems.jsonl", *QUICK)
    assert list(told["sources"]) == ["base", "post"]
    assert told["sources"]["base"]["n_tokens"] <= 4 * 12


@pytest.mark.slow
def test_options_choose_the_convention(elicit, pair, sums, tmp_path):
    told = run(
        elicit, tmp_path / "a", *pair, "--problems", sums, *QUICK, "--limit", "6",
        *("--convention", "maxzuo/deep-think-tokens", "--threshold", "0.3", "--rho", "0.6"),
        *("--reading", "last_exit", "--temperature", "1", "--traces", "own", "--seed", "3"),
    )  # fmt: skip
    convention = told["convention"]
    assert (convention["threshold"], convention["unit"], convention["norm"]) == (
        0.3,
        "nats",
        "none",
    )
    assert (convention["rho"], convention["reading"], told["deep_from"]) == (0.6, "last_exit", 2)
    assert 0.3 in told["sensitivity"]["threshold"] and 0.6 in told["sensitivity"]["rho"]
    assert told["sources"]["post"]["n_problems"] <= 6


@pytest.mark.slow
def test_memory_bounds_change_no_depth_and_by_gives_depths_as_other_commands_do(
    elicit, pair, sums, tmp_path
):
    words = [*pair, "--problems", sums, *QUICK]
    a = run(elicit, tmp_path / "a", *words, "--by", "difficulty")
    found, theirs = a["by_group"]["problems"], a["by_difficulty"]
    assert (found["by"], found["unit"]) == ("difficulty", "layers")
    assert list(found["groups"]) == theirs["group"] == ["0", "1", "2"]
    for name, values in (("base", theirs["depth"]["base"]), ("post minus base", theirs["diff"])):
        ours = [group[name]["value"] for group in found["groups"].values()]
        assert ours == pytest.approx(values["value"])
    assert "By difficulty" in (tmp_path / "a" / "report.html").read_text()
    b = run(elicit, tmp_path / "b", *words, "--memory", "1", "--max-tokens", "8")
    assert a["sources"]["given"]["mean_depth"] == b["sources"]["given"]["mean_depth"]


@pytest.mark.slow
def test_the_same_model_twice_is_exactly_nothing(elicit, models, sums, tmp_path):
    same = ["--base", models / "base", "--post", models / "base", "--allow-identical"]
    told = run(elicit, tmp_path / "a", *same, "--problems", sums, "--traces", "given,own", *QUICK)
    assert told["sentence"].count("every difference is exactly 0") == 3
    for source in told["sources"].values():
        for name in ("depth_diff", "dtr_diff"):
            assert set(source[name].values()) == {0.0}


@pytest.mark.slow
@pytest.mark.parametrize(("lens", "kinds"), [("bias", ["bias"]), ("tuned", ["bias", "affine"])])
def test_a_lens_is_fitted_on_half_of_the_problems_and_the_others_are_read(
    elicit, pair, sums, tmp_path, lens, kinds
):
    text = ["--traces", "given,own", "--max-new-tokens", "12"]  # an affine map needs d_model tokens
    words = [*pair, "--problems", sums, *QUICK, *text, "--lens", lens, "--lens-steps", "3"]
    told = run(elicit, tmp_path / "a", *words)
    fit = TunedLensFit.load(tmp_path / "a" / "lens_post")
    source = told["sources"]["given"]
    assert source["n_problems"] == told["lens_fit"]["post"]["held_out_problems"] == 5
    assert list(fit.kind) == ["identity", *kinds] and fit.lens.model.endswith("post")
    assert told["lens_fit"]["post"][kinds[-1]]["value"] == fit.kl.value[-1].tolist()
    for name, said in told["lens"].items():
        assert fit.lens.variant in said and said.endswith(f"{name})")
    plain = run(elicit, tmp_path / "b", *pair, "--problems", sums, *QUICK)
    assert plain["lens_fit"] is None
    assert told["sources"]["given"]["profile"] != plain["sources"]["given"]["profile"]
    page = (tmp_path / "a" / "report.html").read_text()
    assert "The lenses" in page and "tuned lens; Belrose" in page


@pytest.mark.slow
def test_the_same_model_twice_gets_the_same_lens(elicit, models, sums, tmp_path):
    same = ["--base", models / "base", "--post", models / "base", "--allow-identical"]
    words = [*same, "--problems", sums, *QUICK, "--lens", "bias", "--lens-steps", "2"]
    told = run(elicit, tmp_path / "a", *words)
    assert set(told["sources"]["given"]["depth_diff"].values()) == {0.0}
    assert told["lens_fit"]["base"]["bias"] == told["lens_fit"]["post"]["bias"]


@pytest.mark.slow
def test_an_organism_brings_its_problems_and_both_kinds_of_text(elicit, tmp_path):
    told = run(elicit, tmp_path / "a", "--pair", "organism:rl", "--limit", "24", *QUICK)
    assert list(told["sources"]) == ["base", "given", "post"]
    assert told["sources"]["given"]["depth_diff"]["low"] > 0
    assert "layers later than base’s" in told["sentence"]
    assert any("24 of the pair’s own" in note for note in told["notes"])


# --- what is refused


@pytest.fixture
def refused(elicit, tmp_path, monkeypatch):
    """`refused([...options], "word", ...)`: no model is run, one error of these words is said."""
    no_models(monkeypatch)

    def check(words: list, *told: object, out: Path | None = None) -> None:
        done = elicit("revise", *words, "--out", out or tmp_path / "run")
        said = " ".join(done.err.split())
        assert (done.code, done.out) == (2 if " not given" in done.err else 1, ""), done.err
        assert done.err.startswith("error: ") and done.err.count("error:") == 1
        for word in told:
            assert str(word) in said, done.err
        assert out is not None or not (tmp_path / "run").exists()

    return check


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--traces", "mine"], ("traces", "'given'")),
        (["--convention", "papers"], ("convention", "papers", "maxzuo/deep-think-tokens")),
        (["--threshold", "1.5"], ("threshold is 1.5 bits", "[0, 1]")),
        (["--threshold", "0.8", "--unit", "nats"], ("threshold is 0.8 nats", "0.693")),
        (["--rho", "1.2"], ("rho is 1.2", "at most 1")),
        (["--rho", "0.2"], ("3 layers", "rho 0.2", "every token would be deep")),
        (["--templated"], ("templated", "plain text")),
        (["--temperature", "-1"], ("temperature", "-1")),
        (["--max-new-tokens", "0"], ("--max-new-tokens", "0")),
        (["--memory", "0"], ("memory", "0")),
        (["--limit", "1"], ("limit", "1")),
        (["--level", "1.5"], ("level", "1.5")),
        (["--lens-steps", "9"], ("--lens-steps is 9", "logit lens is not fitted")),
        (["--lens", "bias", "--norm", "none"], ("'bias'", "'none'", "normed once")),
        (["--lens", "bias", "--limit", "3"], ("3 problems", "half", "--lens logit")),
        (["--device", "abacus"], ("abacus", "cpu")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_makes_no_reading(refused, options, words, told):
    refused([*options, *words], *told)


def test_an_affine_lens_of_too_little_text(refused, pair, sums):
    words = [*pair, "--problems", sums, "--lens", "tuned"]
    refused(words, "18 tokens", "is 32", "--lens bias")


def test_models_that_do_not_go_together(refused, models, sums, tmp_path):
    same = ["--base", models / "base", "--post", models / "base"]
    refused([*same, "--problems", sums], "--allow-identical")
    checkpoints.write(tmp_path / "deep", n_layers=4)
    words = ["--base", models / "base", "--post", tmp_path / "deep"]
    refused([*words, "--problems", sums], "3 layers", "4")


def test_no_models_and_no_problems(refused, pair, sums):
    refused(["--problems", sums], "--base and --post are not given")
    refused(pair, "--problems is not given", "elicit revise --help")
    refused(["--pair", "organism:lr"], "'lr'", "elicit organisms")


@pytest.mark.parametrize(
    ("change", "words", "told"),
    [
        ({"trace": None}, ["--traces", "given"], ("9 of 9", "'sum-0-0'", "--traces own")),
        ({"trace": "one zebra"}, [], ("'sum-0-0'", "9 of 9", "tokenizer")),
        ({"prompt": "one zebra equals"}, ["--traces", "own"], ("does not know", "sum-0-0")),
        ({"trace": "one " * 400}, [], ("sum-0-0", "the models read")),
        ({"trace": 3}, [], ("line 1", "trace")),
    ],
)
def test_problems_that_cannot_be_read(refused, pair, tmp_path, change, words, told):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([{k: v for k, v in {**row, **change}.items() if v} for row in ROWS]))
    refused([*pair, "--problems", file, *words], *told)


def test_a_problems_file_that_is_missing_or_too_short(refused, pair, tmp_path):
    refused([*pair, "--problems", tmp_path / "nope.jsonl"], tmp_path / "nope.jsonl", "nope.jsonl")
    file = tmp_path / "p.jsonl"
    file.write_text(lines(ROWS[:1]))
    refused([*pair, "--problems", file], file, "1 problem", "interval")


def test_the_run_of_other_options_and_a_folder_of_other_things(refused, read, options, tmp_path):
    out, _ = read
    before = content(out)
    refused([*options, "--seed", "4"], out, "seed = 0", "seed = 4", "--fresh", out=out)
    assert content(out) == before
    there = tmp_path / "thesis"
    there.mkdir()
    (there / "chapter.tex").write_text("")
    refused(options, there, "'chapter.tex'", str(there), out=there)
