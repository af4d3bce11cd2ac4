"""Files: written whole or not at all, and why one cannot be."""

import os
import shutil
import tempfile
from pathlib import Path


def why(error: Exception) -> str:
    """Return what an operating system's error says, without its number and the path, which a message names itself."""
    return getattr(error, "strerror", None) or str(error)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content in one step: whoever reads it, or interrupts this, finds the old or the new one.

    A device or a pipe is written to as it is. Links are followed, and the mode of an existing file is kept.

    Raises:
        OSError: It cannot be written; an existing file is as it was.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    # In the same folder: a rename across file systems is a copy.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _keep_mode(path, file.name)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _keep_mode(path: Path, temporary: str) -> None:
    if path.exists():
        shutil.copymode(path, temporary)
    else:
        # A temporary file is private; a new file is what the umask makes of it.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
