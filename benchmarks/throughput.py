"""Rates of the costly stages beside the bare computation, measured in turns in one run."""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import which

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from sdor.errors import SdorError
from sdor.method.features import extract_features
from sdor.method.initial import sp_scores
from sdor.method.maps import PlaceMaps, raw_maps
from sdor.method.scorer import Scorer
from sdor.method.training import epoch_batches, new_optimiser, train_steps
from sdor.networks import fast
from sdor.networks.backbones import Backbone, load_backbone
from sdor.networks.compute import Compute, choose_compute
from sdor.networks.fast import quantised
from sdor.networks.fetch import resolve_weights
from sdor.networks.inputs import Inputs
from sdor.study.config import with_defaults
from sdor.study.settings import TrainingSettings
from sdor.video.store import FrameStore

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["features", "maps", "training", "sp"])
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--frames", type=int, help="(default: 512, on a GPU 16,384)")
    parser.add_argument("--batch", type=int, default=128, help="of a training step")
    parser.add_argument("--steps", type=int, default=3, help="training steps in a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32", "int8"])
    options = parser.parse_args()
    compute = choose_compute(options.device, options.precision)
    options.frames = options.frames or (16_384 if compute.device.type == "cuda" else 512)
    print(f"{compute.describe()}, {torch.get_num_threads()} threads, {options.size} px")
    with tempfile.TemporaryDirectory() as folder:
        store = noise(Path(folder), options.frames, options.size)
        weights = Path(folder) / "resnet50.safetensors"
        resolve_weights("resnet50", "random", weights)
        for what in options.what:
            if what == "sp":
                sp(options.turns)
            else:
                run = {"features": features, "maps": maps, "training": training}[what]
                run(store, weights, Path(folder), compute, options)


def noise(folder: Path, frames: int, size: int) -> FrameStore:
    """A frame store of one grey clip on disk, which grows brighter so that frames differ."""
    clip = np.random.default_rng(0).integers(0, 128, (size, size, frames), dtype=np.uint8)
    clip += np.linspace(0, 127, frames).astype(np.uint8)
    np.save(folder / "clip.npy", np.ascontiguousarray(clip.transpose(2, 0, 1)[..., None]))
    return FrameStore({"clip": folder / "clip.npy"})


def features(
    store: FrameStore, weights: Path, folder: Path, compute: Compute, options: argparse.Namespace
) -> None:
    """The features stage, the bare forward pass, and images, a DataLoader and float32."""
    backbone = load_backbone(weights)
    compute.place(backbone)

    def stage() -> None:
        target, bins = folder / "features.parquet", folder / "bins.npy"
        extract_features(store, weights, target, bins=bins, compute=compute, about={})

    for row in range(len(store)):
        Image.fromarray(store.gather([row])[0, ..., 0]).save(folder / f"{row:06}.png")
    plain = load_backbone(weights).net.to(compute.device)

    @torch.inference_mode()
    def loader() -> None:
        files = Files(sorted(folder.glob("*.png")))
        for images in DataLoader(files, batch_size=32, num_workers=os.cpu_count() or 1):
            plain(images.to(compute.device)).cpu()

    others = forward_passes(backbone.net, len(store), compute, options)
    others["PIL, DataLoader, float32"] = loader
    compare("features stage", stage, others, len(store), options.turns, compute)


def maps(
    store: FrameStore, weights: Path, folder: Path, compute: Compute, options: argparse.Namespace
) -> None:
    """The pass for the maps of places, compiled, in float32 and int8, and the bare forward pass."""
    del folder
    rows, stages = np.arange(len(store)), ("trunk", "top")

    def look(network: PlaceMaps, frames: Inputs) -> None:
        for _ in raw_maps(network, frames, rows):
            pass

    def passing(one: Compute) -> tuple[PlaceMaps, Inputs]:
        backbone = load_backbone(weights)
        one.place(backbone)
        return PlaceMaps(backbone, stages), Inputs(store, one, again=False)

    ours = partial(look, *passing(compute))
    runs = forward_passes(passing(compute)[0].backbone.net, len(store), compute, options)
    runs["float32"] = partial(look, *passing(replace(compute, bf16=False)))
    if which("g++"):
        network, frames = passing(compute)
        network.fast = torch.compile(PlaceMaps(network.backbone, stages)).forward
        started = time.perf_counter()
        look(network, frames)
        runs["compiled"] = partial(look, network, frames)
        print(f"compiling took {time.perf_counter() - started:.1f} s, with a first turn")
    if compute.device.type == "cpu" and fast.is_there():
        network, frames = passing(compute)
        started = time.perf_counter()
        network.fast = quantised(network, frames, rows)
        runs["int8"] = partial(look, network, frames)
        print(f"quantising took {time.perf_counter() - started:.1f} s, once for each such pass")
    compare("maps", ours, runs, len(store), options.turns, compute)


