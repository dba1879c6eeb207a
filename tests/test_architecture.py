"""Laws of the package that an import linter cannot state, read off the syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import elicit

ROOT = Path(elicit.__file__).parent
MOST_PARAMETERS = 8
SHARED = {"elicit.results.marks"}
"""What the figures of all rooms are drawn with is a room of its own in all but its place."""

# What still breaks a law. Entries may only go; a law holds everywhere else.
CIRCLES: set[str] = set()
FIGURES: set[str] = set()
LONG_SIGNATURES: set[str] = set()
ENDS: set[str] = set()
DEEP: set[str] = set()


@cache
def trees() -> dict[str, ast.Module]:
    """Syntax tree of every module by its name; a package has that of its `__init__`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
def handed_out(room: str) -> set[str]:
    """Names in the `__all__` of a package."""
    for node in trees()[room].body if room in trees() else ():
        named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if named and isinstance(node.value, ast.List):
            return {each.value for each in node.value.elts if isinstance(each, ast.Constant)}
    return set()


@cache
def imports(name: str) -> tuple[str, ...]:
    """Modules of the package that a module imports anywhere, also inside functions."""
    return tuple(imported(name))


def imported(name: str) -> Iterator[str]:
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("elicit."))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                target = f"{node.module}.{alias.name}"
                # A room may hand out a function of the name of the module that it is in.
                target = node.module if alias.name in handed_out(node.module) else target
                while target not in trees() and "." in target:
                    target = target.rpartition(".")[0]
                if target.startswith("elicit."):
                    yield target


def reached(name: str, edges: dict[str, set[str]]) -> set[str]:
    """Modules that a module imports, however far away."""
    seen, waiting = set(), [name]
    while waiting:
        for target in edges[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def test_no_module_imports_itself_however_far_around():
    edges = {
        # A package's own __init__ hands out what its modules hold.
        name: {target for target in imports(name) if not name.startswith(f"{target}.")} - {name}
        for name in trees()
    }
    circles = {name for name in edges if name in reached(name, edges)}
    assert circles <= CIRCLES, sorted(circles - CIRCLES)


def test_figures_are_imported_by_the_page_and_the_loader_alone():
    wrong = {
        f"{name} -> {target}"
        for name in trees()
        for target in imports(name)
        if "figures" in target.split(".")
        and "figures" not in name.split(".")
        and not name.startswith("elicit.page")
    }
    assert wrong <= FIGURES, sorted(wrong - FIGURES)


def test_a_room_is_used_through_what_its_init_hands_out():
    wrong = set()
    for name in trees():
        for target in imports(name):
            own, parts = name.split("."), target.split(".")
            if len(parts) < 3 or len(own) < 2 or own[1] == parts[1]:
                continue
            a_page = parts[1] == "page" and len(parts) == 3
            # A room's pictures may be drawn into another's, and are shown by the page.
            a_figure = "figures" in parts[2:] and (own[1] == "page" or "figures" in own)
            if not a_page and not a_figure and target not in SHARED:
                wrong.add(f"{name} -> {target}")
    assert wrong <= DEEP, sorted(wrong - DEEP)


def functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.arguments]]:
    """Public functions and methods of a module, by their whole name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node, f"{prefix}.{node.name}")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"{prefix}.{node.name}", node.args


def test_a_public_function_has_at_most_eight_parameters():
    long = set()
    for module, tree in trees().items():
        for name, given in functions(tree, module):
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            if sum(each.arg not in ("self", "cls") for each in every) > MOST_PARAMETERS:
                long.add(name)
    assert long <= LONG_SIGNATURES, sorted(long - LONG_SIGNATURES)


def test_a_result_holds_a_number_and_its_ends_in_one_field():
    found = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            names = {
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            }
            found |= {
                f"{module}.{node.name}.{name[:-4]}"
                for name in names
                if name.endswith("_low") and f"{name[:-4]}_high" in names
            }
    assert found <= ENDS, sorted(found - ENDS)
