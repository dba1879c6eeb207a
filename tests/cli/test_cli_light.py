"""Starting costs next to nothing: modules are counted, because seconds depend on the machine."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch", "transformers", "transformer_lens", "sae_lens", "peft", "pandas", "pyarrow", "plotly",
    "scipy", "numpy", "jaxtyping", "jinja2",
}  # fmt: skip

SLOW = pytest.mark.slow(checked=True)
HELPS = [
    ["--help"],
    ["report", "--help"],
    pytest.param(["graft", "--help"], marks=SLOW),
    ["revise", "--help"],
    pytest.param(["features", "--help"], marks=SLOW),
    pytest.param(["trace", "--help"], marks=SLOW),
    pytest.param(["organisms", "--help"], marks=SLOW),
    pytest.param(["plan", "--help"], marks=SLOW),
    ["--version"],
]


def imported(code: str) -> tuple[set[str], str]:
    """Modules of a fresh process after some code, and what it printed."""
    code = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    out, _, modules = done.stdout.rstrip("\n").rpartition("\n")
    return set(json.loads(modules)), out


def test_importing_the_package_imports_next_to_nothing():
    modules, _ = imported("import elicit")
    bare, _ = imported("")
    assert not HEAVY & modules
    assert len(modules - bare) < 40, sorted(modules - bare)


@pytest.mark.parametrize("words", HELPS, ids=lambda words: " ".join(words))
def test_help_and_version_import_no_heavy_library(words):
    modules, out = imported(
        f"from elicit.cli import main\ntry: main({words})\n"
        "except SystemExit as left: assert left.code == 0, left.code"
    )
    assert not HEAVY & modules, HEAVY & modules
    assert len(modules) < 550, len(modules)
    assert out.strip()


def test_listing_organisms_loads_no_model_library():
    modules, _ = imported(
        "from elicit.cli import main\ntry: main(['organisms', '--json'])\nexcept SystemExit: pass"
    )
    assert not HEAVY & modules, HEAVY & modules


def test_the_help_names_every_command_and_two_examples():
    _, out = imported("from elicit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    for words in (
        "report ",
        "graft ",
        "organisms ",
        "--version",
        "elicit report --pair",
        "elicit report --base",
    ):
        assert words in out


@pytest.mark.slow
def test_the_module_runs_like_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "elicit", "report"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "--out" in done.stderr
    assert (
        done.stdout == "" and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    )
