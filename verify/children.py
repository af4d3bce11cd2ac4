"""Processes that examine a library which may end them."""

import contextlib
import subprocess
from typing import IO, Any


def end_process(process: "subprocess.Popen[Any]", errors: IO[bytes]) -> None:
    """End a process, which may have ended already, and close its pipes and the file of its errors."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, errors):
        if pipe is not None:
            with contextlib.suppress(OSError):  # a pipe that its reader left unread fails to flush
                pipe.close()
