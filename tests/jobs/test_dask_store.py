"""A Dask cluster that writes into an S3 store and loses a worker and an upload; a training loop reads what it made."""

import http.client
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.builds import start, wait_for
from support.clusters import BUILD, DaskCluster, same
from support.stores import s3_environment, s3_server, s3_store

from uvgen.synth.sample_set import builtin_samples

pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install '.[stores]'")
pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytestmark = pytest.mark.slow


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, but cuts the connection in the middle of the uploads whose numbers are `lost`."""

    daemon_threads = True

    def __init__(self, address: str, lost: set[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.lost, self.uploads = urlsplit(address), lost, 0
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:  # of clients that were killed
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.command == "PUT" and ".h5" in self.path:
            with self.server.lock:
                self.server.uploads += 1
                number = self.server.uploads
            if number in self.server.lost:
                self.rfile.read(length // 2)
                self.close_connection = True
                return
        body = self.rfile.read(length) if length else None
        connection = http.client.HTTPConnection(str(self.server.target.hostname), self.server.target.port)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        said = answer.getheader("Content-Length") or str(len(data))
        self.send_header("Content-Length", said if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 -- the names that the base class calls

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(lost: set[int]) -> Iterator[Proxy]:
    server = Proxy(s3_server(), lost)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.vital
def test_build_on_dask_into_s3_with_a_worker_killed_and_an_upload_lost_has_the_bytes_of_a_local_one(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = builtin_samples()
    shutil.copytree(samples, tmp_path / "cache" / samples.name)  # to make them takes seconds
    with ExitStack() as stack:
        url = stack.enter_context(s3_store(tmp_path, "cluster"))
        server = stack.enter_context(proxy({2, 3}))
        for name, value in s3_environment(f"http://127.0.0.1:{server.server_port}", tmp_path).items():
            monkeypatch.setenv(name, value)  # of the cluster's processes and of the command
        (tmp_path / "dask").mkdir()
        cluster = DaskCluster(tmp_path / "dask", stack)
        build = start(*BUILD, "--out", f"{url}/shards", "--backend", "dask", "--address", cluster.file)
        wait_for(lambda: server.uploads > 3, build)
        cluster.workers[0].kill()
        _, errors = build.communicate()
        assert build.returncode == 0, errors
        assert server.uploads > len([*local.glob("*.h5")])  # some were tried again

        from uvgen.storage.objects import fetch, listed
        from uvgen.storage.urls import local_path

        for name in listed(local_path(f"{url}/shards")):
            fetch(local_path(f"{url}/shards/{name}"), tmp_path / "fetched" / name)
        assert same(tmp_path / "fetched", local)
        monkeypatch.setenv("UVGEN_CACHE", str(tmp_path / "trainer"))
        assert train(f"{url}/shards") < train(f"{url}/shards", steps=1)
        assert sorted(os.listdir(tmp_path / "trainer/objects"))  # it was fetched by the trainer


def train(path: str, steps: int = 30) -> float:
    """The loss of a linear model of the mean color that was trained on a store for so many steps."""
    from torch.utils.data import DataLoader

    from uvgen.torch import ShardDataset, ShardSampler

    torch.manual_seed(0)
    data = ShardDataset(path)
    loader = DataLoader(data, batch_size=16, sampler=ShardSampler(data), num_workers=2)
    network = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    left, loss = steps, torch.zeros(())
    while left:
        for batch in loader:
            found = network(batch["image"].mean(dim=(2, 3)))
            loss = torch.nn.functional.mse_loss(found, batch["posmap"].mean(dim=(2, 3)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not (left := left - 1):
                break
    return float(loss.detach())
