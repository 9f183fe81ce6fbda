"""A SLURM of one node on loopback, with two pretend GPUs, that lives as long as tests need it."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
MEMORY = Path("/sys/fs/cgroup/memory")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PREFIX = "sdor-slurm-"
# Two jobs of two threads side by side, and what rules ask for, whatever the machine has.
CPUS, MEMORY_MB = 4, 65536

# No authentication service but ours, and no address but loopback. Jobs stay known for ten minutes
# after their end, because their state is asked of squeue.
SLURM_CONF = """\
ClusterName=sdor
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType={processes}
TaskPlugin={tasks}
JobAcctGatherType=jobacct_gather/linux
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge=600
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,sched_interval=1,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=UNLIMITED DefMemPerCPU=512 State=UP
"""
# Any two device files do: jobs are told which of the two is theirs.
GRES_CONF = """\
AutoDetect=off
NodeName={host} Name=gpu File=/dev/zero
NodeName={host} Name=gpu File=/dev/full
"""
CGROUP_CONF = {
    True: """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=yes
AllowedSwapSpace=0
""",
    False: "CgroupPlugin=autodetect\nCgroupAutomount=no\nConstrainRAMSpace=no\n",
}


@dataclass
class Cluster:
    """A running SLURM.

    Attributes
    ----------
    limits : whether a job that takes more memory than it asked for is killed.
    """

    limits: bool

    def jobs(self, *states: str) -> dict[int, dict[str, str]]:
        """All jobs that SLURM knows, by their ids, as it describes them; of some states alone."""
        shown = ask("scontrol", "--oneliner", "--details", "show", "jobs")
        jobs = {}
        for line in shown.splitlines():
            fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
            if "JobId" in fields and (not states or fields["JobState"] in states):
                jobs[int(fields["JobId"])] = fields
        return jobs

    def cancel(self, job: int) -> None:
        ask("scancel", str(job))

    def clear(self) -> None:
        """Cancel all jobs and wait until they are gone."""
        ask("scancel", "--user=root")
        wait_until(lambda: not ask("squeue", "--noheader"), "jobs to end", seconds=60)


def missing() -> str | None:
    """Why SLURM cannot be started here; None where it can."""
    if sys.platform != "linux":
        return "SLURM runs on Linux"
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"not installed: {', '.join(absent)} (tests/slurm/install.sh)"
    for name in FILES:
        path = CONFIGURATION / name
        if path.exists() and not (path.is_symlink() and PREFIX in str(path.readlink())):
            return f"{path}: this machine has a SLURM of its own"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return f"the name {socket.gethostname()} has no address"
    return None


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start the daemons, and stop them at the end; one SLURM at a time on a machine."""
    host = socket.gethostname().split(".")[0]
    limits = limits_memory()
    with _alone(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
        folder.chmod(0o755)  # munge asks for a socket that everybody can reach
        for name in ("state", "spool"):
            (folder / name).mkdir()
        values = {
            "folder": folder,
            "host": host,
            "controller_port": _free_port(),
            "node_port": _free_port(),
            "cpus": CPUS,
            "memory": MEMORY_MB,
            "processes": "proctrack/cgroup" if limits else "proctrack/linuxproc",
            "tasks": "task/cgroup" if limits else "task/none",
        }
        (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (folder / "gres.conf").write_text(GRES_CONF.format(**values))
        (folder / "cgroup.conf").write_text(CGROUP_CONF[limits])
        # Steps of a job are started without SLURM_CONF: they look here.
        CONFIGURATION.mkdir(exist_ok=True)
        for name in FILES:
            (CONFIGURATION / name).unlink(missing_ok=True)
            (CONFIGURATION / name).symlink_to(folder / name)
            stack.callback((CONFIGURATION / name).unlink)
        key = folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(128))
        munge = {"socket": "munge.socket", "key-file": key.name, "pid-file": "munged.pid"}
        munge |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        options = [f"--{option}={folder / name}" for option, name in munge.items()]
        daemons = {
            ("munged", "--foreground", *options): (folder / "munge.socket").exists,
            ("slurmctld", "-D"): lambda: "is UP" in ask("scontrol", "ping"),
            ("slurmd", "-D"): lambda: "idle" in ask("sinfo", "--noheader", "--format=%T"),
        }
        for command, ready in daemons.items():
            stack.enter_context(_daemon(folder, *command))
            wait_until(ready, command[0])
        cluster = Cluster(limits=limits)
        stack.callback(cluster.clear)
        yield cluster


def limits_memory() -> bool:
    """Whether this machine lets us limit the memory of a group of processes (cgroup v1)."""
    probe = MEMORY / f"{PREFIX}{os.getpid()}"
    if (
        not (MEMORY / "memory.limit_in_bytes").exists()
        or not Path("/sys/fs/cgroup/freezer").is_dir()
    ):
        return False
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def ask(*command: str) -> str:
    """What a command of SLURM's prints; nothing where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    latest = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < latest, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    """A daemon that stays a child of this process, and ends with it."""
    tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    with (folder / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen(
            [*tied, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _alone() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / f"{PREFIX}lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
