"""The device `auto`: chosen once, named, and part of a run's identity."""

import pytest
import torch

from elicit.jobs import ReportSpec, SteerSpec
from elicit.jobs._steer.source import load_source
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


@pytest.mark.parametrize(("on", "device"), [("base", "cuda:0"), ("post", "cuda:1")])
def test_an_sae_is_where_the_model_is_that_it_steers(tmp_path, monkeypatch, on, device):
    def asked(source, *, device):
        raise RuntimeError(device)

    monkeypatch.setattr("elicit.jobs._steer.source.load_sae", asked)
    options = {"pair": "organism:rl", "out": tmp_path, "sae": "some", "feature": 1, "on": on}
    placed = {"device": "cuda:0", "post_device": "cuda:1"}
    with pytest.raises(RuntimeError, match=device):
        load_source(SteerSpec.from_options(options | placed))
    with pytest.raises(RuntimeError, match="cuda:0"):
        load_source(SteerSpec.from_options(options | {"device": "cuda:0"}))
