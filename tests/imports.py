"""Which files of destseg a verb of the command line runs: its imports, followed through all modules."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def reached(verb: Callable[..., Any]) -> set[str]:
    """Paths below the root: the modules that this function of destseg/cli imports, what they import, and so on.

    A package's __init__.py counts where it imports something; a data file where a module beside it names it.
    The command line itself, which prints, does not.
    """
    cli = ast.parse(Path(inspect.getfile(verb)).read_text(encoding="utf-8"))
    function = next(node for node in cli.body if isinstance(node, ast.FunctionDef) and node.name == verb.__name__)
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    waiting = {module for module, _ in _imports(function)}
    waiting |= {module for module, name in _imports(ast.Module(body=_plain(cli), type_ignores=[])) if name in used}
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found and path.parent != ROOT / "destseg/cli":
            found.add(path)
            waiting |= {module for module, _ in _imports(ast.parse(path.read_text(encoding="utf-8")))}
    code = {path for path in found if path.name != "__init__.py" or any(_imports(ast.parse(path.read_text())))}
    return {path.relative_to(ROOT).as_posix() for path in code | set(_data(code))}


def _plain(module: ast.Module) -> list[ast.stmt]:
    return [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]


def _imports(tree: ast.AST) -> Iterator[tuple[Path, str]]:
    """(file, name it is bound to) of each import of a module of destseg in `tree`, at any depth, and its packages."""
    for node in _runtime(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((path, alias.asname or "destseg") for path in _files(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "destseg imports by full names"
            for alias in node.names:
                inner = _files(f"{node.module}.{alias.name}")
                yield from ((path, alias.asname or alias.name) for path in inner or _files(node.module or ""))


def _runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`, which never run."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from _runtime(child)


def _files(module: str) -> list[Path]:
    """The files that importing destseg.a.b runs: the module and the packages above it; empty if it is no module."""
    parts = module.split(".")
    if parts[0] != "destseg":
        return []
    path = ROOT.joinpath(*parts)
    own = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    if not own.is_file():
        return []
    packages = [ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts))]
    return [*packages, own]


def _data(modules: set[Path]) -> Iterator[Path]:
    for module in modules:
        text = module.read_text(encoding="utf-8")
        for beside in module.parent.iterdir():
            if beside.is_file() and beside.suffix != ".py" and f'"{beside.name}"' in text:
                yield beside
