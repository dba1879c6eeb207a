"""The device `auto`: chosen once, named, and part of a run's identity."""

import pytest
import torch

from elicit.jobs import ReportSpec
from elicit.pair import resolve_device


@pytest.fixture
def gpu(monkeypatch):
    """A machine that says it has a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def mac(monkeypatch):
    """A machine that has MPS and no CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.delenv("TRANSFORMERLENS_ALLOW_MPS", raising=False)


def test_auto_takes_the_gpu(gpu):
    assert resolve_device("auto") == "cuda"


def test_mps_is_taken_only_where_it_is_allowed(mac, monkeypatch):
    assert resolve_device("auto") == "cpu"
    monkeypatch.setenv("TRANSFORMERLENS_ALLOW_MPS", "1")
    assert resolve_device("auto") == "mps"


@pytest.mark.parametrize("device", ["cpu", "cuda:1", "mps", torch.device("cpu")])
def test_a_named_device_stays(gpu, device):
    assert resolve_device(device) == device


def test_a_run_is_identified_by_the_device_that_auto_stands_for(tmp_path, monkeypatch):
    spec = ReportSpec.from_options({"pair": "organism:rl", "out": tmp_path})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = spec.arguments()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (on_cpu["device"], spec.arguments()["device"]) == ("cpu", "cuda")
    assert spec.device == "auto", "the file of options must choose anew on another machine"
