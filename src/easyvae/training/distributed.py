"""One process or many, one device or many: what the training loop needs to know of them."""

import atexit
import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from easyvae.core.checks import missing

if TYPE_CHECKING:
    from accelerate import Accelerator

Result = TypeVar("Result")


class SingleProcess:
    """Training in this process alone; the interface that `ManyProcesses` shares."""

    rank = 0
    world = 1

    def __init__(self, device: str | torch.device) -> None:
        self.device = choose_device(device)

    def precision(self, name: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
        """Returns the dtype of the convolutions, see `choose_precision`."""
        return choose_precision(name, self.device)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Returns the module to call in training, whose gradients are shared by all processes."""
        return model

    def share_buffers(self, model: nn.Module) -> None:
        """Gives all processes the first one's buffers, such as the statistics of batch norms."""

    def sum(self, values: Tensor) -> Tensor:
        """Adds up a tensor over all processes."""
        return values

    def wait(self) -> None:
        """Waits until all processes are here."""

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Runs the block in the first process, and then, failed or not, in the others."""
        if self.rank > 0:
            self.wait()
        try:
            yield
        finally:
            if self.rank == 0:
                self.wait()

    def together(self, action: Callable[[], Result], what: str) -> Result:
        """Calls something in every process; if it fails in one, it fails in all.

        Otherwise those that go on would wait for ever for one whose error was caught.
        """
        return action()


class ManyProcesses(SingleProcess):
    """Training in the processes that an `accelerate.Accelerator` knows of."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self.accelerator = accelerator
        self.device = accelerator.device
        self.rank = accelerator.process_index
        self.world = accelerator.num_processes

    def precision(self, name: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
        """See `SingleProcess`; the accelerator's own choice comes before "auto"."""
        chosen = self.accelerator.mixed_precision
        if chosen not in ("no", "bf16"):
            raise ValueError(
                f"`accelerator` has mixed_precision={chosen!r}; it must be 'no' or 'bf16'"
            )
        if chosen == "bf16" and name == "float32":
            raise ValueError(
                "`precision` (='float32') contradicts the accelerator's mixed_precision='bf16'"
            )
        return super().precision("bfloat16" if chosen == "bf16" else name)

    def wrap(self, model: nn.Module) -> nn.Module:
        """See `SingleProcess`."""
        if self.world == 1:
            return model
        devices = None if self.device.type == "cpu" else [self.device]
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def share_buffers(self, model: nn.Module) -> None:
        """See `SingleProcess`."""
        if self.world > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def sum(self, values: Tensor) -> Tensor:
        """See `SingleProcess`."""
        if self.world == 1:
            return values
        # A copy on the processes' device: not every backend can add on the CPU.
        total: Tensor = self.accelerator.reduce(values.to(self.device), reduction="sum")
        return total.to(values.device)

    def wait(self) -> None:
        """See `SingleProcess`."""
        self.accelerator.wait_for_everyone()

    def together(self, action: Callable[[], Result], what: str) -> Result:
        """See `SingleProcess`."""
        failed = 1.0
        try:
            result = action()
            failed = 0.0
        finally:  # its own error, if there is one, goes on from here
            failures = self.sum(torch.tensor([failed]))
        if float(failures):
            raise RuntimeError(f"{what} has failed in another process, whose error says why")
        return result


def choose_processes(
    accelerator: "Accelerator | None", device: str | torch.device
) -> SingleProcess:
    """Returns the processes to train in; under `torchrun` an accelerator is made if need be."""
    if accelerator is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise missing("training in several processes", "accelerate") from error
        ours = not torch.distributed.is_initialized()
        # Imported later, by torch itself, it would keep the group in its functions' defaults.
        importlib.import_module("torch.distributed.nn.functional")
        accelerator = Accelerator(cpu=choose_device(device).type == "cpu")
        if ours:  # at the exit, not after a run: there may be another
            atexit.register(_end, accelerator)
    return SingleProcess(device) if accelerator is None else ManyProcesses(accelerator)


def _end(accelerator: "Accelerator") -> None:
    """Ends the group and its threads; one that outlives Python's interpreter aborts the process.

    They end with the last object that knows the group: errors keep models alive in cycles.
    """
    gc.collect()
    accelerator.end_training()


def choose_device(device: str | torch.device) -> torch.device:
    """Returns the device that a name stands for; "auto" is the fastest kind there is."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"`device` (={device!r}) must be 'auto' or a device of this machine ({reason})"
        ) from None
    return chosen


def choose_precision(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Returns the dtype of the convolutions; "auto" is bfloat16 where the device is fast at it."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(
            f"`precision` (={precision!r}) must be 'auto', 'float32' or 'bfloat16' (whose range, "
            "unlike float16's, needs no loss scaling)"
        )
    fast = precision == "auto" and bfloat16_is_fast(device)
    return torch.bfloat16 if fast or precision == "bfloat16" else torch.float32


def bfloat16_is_fast(device: torch.device) -> bool:
    """Returns whether a device computes in bfloat16 itself; elsewhere it is emulated, and slow."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False
