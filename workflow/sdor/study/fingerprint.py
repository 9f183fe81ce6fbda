"""Fingerprints of code and library versions, so that only what changed is run again."""

import ast
import importlib.metadata
from functools import cache
from pathlib import Path

from sdor.files import digest

PACKAGE = Path(__file__).resolve().parents[1]
# Log lines and progress bars reach no result: a change in them is no reason to train again.
WITHOUT_EFFECT = frozenset({"sdor.running.jobs", "sdor.progress"})


def code_of(*modules: str) -> str:
    """Hash of the modules' meaning and of every first-party module they import, transitively.

    Modules `WITHOUT_EFFECT` are left out. The syntax tree is hashed without docstrings, so a
    comment, a docstring or a reformat changes nothing, and undoing an edit gives the old hash back.

    Parameters
    ----------
    modules : dotted names such as "sdor.method.features".
    """
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached | WITHOUT_EFFECT:
            reached.add(module)
            waiting.extend(_parsed(module)[1])
    digests = [f"{module}={_parsed(module)[0]}" for module in sorted(reached)]
    return digest("\n".join(digests).encode())


def versions_of(*packages: str) -> dict[str, str]:
    """Installed versions without the local part: 2.13.0+cpu and 2.13.0+cu130 count as one."""
    return {name: importlib.metadata.version(name).split("+")[0] for name in packages}


@cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """Hash of one module's syntax tree, and the first-party modules that it imports."""
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: no such module in {PACKAGE}")
    tree = ast.parse(path.read_text())
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.append(node.module)
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
        _drop_docstring(node)
    first_party = tuple(sorted({name for name in imported if _path(name) is not None}))
    return digest(ast.dump(tree).encode()), first_party


def _path(module: str) -> Path | None:
    """Source file of a first-party module, or None."""
    head, *rest = module.split(".")
    if head != "sdor":
        return None
    path = PACKAGE.joinpath(*rest)
    candidates = (path.with_suffix(".py"), path / "__init__.py") if rest else ()
    return next((one for one in candidates if one.is_file()), None)


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = node.body[1:] or [ast.Pass()]
