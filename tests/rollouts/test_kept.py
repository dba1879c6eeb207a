"""Batches kept on disk: read back they are what was computed, and only by the same request."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from elicit.edits import Steer, edited
from elicit.features import add, clamp, from_sae_lens, rewrite
from elicit.rollouts import Generation, RolloutError, dose_rollouts
from elicit.runs import Execution, RunDirectory
from elicit.sites import resid_post
from tests.features.made import random_module
from tests.rollouts.made import DRAWN, GENERATED, PROMPT, VECTOR, same, sampled, task_of


def opened(path):
    return RunDirectory.open(path, kind="rollouts", arguments={}, identity={})


class Killed(Exception):
    pass


class Stop:
    """Progress that dies in the middle."""

    def __init__(self, after: int):
        self.left = after

    def start(self, total, what):
        pass

    def advance(self, n=1, what=None):
        self.left -= n
        if self.left < 0:
            raise Killed

    def stop(self):
        pass


def no_calls(monkeypatch, model):
    def refuse(*_args, **_options):
        raise AssertionError("the model was called")

    monkeypatch.setattr(model.original_model, "forward", refuse)


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in (folder / "cells").iterdir()}


def test_a_second_run_reads_all_and_calls_no_model(paired, tmp_path, monkeypatch):
    pair = paired("llama")
    with opened(tmp_path / "a") as run:
        first = sampled(pair, checkpoint=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (4, 0)
    no_calls(monkeypatch, pair.base)
    with opened(tmp_path / "a") as run:
        again = sampled(pair, checkpoint=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (0, 4)
    assert same(first, again)
    first.save(tmp_path / "x")
    again.save(tmp_path / "y")
    for name in ("values.safetensors", "result.json"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


@contextmanager
def steered(model):
    """Two blocks of edits, one in the other."""
    with edited(model, [PROMPT]), edited(model, [GENERATED]):
        yield


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes_also_under_edits(paired, tmp_path, monkeypatch):
    pair = paired("llama")
    with steered(pair.base), opened(tmp_path / "a") as run:
        straight = sampled(pair, checkpoint=run, batch_size=4)
    with pytest.raises(Killed), steered(pair.base), opened(tmp_path / "b") as run:
        sampled(pair, checkpoint=run, batch_size=4, progress=Stop(after=8))
    with steered(pair.base), opened(tmp_path / "b") as run:
        resumed = sampled(pair, checkpoint=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (1, 3)
    assert same(straight, resumed)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    # All is read back, so no edit is made in this process; the blocks must not complain.
    no_calls(monkeypatch, pair.base)
    with steered(pair.base), opened(tmp_path / "b") as run:
        assert same(sampled(pair, checkpoint=run, batch_size=4), straight)


def test_another_model_edit_seed_or_length_is_another_cell(paired, tmp_path):
    pair = paired("llama")
    other = replace(pair, base=pair.post)
    with opened(tmp_path / "a") as run:
        found = [
            sampled(pair, checkpoint=run),
            sampled(other, checkpoint=run),
            sampled(pair, checkpoint=run, seed=1),
        ]
        found.append(sampled(pair, checkpoint=run, max_new_tokens=19))
        for vector in (VECTOR, -VECTOR):
            with edited(pair.base, [Steer(resid_post(1), vector)]):
                found.append(sampled(pair, checkpoint=run))
        assert (run.n_computed, run.n_read) == (6, 0)
    assert len({one.text for one in found}) == 6


def test_batches_under_features_are_told_apart_by_sae_feature_and_value(paired, tmp_path):
    pair = paired("llama")
    saes = [
        from_sae_lens(random_module("jumprelu", d_in=32, d_sae=64, seed=seed), name="random")
        for seed in (0, 1)
    ]
    edits = [
        clamp(saes[0], 3, 5.0),
        clamp(saes[0], 3, 6.0),
        clamp(saes[0], 4, 5.0),
        clamp(saes[1], 3, 5.0),
        add(saes[0], 3, 5.0),
    ]
    for computed in (5, 0):
        with opened(tmp_path / "a") as run:
            for edit in edits:
                with edited(pair.base, [edit]):
                    sampled(pair, task_of(2), n_samples=1, max_new_tokens=3, checkpoint=run)
            assert (run.n_computed, run.n_read) == (computed, 5 - computed)
    with opened(tmp_path / "b") as run, edited(pair.base, [rewrite(saes[0], torch.relu)]):
        with pytest.raises(RolloutError, match="digest"):
            sampled(pair, task_of(2), n_samples=1, max_new_tokens=3, checkpoint=run)
        # Without cells nothing has to be told apart.
        sampled(pair, task_of(2), n_samples=1, max_new_tokens=3)


def test_a_dose_curve_is_read_back_whole(paired, tmp_path, monkeypatch):
    pair = paired("llama")

    def dosed(run, vector=VECTOR):
        return dose_rollouts(
            pair.side("base"),
            task_of(2),
            lambda s: [Steer(resid_post(1), vector, scale=s)],
            strengths=[0.0, 1.0],
            generation=Generation(**DRAWN, max_new_tokens=6, batch_size=3),
            execution=Execution(checkpoint=run),
        )

    with opened(tmp_path / "a") as run:
        first = dosed(run)
        other = dosed(run, -VECTOR)
        assert (run.n_computed, run.n_read) == (4, 0)
    assert not same(first, other)
    no_calls(monkeypatch, pair.base)
    with opened(tmp_path / "a") as run:
        assert same(dosed(run), first)
