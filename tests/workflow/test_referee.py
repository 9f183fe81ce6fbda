"""The numbers of finished studies, kept through every change of the code (see referee.py)."""

import subprocess
import sys

import pytest
from referee import check_findings, check_scores
from workplace import PROJECT, own_environment


def test_scores_and_pseudo_labels_are_those_of_before(finished):
    check_scores(finished.folder / "results", "small")


def test_findings_are_those_of_before(finished):
    check_findings(finished.folder / "results", "small")


@pytest.mark.nightly
@pytest.mark.weights
def test_findings_of_the_demo_are_those_of_before(tmp_path):
    """Processors round bf16 otherwise; of frames on the edge of A, trainings make more of it."""
    options = ["--cores", "2", "--config", "device=cpu", "precision=bf16"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", PROJECT / "Snakefile", *options],
        cwd=tmp_path,
        env=own_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    check_findings(tmp_path / "results", "demo", rtol=0, atol=0.002, most=0.85, rest=0.2)
