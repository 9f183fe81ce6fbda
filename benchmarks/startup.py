"""Where the seconds go before a process trains at its full rate, each phase in turn."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from sdor.errors import SdorError


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Time what is done in it, up to the end of what it asked of the device."""
    started = time.perf_counter()
    yield
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.synchronize()
    print(f"| {name} | {time.perf_counter() - started:.2f} |", flush=True)


def main() -> None:
    """Start as the stage that trains does, on made-up frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128, help="of a training step")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32", "int8"])
    options = parser.parse_args()
    print("| phase | s |\n|---|---:|")
    with phase("torch is imported"):
        import torch
    with phase("the stage's modules are imported"):
        import numpy as np
        import pandas as pd

        from sdor.method.scorer import new_scorer
        from sdor.method.training import epoch_batches, new_optimiser, train_steps
        from sdor.networks.backbones import load_backbone
        from sdor.networks.compute import choose_compute
        from sdor.networks.inputs import Inputs
        from sdor.study.settings import TrainingSettings
    from throughput import noise

    from sdor.networks.fetch import resolve_weights
    from sdor.study.config import with_defaults

    changes = {"batch_size": options.batch, "steps_per_epoch": 1}
    settings = TrainingSettings.read(with_defaults(changes, "method"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, weights = noise(folder, options.frames, options.size), folder / "w.safetensors"
        resolve_weights("resnet50", "random", weights)
        with phase("the device is chosen, and begins"):
            compute = choose_compute(options.device, options.precision)
            torch.zeros(1, device=compute.device)
        with phase("weights are read and lie on it"):
            scorer = new_scorer(load_backbone(weights), settings, seed=[0])
            compute.place(scorer)
        with phase("frames lie where they are read from"):
            inputs = Inputs(store, compute)
        optimiser = new_optimiser(scorer, settings, compute)
        half = options.frames // 2
        labels = pd.DataFrame({"row": np.arange(2 * half), "label": [1] * half + [0] * half})
        labels["weight"] = 1 / half
        for step in range(1, options.steps + 1):
            with phase(f"step {step}"), compute.repeatable(search=True):
                batches = [*epoch_batches(labels, settings, rng=np.random.default_rng(step))]
                [*train_steps(scorer, inputs, batches, optimiser, settings)]
        print(f"\n{compute.describe()}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    try:
        main()
    except SdorError as error:
        sys.exit(str(error))
