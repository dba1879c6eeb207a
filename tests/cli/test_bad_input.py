"""Everything a user can get wrong is one clear error before long work starts."""

import errno
import json
import os
import shutil

import pytest
import torch

from elicit.grafting import PartSweep
from tests import checkpoints
from tests.cli.conftest import QUICK_REPORT, lines


@pytest.fixture(autouse=True)
def no_sweep(monkeypatch):
    """Scoring a model is the long work: no bad input may come so far."""
    scored: list[object] = []
    monkeypatch.setattr(
        PartSweep, "evaluate", lambda self, model: scored.append(model) or torch.zeros(12)
    )
    monkeypatch.setattr(PartSweep, "sweep", lambda self, *_: scored.append(self))
    yield
    assert not scored, "a model was scored"


@pytest.fixture
def refused(elicit, tmp_path):
    """`refused([...options], "word", ...)`: it ends at once with one error of these words."""

    def check(
        options: list, *words: object, code: int = 1, command: str = "report", out: object = None
    ) -> str:
        before = sorted(tmp_path.rglob("*"))
        where = ["--out", out if out is not None else tmp_path / "run"]
        done = elicit(command, *options, *where)
        told = " ".join(done.err.split())
        assert done.code == code, done.err
        assert done.out == ""
        assert "Traceback" not in done.err
        ours = "╭" not in told
        for word in words:
            assert str(word) in (told if ours else told.replace(" │ │ ", " ")), done.err
        if ours:
            assert done.err.startswith("error: ") and done.err.count("error:") == 1, done.err
            assert told.endswith((".", "}")), f"no whole sentence: {told}"
        # A run that never began leaves nothing that a later one would stumble over.
        left = [
            path for path in tmp_path.rglob("*") if path not in before and path.name == "run.json"
        ]
        assert not left or out is not None
        return told

    return check


@pytest.fixture
def pair(models):
    return ["--base", models / "base", "--post", models / "post"]


@pytest.fixture
def some(tasks):
    """Tasks that nothing is wrong with."""
    return ["--problems", tasks / "problems.jsonl", "--facts", tasks / "facts.jsonl"]


def row(**changes) -> dict:
    return {"id": "1", "prompt": "one plus one equals", "answer": "two", **changes}


# --- task files


def test_a_missing_task_file(refused, pair, tmp_path):
    refused([*pair, "--problems", tmp_path / "nope.jsonl"], tmp_path / "nope.jsonl", "not a file")


def test_a_directory_in_place_of_a_task_file(refused, pair, tmp_path):
    refused([*pair, "--facts", tmp_path], tmp_path, "not a file")


def test_a_task_file_of_another_schema_names_the_keys_and_what_they_are_called_here(
    refused, pair, tmp_path
):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([{"id": "1", "question": "1+1", "answer": "2"}]))
    refused([*pair, "--problems", file], "line 1", "'question'", "Did you mean 'prompt'")


