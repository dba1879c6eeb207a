"""Every optional dependency is used somewhere, and whatever is imported is declared."""

import ast
import json
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TOOLS = {
    "mkdocs-material": "mkdocs.yml",
    "mkdocstrings": "mkdocs.yml",
    "import-linter": "scripts/test",
    "pyright": "scripts/test",
    "pytest-xdist": "scripts/test",
    "ruff": "scripts/test",
    "pre-commit": ".pre-commit-config.yaml",
    "jupyterlab": "docs/recipes/notebooks.md",
    "ipykernel": "notebooks/01_quickstart.ipynb",
}
"""What is called rather than imported: the file that calls it, and the word there if it differs."""
WORDS = {
    "import-linter": "lint-imports",
    "pytest-xdist": "-n auto",
    "mkdocs-material": "name: material",
    "pre-commit": "repos:",
    "jupyterlab": "jupyter lab",
    "ipykernel": "kernelspec",
}
INSIDE = {"accelerate": "trl", "ipywidgets": "transformers"}
"""What another package that is imported calls for us."""


BROUGHT = {"IPython": "ipykernel", "huggingface_hub": "transformers", "triton": "torch"}
"""Modules of packages that a declared one needs itself and that are used beside it alone."""


def name_of(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower()  # pyright: ignore[reportOptionalSubscript]


def sources() -> list[Path]:
    folders = ("elicit", "scripts", "tests")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


@cache
def imported_by(path: Path) -> set[str]:
    """Top-level modules that the import statements of a file name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def imported() -> set[str]:
    """Top-level modules that some code of the repository imports, `importorskip` included."""
    found = set()
    for path in sources():
        text = path.read_text("utf-8")
        found |= set(re.findall(r"(?:importorskip|import_module|find_spec)\(\s*\"(\w+)", text))
        found |= imported_by(path)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        found |= set(re.findall(r"^(?:import|from) (\w+)", code, flags=re.M))
    return found


def modules() -> dict[str, set[str]]:
    """Importable modules of each installed distribution."""
    found: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            found.setdefault(name.lower().replace("_", "-"), set()).add(module)
    return found


def test_every_extra_is_used_somewhere():
    used, known = imported(), modules()
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for name in map(name_of, requirements):
            own = known.get(name.replace("_", "-"), {name.replace("-", "_")})
            told = (ROOT / TOOLS[name]).read_text("utf-8") if name in TOOLS else ""
            called = bool(told) and WORDS.get(name, name) in told
            inside = INSIDE.get(name) in used
            assert used & own or called or inside, f"{name} of the extra {extra} is never used"


def test_what_the_package_imports_is_declared():
    declared = {name_of(each) for each in PROJECT["dependencies"]}
    optional = {name_of(each) for own in PROJECT["optional-dependencies"].values() for each in own}
    known = {module: names for module, names in packages_distributions().items()}
    missing = set()
    for path in (ROOT / "elicit").rglob("*.py"):
        for module in imported_by(path) - {"elicit"}:
            own = [BROUGHT[module]] if module in BROUGHT else known.get(module, [module])
            owners = {each.lower().replace("_", "-") for each in own}
            if module not in sys.stdlib_module_names and not owners & (declared | optional):
                missing.add((module, path.name))
    assert not missing
