"""A real S3 API over HTTP on loopback: the server of moto in a process of its own."""

from __future__ import annotations

import html
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

START_SECONDS_MAX = 60.0
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEYOFTHETESTS"
# Moto reads who asks and verifies no signature.
_SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20240501/us-east-1/s3/aws4_request, Signature=0"}


@dataclass
class S3Server:
    url: str
    http: httpx.Client = field(repr=False)

    def make_bucket(self, name: str) -> str:
        self.http.put(f"/{name}").raise_for_status()
        return name

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.http.put(f"/{bucket}/{key}", content=content).raise_for_status()

    def empty(self, bucket: str) -> None:
        for key in self.keys(bucket):
            self.http.delete(f"/{bucket}/{quote(key)}").raise_for_status()

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects, in order."""
        answer = self.http.get(f"/{bucket}", params={"list-type": "2"})
        answer.raise_for_status()
        return sorted(html.unescape(key) for key in re.findall("<Key>(.*?)</Key>", answer.text))

    def get(self, bucket: str, key: str) -> bytes:
        answer = self.http.get(f"/{bucket}/{quote(key)}")
        answer.raise_for_status()
        return answer.content

    @property
    def connection(self) -> dict[str, str]:
        """The settings of a connection to it."""
        return {"s3_access_key_id": KEY, "s3_secret_access_key": SECRET, "s3_endpoint_url": self.url}


@contextmanager
def running_s3() -> Iterator[S3Server]:
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=_SIGNED, timeout=30) as http:
            _wait(process, http)
            yield S3Server(f"http://127.0.0.1:{port}", http)
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], http: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            http.get("/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server did not start")
