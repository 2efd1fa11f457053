"""What the tests of the mixer share: a small mixer, and clients for it."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae import VAE
from easyvae.data import Pictures
from easyvae.kittens import draw_kittens

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("starlette", reason="starlette is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

from easyvae.app import create_app  # noqa: E402  # after the skips
from easyvae.app.uvicorn_server import Server, listen  # noqa: E402

HOST = "127.0.0.1:8000"


def make_pictures(count: int = 40, size: int = 16, **options: Any) -> Pictures:
    return Pictures(torch.from_numpy(draw_kittens(count, size=size)[0]), **options)


def make_model(size: int = 16, seed: int = 0) -> VAE:
    torch.manual_seed(seed)
    return VAE([8, 16], 6, image_size=size).eval()


class Client:
    """Sends requests to an application, without a network."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **options: Any) -> Any:
        headers = {"host": HOST, **options.pop("headers", {})}

        async def send() -> Any:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                return await client.request(method, path, headers=headers, **options)

        return self._runner.run(send())

    def get(self, path: str, **options: Any) -> Any:
        return self.request("GET", path, **options)

    def picture(self, path: str) -> Any:
        """Returns a picture as a tensor, (C, H, W) in uint8."""
        return read_pixels(self.answer(path).content)

    def answer(self, path: str) -> Any:
        """Waits, as the page does, until the server has what is asked for."""
        answer = wait_until(lambda: (a := self.get(path)).status_code != 503 and a)
        assert answer.status_code == 200, answer.text
        return answer

    def json(self, path: str) -> Any:
        return self.answer(path).json()

    def model(self, number: int = 0) -> str:
        """Returns a model's id, once the set's latents are there."""
        return str(wait_until(lambda: self._ready(number)))

    def _ready(self, number: int) -> str | None:
        model = self.json("/api/info")["models"][number]
        return model["id"] if model["ready"] else None

    def close(self) -> None:
        self.app.state.mixer.stop()
        self._runner.close()


@contextmanager
def client_of(app: Any) -> Iterator[Client]:
    client = Client(app)
    try:
        yield client
    finally:
        client.close()


def read_pixels(data: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(data)) as image:
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        return pixels.reshape(image.height, image.width, 3).permute(2, 0, 1)


def cell(sheet: torch.Tensor, number: int, size: int, columns: int = 8) -> torch.Tensor:
    """Returns one picture of a sheet."""
    top, left = number // columns * size, number % columns * size
    return sheet[:, top : top + size, left : left + size]


def encode(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def wait_until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits for something to be true, and returns it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


class Running:
    """A server of its own, in a thread.

    Attributes:
        address: Where it is.
        port: Of this machine.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._bound = listen("127.0.0.1", 0)
        self.port = self._bound.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._ready = threading.Event()
        self._server = Server(app, self._ready.set)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._bound],), daemon=True
        )

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._bound.close()
        assert not self._thread.is_alive()

    def raw(self) -> socket.socket:
        """Opens a connection, to say anything at all over."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.settimeout(30)
        return connection

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.server_state.connections)

    def alive(self) -> bool:
        """Tells whether an ordinary request is answered."""
        address = f"{self.address}/api/info"
        return bool(httpx.get(address, timeout=20, verify=False).status_code == 200)


def make_app(cache: Path, **options: Any) -> Any:
    return create_app(
        {"small": make_model()}, make_pictures(), title="kittens", cache=cache, **options
    )
