"""The workflow as a module of another one, as the Snakemake workflow catalog deploys it."""

import pytest
from workplace import PROJECT, Workplace

OUTER = f"""\
configfile: "config.yaml"


module sdor:
    snakefile:
        "{PROJECT}/workflow/Snakefile"
    config:
        config


use rule * from sdor


rule loudest:
    input:
        "results/yard/tiny/seed0/initial.parquet",
    output:
        "loudest.csv",
    run:
        import pandas

        scores = pandas.read_parquet(input[0])
        scores.nlargest(3, "score").to_csv(output[0], index=False)


rule everything:
    default_target: True
    input:
        rules.all.input,
        "loudest.csv",
"""


class Outer(Workplace):
    """A folder with a workflow of its own that uses this one."""

    def command(self, *arguments):
        command = super().command(*arguments)
        command[command.index("--snakefile") + 1] = "Snakefile"
        return command


@pytest.fixture
def outer(fresh):
    (fresh.folder / "Snakefile").write_text(OUTER)
    return Outer(fresh.folder)


def test_a_module_plans_what_the_workflow_plans(fresh, outer):
    ours = fresh.planned_jobs()
    theirs = outer.planned_jobs()
    assert theirs.pop("loudest") == theirs.pop("everything") == 1
    assert theirs == ours


def test_a_module_makes_what_the_other_workflow_builds_on(outer):
    done = outer.run("loudest.csv")
    assert done.returncode == 0, done.stdout
    lines = (outer.folder / "loudest.csv").read_text().splitlines()
    assert len(lines) == 4
    assert "event" in lines[1]
    assert outer.planned("loudest.csv") == set()
