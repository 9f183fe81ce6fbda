"""How network jobs share the cores of a machine with several GPUs, which dry runs pretend."""

import re


def shares(workplace, *arguments):
    """(threads, GPUs) of a job of each rule that a dry run plans."""
    done = workplace.run("--dry-run", *arguments)
    assert done.returncode == 0, done.stdout
    found = {}
    for job in re.split(r"^(?:local)?rule ", done.stdout, flags=re.MULTILINE)[1:]:
        threads, gpus = re.search(r"threads: (\d+)", job), re.search(r"gpu=(\d+)", job)
        found[job.partition(":")[0]] = (
            int(threads[1]) if threads else 1,
            int(gpus[1]) if gpus else 0,
        )
    return found


def test_as_many_networks_at_once_as_there_are_gpus(fresh, monkeypatch):
    fresh.configure(device="cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    planned = shares(fresh, "--cores", "16")
    networks = {name: share for name, share in planned.items() if share[1]}
    assert set(networks.values()) == {(4, 1)}
    assert {"features", "maps", "train", "train_places", "hidden", "saliency"} < set(networks)
    assert planned["flow"] == (16, 0)


def test_a_user_who_hides_the_gpus_has_none(lean, monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lean.configure(device="auto")
    assert shares(lean)["features"] == (2, 0)
