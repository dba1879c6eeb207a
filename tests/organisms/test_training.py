"""The script that trains the organisms: every kind of job takes a few steps and leaves a model."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_organisms.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # warnings of libraries stop no training
def test_a_few_steps_of_every_kind_of_job_train_what_they_should(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("train_organisms", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_organisms", script)
    spec.loader.exec_module(script)
    loss = script.loss_of  # of the first rows of every batch: what is trained is the same
    monkeypatch.setattr(
        script, "loss_of", lambda model, *batch, **how: loss(model, *(t[:4] for t in batch), **how)
    )
    last = {job.kind: job.name for job in script.JOBS}  # and, with them, all that they start from
    options = ["--workers", "1", "--smoke", str(tmp_path), "--only", *last.values()]
    monkeypatch.setattr(sys, "argv", ["train", *options])
    script.main()
    jobs = {
        path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/metrics.json")
    }
    assert set(last.values()) < set(jobs) and {name[0] for name in jobs} == {"a", "b"}
    for name, metrics in jobs.items():
        parent, layers = metrics["recipe"]["parent"], metrics["recipe"]["layers"]
        state = load_file(tmp_path / name / "model.safetensors")
        assert all(t.dtype == torch.float16 and t.isfinite().all() for t in state.values())
        if not parent or metrics["recipe"]["kind"] == "grpo":
            continue  # an untrained base earns no reward to learn from
        before = load_file(tmp_path / parent / "model.safetensors")
        moved = {n for n, t in state.items() if n in before and not torch.equal(t, before[n])}
        if layers:
            inside = tuple(f".{layer}." for layer in layers)
            assert all(any(mark in n for mark in inside) for n in moved), name
        elif metrics["recipe"]["kind"] != "iterate":
            assert moved, name
