"""Downloads from S3 past fsspec: each thread has a connection of its own, large files come in parts side by side, and
the SHA-256 is taken of the bytes as they arrive.

s3fs moves all bytes of a process through one thread, in pieces of 64 kB, and what is to be verified would have to be
read again: that takes nearly twice the processor time. Credentials, endpoint, proxies and certificates are those of
botocore, which s3fs stands on; a file system that was configured otherwise (fsspec's own configuration) is left to it.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import Any

from uvgen.storage.reading import let_go, max_bytes

PART = 32 << 20
"""Bytes of a part; up to twice as many come in one request."""

_AT_ONCE = 4  # parts of a file
_BLOCK = 256 << 10  # stays in a core's cache from the socket to the digest and the file
_CONNECTIONS = 64  # that are kept open, of all threads

_CLIENT = "_uvgen_client"
_lock = threading.Lock()


class WrongSizeError(Exception):
    """A store holds another number of bytes than what is known of the file."""

    def __init__(self, found: int) -> None:
        super().__init__(found)
        self.found = found


def client_of(system: Any, options: Mapping[str, Any]) -> Any | None:
    """A client of botocore that does what an fsspec file system does; None if it is not S3's, or not known whether.

    Parameters
    ----------
    system : AbstractFileSystem
        Of this process: fsspec makes a new one after a fork, and so is the client, whose connections none may share.
    options : mapping
        What it was made with.
    """
    kind = getattr(sys.modules.get("s3fs"), "S3FileSystem", None)  # None too while another thread imports s3fs
    if type(system) is not kind or system.storage_options.keys() != options.keys():
        return None
    with _lock:
        client = vars(system).get(_CLIENT)
        if client is None:
            from botocore.config import Config
            from botocore.session import get_session

            how = {**options["config_kwargs"], "max_pool_connections": _CONNECTIONS}
            try:  # without a checksum of the server's if the SHA-256 is compared
                config = Config(**how, response_checksum_validation="when_required")
            except TypeError:  # an older botocore, which takes none by itself
                config = Config(**how)
            client = get_session().create_client("s3", config=config)
            setattr(system, _CLIENT, client)  # to live as long as it; file systems that are equal are not one
        return client


def download(client: Any, bucket: str, key: str, handle: int, size: int | None, *, hashed: bool) -> str | None:
    """Write a file of S3 into an open, empty file.

    Parameters
    ----------
    client : botocore.client.S3
        See `client_of`.
    bucket, key : str
        Where the file is.
    handle : int
        Descriptor of the file.
    size : int, optional
        Bytes that it is known to have.
    hashed : bool
        Whether the SHA-256 is asked for; if not, the server is asked for a checksum of its own, which is compared.

    Returns
    -------
    str or None
        The SHA-256 of what was written.

    Raises
    ------
    WrongSizeError
        If it has another size, or, if that is not known, more than `max_bytes`.
    OSError
        Of the kinds that s3fs raises.
    """
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    asked = {"Bucket": bucket, "Key": key} | ({} if hashed else {"ChecksumMode": "ENABLED"})
    try:
        if size is not None and size > 2 * PART:
            return _in_parts(client, asked, handle, size, hashed=hashed)
        digest = hashlib.sha256() if hashed else None
        _receive(client, asked, handle, 0, size, digest, threading.Event(), max_bytes())
        return digest.hexdigest() if digest is not None else None
    except ClientError as error:
        raise translate_boto_error(error) from error


def _in_parts(client: Any, asked: Mapping[str, Any], handle: int, size: int, *, hashed: bool) -> str | None:
    """Fetch parts side by side; each is added to the digest, in their order, when it and those before are there."""
    digest = hashlib.sha256() if hashed else None
    stop = threading.Event()
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="uvgen-part")
    borders = [*range(0, size - PART // 2, PART), size]  # none is less than half a part

    def one(first: int, end: int, own: int) -> None:
        try:
            part = {**asked, "Range": f"bytes={first}-{end - 1}"}
            _receive(client, part, own, first, end - first, None, stop)
        except BaseException:
            let_go(own)
            raise
        os.close(own)

    try:
        tasks = []
        for first, end in pairwise(borders):
            own = os.dup(handle)  # a thread may go on for a while after an error, when `handle` is closed
            tasks.append((first, end, own, pool.submit(one, first, end, own)))
        for first, end, _, task in tasks:
            task.result()
            if digest is not None:
                for start in range(first, end, _BLOCK):
                    digest.update(os.pread(handle, min(_BLOCK, end - start), start))
    finally:
        stop.set()
        pool.shutdown(wait=False)
        for _, _, own, task in tasks:
            if task.cancel():
                let_go(own)
    return digest.hexdigest() if digest is not None else None


def _receive(
    client: Any, asked: Mapping[str, Any], handle: int, place: int, size: int | None, digest: Any,
    stop: threading.Event, most: int = sys.maxsize,
) -> None:  # fmt: skip
    """Write what the store answers into a file, from `place` on."""
    answer = client.get_object(**asked)
    with closing(answer["Body"]) as body:  # before its end is reached, closing it gives the connection up
        if size is not None and (found := answer.get("ContentLength", size)) != size:
            raise WrongSizeError(place + found)
        if size is None and (found := answer.get("ContentLength", 0)) > most:
            raise WrongSizeError(found)
        end = place + (most if size is None else size)  # a server need not say how much it sends, nor stop
        while not stop.is_set() and (block := body.read(_BLOCK)):
            if (found := place + len(block)) > end:
                raise WrongSizeError(found)
            if digest is not None:
                digest.update(block)
            left = memoryview(block)
            while left:
                written = os.pwrite(handle, left, place)
                left, place = left[written:], place + written
