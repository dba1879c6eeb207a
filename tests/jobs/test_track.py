"""A tracker gets every number of a finished run, and is told of what failed."""

import sys
from types import SimpleNamespace

import pytest

from elicit import jobs
from elicit.cli import main
from elicit.jobs import PairSpec, SpecError, end_tracker, send_summary, tracker_of

SUMMARY = {"level": 0.95, "gaps": {"facts": {"value": 0.5, "clear": True, "why": "x"}},
           "n": [1, 2], "lost": float("nan"), "nothing": None}  # fmt: skip
NUMBERS = {"gaps/facts/clear": 1.0, "gaps/facts/value": 0.5, "level": 0.95, "n/0": 1.0, "n/1": 2.0}


class Kept:
    """A tracker that keeps what it is sent."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken, self.got, self.ended = broken, {}, 0

    def log(self, data):
        if self.broken:
            raise OSError("no network\nmore")
        self.got |= data

    def finish(self):
        self.ended += 1


def spec(tmp_path):
    return PairSpec(pair="organism:rl", out=tmp_path / "run", seed=3)


def test_every_number_is_sent_by_its_place_and_the_run_ended():
    kept = Kept()
    send_summary(SUMMARY, kept)
    assert kept.got == NUMBERS and kept.ended == 1


def test_a_tracker_that_refuses_is_said_with_what_is_safe():
    kept = Kept(broken=True)
    with pytest.raises(SpecError, match=r"OSError: no network\)\. The run is finished"):
        send_summary(SUMMARY, kept)
    assert kept.ended == 1
    end_tracker(None)


def test_wandb_and_mlflow_are_begun_with_name_and_options(tmp_path, monkeypatch):
    calls = []

    def begun(**given):
        calls.append(given)
        return Kept()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=begun))
    assert isinstance(tracker_of("wandb", spec(tmp_path)), Kept)
    assert calls[0]["project"] == "elicit" and calls[0]["name"] == "run"
    assert calls[0]["config"] == {"pair": "organism:rl", "seed": 3, "command": "report"}
    names = ("set_experiment", "start_run", "log_params", "log_metrics", "end_run")
    told = []
    fake = SimpleNamespace(**{n: lambda *a, _n=n, **k: told.append((_n, a, k)) for n in names})
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    send_summary(SUMMARY, tracker_of("mlflow", spec(tmp_path)))
    assert [name for name, *_ in told] == list(names)
    assert told[3][1] == (NUMBERS,)


def test_what_cannot_track_is_refused_before_any_work(tmp_path, monkeypatch, capfd):
    with pytest.raises(SpecError, match="Choose one of wandb, trackio, mlflow"):
        tracker_of("tensorboard", spec(tmp_path))
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(SpecError, match="package trackio is not installed"):
        tracker_of("trackio", spec(tmp_path))
    with pytest.raises(SystemExit) as left:
        main(["report", "--pair", "organism:rl", "--out", str(tmp_path / "no"), "--track", "x"])
    assert left.value.code == 1 and "no tracker that is known" in capfd.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_failed_run_ends_its_tracker_and_sends_nothing(tmp_path, monkeypatch, capfd):
    kept = Kept()
    monkeypatch.setitem(jobs.TRACKERS, "kept", lambda name, config: kept)
    words = ["report", "--pair", "organism:rl", "--problems", str(tmp_path / "nope.jsonl")]
    with pytest.raises(SystemExit) as left:
        main([*words, "--out", str(tmp_path / "no"), "--track", "kept"])
    assert left.value.code == 1 and kept.ended == 1 and not kept.got
