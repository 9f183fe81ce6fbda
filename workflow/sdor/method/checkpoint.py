"""The state of a training after its last whole epoch, from which a stopped one goes on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import Optimizer

from sdor.files import atomic
from sdor.method.scorer import Scorer
from sdor.progress import logger

History = list[dict[str, float]]


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of a training.

    Attributes
    ----------
    fingerprint : of everything that the training follows from; a state with another one is ignored.
    """

    path: Path
    fingerprint: str

    def save(self, scorer: Scorer, optimiser: Optimizer, history: History) -> None:
        """Keep the state after an epoch, in place of the one before."""
        state = {
            "fingerprint": self.fingerprint,
            "scorer": scorer.trained_state(),
            "optimiser": optimiser.state_dict(),
            "history": history,
        }
        with atomic(self.path) as temporary:
            torch.save(state, temporary)

    def resume(self, scorer: Scorer, optimiser: Optimizer) -> History:
        """Take over the kept state, if there is one; returns the epochs that it stands for."""
        if not self.path.is_file():
            return []
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # whatever pickle and zipfile raise: a damaged checkpoint only costs time
            logger.warning("%s: damaged, training starts again", self.path)
            return []
        if saved["fingerprint"] != self.fingerprint:
            logger.info("%s: of other settings, training starts again", self.path)
            return []
        scorer.load_trained(saved["scorer"])
        optimiser.load_state_dict(saved["optimiser"])
        history: History = saved["history"]
        logger.info("resumed after epoch %d", len(history))
        return history
