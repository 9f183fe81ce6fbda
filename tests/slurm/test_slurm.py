"""The workflow on a real SLURM of one node: two chains side by side, and what can befall them."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, missing, running_cluster, wait_until
from workplace import CONFIG, PROJECT, Workplace, leftovers, own_environment, prepare

pytestmark = pytest.mark.slurm
SEEDS = (0, 1)
CHAINS = [f"results/yard/tiny/seed{seed}" for seed in SEEDS]
ANSWERS = [f"{chain}/ensemble.parquet" for chain in CHAINS]
CHECKPOINTS = [f"{chain}/iteration1/checkpoint.pt" for chain in CHAINS]
# Many short epochs: time enough for a fault in the middle of a training.
METHOD = {**CONFIG["method"], "trainable": "head", "epochs": 300}
# The profile as it is, but for the size of this node and the time between two looks at its queue.
ON_SLURM = [
    *("--workflow-profile", str(PROJECT / "profiles/slurm"), "--cores", "all"),
    *("--slurm-init-seconds-before-status-checks", "1", "--slurm-keep-successful-logs"),
    *("--set-threads", "features=2", "train=1"),
]
# All jobs of a group share one limit, the highest.
TOO_LITTLE = "2000 if wildcards.seed == '0' or attempt > 1 else 200"
SHORT_OF_MEMORY = [f"{rule}:mem_mb={TOO_LITTLE}" for rule in ("pseudo_labels", "train", "ensemble")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    reason = missing()
    if reason is None and shutil.which("nvidia-smi"):
        reason = "a real GPU would work instead of the pretend ones"
    if reason is not None:
        pytest.skip(reason)
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("prepared"))
    config = {**CONFIG, "seeds": list(SEEDS), "device": "auto", "method": METHOD}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def local(prepared, tmp_path_factory) -> Workplace:
    """A run without SLURM."""
    workplace = copied(prepared, tmp_path_factory.mktemp("local"))
    done = workplace.run(*ANSWERS)
    assert done.returncode == 0, done.stdout
    return workplace


@pytest.fixture(scope="module")
def finished(cluster, prepared, tmp_path_factory) -> Workplace:
    """A run on SLURM that nothing came in the way of; which GPUs worked at once is in `gpus`."""
    workplace = copied(prepared, tmp_path_factory.mktemp("slurm"))
    with started(workplace) as process:
        both = wait_for_chains(cluster, process, lambda: len(chains(cluster)) == 2)
        assert process.wait() == 0, said(workplace)
    (workplace.folder / "gpus").write_text("\n".join(job.get("GRES", "") for job in both))
    return workplace


@pytest.fixture
def before_the_chains(finished, tmp_path) -> Workplace:
    """The finished run as it was when its chains of iterations began."""
    workplace = copied(finished.folder, tmp_path)
    for chain in CHAINS:
        for made in (workplace.folder / chain).glob("iteration*"):
            shutil.rmtree(made)
        (workplace.folder / chain / "ensemble.parquet").unlink()
    return workplace


@pytest.mark.nightly
def test_results_are_those_of_a_local_run(local, finished):
    expected, found = local.content(), finished.content()
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert leftovers(finished) == []


def test_a_local_run_finds_nothing_to_do_after_it(finished):
    assert finished.planned(*ANSWERS) == set()


def test_two_gpus_work_at_once(finished):
    used = sorted((finished.folder / "gpus").read_text().splitlines())
    assert used == ["gpu:1(IDX:0)", "gpu:1(IDX:1)"]


def test_each_job_says_a_line_where_snakemake_runs(finished):
    lines = [line for line in said(finished).splitlines() if line.startswith("sdor: ")]
    for t in (1, 2):
        trained = f"sdor: training of yard/tiny/seed1, t = {t}: done in "
        assert sum(line.startswith(trained) for line in lines) == 1, lines


def test_a_chain_is_one_submission(finished):
    submitted = [line for line in said(finished).splitlines() if "with SLURM jobid" in line]
    # One for all frames, one for the features, two for the initial scores, two for the chains.
    assert len(submitted) == 6, submitted
    assert sum("group_chain" in line for line in submitted) == 2


@pytest.mark.nightly
def test_a_cancelled_job_and_one_without_enough_memory(cluster, local, before_the_chains):
    workplace = before_the_chains
    known = set(cluster.jobs())
    limits = ["--set-resources", *SHORT_OF_MEMORY] if cluster.limits else []
    with started(workplace, *limits) as process:
        wait_for_chains(cluster, process, (workplace.folder / CHECKPOINTS[0]).exists)
        # The other chain may be in its second attempt already, and has enough memory then.
        running = chains(cluster).items()
        victim = min(number for number, job in running if job["MinMemoryNode"] != "200M")
        cluster.cancel(victim)
        assert process.wait() == 0, said(workplace)
    jobs = {number: job for number, job in cluster.jobs().items() if number not in known}
    assert jobs[victim]["JobState"] == "CANCELLED"
    assert sum(job["JobState"] == "COMPLETED" for job in jobs.values()) == 2, jobs
    assert workplace.content() == local.content()
    assert leftovers(workplace) == []
    if not cluster.limits:
        pytest.skip("this machine does not limit the memory of jobs (no cgroup v1 to write to)")
    killed = [job for job in jobs.values() if job["MinMemoryNode"] == "200M"]
    assert [job["JobState"] in ("FAILED", "OUT_OF_MEMORY") for job in killed] == [True]


@pytest.mark.nightly
def test_a_killed_scheduler_is_resumed_beside_its_orphans(cluster, local, before_the_chains):
    workplace = before_the_chains
    with started(workplace) as process:
        wait_for_chains(cluster, process, (workplace.folder / CHECKPOINTS[0]).exists)
    orphans = chains(cluster)
    assert orphans, "no job outlived the scheduler"
    with started(workplace) as process:
        assert process.wait() == 0, said(workplace)
    line = next(line for line in said(workplace).splitlines() if "of a killed run" in line)
    assert all(str(number) in line for number in orphans), line
    jobs = cluster.jobs()
    assert {jobs[number]["JobState"] for number in orphans} == {"CANCELLED"}
    assert workplace.content() == local.content()
    assert leftovers(workplace) == []


def copied(folder: Path, target: Path) -> Workplace:
    shutil.copytree(folder, target / "work", symlinks=True)
    return Workplace(target / "work")


@contextmanager
def started(workplace: Workplace, *arguments: str) -> Iterator[subprocess.Popen]:
    """A run on SLURM, in a process group of its own; what is left of it in the end is killed."""
    with (workplace.folder / "said.txt").open("w") as output:
        process = subprocess.Popen(
            workplace.command(*ANSWERS, *ON_SLURM, *arguments),
            cwd=workplace.folder,
            env=own_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def said(workplace: Workplace) -> str:
    return (workplace.folder / "said.txt").read_text()


def chains(cluster: Cluster) -> dict[int, dict[str, str]]:
    """The chains of iterations that run, by the ids of their jobs."""
    running = cluster.jobs("RUNNING")
    return {number: job for number, job in running.items() if "chain" in job["Comment"]}


def wait_for_chains(cluster: Cluster, process: subprocess.Popen, condition) -> list[dict[str, str]]:
    """Wait for something that happens while chains run; returns these as SLURM describes them."""

    def happened() -> bool:
        assert process.poll() is None, "the run ended before it"
        return condition()

    wait_until(happened, "the chains of iterations", seconds=300)
    return list(chains(cluster).values())
