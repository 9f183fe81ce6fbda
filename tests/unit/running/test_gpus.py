import pytest

from sdor.running.gpus import cores_of_each, visible_gpus


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("0,1,2,3", 4),
        ("3", 1),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, GPU-d4e5", 2),
        ("MIG-0a1b", 1),
        ("", 0),
        ("-1", 0),
        ("0,1,-1,2", 2),  # as CUDA reads it
        ("NoDevFiles", 0),  # as SLURM says it where a job has none
    ],
)
def test_cuda_visible_devices_has_the_word(said, count, tmp_path):
    (tmp_path / "nvidia0").touch()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": said}, tmp_path) == count


def test_device_files_are_counted(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == 3


def test_without_device_files_nothing_tells(tmp_path):
    assert visible_gpus({}, tmp_path) is None


@pytest.mark.parametrize(
    ("cores", "gpus", "each"), [(16, 4, 4), (16, 1, 16), (2, 1, 2), (4, 4, 1), (256, 8, 32)]
)
def test_as_many_networks_at_once_as_there_are_gpus(cores, gpus, each):
    assert cores_of_each(cores, gpus) == each
    assert cores // each == gpus


def test_never_more_networks_than_gpus_nor_all_cores_idle():
    for cores in range(1, 70):
        for gpus in range(1, 17):
            assert 1 <= cores // cores_of_each(cores, gpus) <= gpus
