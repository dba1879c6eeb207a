"""A grid says the same on disk, as a table and as JSON, and knows its own peaks."""

import json
from dataclasses import replace

import pytest

from elicit.patching._json import to_json
from elicit.patching.errors import PatchError
from elicit.patching.grid import PatchGrid
from elicit.results import Provenance, load_result
from elicit.sites import resid_pre, z
from tests.patching.made import grid, noise, sweep


@pytest.fixture(scope="module")
def made() -> PatchGrid:
    """Two metrics, two widths, streams and heads; the second position rises at layer 1."""
    effects = 0.1 * noise(2, 2, 7, 2, 12)
    effects[:, :, 2:3, 1] += 2.0
    effects[:, :, 5, 0] += 1.0
    effects[:, 1] *= 2
    sites = [*map(resid_pre, range(3)), z(0, 0), z(0, 1), z(1, 0), z(1, 1)]
    values = sweep(effects, sites, pos=("0 Q", "1 <script>"))
    values = replace(values, noise=values.host[:, None, None] + 0.1 * noise(2, 7, 2, 12, seed=4))
    return grid(values, provenance=Provenance(seed=0, arguments={"sites": ["resid_pre"]}))


def test_a_saved_grid_is_read_back_with_every_value(made, tmp_path):
    read = load_result(made.save(tmp_path / "grid"))
    assert isinstance(read, PatchGrid)
    assert read.summary() == made.summary()
    assert read.provenance == made.provenance
    assert told(read.peaks()) == told(made.peaks())
    again = made.save(tmp_path / "again")
    for file in (tmp_path / "grid").iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def told(peaks):
    return {kind: peak.to_json() for kind, peak in peaks.items()}


def test_every_field_says_what_it_is(made):
    described = made.describe()
    assert all(described.get(name) for name in vars(made))


def test_the_table_has_a_row_for_every_cell(made):
    frame = made.to_frame()
    assert len(frame) == made.effect.value.numel() == 2 * 2 * 7 * 2
    row = frame[
        (frame.width == 2)
        & (frame.metric == "log_prob")
        & (frame.site == "z.0.1")
        & (frame.pos == "0 Q")
    ]
    assert row.effect.item() == made.effect.value[1, 1, 4, 0].item()
    assert (row["layer"].item(), row["head"].item()) == (0, 1)
    assert row["gap"].item() == made.gap.value[1].item()


def test_the_summary_is_json_with_axes_values_and_peaks(made):
    summary = json.loads(json.dumps(made.summary(), allow_nan=False))
    assert summary["peak_layer"] == made.peak_layer == 1
    axes = summary["axes"]
    assert axes["site"] == list(made.site)
    assert axes["pos"] == ["0 Q", "1 <script>"]
    assert axes["layer"] == [0, 1, 2, 0, 0, 1, 1]
    assert axes["head"] == [-1, -1, -1, 0, 1, 0, 1]
    for name, value in summary["values"].items():
        assert value == to_json(getattr(made, name))
        axes = made.axes()
        assert tuple(summary["value_axes"][name]) == axes.get(f"{name}.value", axes.get(name))
    assert summary["values"]["other_prompt"]["value"][0][0] == [None, None]
    peak = summary["peaks"]["log_prob"]["resid_pre"]
    assert (peak["layer"], peak["site"], peak["clear"]) == (1, "resid_pre.2", True)
    assert summary["peaks"]["log_prob"]["z"]["head"] == 0


def test_peaks_are_told_by_metric_and_kind(made):
    peaks = made.peaks("log_prob")
    assert peaks["resid_pre"].step.value.item() == pytest.approx(4.0, abs=0.3)
    assert (peaks["z"].site, peaks["z"].pos) == ("z.1.0", "0 Q")
    assert made.peak("log_prob").to_json() == peaks["resid_pre"].to_json()
    assert made.peaks()["resid_pre"].metric == "logit_diff"
    with pytest.raises(PatchError, match="'kl' was not measured"):
        made.peak("kl")