def forward_passes(
    network: torch.nn.Module,
    frames: int,
    compute: Compute,
    options: argparse.Namespace,
) -> dict[str, Callable[[], None]]:
    """The bare forward pass on frames that lie on the device; on a GPU in batches of any size."""

    @torch.inference_mode()
    def bare(batch: int) -> None:
        images = torch.randn(batch, 3, options.size, options.size, device=compute.device)
        images = images.contiguous(memory_format=torch.channels_last)
        with compute.autocast():
            for begin in range(0, frames, batch):
                network(images[: frames - begin])

    sizes = [one for one in (32, 64, 128, 256, 512) if one <= frames]
    sizes = sizes if compute.device.type == "cuda" else sizes[:1]
    return {f"bare forward pass, {size} at a time": partial(bare, size) for size in sizes}


class Files(Dataset[torch.Tensor]):
    """Images as one would read them for a network of torchvision."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> torch.Tensor:
        image = np.asarray(Image.open(self.files[place]).convert("RGB"), np.float32) / 255
        return torch.from_numpy((image - MEAN) / STD).movedim(-1, 0)


def training(
    store: FrameStore, weights: Path, folder: Path, compute: Compute, options: argparse.Namespace
) -> None:
    """The training loop from a memory map, and forward + backward + step on tensors in memory."""
    del folder
    changes = {"batch_size": options.batch, "steps_per_epoch": options.steps}
    settings = TrainingSettings.read(with_defaults(changes, "method"))
    scorer = Scorer(load_backbone(weights))
    compute.place(scorer)
    optimiser = new_optimiser(scorer, settings, compute)
    half = len(store) // 2
    labels = pd.DataFrame({"row": np.arange(2 * half), "label": [1] * half + [0] * half})
    labels["weight"] = 1 / half
    inputs = Inputs(store, compute)

    def loop() -> None:
        batches = list(epoch_batches(labels, settings, rng=np.random.default_rng(0)))
        with compute.repeatable(search=True):
            for _ in train_steps(scorer, inputs, batches, optimiser, settings):
                pass

    network = Backbone("resnet50").net.train()
    network.fc = torch.nn.Sequential(
        torch.nn.Linear(2048, 100), torch.nn.ReLU(), torch.nn.Linear(100, 1)
    )
    compute.place(network)
    bare_optimiser = new_optimiser(network, settings, compute)
    images = torch.randn(options.batch, 3, options.size, options.size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.arange(options.batch, device=compute.device).remainder(2).float()

    def bare(network: Callable[[torch.Tensor], torch.Tensor]) -> None:
        torch.backends.cudnn.benchmark = True
        for _ in range(options.steps):
            with compute.autocast():
                scores = network(images).squeeze(1)
            loss = torch.nn.functional.l1_loss(scores.float(), targets)
            bare_optimiser.zero_grad(set_to_none=True)
            loss.backward()
            bare_optimiser.step()

    frames = options.steps * options.batch
    others = {"bare step": partial(bare, network)}
    if compute.device.type == "cuda":
        others["bare step, compiled"] = partial(bare, torch.compile(network))
    compare("training loop", loop, others, frames, options.turns, compute)


def sp(turns: int) -> None:
    """Sp as the workflow runs it, and as a loop over bags with scikit-learn's neighbours."""
    values = np.random.default_rng(0).normal(size=(150_000, 100)).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def ours() -> None:
        sp_scores(values, seed=0)

    ours()
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(f"150,000 x 100 features, m = 50, {os.cpu_count()} cores; memory added {added:.2f} GiB")

    def loop() -> None:
        rng = np.random.default_rng(0)
        for _ in range(50):
            bag = values[rng.choice(len(values), 8, replace=False)]
            NearestNeighbors(n_neighbors=1).fit(bag).kneighbors(values)

    compute = choose_compute("cpu")
    compare("sp_scores", ours, {"NearestNeighbors": loop}, len(values), turns, compute)


def compare(
    ours: str,
    run_ours: Callable[[], None],
    others: dict[str, Callable[[], None]],
    frames: int,
    turns: int,
    compute: Compute,
) -> None:
    """Time all in turns after one warm-up each, and print medians and the ratio of ours to each."""
    runs = {ours: run_ours, **others}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if compute.device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                rates[name].append(frames / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"| {compute.describe()}, median of {turns} turns | frames/s | ours to it |")
    print("|---|---:|---:|")
    for name, median in medians.items():
        print(f"| {name} | {median:,.1f} | {medians[ours] / median:.2f} |")


if __name__ == "__main__":
    try:
        main()
    except SdorError as error:
        sys.exit(str(error))
