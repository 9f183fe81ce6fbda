"""Fingerprints of code and library versions, so that only what changed is run again.

A stage's code is all that its modules may load: whatever they import, at their top or in a
function, and the packages that Python loads on the way there.
"""

import ast
import importlib.metadata
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from sdor.files import digest

PACKAGE = Path(__file__).resolve().parents[1]
# Log lines, progress bars, and which GPU it is reach no result: a change in them is no reason to
# train again.
WITHOUT_EFFECT = frozenset({"sdor.progress", "sdor.networks.devices"})
LOG_CALLS = frozenset({"debug", "info", "warning", "error", "exception"})


def code_of(*modules: str) -> str:
    """Hash of what modules mean, together with every first-party module that they reach.

    Comments, layout, docstrings, log lines, labels of progress and the text of raised errors change
    nothing; everything else does. Undoing an edit gives the old hash back.

    Parameters
    ----------
    modules : dotted names such as "sdor.method.features".

    Raises
    ------
    ValueError : there is no such module.
    """
    parts = [f"{module}={_read(module)[0]}" for module in reached(*modules)]
    return digest("\n".join(parts).encode())


def reached(*modules: str) -> list[str]:
    """The modules and all first-party ones that they may load, sorted by name."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found | WITHOUT_EFFECT:
            found.add(module)
            waiting += [*_read(module)[1], *filter(None, [module.rpartition(".")[0]])]
    return sorted(found)


def versions_of(*packages: str) -> dict[str, str]:
    """Installed versions without the local part: 2.13.0+cpu and 2.13.0+cu130 count as one."""
    return {name: importlib.metadata.version(name).split("+")[0] for name in packages}


@cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """Hash of a module's meaning, and the first-party modules that it imports."""
    path = _path(module)
    if path is None:
        raise ValueError(f"{module}: no such module in {PACKAGE}")
    tree = ast.parse(path.read_text())
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    imported = frozenset(name for name in _imports(tree, package) if _path(name))
    return digest(_written(_Meaning().visit(tree)).encode()), imported


def _path(module: str) -> Path | None:
    """Source file of a first-party module or package, or None."""
    head, *rest = module.split(".")
    path = PACKAGE.joinpath(*rest)
    files = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in files if head == "sdor" and file.is_file()), None)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """All names that may be modules, in the import statements of a module of a package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _is_log_line(node: ast.AST) -> bool:
    """Whether a call only logs: nothing that is called for its text could change anything."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=name)):
            inner = [ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]
            return name in LOG_CALLS and set(inner[1:]) <= {"len"}
    return False


def _written(part: object) -> str:
    """A syntax tree as text; `ast.dump` writes what is empty, and other things in each Python."""
    if isinstance(part, list):
        return f"[{','.join(map(_written, part))}]"
    if not isinstance(part, ast.AST):
        return repr(part)
    fields = [
        f"{name}={_written(it)}" for name, it in ast.iter_fields(part) if it not in (None, [])
    ]
    return f"{type(part).__name__}({','.join(fields)})"


class _Meaning(ast.NodeTransformer):
    """Takes out of a syntax tree what reaches no result."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        docstring = isinstance(node.value, ast.Constant)
        return None if docstring or _is_log_line(node.value) else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [_Text().visit(argument) for argument in node.exc.args]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        for keyword in node.keywords:
            if ast.unparse(node.func) == "track" and keyword.arg in ("label", "unit"):
                keyword.value = _Text().visit(keyword.value)
        return self.generic_visit(node)


class _Text(ast.NodeTransformer):
    """Takes the text out of an expression."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, _: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")
