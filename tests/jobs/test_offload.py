"""Weights that stay in host memory change no number of a command."""

import json

import pytest

from elicit.jobs import COMMANDS

CHEAP = {
    "patch": {"limit": 6, "positions": [-2], "factorial": False},
    # Its SAE is no good after eight steps, and a named feature is tested all the same.
    "features": {
        "limit": 16,
        "steps": 8,
        "d_sae": 64,
        "top": 1,
        "features": [3],
        "traces": ["task"],
        "allow_unfaithful": True,
        "max_fvu": 9.0,
        "least_recovered": 0.01,
        "n_positions": 2,
        "n_samples": 1,
        "window": 2,
        "max_new_tokens": 24,
        "n_resamples": 100,
    },
}


@pytest.mark.slow(checked=True)
@pytest.mark.filterwarnings("ignore::elicit.patching.MissingControlWarning")
@pytest.mark.usefixtures("loads_once")
@pytest.mark.parametrize("name", CHEAP)
def test_a_command_finds_the_same_with_weights_in_host_memory(name, tmp_path, monkeypatch):
    # What is compared are the numbers.
    monkeypatch.setattr("elicit.jobs._page.render", lambda *_, **__: "")
    entry, found = COMMANDS[name], []
    asked = {"pair": "organism:rl", **CHEAP[name]}
    for offload in (False, True):
        out = tmp_path / str(offload)
        entry.run(entry.spec.from_options(asked, {"offload": offload, "out": out}))
        # An SAE of the run is named by its folder.
        summary = json.loads((out / "summary.json").read_text().replace(str(out), "OUT"))
        # What to ask next is asked of a pair that is placed alike.
        asks = summary.pop("next")
        assert asks is None or ("--offload" in asks) == offload
        found.append(summary)
    assert found[0] == found[1]
    assert name != "features" or found[0]["candidates"]
