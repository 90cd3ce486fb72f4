"""Processes for tests of compiled code: forked from one that has imported numba and has used its compiler.

Both take a second in each new process, which is most of what such tests would take. A fork has compiled nothing of a
test's own module, so it finds in the cache what a new process finds there.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

_SERVER = """
import json, os, sys, traceback
import numba.core.config
import uvgen.compiled
from numba import njit

@njit(error_model="numpy", nogil=True)
def warm(values, out):
    for i in range(values.shape[0]):
        out[i] = values[i] * 2

import numpy as np
for dtype in (np.float32, np.int32):
    warm(np.arange(3, dtype=dtype), np.zeros(3, dtype))

def serve(code, folder, environment, out, errors):
    os.dup2(out, 1)
    os.dup2(errors, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    numba.core.config.reload_config()
    sys.path[0] = ""
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    status = 0
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """A process that runs programs in forks of itself, one after another; to be closed."""

    def __init__(self) -> None:
        self._out, self._errors = TemporaryFile(), TemporaryFile()  # noqa: SIM115 -- closed with the process
        self._files = self._out.fileno(), self._errors.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=self._files,
        )  # fmt: skip
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process has ended with status {self._process.wait()}"
        return line.strip()

    def run(self, code: str, folder: Path, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """What `subprocess.run` gives of ``python -c code`` in this folder, with this environment."""
        for file in (self._out, self._errors):
            file.seek(0)
            file.truncate()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([code, str(folder), dict(environment), *self._files]) + "\n")
        self._process.stdin.flush()
        status = int(self._answer())
        texts = []
        for file in (self._out, self._errors):
            file.seek(0)
            texts.append(file.read().decode())
        return subprocess.CompletedProcess([sys.executable, "-c", code], status, *texts)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        self._process.wait()
        self._out.close()
        self._errors.close()
