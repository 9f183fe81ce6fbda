"""What can be done on a machine, from what the checks found: a page, or JSON."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sdor
from sdor.doctor.checks import GPU, MLFLOW, PROJECT, SLURM, Check, Found, all_checks
from sdor.study.config import load_yaml
from sdor.study.study import read_study


@dataclass(frozen=True)
class Diagnosis:
    """What each check found, and what each target lacks, the demo first."""

    found: list[tuple[Check, Found]]
    missing: dict[str, list[str]]

    def as_json(self) -> dict[str, object]:
        """All of it for programs."""
        return {
            "sdor": sdor.__version__,
            "targets": [{"name": name, "missing": lacks} for name, lacks in self.missing.items()],
            "checks": [{"name": check.name, **asdict(one)} for check, one in self.found],
        }

    def page(self) -> str:
        """All of it for a person, the targets last."""
        lines = [f"sdor {sdor.__version__} in {Path.cwd()}", "", "What was found"]
        seen = [(check.name, line) for check, one in self.found for line in one.seen]
        lines += [_wrapped(f"{name:8}  ", line) for name, line in dict.fromkeys(seen)]
        lines += ["", "What can be done here"]
        width = max(map(len, self.missing))
        for name, lacks in self.missing.items():
            lines.append(f"  {name:{width}}  {'missing' if lacks else 'ready'}")
            lines += [_wrapped("  - ", words) for words in lacks]
        return "\n".join(lines)


def diagnose(files: Sequence[str]) -> Diagnosis:
    """Look at this machine for the demo and for some configs (none given: the paper's).

    Raises
    ------
    SdorError : a config is wrong or not there.
    """
    demo = PROJECT / "config" / "config.yaml"
    configs = {demo: "demo"}
    for file in files or [str(demo.with_name("paper.yaml"))]:
        configs.setdefault(Path(file).resolve(), file)
    studies = {
        name: read_study(load_yaml(path), name, data_root_given=False)
        for path, name in configs.items()
    }
    found = [(check, check.find()) for check in all_checks(studies)]
    missing = {
        name: [words for check, one in found if name in check.targets for words in one.missing]
        for name in (*studies, GPU, SLURM, MLFLOW)
    }
    return Diagnosis(found, missing)


def _wrapped(first: str, words: str) -> str:
    return textwrap.fill(
        words,
        width=100,
        initial_indent=f"  {first}",
        subsequent_indent=" " * (len(first) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
