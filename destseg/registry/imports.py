"""The source files that a module needs, found by reading its import statements: what travels with a model."""

import ast
import functools
import importlib.metadata
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "destseg"


@dataclass(frozen=True, kw_only=True)
class Closure:
    """Everything that importing a module may load."""

    files: tuple[str, ...]
    """Source files of this package, relative to its parent folder, sorted: destseg/__init__.py, ..."""
    libraries: tuple[str, ...]
    """Top-level names of the other packages imported outside functions, sorted; without the standard library."""


def closure(*modules: str, root: Path = ROOT) -> Closure:
    """What `modules` import, directly or not. A library imported inside a function is an option (onnxruntime), but
    a file of this package imported there belongs to it."""
    waiting, seen, files, libraries = list(modules), set[str](), set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        source = _source(name, root)
        if name in seen or source is None:  # no source: `name` is something defined in its parent module
            continue
        seen.add(name)
        files.add(source.relative_to(root).as_posix())
        tree = ast.parse(source.read_text(encoding="utf-8"))
        package = name if source.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [name.rpartition(".")[0], *(other for other in _imports(ast.walk(tree), package) if _ours(other))]
        tops = {other.partition(".")[0] for other in _imports(_outside_functions(tree), package) if not _ours(other)}
        libraries |= tops - sys.stdlib_module_names
    return Closure(files=tuple(sorted(files)), libraries=tuple(sorted(libraries)))


def copy(files: tuple[str, ...], into: Path, *, root: Path = ROOT) -> None:
    """Copies the named source files below `into`, keeping their folders."""
    for name in files:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)


def requirements(libraries: tuple[str, ...]) -> list[str]:
    """`name==version` of the installed distribution behind each import name; a build's local part (+cu132) is cut."""
    owners = _owners()
    # Several distributions share one import name (mlflow and mlflow-skinny): then it is the one called so.
    found = {
        library if library in owners[library] else owners[library][0] for library in libraries if library in owners
    }
    names = {name.lower().replace("_", "-") for name in found}
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in sorted(names)]


@functools.cache
def _owners() -> Mapping[str, list[str]]:
    """Distributions by import name: it reads the lists of files of everything that is installed."""
    return importlib.metadata.packages_distributions()


def _ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _source(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    found = (path for path in (base / "__init__.py", base.with_suffix(".py")) if name and path.is_file())
    return next(found, None)


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _outside_functions(node)


def _imports(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    """The modules that these nodes import; of `from a import b` both a and a.b, since b may be a module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = above[: len(above) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
