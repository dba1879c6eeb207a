"""What a user sees after `import elicit`, in a fresh process, in an editor and in the wheel."""

import ast
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import elicit
from elicit import load_result
from elicit.results import ResultError
from elicit.results.base import _registry

ROOT = Path(elicit.__file__).parent


def fresh(code: str) -> str:
    """What some code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow(checked=True)
def test_every_room_is_reachable_after_importing_the_package_alone():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"cli"}
    rooms |= {path.stem for path in ROOT.glob("*.py") if not path.stem.startswith("_")}
    assert rooms < set(elicit.__all__)
    code = "import elicit\nfor name in elicit.__all__: getattr(elicit, name)\nprint('all')"
    assert fresh(code) == "all"
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = elicit.nothing_such


def test_the_stub_names_what_the_package_has():
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    named = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    homes = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert named == set(elicit.__all__) and homes == elicit._HOMES
    assert (ROOT / "py.typed").is_file()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A result of a class that importing the package does not import."""
    from elicit.sites import Site
    from tests.patching import made

    sites = [Site("resid_post", 0), Site("resid_post", 1)]
    values = made.sweep(made.noise(2, 3, 8), sites)
    return made.grid(values).save(tmp_path_factory.mktemp("result") / "grid")


@pytest.mark.slow(checked=True)
def test_a_result_of_the_package_opens_in_a_fresh_process(saved):
    code = f"import elicit\nprint(type(elicit.load_result({str(saved)!r})).__name__)"
    assert fresh(code) == "PatchGrid"


@pytest.mark.slow(checked=True)
def test_every_result_class_of_the_package_is_found_by_its_name():
    code = (
        "import sys, json\nfrom elicit.results.base import _is_own\n"
        "names = json.loads(sys.stdin.read())\nassert all(map(_is_own, names)), names\n"
        "for name in ('elicit', 'elicit.nothing', 'os', 'elicit..os', 'elicit.results.base.x',"
        " 'elicit_evil.base', 'elicit.../x'):\n    assert not _is_own(name), name"
    )
    for module in pkgutil.walk_packages(elicit.__path__, "elicit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    names = sorted({name.rpartition(".")[0] for name in _registry if name.startswith("elicit.")})
    assert len(names) > 20
    subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(names), text=True, check=True, timeout=120
    )


def forged(folder: Path, name: str) -> Path:
    """A result whose manifest names another class."""
    from elicit.results.folder import MANIFEST
    from elicit.results.store import canonical_json, digest_json

    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["class"] = name
    manifest.pop("digest")
    manifest["digest"] = digest_json(manifest)
    (folder / MANIFEST).write_bytes(canonical_json(manifest))
    return folder


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("elicit.patching.grid.OldGrid", "version"),
        ("elicit.gone.OldGrid", "version"),
        ("antigravity.Result", "Import antigravity"),
    ],
)
def test_a_class_that_is_not_there_or_not_ours_is_refused(saved, tmp_path, name, told):
    folder = forged(Path(shutil.copytree(saved, tmp_path / "copy")), name)
    with pytest.raises(ResultError) as refused:
        load_result(folder)
    assert name in str(refused.value) and told in str(refused.value)
    assert "antigravity" not in sys.modules
