"""Weights that stay in host memory change no number of a command."""

import json

import pytest

from elicit.jobs import COMMANDS


@pytest.mark.slow(checked=True)
@pytest.mark.filterwarnings("ignore::elicit.patching.MissingControlWarning")
def test_a_command_finds_the_same_with_weights_in_host_memory(tmp_path):
    entry, found = COMMANDS["patch"], []
    asked = {"pair": "organism:rl", "limit": 6, "positions": [-2], "factorial": False}
    for offload in (False, True):
        out = tmp_path / str(offload)
        entry.run(entry.spec.from_options(asked, {"offload": offload, "out": out}))
        summary = json.loads((out / "summary.json").read_text())
        # What to ask next is asked of a pair that is placed alike.
        asks = summary.pop("next")
        assert asks is None or ("--offload" in asks) == offload
        found.append(summary)
    assert found[0] == found[1]
