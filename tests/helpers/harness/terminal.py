"""A command in a terminal of so many columns, as a person sees it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios


def start(words, columns, **options):
    """Start a program in a new terminal; return the process and the terminal's other end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    env.update(TERM="xterm-256color", PYTHONWARNINGS="ignore")
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, close_fds=True, **options)
    os.close(theirs)
    return process, ours


def read_all(end):
    """Return what a program writes until it ends."""
    content = b""
    while True:
        try:
            part = os.read(end, 65536)
        except OSError:  # Linux: the program has ended
            part = b""
        if not part:
            os.close(end)
            return content.decode()
        content += part


def in_terminal(arguments, columns, **options):
    """Run tightrope there; return its exit status and the lines that stay on the screen."""
    process, end = start([sys.executable, "-m", "tightrope", *arguments], columns, **options)
    shown = read_all(end)
    return process.wait(), screen(shown)


_EACH = """
import json, sys
from tightrope.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words, prog_name="tightrope")
    except SystemExit as end:
        print(f"\\x1e{end.code}\\x1e", flush=True)
"""


def each_in_terminal(runs, columns, **options):
    """Run several command lines there, one after the other in one process: each one's exit status and lines."""
    process, end = start([sys.executable, "-c", _EACH, json.dumps(list(runs))], columns, **options)
    shown = read_all(end)
    assert process.wait() == 0, shown[-3000:]
    parts = shown.split("\x1e")
    assert len(parts) == 2 * len(runs) + 1, shown[-3000:]
    return [(int(status), screen(lines)) for lines, status in zip(parts[::2], parts[1::2], strict=False)]


def screen(shown):
    """Return lines as they stay: progress, which is drawn and wiped again, is not among them.

    Lines that are longer than the terminal are kept whole, for tests to find.
    """
    lines, row, column = [""], 0, 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])", shown):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.startswith("\x1b[") and part.endswith("A"):
            row = max(0, row - int(part[2:-1] or 1))
        elif part and not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return lines