def test_every_line_that_is_no_json_is_named(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    good = json.dumps(row())
    file.write_text("\n".join([good, "{oops", good.replace('"1"', '"2"'), "[", "null", ""]))
    told = refused([*pair, "--facts", file], file, "3 of 5 lines", "line 2", "line 4", "line 5")
    assert "line 1" not in told and "line 3" not in told


def test_an_empty_task(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text("\n\n")
    refused([*pair, "--problems", file], file, "holds no problem")


def test_a_task_of_one_problem_has_no_interval(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([row()]))
    refused([*pair, "--problems", file], "1 problem", "interval")


def test_duplicate_ids(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([row(), row(id="2"), row()]))
    refused([*pair, "--problems", file], "line 3", "'1'", "line 1")


def test_an_answer_that_is_no_candidate(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([row(candidates=["three", "four"])]))
    refused([*pair, "--problems", file], "line 1", "'two'", "2 candidates")


def test_a_task_file_in_utf_16(refused, pair, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text(lines([row()]), encoding="utf-16")
    refused([*pair, "--problems", file], "UTF-16")


def test_a_problem_longer_than_the_model(refused, pair, tasks, tmp_path):
    file = tmp_path / "p.jsonl"
    long = {n: "one plus " * (70 if n == 2 else 3) + "one equals" for n in range(4)}
    file.write_text(
        lines([row(id=str(n), prompt=text, candidates=["one", "two"]) for n, text in long.items()])
    )
    refused([*pair, "--facts", tasks / "facts.jsonl", "--problems", file], "2: 143 tokens", "128")
    refused([*pair, "--facts", file], "'2'", "128")


def test_an_unknown_extractor(refused, pair, some):
    refused([*pair, *some, "--extractor", "last-word"], "'last-word'", "last-number", "marker:WORD")


# --- which models


def test_an_unknown_organism_and_close_names(refused, organisms):
    refused(["--pair", "organism:tiny-l2"], "'tiny-l2'", "tiny-l1")


def test_a_pair_that_is_no_organism(refused, models):
    refused(["--pair", models / "base"], models / "base", "organism:NAME", "base and post")


def test_no_models_at_all(refused, some):
    refused(some, "--base and --post are not given", "organism:", code=2)


def test_a_pair_and_a_base_at_once(refused, models, some, organisms):
    refused(
        ["--pair", "organism:tiny-l1", "--base", models / "base"],
        "organism:tiny-l1",
        "base or post is given too",
    )


def test_a_base_without_post(refused, models, some):
    refused(["--base", models / "base", *some], "--post is not given", code=2)


def test_two_models_without_any_task(refused, pair):
    refused(pair, "--problems and --facts are not given", code=2)


def test_a_model_that_is_not_there(refused, models, some, tmp_path):
    refused(
        ["--base", tmp_path / "gone", "--post", models / "post", *some],
        tmp_path / "gone",
        "no such directory",
    )


def test_a_directory_without_a_model(refused, models, some, tmp_path):
    refused(["--base", models / "base", "--post", tmp_path, *some], tmp_path, "config.json")


@pytest.fixture(scope="module")
def odd(tmp_path_factory, models):
    """Checkpoints that do not go with base, each written once."""
    root = tmp_path_factory.mktemp("odd")
    words = checkpoints.default_words()
    checkpoints.write(root / "words", words=[*words[1:], words[0]])
    checkpoints.write(root / "wide", d_model=48)
    checkpoints.write(root / "deep", n_layers=4)
    checkpoints.write(
        root / "nan", edit=lambda m: m.model.layers[2].mlp.up_proj.weight[0].fill_(float("nan"))
    )
    checkpoints.write_adapter(root / "adapter", root / "wide")
    checkpoints.write_adapter(root / "zero", models / "base", zero=True)
    shutil.copytree(models / "base", root / "code")
    config = json.loads((root / "code" / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"},
    }
    (root / "code" / "config.json").write_text(json.dumps(config))
    (root / "code" / "own.py").write_text("raise SystemExit('foreign code ran')\n")
    return root


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ("words", ("id", "token")),
        ("wide", ("32", "48")),
        ("deep", ("3 layers", "4")),
        ("nan", ("NaN", "up_proj")),
        ("adapter", ("adapter", "another width")),
        ("zero", ("changes no weight", "--allow-identical")),
        ("code", ("its own code", "--trust-remote-code")),
    ],
)
def test_a_post_that_does_not_go_with_the_base(refused, models, odd, some, post, words):
    refused(["--base", models / "base", "--post", odd / post, *some], *words)


def test_the_same_model_twice(refused, models, some):
    refused(
        ["--base", models / "base", "--post", models / "base", *some],
        "same weights",
        "--allow-identical",
    )


# --- options


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--limit", "-1", ("limit", "-1")),
        ("--limit", "0", ("limit", "0")),
        ("--level", "1.5", ("level", "1.5")),
        ("--level", "0", ("level", "0")),
        ("--n-resamples", "10", ("--n-resamples is 10",)),
        ("--controls", "-2", ("controls", "-2")),
        ("--max-new-tokens", "0", ("--max-new-tokens is 0",)),
        ("--max-tokens", "0", ("--max-tokens is 0",)),
        ("--margin", "-0.1", ("margin", "-0.1")),
        ("--margin", "nan", ("margin", "nan")),
        ("--dtype", "float31", ("float31", "float32")),
        ("--device", "abacus", ("abacus", "cpu")),
        ("--device", "cuda:77", ("cuda:77", "cpu")),
        ("--kinds", "layer,atn", ("atn", "attn")),
    ],
)
def test_a_value_out_of_range(refused, pair, some, option, value, words):
    refused([*pair, *some, option, value], *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit", "many"], ("--limit", "valid integer")),
        (["--lmit", "3"], ("--lmit", "--limit")),
        (["--vocab", "half"], ("half", "exact")),
        (["stray"], ("stray",)),
    ],
)
def test_a_wrong_word_on_the_command_line_is_wrong_usage(refused, pair, some, options, words):
    refused([*pair, *some, *options], *words, code=2)


