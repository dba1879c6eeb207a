"""`elicit trace` on models and files of any make: open answers, thoughts that state none."""

import json

import pytest
import torch

from elicit import organisms
from elicit.jobs._trace.run import _solved
from elicit.rollouts import Generation, rollouts
from elicit.tasks import load_task
from tests import checkpoints
from tests.cli.conftest import called, lines

WORDS = [*"0123456789", "makes", "so", "The", "answer", "is", ".", "-", ";"]
ANSWERS = ("24", "2410", "77", "123")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two random models whose tokenizer reads numbers digit by digit."""
    from tokenizers import pre_tokenizers

    folder = tmp_path_factory.mktemp("digits")
    for seed, name in enumerate(("base", "post")):
        checkpoints.write(folder / name, "llama", seed=seed, words=WORDS)
        tokenizer = checkpoints.tokenizer(words=WORDS)
        parts = [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def problems(models):
    rows = [
        {"id": f"p{i}", "prompt": f"is {i}", "answer": a, "trace": f"so {a} . so makes {a}"}
        for i, a in enumerate(ANSWERS)
    ]
    path = models / "problems.jsonl"
    path.write_text(lines(rows))
    return path


def run(models, problems, out, *more):
    pair = ["--base", models / "base", "--post", models / "post", "--problems", problems]
    return called("trace", *pair, *more, "--out", out, "--n-resamples", "100")


@pytest.mark.parametrize("traces", ["given", "own"])
def test_answers_of_which_one_begins_another_are_refused_before_anything_is_written(
    models, problems, tmp_path, traces
):
    done = run(models, problems, tmp_path / "run", "--traces", traces, "--max-new-tokens", "4")
    assert done.code == 1 and "begin those of" in done.err and "Pass an end" in done.err
    assert not list((tmp_path / "run").glob("cells/*"))


@pytest.mark.slow(checked=True)
def test_own_thoughts_that_never_state_an_answer_leave_follows_open(models, problems, tmp_path):
    out = tmp_path / "run"
    end = ["--end", " ;", "--max-new-tokens", "4", "--extractor", "marker:zero", "--opener", "so"]
    done = run(models, problems, out, "--traces", "own", *end)
    assert done.code == 0, done.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "not told" and "could be changed" in summary["reason"]
    assert summary["primaries"]["follows"]["diff"]["value"] is None
    assert summary["primaries"]["CIR"]["base"]["value"] is not None
    assert (out / "report.html").stat().st_size > 10_000


def test_an_opener_beside_given_thoughts_is_refused_because_nothing_would_begin_with_it(
    models, problems, tmp_path
):
    done = run(models, problems, tmp_path / "run", "--opener", "so", "--end", " ;")
    assert done.code == 1 and "opener" in done.err and "--traces own" in done.err


def test_a_problem_answered_without_a_thought_counts_in_pass_at_1(organism):
    """Without an opener the base answers at once: it has no thought to read, and is graded."""
    task = load_task(organisms.resolve("organism:rl").problems).subset(6, 0)
    sides = {name: organism("rl").side(name) for name in ("base", "post")}
    how = Generation(max_new_tokens=64)
    written = {name: rollouts(side, task, generation=how) for name, side in sides.items()}
    ids = [problem.id for problem in task]
    found = _solved((ids[3], ids[0]), task, written)
    for row, texts in zip(found, written.values(), strict=True):
        right = texts.correct.double()
        assert torch.equal(row, right[[3, 0, 1, 2, 4, 5]])
    assert 0 < float(found[0].mean()) < float(found[1].mean())
