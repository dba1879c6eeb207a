"""The script that trains the organisms: every kind of job takes a few steps and leaves a model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_few_steps_of_every_job_train_what_they_should(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "train_organisms.py", "--smoke", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = {
        path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/metrics.json")
    }
    assert len(jobs) == 20
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
