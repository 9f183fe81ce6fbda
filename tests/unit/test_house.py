"""Rules of the house that no linter knows."""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "workflow" / "sdor"
RULES = [
    PROJECT / "Snakefile",
    *(PROJECT / "workflow").rglob("*.smk"),
    PROJECT / "workflow/Snakefile",
]
SCRIPTS = sorted((PROJECT / "workflow" / "scripts").glob("*.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))
# What would change files, start something, or needs what Snakemake does not promise.
ACTS = (
    *("unlink", "Popen", "snakemake.cli", "snakemake.logging", "snakemake.settings"),
    *(".scheduler", "subprocess", "os.remove", "write_text", "write_bytes", "mkdir", "rename("),
)
ROUNDS = "workflow.scheduler.job_rate_limiter = None"
UNTYPED = re.compile(r"dict\[str, Any\]|Mapping\[str, Any\]|\bDocument\b")


def test_the_rules_are_looked_at():
    assert len(RULES) > 10
    assert len(SCRIPTS) > 20
    assert len(MODULES) > 50


def test_reading_the_rules_does_nothing():
    # But for a line of a hook, which keeps Snakemake from ever more rounds over what is ready.
    texts = {path.name: path.read_text().replace(ROUNDS, "") for path in RULES}
    found = {name: [word for word in ACTS if word in text] for name, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_scripts_are_short():
    lines = {path.name: len(path.read_text().splitlines()) for path in SCRIPTS}
    # One has an entry for each of six figures.
    assert [name for name, count in lines.items() if count > 25] == ["paper_figures.py"]


def test_no_function_takes_more_than_eight_things():
    found = {}
    for path in [*MODULES, *SCRIPTS]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                names = [one.arg for one in given if one.arg not in ("self", "cls")]
                if len(names) > 8:
                    found[f"{path.name}: {node.name}"] = names
    assert found == {}


def test_settings_are_typed():
    found = {path.relative_to(PACKAGE): len(UNTYPED.findall(path.read_text())) for path in MODULES}
    assert sum(found.values()) <= 40, {str(name): count for name, count in found.items() if count}


def test_what_a_stage_loads_stands_in_its_imports():
    """Names of modules in strings are invisible to `code_of`; the package's own loads no stage."""
    found = [path for path in MODULES if 'import_module("sdor' in path.read_text()]
    assert found == [PACKAGE / "__init__.py"]


def test_each_table_is_defined_once():
    rules = (PROJECT / "workflow" / "rules" / "tables.smk").read_text()
    asked = re.findall(r'"(\w+)"', re.search(r"TABLE_NAMES = \(([^)]+)\)", rules)[1])
    asked += ["comparisons", "stages"]  # these have no LaTeX
    code = "".join(path.read_text() for path in (PACKAGE / "reporting").glob("*.py"))
    assert sorted(re.findall(r'Page\("(\w+)"', code)) == sorted(asked)


def test_each_figure_is_drawn_by_the_one_function_of_its_module():
    rules = (PROJECT / "workflow" / "rules" / "figures.smk").read_text()
    for path in (PACKAGE / "reporting" / "figures").glob("*.py"):
        drawn = [
            one for one in ast.parse(path.read_text()).body if getattr(one, "name", "") == "draw"
        ]
        asked = f'"{path.stem}"' in rules
        assert len(drawn) == asked, path
