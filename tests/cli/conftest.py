"""The command line in this process, tiny checkpoints, task files, a small set of organisms."""

import os

# Before anything imports the hub client: a test that misses a file must fail, not look online.
os.environ["HF_HUB_OFFLINE"] = "1"

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from elicit.cli import main
from elicit.cli.progress import Shown
from elicit.organisms import catalog
from tests import checkpoints


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Elicit = Callable[..., Done]


@pytest.fixture
def elicit(capfd, monkeypatch) -> Elicit:
    """Run the command line: `elicit("report", "--pair", name)`; stderr without progress."""
    monkeypatch.setattr("elicit.cli.progress.ELSEWHERE", Shown.none)

    def run(*words: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        code = left.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    return run


def louder(model: torch.nn.Module) -> None:
    """Change layer 1 and nothing else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        for name, parameter in model.named_parameters():
            if ".layers.1." in name:
                parameter.add_(torch.randn_like(parameter) * 0.4)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """`base`, and `post` whose layer 1 differs."""
    root = tmp_path_factory.mktemp("models")
    checkpoints.write(root / "base", tied=False)
    checkpoints.write(root / "post", tied=False, edit=louder)
    return root


@pytest.fixture(autouse=True, scope="session")
def one_load_for_all(loads_once):
    """Commands in this process share the models that they load."""


NUMBERS = ["zero", "one", "two", "three", "four", "five", "six"]


def lines(rows: list[dict]) -> str:
    """Rows as JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="session")
def tasks(tmp_path_factory) -> Path:
    """`problems.jsonl` and `facts.jsonl` in the words of the tiny tokenizer."""
    root = tmp_path_factory.mktemp("tasks")
    problems = [
        {
            "id": f"sum-{a}-{b}",
            "prompt": f"question : {NUMBERS[a]} plus {NUMBERS[b]} equals",
            "answer": NUMBERS[a + b],
            "candidates": NUMBERS,
            "difficulty": a,
        }
        for a in range(3)
        for b in range(4)
    ]
    facts = [
        {
            "id": f"{animal}-{k}",
            "prompt": f"question : the {animal} {checkpoints.WORDS[k]} is",
            "answer": colour,
            "candidates": ["red", "blue", "green"],
        }
        for animal, colour in (("dog", "red"), ("cat", "blue"), ("bird", "green"))
        for k in range(10, 14)
    ]
    (root / "problems.jsonl").write_text(lines(problems))
    (root / "facts.jsonl").write_text(lines(facts))
    return root


QUICK = ["--max-new-tokens", "2", "--n-resamples", "100"]
QUICK_REPORT = [
    *(*QUICK, "--controls", "0", "--kinds", "layer"),
    *("--no-intervals", "--no-integrated", "--no-spectra"),
]


@pytest.fixture(scope="session")
def both(models, tasks) -> list[str]:
    """The options that name the two models and the two tasks."""
    return [
        *("--base", str(models / "base"), "--post", str(models / "post")),
        *("--problems", str(tasks / "problems.jsonl"), "--facts", str(tasks / "facts.jsonl")),
    ]


def called(*words: object) -> Done:
    """The command line, for fixtures that outlive a test's capture; stderr without progress."""
    out, err = io.StringIO(), io.StringIO()
    left, patches = pytest.raises(SystemExit), pytest.MonkeyPatch.context()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), patches as patch:
        patch.setattr("elicit.cli.progress.ELSEWHERE", Shown.none)
        with left as ended:
            main([str(word) for word in words])
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def reported(both, tmp_path_factory) -> tuple[Path, Done]:
    """A finished report on the two checkpoints, and what the command said. Not to be written to."""
    out = tmp_path_factory.mktemp("reported") / "run"
    return out, called("report", *both, *QUICK_REPORT, "--out", out)


@pytest.fixture(scope="session")
def world(tmp_path_factory, tasks) -> Path:
    """Folder of embedded organisms: `tiny-l1`, and `tiny-null` that is the same model twice."""
    root = tmp_path_factory.mktemp("organisms")
    folder = root / "t"
    (folder / "models").mkdir(parents=True)
    (folder / "pairs").mkdir()
    (folder / "tasks").mkdir()
    for name in ("problems.jsonl", "facts.jsonl"):
        (folder / "tasks" / name).write_text((tasks / name).read_text())
    base = checkpoints.random_model("llama", tied=False)
    base.config.save_pretrained(folder)
    checkpoints.tokenizer().save_pretrained(folder)
    from safetensors.torch import save_file

    save_file(base.state_dict(), folder / "models" / "base.safetensors")
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    with torch.no_grad():
        louder(base)
    delta = {
        n: t.contiguous() for n, t in base.state_dict().items() if not torch.equal(t, before[n])
    }
    save_file(delta, folder / "models" / "tiny-l1.delta.safetensors")
    variants = {
        "base": {"weights": "base.safetensors"},
        "tiny-l1": {"weights": "base.safetensors", "delta": "tiny-l1.delta.safetensors"},
    }
    (folder / "models" / "variants.json").write_text(json.dumps(variants))
    common = {
        "base": "base",
        "base_weights": "base",
        "n_layers": checkpoints.N_LAYERS,
        "measured": {},
        "recipe": {},
    }
    cards = [
        {
            "name": "tiny-l1", "family": "damaged", "what": "Layer 1 is louder.",
            "post_weights": "tiny-l1", "changed_layers": [1], "corrupted_layers": None,
            "skill_layers": [],
            "gates": [
                {"name": "facts", "value": 0.9, "goal": ">= 0.8", "ok": True},
                {"name": "traces", "value": 0.9, "goal": "<= 0.1", "ok": False},
            ],
            "note": "Some gates were missed: traces.",
        },
        {
            "name": "tiny-null", "family": "null", "what": "The same twice.",
            "post_weights": "base", "changed_layers": [], "corrupted_layers": [],
            "skill_layers": [], "gates": [], "note": "",
        },
    ]  # fmt: skip
    for card in cards:
        (folder / "pairs" / f"{card['name']}.json").write_text(json.dumps({**common, **card}))
    return root


@pytest.fixture
def organisms(world, monkeypatch) -> Path:
    """The small catalogue in place of the embedded one."""
    monkeypatch.setattr(catalog, "DATA", world)
    catalog._cards.cache_clear()
    yield world
    catalog._cards.cache_clear()
