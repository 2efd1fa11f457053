"""Foreign hosts and origins, headers, and what a hostile request gets from a real server."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app_tools import (
    Client,
    Image,
    Running,
    client_of,
    encode,
    httpx,
    make_app,
    make_model,
    make_pictures,
    wait_until,
)
from easyvae.app import create_app, security, uploads, uvicorn_server
from easyvae.app.uvicorn_server import Server, listen

PNG = encode(Image.new("RGB", (16, 16), "teal"))
PROGRESSIVE = encode(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with client_of(make_app(tmp_path_factory.mktemp("cache"))) as client:
        yield client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that is patient for a second only."""
    patch = pytest.MonkeyPatch()
    patch.setattr(uvicorn_server, "HEADER_SECONDS", 1.0)
    patch.setattr(security, "DRAIN", 3.0)
    with Running(make_app(tmp_path_factory.mktemp("cache"), upload_seconds=1.0)) as running:
        yield running
    patch.undo()


class Peak:
    """How many bytes of memory this process, and so the server in it, takes at most."""

    def __enter__(self) -> "Peak":
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        except OSError:
            pytest.skip("the peak of memory is measured on Linux only")
        self._before = self._highest()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = self._highest() - self._before

    def _highest(self) -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def answer_of(connection: socket.socket) -> bytes:
    """Reads until the server closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass
    return b"".join(parts)


PIECE = bytes(2**20)
HEAD = b"POST /api/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/info", "/nothing"])
def test_every_answer_has_the_safety_headers(client: Client, path: str) -> None:
    """No script or style but the page's own, no sniffing, no referrer, no framing."""
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_page_has_nothing_inline() -> None:
    """No inline script, style or handler, which the policy would refuse; no foreign address."""
    import re
    from importlib.resources import files

    static = files("easyvae.app").joinpath("static")
    page = static.joinpath("index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)
    for file in static.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text), (
            file
        )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "10.0.0.1",
        "",
        "127.0.0.1@evil.example",
        "[::2]:80",
    ],
)
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    """As a name that was pointed here (DNS rebinding) would be."""
    assert client.get("/api/info", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "LOCALHOST:1", "[::1]:8000"])
def test_the_names_of_this_machine_are_known(client: Client, host: str) -> None:
    """With any port."""
    assert client.get("/api/info", headers={"host": host}).status_code == 200


