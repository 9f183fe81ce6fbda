"""Hold methods and metrics against code that was not written here, and write VALIDATION.md.

By hand, in a copy of the environment, to which come references that the package does not need
(--no-deps, so that they bring no other torch):

    pip install pyod opencv-python-headless ttach
    pip install --no-deps grad-cam torchcam
    PYTHONPATH=workflow python tests/validation.py
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal.windows import gaussian
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors
from torch import nn

from sdor.competitors import unmasking
from sdor.evaluation import metrics
from sdor.method.initial import iforest_scores, sp_scores
from sdor.method.saliency import class_activation
from sdor.networks import vision

PAGE = Path(__file__).with_name("VALIDATION.md")
CASES = 100
INTRODUCTION = """\
# Held against other people's code

Written by `python tests/validation.py`, which says what it needs. Inputs are random; a difference
is absolute, and rounding is all that there should be.

| what | reference | cases | largest difference |
|---|---|--:|--:|
"""
# What is in no package index was looked at by hand.
BY_HAND = """
## Not run by the command

There is no package of these. They were compared by hand on made-up scores and maps. Of the code of
Georgescu et al. it was commit 01ae66b (github.com/lilygeorgescu/AED). Commits of the others were
not recorded, so that their comparisons cannot be repeated from here.

- RBDC and TBDC: code of Georgescu et al. (2021), and py-ssvad-metrics. Equal on the same regions at
  the same resolution. Published values are of boxes: 0.722 on maps where sets of pixels had 0.512.
- macro AUC: code of Georgescu et al. (2021). Equal. `within_clip` is another figure, since it
  leaves out the clips of one class, which theirs counts as 1: 0.751 on Ped2, where theirs is 0.846.
- Discriminability: the code of Del Giorno et al. (2016). Equal to the solver's tolerance.
- Unmasking: a public implementation of Ionescu et al. (2017). Equal but for rows of zeros, which
  it takes for the first half of a window whichever half they are of; here they count half. Their
  way, the two-sample test had 87.6 on the test clips of Ped2, and 86.7 as it is here.
