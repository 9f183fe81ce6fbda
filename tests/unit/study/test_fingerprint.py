import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdor.study import fingerprint
from sdor.study.fingerprint import WITHOUT_EFFECT, code_of, reached, versions_of

PROJECT = Path(__file__).resolve().parents[3]
PACKAGE = PROJECT / "workflow" / "sdor"
READ, PATH = fingerprint._read, fingerprint._path
MODULES = {
    ".".join(["sdor", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
}
FILES = {
    "__init__.py": "",
    "left.py": "ONE = 1\n",
    "middle.py": "from sdor.left import ONE\nTWO = ONE + 1\n",
    "right.py": "from sdor import middle\nTHREE = middle.TWO + 1\n",
    "room/__init__.py": "from .near import THING\n",
    "room/near.py": "THING = 5\n",
    "room/far.py": "import sdor.left\nFAR = 6\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package; gives a function that writes a module and tells its hash and its reach."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)

    def write(name, text):
        (tmp_path / name).write_text(text)
        fingerprint._read.cache_clear()

    fingerprint._read.cache_clear()
    yield write
    fingerprint._read.cache_clear()


def test_a_changed_line_reaches_every_module_to_the_right_and_undoing_it_gives_the_hash_back(
    package,
):
    names = ("left", "middle", "right")
    before = [code_of(f"sdor.{name}") for name in names]
    package("middle.py", "from sdor.left import ONE\nTWO = ONE + 2\n")
    left, *others = [code_of(f"sdor.{name}") for name in names]
    assert left == before[0]
    assert not set(others) & set(before)
    package("middle.py", FILES["middle.py"])
    assert [code_of(f"sdor.{name}") for name in names] == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import sdor.left", "left"),
        ("import numpy, sdor.room.far as f", "left room room.far room.near"),
        ("from sdor.room import far", "left room room.far room.near"),
        ("from sdor.room.near import THING", "room room.near"),
        ("from sdor.room import THING", "room room.near"),
        ("from . import left", "left"),
        ("from .. import left", "left"),
        ("from .near import THING", "room room.near"),
        ("from .far import *", "left room room.far room.near"),
        ("from sdor.room import *", "room room.near"),
        ("def f():\n    if f:\n        from sdor import left", "left"),
        ("class A:\n    import sdor.left", "left"),
        ("try:\n    import sdor.left\nexcept ImportError:\n    pass", "left"),
        ("import numpy\nfrom os import path\nimport sdor", ""),
        ("from sdor import something", ""),
        ("from sdor import middle", "left middle"),
        ("import other.left\nfrom other import left", ""),
    ],
)
def test_every_way_to_import_is_seen(package, text, found):
    within = "room/new.py" if text.startswith(("from .near", "from ..", "from .far")) else "new.py"
    package(within, f"{text}\n")
    module = f"sdor.{within[:-3].replace('/', '.')}"
    # Packages on the way are loaded too.
    room = {"sdor.room", "sdor.room.near"} if "/" in within else set()
    expected = {"sdor", module, *room, *(f"sdor.{name}" for name in found.split())}
    assert set(reached(module)) == expected


