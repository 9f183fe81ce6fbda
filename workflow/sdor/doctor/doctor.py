"""What can be done on a machine, from what the checks found: a page, or JSON."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sdor
from sdor.doctor.checks import GPU, MLFLOW, PROJECT, SLURM, Check, Found, all_checks, read_config
from sdor.errors import SdorError

DEMO = "demo"
WIDTH = 100


@dataclass(frozen=True)
class Diagnosis:
    """What each check found, and the targets that need them, the demo first."""

    found: list[tuple[Check, Found]]
    targets: list[str]

    def missing(self, target: str) -> list[str]:
        """What a target lacks, each with the next step."""
        return [words for one in self._of(target) for words in one.missing]

    def notes(self, target: str) -> list[str]:
        """What to know about a target although it works."""
        return [words for one in self._of(target) for words in one.notes]

    def as_json(self) -> dict[str, object]:
        """All of it for programs."""
        targets = [
            {"name": name, "missing": self.missing(name), "notes": self.notes(name)}
            for name in self.targets
        ]
        checks = [
            {"name": check.name, "targets": check.targets, **asdict(one)}
            for check, one in self.found
        ]
        return {"sdor": sdor.__version__, "targets": targets, "checks": checks}

    def page(self) -> str:
        """All of it for a person, the targets last."""
        lines = [f"sdor {sdor.__version__} in {Path.cwd()}", "", "What was found"]
        seen = [(check.name, line) for check, one in self.found for line in one.seen]
        lines += [row for name, line in dict.fromkeys(seen) for row in _rows(f"{name:8}  ", line)]
        lines += ["", "What can be done here"]
        width = max(map(len, self.targets))
        for name in self.targets:
            missing = self.missing(name)
            lines.append(f"  {name:{width}}  {'missing' if missing else 'ready'}")
            lines += [row for words in missing for row in _rows("    - ", words)]
            lines += [row for words in self.notes(name) for row in _rows("    note: ", words)]
        return "\n".join(lines)

    def _of(self, target: str) -> list[Found]:
        return [one for check, one in self.found if target in check.targets]


def diagnose(files: Sequence[str]) -> Diagnosis:
    """Look at this machine for the demo and for some configs (none given: the paper's).

    Raises
    ------
    SdorError : a config is wrong, or the project's own configs are not beside the package.
    """
    demo = PROJECT / "config" / "config.yaml"
    if not demo.is_file():
        advice = "install the package from its checkout, with pip install -e ."
        raise SdorError(f"{demo}: not found; {advice}")
    given = [Path(file).resolve() for file in files] or [demo.with_name("paper.yaml")]
    configs = [read_config(demo, DEMO)]
    configs += [read_config(path) for path in dict.fromkeys(given) if path != demo]
    found = [(check, check.find()) for check in all_checks(configs)]
    return Diagnosis(found, [*(config.name for config in configs), GPU, SLURM, MLFLOW])


def _rows(first: str, words: str) -> list[str]:
    first = f"  {first}"
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
