"""Training: one loop, for one process or many, that goes on exactly where it was stopped."""

from easyvae.training.history import History, Row
from easyvae.training.loop import Callback, RunState, fit
from easyvae.training.optim import Muon, default_optimizer, lr_factor, orthogonalize
from easyvae.training.principal_start import principal_start
from easyvae.training.run_folder import RunFolder
from easyvae.training.trainer import NonFiniteError

__all__ = [
    "Callback",
    "History",
    "Muon",
    "NonFiniteError",
    "Row",
    "RunFolder",
    "RunState",
    "default_optimizer",
    "fit",
    "lr_factor",
    "orthogonalize",
    "principal_start",
]