"""

Comparison = tuple[str, str, int, float]
Labels = metrics.BoolArray


def of_rankings(rng: np.random.Generator) -> Iterator[Comparison]:
    """Scores with ties, of clips of which some hold one class only."""

    def eer(labels: Labels, scores: metrics.FloatArray, _: object) -> float:
        wrong, found, _ = roc_curve(labels, scores, drop_intermediate=False)
        return float(np.interp(1, wrong + found, wrong))

    def macro_auc(labels: Labels, scores: metrics.FloatArray, clip: metrics.IntArray) -> float:
        own = [(labels[clip == one], scores[clip == one]) for one in np.unique(clip)]
        padded = [([0, *truth, 1], [-1e9, *ranked, 1e9]) for truth, ranked in own]
        return float(np.mean([roc_auc_score(*one) for one in padded]))

    references = {
        "merged": ("roc_auc_score", lambda labels, scores, _: roc_auc_score(labels, scores)),
        "average_precision": (
            "average_precision_score",
            lambda labels, scores, _: average_precision_score(labels, scores),
        ),
        "eer": ("roc_curve", eer),
        "macro_auc": ("roc_auc_score, clip by clip, padded", macro_auc),
    }
    gaps: dict[str, list[float]] = {column: [] for column in references}
    for _ in range(CASES):
        clip = np.repeat(np.arange(6), rng.integers(2, 40, 6))
        labels = rng.random(len(clip)) < np.array([0.5, *rng.choice([0, 0.2, 0.6, 1], 5)])[clip]
        labels[:2] = True, False
        scores = np.round(rng.normal(size=len(clip)) + labels, 1)
        frames = metrics.LabelledFrames(clip, labels, ("",) * 6)
        ours = metrics.per_draw(scores, frames, np.ones((1, 6)))
        for column, (_, reference) in references.items():
            gaps[column].append(abs(float(ours[column][0]) - reference(labels, scores, clip)))
    for column, (name, _) in references.items():
        yield column, f"scikit-learn, {name}", CASES, max(gaps[column])


def of_detectors(rng: np.random.Generator) -> Iterator[Comparison]:
    from pyod.models.iforest import IForest
    from pyod.models.sampling import Sampling

    gaps: dict[tuple[str, str], list[float]] = {}
    for seed in range(10):
        rows = rng.normal(size=(300, 8))
        sample = rows[np.random.default_rng(seed).choice(300, 20, replace=False)]
        forest = IsolationForest(max_samples=256, random_state=seed).fit(rows)
        pyod = IForest(max_samples=256, random_state=seed).fit(rows)
        sampling = Sampling(subset_size=20, random_state=seed).fit(rows)
        sampling.subset = sample  # ours, so that both look at the same rows
        nearest = NearestNeighbors(n_neighbors=1).fit(sample).kneighbors(rows)[0][:, 0]
        trees = iforest_scores(rows, seed=seed)
        sp = sp_scores(rows, bags=1, bag_size=20, seed=seed)
        for what, ours, reference, theirs in (
            ("iForest", trees, "scikit-learn", -forest.score_samples(rows)),
            # Its zero is the threshold of its own share of outliers.
            ("iForest", trees, "PyOD", pyod.decision_scores_ - pyod.detector_.offset_),
            ("Sp, m = 1", sp, "PyOD, Sampling", sampling.decision_function(rows)),
            ("Sp, m = 1", sp, "scikit-learn, NearestNeighbors", nearest),
        ):
            gaps.setdefault((what, reference), []).append(float(np.abs(ours - theirs).max()))
    for (what, reference), found in gaps.items():
        yield what, reference, len(found), max(found)


def of_saliency(rng: np.random.Generator) -> Iterator[Comparison]:
    vision.models()  # before both, which import torchvision as it comes
    from pytorch_grad_cam import GradCAM
    from torchcam.methods import GradCAM as TorchGradCAM

    gaps: dict[str, list[float]] = {"pytorch-grad-cam": [], "torchcam": []}
    for seed in range(10):
        torch.manual_seed(seed)
        trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2))
        head = nn.Sequential(nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, 1))
        model = nn.Sequential(trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
        image = torch.from_numpy(rng.random((1, 3, 24, 32))).float()
        with torch.no_grad():
            ours = class_activation(head, trunk(image))[0].numpy()
        with GradCAM(model, [trunk[2]]) as cam:
            whole, raw = cam.get_cam_image, []
            # What it makes of the map afterwards (positive parts, scaled to [0, 1]) is for the eye.
            cam.get_cam_image = lambda *given: raw.append(whole(*given)) or raw[-1]  # noqa: B023
            cam(image, [lambda output: output[0]])
        with TorchGradCAM(model, trunk[2]) as extractor:
            extractor._relu = False
            (other,) = extractor(0, model(image), normalized=False)
        for name, found in (("pytorch-grad-cam", raw[0][0]), ("torchcam", other[0].numpy())):
            # Gradients of a mean are a pixel's share; their map has no constant.
            theirs = found * found.size
            gap = (theirs - theirs.mean()) - (ours - ours.mean())
            gaps[name].append(float(np.abs(gap).max()))
    for name, found in gaps.items():
        yield "class activation, without its constant", f"{name}, Grad-CAM", len(found), max(found)


def of_parts(rng: np.random.Generator) -> Iterator[Comparison]:
    gaps: dict[str, list[float]] = {"in time": [], "unmasking": [], "fit": []}
    labels = np.repeat([0, 1], [11, 10])
    window = gaussian(unmasking.TAPS, unmasking.SIGMA)
    for _ in range(20):
        lengths = rng.integers(1, 60, 4)
        scores, clips = rng.normal(size=lengths.sum()), np.repeat(np.arange(4), lengths)
        parts = np.split(scores, np.cumsum(lengths)[:-1])
        expected = np.concatenate([gaussian_filter1d(one, 3, mode="nearest") for one in parts])
        gaps["in time"].append(float(np.abs(metrics.smooth(scores, clips, 3) - expected).max()))
        full = [
            (np.convolve(one, window) / np.convolve(np.ones(len(one)), window))[12:-12]
            for one in parts
        ]
        found = unmasking.smooth(scores, lengths.tolist())
        gaps["unmasking"].append(float(np.abs(found - np.concatenate(full)).max()))
        rows = rng.normal(size=(21, 600))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        exact = LogisticRegression(C=0.5, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
        model = LogisticRegression(C=0.5, fit_intercept=False, solver="liblinear", tol=1e-6)
        _, decisions = unmasking.fit_in_span(rows @ rows.T, labels, model)
        gap = decisions - exact.fit(rows, labels).decision_function(rows)
        gaps["fit"].append(float(np.abs(gap).max()))
    yield "smoothing of scores", "SciPy, gaussian_filter1d", 20, max(gaps["in time"])
    yield "unmasking's smoothing", "NumPy, convolve; SciPy, gaussian", 20, max(gaps["unmasking"])
    fit = "scikit-learn, LogisticRegression (newton-cholesky)"
    yield "unmasking's fit from products of rows", fit, 20, max(gaps["fit"])


def main() -> None:
    rng = np.random.default_rng(0)
    lines = [
        f"| {what} | {reference} | {cases} | {gap:.1e} |\n"
        for compare in (of_rankings, of_detectors, of_saliency, of_parts)
        for what, reference, cases, gap in compare(rng)
    ]
    names = ("numpy", "scipy", "scikit-learn", "torch", "pyod", "grad-cam", "torchcam")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    PAGE.write_text(INTRODUCTION + "".join(lines) + f"\nVersions: {versions}.\n" + BY_HAND)


if __name__ == "__main__":
    main()