def test_with_all_addresses_figures_will_do(tmp_path: Path) -> None:
    """A name cannot be rebound to them; other names still are foreign."""
    with client_of(make_app(tmp_path, hosts=["*", "studio.local"])) as client:
        for host, status in (
            ("192.168.1.7:8000", 200),
            ("studio.local", 200),
            ("evil.example", 400),
        ):
            assert client.get("/api/info", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_origin_is_refused_everywhere(client: Client, headers: dict[str, str]) -> None:
    """A page elsewhere can make a browser ask for things here, and send them."""
    answer = client.request("POST", "/api/uploads", content=PNG, headers=headers)
    assert answer.status_code == 403
    for route in client.app.routes:
        path = route.path.format(name="main.js", sheet=0)
        assert client.get(path, headers=headers).status_code == 403, path
        assert client.request("HEAD", path, headers=headers).status_code == 403, path


def test_a_link_from_elsewhere_may_be_followed(client: Client) -> None:
    """To the page, or to a picture of it; but not one that sends something."""
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    for path in ("/", "/api/originals.png?refs=p1"):
        assert client.get(path, headers=headers).status_code == 200
    answer = client.request("POST", "/api/uploads", content=PNG, headers=headers)
    assert answer.status_code == 403


def test_a_fault_of_the_server_is_an_answer_like_any_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In JSON, with the safety headers, and with a traceback in the log alone."""
    app = make_app(tmp_path)
    app.state.mixer.gallery.colours = lambda: 1 / 0
    with client_of(app) as client:
        answer = client.get("/api/colours.bin")
    assert answer.status_code == 500
    assert answer.json()["error"] == "failed"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" not in answer.text


def test_the_own_page_may_upload(client: Client) -> None:
    """As may a program, which sends no origin."""
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    for more in (headers, {}):
        answer = client.request("POST", "/api/uploads", content=PNG, headers=more)
        assert answer.status_code == 201


def test_other_methods_are_refused(client: Client) -> None:
    """And so is a body where none belongs."""
    assert client.request("DELETE", "/api/uploads").status_code == 405
    assert client.request("POST", "/api/info").status_code == 405
    assert client.request("GET", "/api/info", content=b"x").status_code == 400


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"<html><script>alert(1)</script></html>", 415, "not_a_picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not_a_picture"),
        (b"SIMPLE  =                    T", 415, "not_a_picture"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "not_a_picture"),
        (encode(Image.new("RGB", (64, 64)), "JPEG")[:300], 415, "not_a_picture"),
        (encode(Image.new("RGB", (64, 64)), "GIF"), 415, "not_a_picture"),
        (PNG[:60], 415, "not_a_picture"),
        (PROGRESSIVE[:-2] + LAST_SCAN * 5000 + b"\xff\xd9", 415, "not_a_picture"),
    ],
    ids=["empty", "html", "eps", "fits", "svg", "cut jpeg", "gif", "cut png", "scans"],
)
def test_what_is_no_picture_is_refused(
    client: Client, file: bytes, status: int, code: str
) -> None:
    """By its content, whatever it is called."""
    answer = client.request("POST", "/api/uploads", content=file)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def bomb(side: int) -> bytes:
    """Returns a small PNG of many pixels."""
    import struct

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    row = zlib.compress(b"\0" * ((side + 7) // 8 + 1) * side, 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [6500, 13500])
def test_a_bomb_is_not_opened(client: Client, side: int) -> None:
    """A PNG of a few KB that would open to 40 megapixels and more: seen before it is decoded."""
    file = bomb(side)
    with Peak() as peak:
        answer = client.request("POST", "/api/uploads", content=file)
    assert len(file) < 40_000
    assert (answer.status_code, answer.json()["error"]) == (413, "too_many_pixels")
    assert peak.bytes < 20e6


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/../../etc/passwd",
        "/static/main.js%00.html",
        "/api/sheets/..%2f0.jpg",
        "/static/..\\server.py",
    ],
)
def test_no_path_leads_out(running: Running, path: str) -> None:
    """Names are looked up, never opened: whatever they say, there is no such file."""
    with running.raw() as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = answer_of(connection)
    assert answer.split(b" ", 2)[1] in (b"404", b"400")
    assert b"root:" not in answer
    assert b"create_app" not in answer


@pytest.mark.parametrize("announced", [True, False])
def test_one_byte_too_many_is_refused(client: Client, announced: bool) -> None:
    """Ten megabytes are looked at; with one byte more they are not, whether or not it was told."""

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield bytes(min(100_000, size - start))

    for size, status, code in (
        (uploads.MAX_BYTES, 415, "not_a_picture"),
        (uploads.MAX_BYTES + 1, 413, "too_large"),
    ):
        content = bytes(size) if announced else pieces(size)
        answer = client.request("POST", "/api/uploads", content=content)
        assert ("content-length" in answer.request.headers) == announced
        assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_body_of_100_mb_is_refused(running: Running) -> None:
    """By what it announces, without being read into memory; the client sees the answer."""
    with Peak() as peak, running.raw() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000000\r\n\r\n")
        for _ in range(95):
            connection.sendall(PIECE)
        head, _, body = answer_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"] == "too_large"
    assert peak.bytes < 10e6
    assert running.alive()


def test_an_endless_chunked_body_is_refused(running: Running) -> None:
    """After ten megabytes, however many were to come: while it is still being sent."""
    with Peak() as peak, running.raw() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        while not select.select([connection], [], [], 0)[0]:
            connection.sendall(b"100000\r\n" + PIECE + b"\r\n")
            sent += 1
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert 10 <= sent < 200
    assert peak.bytes < 40e6
    assert running.alive()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"\r\n", b"400"),  # no length, and so no body
        (HEAD + b"Content-Length: 99\r\n\r\nshort", b"408"),  # it waits, but not for ever
        (HEAD + b"Content-Length: 3\r\n\r\nlonger than that", b"415"),
        (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"400"),
    ],
    ids=["missing", "too large", "too small", "negative", "huge", "two", "no chunk"],
)
def test_a_lying_length_gets_an_answer(running: Running, request_: bytes, status: bytes) -> None:
    """A 4xx, after a second at most."""
    with running.raw() as connection:
        connection.sendall(request_)
        connection.settimeout(15)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.split(b" ", 2)[1] in (status, b"413")
    assert running.alive()


def test_a_slow_drip_is_cut_off(running: Running) -> None:
    """A body that comes a byte at a time gets a 408; a head that does, the end of the line."""
    for request in (HEAD + b"Content-Length: 1000\r\n\r\n", b"GET / HTTP/1.1\r\n"):
        with running.raw() as connection:
            connection.sendall(request)
            end = time.monotonic() + 20
            try:
                while time.monotonic() < end:
                    connection.sendall(b"x")
                    time.sleep(0.1)
                    connection.setblocking(False)
                    try:
                        answer = connection.recv(4096)
                        break
                    except BlockingIOError:
                        pass
                    finally:
                        connection.setblocking(True)
            except ConnectionError:
                answer = b""
            assert time.monotonic() < end
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
    assert running.alive()


def test_a_silent_connection_is_closed(running: Running) -> None:
    """One that never says anything does not stay open."""
    with running.raw() as connection:
        assert connection.recv(10) == b""


def large_answer() -> Any:
    """Returns an application that says more than a connection holds by itself."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    return Starlette(routes=[Route("/", lambda _: Response(bytes(16 * 2**20)))])


@pytest.mark.parametrize("reads", [False, True])
def test_an_answer_waits_for_a_client_that_reads(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """However slowly, as long as it does; of one that never does, nothing is left."""
    monkeypatch.setattr(uvicorn_server, "WRITE_SECONDS", 0.5)
    with Running(large_answer()) as running, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        wait_until(lambda: running.connections == 1)
        if reads:
            found = 0
            for _ in range(20):
                found += len(connection.recv(2**19))
                time.sleep(0.05)
            found += len(answer_of(connection))
            assert found > 16 * 2**20
        else:
            wait_until(lambda: running.connections == 0, 10)
            assert len(answer_of(connection)) < 16 * 2**20


def test_nobody_is_told_of_a_server_that_has_not_started(caplog: pytest.LogCaptureFixture) -> None:
    """As when the application fails to start."""
    from starlette.applications import Starlette

    @contextlib.asynccontextmanager
    async def fail(_: Any) -> Any:
        raise ValueError("no")
        yield

    told: list[bool] = []
    with listen("127.0.0.1", 0) as bound, contextlib.suppress(SystemExit):
        Server(Starlette(lifespan=fail), lambda: told.append(True)).run(sockets=[bound])
    assert told == []


def many_clients() -> Any:
    """Returns a client of as many connections as are asked for."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.Client(limits=limits, timeout=120, verify=False, trust_env=False)


def test_fifty_uploads_at_once_are_taken_in_turn(tmp_path: Path) -> None:
    """All are accepted in the end; no more than four are in memory until they are decoded."""
    app = make_app(tmp_path)
    gate, started = threading.Event(), threading.Event()
    kept = app.state.mixer.uploads
    add = kept.add
    kept.add = lambda data: (started.set(), gate.wait(30), add(data))[2]
    rest = bytes(9_900_000)  # behind the picture's end

    def send(number: int) -> bytes:
        with running.raw() as connection:
            length = len(PNG) + len(rest)
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % length + PNG)
            connection.sendall(rest)
            return connection.recv(12)

    with Running(app) as running, ThreadPoolExecutor(50) as pool:
        with Peak() as peak:
            answers = [pool.submit(send, number) for number in range(50)]
            assert started.wait(20)
            time.sleep(1)  # for all that would be read
            gate.set()
            statuses = {answer.result() for answer in answers}
        assert statuses == {b"HTTP/1.1 201"}
        assert peak.bytes < 200e6  # all of them would be 500 MB
        assert running.alive()


def test_a_slow_decoder_holds_up_nobody(tmp_path: Path) -> None:
    """While one picture is decoded for ever others are, mixes are drawn, and the server ends."""
    app = make_app(tmp_path)
    gate, started = threading.Event(), threading.Event()
    kept = app.state.mixer.uploads
    add = kept.add
    slow = encode(Image.new("RGB", (16, 16), "red"))

    def add_slowly(data: bytes) -> str:
        if data == slow:
            started.set()
            gate.wait(60)
        return str(add(data))

    kept.add = add_slowly
    with Running(app) as running, running.raw() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(slow) + slow)
        assert started.wait(20)
        with many_clients() as clients:
            answer = clients.post(f"{running.address}/api/uploads", content=PNG)
            assert answer.status_code == 201
            query = f"model={app.state.mixer.models[0].id}&refs={answer.json()['ref']},s1t80"
            assert clients.get(f"{running.address}/api/mix.png?{query}").status_code == 200
        began = time.monotonic()
    try:
        assert time.monotonic() - began < 5  # a second of grace, on a busy machine
    finally:
        gate.set()


@pytest.mark.skipif(os.name != "posix", reason="stopped by a signal")
def test_a_slow_decoder_does_not_hold_the_process(tmp_path: Path) -> None:
    """Ctrl-C ends it while a picture is decoded, which nothing can interrupt."""
    script = """
import sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from app_tools import httpx, make_app
from easyvae.app.uvicorn_server import listen, serve

app = make_app(Path(sys.argv[1]))
app.state.mixer.uploads.add = lambda data: (print("decoding", flush=True), time.sleep(60))
bound = listen("127.0.0.1", 0)
address = f"http://127.0.0.1:{bound.getsockname()[1]}/api/uploads"
send = lambda: httpx.post(address, content=b"x", timeout=60)
try:
    serve(app, bound, ready=threading.Thread(target=send, daemon=True).start)
except KeyboardInterrupt:
    pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "decoding\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "Traceback" not in said


def test_a_client_that_gives_up_waiting_frees_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others hold all turns, with a body that is whole already."""
    monkeypatch.setattr(uploads, "QUEUE", 2)
    app = make_app(tmp_path)
    taking = app.state.mixer.upload_reader
    with Running(app) as running, contextlib.ExitStack() as stack:
        for _ in range(uploads.AT_ONCE):
            slow = stack.enter_context(running.raw())
            slow.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(200_000))
        wait_until(taking._places.locked)
        for _ in range(4):
            with running.raw() as hasty:
                hasty.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(PNG) + PNG)
                wait_until(lambda: taking._waiting == 1)
            wait_until(lambda: taking._waiting == 0)


def test_too_much_work_is_put_off(tmp_path: Path) -> None:
    """Beyond the queue a request is told when to come back, and the others are answered."""
    app = make_app(tmp_path)
    with Running(app) as running:
        gate = threading.Event()
        blender = app.state.mixer.models[0].blender
        draw = blender.draw
        blender.draw = lambda references: (gate.wait(30), draw(references))[1]
        model = app.state.mixer.models[0].id

        def send(number: int) -> httpx.Response:
            path = f"/api/pictures.png?model={model}&refs=p{number % 40}"
            return clients.get(running.address + path)

        with many_clients() as clients, ThreadPoolExecutor(60) as pool:
            answers = [pool.submit(send, number) for number in range(60)]
            wait_until(lambda: sum(answer.done() for answer in answers) >= 27)
            early = [answer.result() for answer in answers if answer.done()]
            gate.set()
            statuses = [answer.result().status_code for answer in answers]
        assert {(a.status_code, a.headers["retry-after"]) for a in early} == {(503, "1")}
        assert statuses.count(200) == 33  # one at work, and those that wait
        assert running.alive()


def test_html_in_a_file_name_is_text(tmp_path: Path) -> None:
    """A caption comes as JSON, which no browser takes for a page, and unprintables are escaped."""
    name = "<img src=x onerror=alert(1)>\n.png"
    pictures = make_pictures(names=[name] * 40)
    app = create_app({"small": make_model()}, pictures, title="<i>cats", cache=tmp_path)
    with client_of(app) as client:
        answer = client.get("/api/sheets/0.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()[0] == "<img src=x onerror=alert(1)>\\n.png"
        step = client.get(f"/api/step.png?model={client.model()}&refs=p1,p2&steps=3")
        assert 'filename="i-cats-step-1-of-3.png"' in step.headers["content-disposition"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("caf\udce9", "caf\\udce9"),
        ("\x1b]0;evil\x07\r\n", "\\x1b]0;evil\\x07\\r\\n"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
    ids=["latin-1", "escapes", "right to left"],
)
def test_names_that_are_no_text_are_shown_escaped(tmp_path: Path, name: str, shown: str) -> None:
    """Of the set, its pictures, a model and what fails: the page needs text to start."""

    def fail(_: object) -> Any:
        raise ValueError(f"no {name}")

    failing = make_model(seed=1)
    failing.encode = fail  # type: ignore[method-assign]
    app = create_app(
        {name: make_model(), f"{name}2": failing},
        make_pictures(names=[name] * 40),
        title=name,
        cache=tmp_path,
    )
    with client_of(app) as client:
        step = client.get(f"/api/step.png?model={client.model()}&refs=p1,p2&steps=3")
        assert step.headers["content-disposition"].isprintable()
        failed = wait_until(lambda: client.json("/api/info")["models"][1]["failed"])
        assert failed == f"{shown}2: no {shown}"
        info = client.json("/api/info")
        assert info["pictures"]["title"] == shown
        assert [model["name"] for model in info["models"]] == [shown, f"{shown}2"]
        assert client.json("/api/sheets/0.json") == [shown] * 40


def test_dots_in_names_lead_nowhere(tmp_path: Path) -> None:
    """In the names of pictures, the set and a model, and where requests name them."""
    names = ["../../evil.png", "/etc/passwd", "..\\evil.png", "%2e%2e/evil.png"] * 10
    app = create_app(
        {"../up": make_model()},
        make_pictures(names=names),
        title="../../etc/evil.zip",
        cache=tmp_path / "a" / "cache",
    )
    with client_of(app) as client:
        model = client.model()
        assert client.json("/api/sheets/0.json") == names
        assert client.json("/api/info")["models"][0]["name"] == "../up"
        step = client.answer(f"/api/step.png?model={model}&refs=p1,p2&steps=3")
        assert 'filename="evil-step-1-of-3.png"' in step.headers["content-disposition"]
        for query in ("model=../up&refs=p1,p2", f"model={model}&refs=../p1,p2"):
            assert client.get(f"/api/mix.png?{query}").status_code in (400, 404)
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.parent for path in files} == {Path("a/cache")}
    assert {path.suffix for path in files} == {".safetensors"}


def test_nothing_is_written_but_the_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads and mixes leave no file anywhere: not in the cache, nor where temporary files go.

    What is computed once of the set, its latents and their mixture, is in the cache by then.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    with client_of(make_app(tmp_path / "cache")) as client:
        model = client.model()
        client.picture(f"/api/pictures.png?model={model}&refs=g1t80")  # the mixture is kept too
        before = set(tmp_path.rglob("*"))
        name = client.request("POST", "/api/uploads", content=PNG).json()["ref"]
        client.request("POST", "/api/uploads", content=b"../../evil")
        client.picture(f"/api/mix.png?model={model}&refs={name},p1")
        assert client.get("/static/%2e%2e/x").status_code == 404
        assert set(tmp_path.rglob("*")) == before
    names = sorted(path.name.partition("-")[0] for path in (tmp_path / "cache").iterdir())
    assert names == ["latents", "mixture"]