CODE = '''
"""Numbers."""
import logging
logger = logging.getLogger("sdor")
class A:
    """A class."""
def mean(values, name="mean"):
    """The mean."""
    if not len(values):
        raise ValueError(f"{name}: no values" + " at all")
    logger.info("mean of %d", len(values))
    for value in track(values, unit="value", label="means"):
        yield value / 2
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Numbers."""', '"""Other words."""'),
        ('    """A class."""', '    "Another."'),
        ('    """The mean."""\n', '    """The mean\n    of all."""\n'),
        ("import logging", "# A comment.\n\nimport   logging  # another"),
        ("value / 2", "(value\n            / 2)"),
        ('f"{name}: no values" + " at all"', 'f"nothing in {name}, {values}" + "!"'),
        ('"mean of %d", len(values)', '"mean of %s values", name'),
        ('    logger.info("mean of %d", len(values))\n', ""),
        ("    for", '    logger.warning(f"{name}: %s", len(values))\n    for'),
        ('unit="value", label="means"', 'unit="v", label=f"{name}"'),
    ],
)
def test_words_change_nothing(package, old, new):
    package("left.py", CODE)
    before = code_of("sdor.right")
    assert CODE.count(old) == 1
    package("left.py", CODE.replace(old, new))
    assert code_of("sdor.right") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name="mean"', 'name="median"'),
        ("value / 2", "value / 3"),
        ('getLogger("sdor")', 'getLogger("other")'),
        ("not len(values)", "len(values) < 2"),
        ("ValueError(", "KeyError("),
        ('logger.info("mean of %d", len(values))', 'logger.info("%d", values.pop())'),
        ("logger.info(", "say("),
        ("track(values,", "track(values[1:],"),
        ('label="means"', 'label="means", total=2'),
    ],
)
def test_all_else_does(package, old, new):
    package("left.py", CODE)
    before = code_of("sdor.right")
    assert CODE.count(old) == 1
    package("left.py", CODE.replace(old, new))
    assert code_of("sdor.right") != before


def test_every_python_writes_a_tree_alike():
    # Python 3.12 gives a function type parameters, and 3.13 leaves out what is empty.
    tree = ast.parse("def f(x):\n    return x, None").body[0]
    assert fingerprint._written(tree) == (
        "FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),body=[Return(value=Tuple("
        "elts=[Name(id='x',ctx=Load()),Constant()],ctx=Load()))])"
    )


@pytest.mark.usefixtures("package")
def test_an_unknown_module_is_an_error():
    with pytest.raises(ValueError, match=r"sdor\.nowhere"):
        code_of("sdor.nowhere")


def test_versions_leave_out_the_build():
    assert "+" not in versions_of("torch")["torch"]


def stages():
    """What each rule names as its code, and the first-party modules that its script imports."""
    found = {}
    for rules in sorted((PROJECT / "workflow" / "rules").glob("*.smk")):
        for part in re.split(r"^rule ", rules.read_text(), flags=re.MULTILINE)[1:]:
            script = re.search(r'"\.\./scripts/(\w+\.py)"', part)
            if script is None:
                continue
            tree = ast.parse((PROJECT / "workflow" / "scripts" / script[1]).read_text())
            imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            calls = re.findall(r"code_of\(([^)]*)\)", part)
            named = set()
            for name in re.findall(r'"([\w.]+)', " ".join(calls)):
                # One that ends with a dot goes on with a wildcard.
                begun = {one for one in MODULES if one.startswith(name)}
                named |= begun if name.endswith(".") else {name}
            found[part.partition(":")[0]] = (named, imported & MODULES, part)
    return found


STAGES = stages()


@pytest.fixture(scope="module")
def loaded():
    """The modules of the package that Python loads for each of the modules that stages name."""
    names = sorted({name for named, imported, _ in STAGES.values() for name in named | imported})
    tell = """
import importlib, json, sys
loaded = {}
for name in json.loads(sys.argv[1]):
    for module in [module for module in sys.modules if module.split(".")[0] == "sdor"]:
        del sys.modules[module]
    importlib.import_module(name)
    loaded[name] = [module for module in sys.modules if module.split(".")[0] == "sdor"]
print(json.dumps(loaded))
"""
    done = subprocess.run(
        [sys.executable, "-c", tell, json.dumps(names)],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


def test_all_stages_and_modules_are_looked_at():
    assert len(STAGES) > 25
    assert all(named for named, _, _ in STAGES.values())
    assert len(MODULES) > 50


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_code_is_all_that_its_script_loads(loaded, stage):
    named, imported, _ = STAGES[stage]
    # How a job is run and what it logs reach no result.
    computing = {name for name in imported if not name.startswith("sdor.running")}
    needed = set().union(*(loaded[name] for name in computing)) - WITHOUT_EFFECT
    assert needed <= set(reached(*named))


@pytest.mark.parametrize("module", sorted({n for named, _, _ in STAGES.values() for n in named}))
def test_a_change_counts_in_the_modules_that_python_loads_and_in_no_other(
    loaded, module, monkeypatch
):
    before = code_of(module)

    def changed(name):
        meaning, *imported = READ(name)
        return meaning + "*" if name == edited else meaning, *imported

    monkeypatch.setattr(fingerprint, "_read", changed)
    counting = set()
    for edited in MODULES:
        if code_of(module) != before:
            counting.add(edited)
    assert counting == loaded[module] - WITHOUT_EFFECT


def test_a_literal_counts_in_every_module_and_words_in_none(monkeypatch, tmp_path):
    for module in MODULES:
        source = PATH(module)
        before, text = READ(module)[0], source.read_text()
        copy = tmp_path / source.name

        def of_copy(name, module=module, copy=copy):
            return copy if name == module else PATH(name)

        monkeypatch.setattr(fingerprint, "_path", of_copy)
        words = text.replace('"""', '"""More words. ', 1)
        copy.write_text(f"# A comment.\n{words}\n# Another.\n")
        assert READ.__wrapped__(module)[0] == before, module
        copy.write_text(f"{text}\n_CHANGED = True\n")
        assert READ.__wrapped__(module)[0] != before, module


def test_files_of_the_project_that_are_read_count_in_the_stages_that_read_them():
    """The paper's own values, words and templates of tables and report; others serve no stage."""
    readers = {"reporting.reported", "study.config", "study.scenes"}
    readers |= {"study.fingerprint", "doctor.checks", "operator.page"}
    found = {name for name in MODULES if "__file__" in PATH(name).read_text()}
    assert found == {f"sdor.{name}" for name in readers}
    assert '"reported": REPORTED,' in STAGES["findings"][2]
    assert "report.html.j2" in STAGES["report"][2]
    assert "watchlist.html.j2" in STAGES["camera_page"][2]
    assert all(
        '"layout": LAYOUT,' in STAGES[name][2] for name in ("tables", "stage_times", "report")
    )


def test_training_reaches_little_and_nothing_that_decodes_reads_scenes_or_fetches():
    modules = reached("sdor.method.training")
    assert sum(len(PATH(name).read_text().splitlines()) for name in modules) <= 2350
    far = {"video.decode", "video.frames", "study.scenes", "study.config", "networks.fetch"}
    assert not {f"sdor.{name}" for name in far} & set(modules)
