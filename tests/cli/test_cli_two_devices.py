"""A command with base and post on two devices leaves the numbers and texts of one device."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from elicit.results import load_result
from tests.cli.conftest import NUMBERS, called, lines
from tests.pair.test_two_devices import same
from tests.pretended import identity_kept, pretend

WORDS = [
    *("--arms", "dial", "--controls", "", "--samples", "0", "--n-resamples", "100"),
    *("--reasoning-cue", "the ", "--direct-cue", "a ", "--max-new-tokens", "2"),
]
ROUNDING = 1e-4
"""Models of one device are read in larger blocks, and float32 rounds otherwise there."""


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Path:
    """As many problems as `mechanisms` divides into three parts."""
    rows = [
        {
            "prompt": f"question : {NUMBERS[a]} plus {NUMBERS[b]} {word} equals",
            "answer": NUMBERS[a + b],
            "candidates": NUMBERS,
        }
        for a in range(3)
        for b in range(4)
        for word in ("dog", "cat", "bird")
    ]
    path = tmp_path_factory.mktemp("sums") / "problems.jsonl"
    path.write_text(lines(rows))
    return path


def values(found: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every number and text of a summary, by its place."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from values(value, f"{name}.{key}")
    elif isinstance(found, list):
        for place, value in enumerate(found):
            yield from values(value, f"{name}.{place}")
    else:
        yield name, found


@pytest.mark.slow
def test_a_command_finds_on_two_devices_what_it_finds_on_one(models, sums, tmp_path):
    pair = ["--base", models / "base", "--post", models / "post", "--problems", sums]
    here, there = pretend()
    placed = {"one": ["cpu"], "two": [here, "--post-device", there]}
    for name, where in placed.items():
        with identity_kept():
            done = called("mechanisms", *pair, *WORDS, "--device", *where, "--out", tmp_path / name)
        assert done.code == 0, done.err
    one, two = (
        dict(values(json.loads((tmp_path / name / "summary.json").read_text()))) for name in placed
    )
    assert one.keys() == two.keys()
    assert {".arms.dial.share.value", ".gap.value"} <= one.keys()
    for key, value in one.items():
        if isinstance(value, float):
            assert two[key] == pytest.approx(value, abs=ROUNDING), key
        elif key not in (".next", ".provenance.device"):
            assert two[key] == value, key
    results = {path.parent.name for path in (tmp_path / "one").glob("*/result.json")}
    assert {"dial_dial", "mechanism_dial"} <= results
    for result in results:
        ours, theirs = (load_result(tmp_path / name / result) for name in placed)
        same(ours, theirs, tolerance=ROUNDING)
        assert getattr(ours, "text", None) == getattr(theirs, "text", None)
