"""What is fuzzed: each target hands bytes to one reader and lets nothing pass but a result or a RopeError."""

import functools
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

import tightrope
from tightrope.cli import main
from tightrope.commands.shared import own_types
from tightrope.rope.config.model import ModelRope
from tightrope.verify.golden import file as golden_file

# A message is for a person: whatever a file holds, it stays readable.
LONGEST_MESSAGE = 20_000
QUICK = ("inspect", "validate", "convert", "fingerprint")

_folder = tempfile.TemporaryDirectory(prefix="tightrope-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def written(name: str, data: bytes) -> Path:
    path = Path(_folder.name) / name
    path.write_bytes(data)
    return path


def refused(call: Callable[[], object]) -> object:
    """Return the result; None where the input was refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tightrope.RopeWarning)
        try:
            return call()
        except tightrope.RopeError as error:
            length = len(str(error))
    assert 0 < length <= LONGEST_MESSAGE
    return None


def read_values(data: bytes) -> None:
    """A dict, as Python code hands it over: with NaN, with huge integers, with values of any type."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(values, dict):
        check_model(refused(lambda: tightrope.read(values)))


def read_json(data: bytes) -> None:
    """A config.json on disk."""
    path = written("config.json", data)
    check_model(refused(lambda: tightrope.read(path)))


def read_gguf(data: bytes) -> None:
    """A GGUF file."""
    path = written("model.gguf", data)
    check_model(refused(lambda: tightrope.read(path)))


def read_golden(data: bytes) -> None:
    """A golden file: damaged, edited, or nothing of the kind."""
    path = written("golden.safetensors", data)
    refused(lambda: golden_file.load(path))


# A search through all installed packages: four fifths of the time of a command line, with the same result each time.
own_types.entry_points = functools.cache(own_types.entry_points)


def run_command(data: bytes) -> None:
    """A command line: its words, one a line, up to an empty line; then the file that it is given."""
    words, _, content = data.partition(b"\n\n")
    path = written("given.json", content)
    arguments = [word.replace("FILE", str(path)) for word in words.decode("utf-8", "replace").split("\n")]
    options = {one for one in arguments if one.startswith("-")}
    if arguments[0] not in QUICK or options - {"--to", "--strict", "--tower", "--rope"}:
        return  # what writes files or takes minutes is tried elsewhere
    ran = CliRunner().invoke(main, arguments)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code in (0, 1, 2)


def check_model(model: object) -> None:
    if model is not None:
        assert isinstance(model, ModelRope)
        hash(model)
        for rope in model.ropes.values():
            refused(lambda rope=rope: tightrope.frequencies(rope, 1))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "dict": read_values,
    "json": read_json,
    "gguf": read_gguf,
    "golden": read_golden,
    "command": run_command,
}