def test_no_out(elicit, both):
    done = elicit("report", *both)
    assert done.code in (1, 2) and "out" in done.err and done.out == ""


# --- configuration files


def test_a_configuration_that_is_not_there(refused, tmp_path):
    refused(["--config", tmp_path / "run.yaml"], tmp_path / "run.yaml", "No such file")


def test_a_configuration_that_is_a_directory(refused, tmp_path):
    refused(["--config", tmp_path], tmp_path, "directory")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limit: [3\n", ("line 1",)),
        ("- limit\n- 3\n", ("list",)),
        ("just words\n", ("run.yaml",)),
        ("lmit: 3\n", ("lmit", "limit")),
        ("limit: many\n", ("limit", "many")),
        ("intervals: [1]\n", ("intervals",)),
        ("limit: !!python/object/apply:os.system ['true']\n", ("os.system", "line 1")),
        ("\x00\x01", ("#x0000",)),
    ],
)
def test_a_configuration_with_something_wrong_in_it(refused, both, tmp_path, text, words):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    refused([*both, "--config", file], file, *words)


# --- where results go


def test_a_file_in_place_of_the_folder(refused, both, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    refused(both, file, "is a file", out=file)
    refused(both, file, out=file / "below")


def test_a_folder_of_other_things(refused, both, tmp_path):
    there = tmp_path / "thesis"
    there.mkdir()
    (there / "chapter.tex").write_text("")
    refused(both, there, "'chapter.tex'", str(there), out=there)
    assert (there / "chapter.tex").exists()


def test_a_full_disk_is_noticed_before_anything_is_measured(refused, both, tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused(both, "disk is full", out=tmp_path / "run")


@pytest.mark.slow(checked=True)
def test_the_run_of_other_options(refused, reported, both):
    there, _ = reported
    before = (there / "summary.json").read_bytes()
    words = [*both, *QUICK_REPORT, "--seed", "4"]
    refused(words, there, "seed = 0", "seed = 4", "--fresh", out=there)
    refused(both, there, "report", "graft", command="graft", out=there)
    assert (there / "summary.json").read_bytes() == before


# --- graft


def test_an_unknown_part_and_close_names(refused, both):
    refused([*both, "--part", "L1.atn"], "'L1.atn'", "L1.attn", command="graft")
    refused([*both, "--parts", "L0,L0-L3"], "'L0-L3'", "3 layers", command="graft")


def test_no_such_direction(refused, both):
    refused([*both, "--direction", "sideways"], "sideways", "revert", command="graft", code=2)


# --- organisms


def test_an_export_overwrites_nothing(elicit, organisms, tmp_path):
    (tmp_path / "base").mkdir()
    done = elicit("organisms", "--export", "tiny-l1", tmp_path)
    assert (done.code, done.out) == (1, "") and "'base'" in done.err


def test_an_export_of_an_unknown_organism(elicit, organisms, tmp_path):
    done = elicit("organisms", "--export", "tiny-l7", tmp_path)
    assert (done.code, done.out) == (1, "") and "tiny-l1" in done.err


def test_a_study_whose_results_would_be_gone_at_once_is_refused(elicit, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("out: memory://gone\nruns: [{command: trace, pair: 'organism:rl'}]\n")
    for more in ((), ("--slurm", tmp_path / "job.sh")):
        done = elicit("sweep", study, *more)
        assert done.code == 1 and "in the memory of one process" in done.err
    assert not (tmp_path / "job.sh").exists()
