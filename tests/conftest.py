"""What every test shares: one thread, a fixed seed, and the same hypothesis examples each time.

`pytest --precision-auto bfloat16` runs the tests as on a machine that is fast at bfloat16, and
`--precision-auto float32` as on one that is not, whatever this one is.
"""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

from easyvae.training import distributed as processes

# A busy machine is no failure, and a test that fails fails again.
settings.register_profile(
    "easyvae",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("easyvae")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--precision-auto",
        choices=["machine", "float32", "bfloat16"],
        default="machine",
        help="what precision='auto' stands for; by default, what this machine is fast at",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"precision-auto: {config.getoption('--precision-auto')}"


@pytest.fixture(scope="session", autouse=True)
def chosen_precision(pytestconfig: pytest.Config) -> Iterator[str]:
    """Has "auto" choose what the option asks for, and returns what that is on the CPU.

    A process that a test starts is not reached: there it has to be passed as `precision`.
    """
    chosen = pytestconfig.getoption("--precision-auto")
    with pytest.MonkeyPatch.context() as patch:
        if chosen != "machine":
            patch.setattr(processes, "bfloat16_is_fast", lambda device: chosen == "bfloat16")
        yield str(processes.choose_precision("auto", torch.device("cpu"))).removeprefix("torch.")


@pytest.fixture(params=["float32", "bfloat16"])
def either_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test as on a machine of each kind; returns what precision="auto" chooses there."""
    chosen: str = request.param
    monkeypatch.setattr(processes, "bfloat16_is_fast", lambda device: chosen == "bfloat16")
    return chosen


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more threads, and sums come out in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
