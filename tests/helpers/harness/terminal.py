"""A command in a terminal of so many columns, as a person sees it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


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


def screen(shown):
    """Return lines as they stay: progress, which is drawn and wiped again, is not among them."""
    lines = []
    for line in shown.replace("\r\n", "\n").split("\n"):
        last = _ESCAPES.sub("", line.split("\x1b[2K")[-1]).split("\r")[-1]
        lines.append(last)
    return lines
