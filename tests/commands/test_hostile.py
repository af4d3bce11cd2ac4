"""Names that act on a terminal, and terminals with few characters: every command shows them escaped or replaced."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from samples.cli_files import LLAMA, write
from tightrope.cli import main

pytestmark = pytest.mark.backend("torch", "mlx")

# A title and an empty screen for a terminal, a reversed line; rich's markup; the report's placeholder; half a pair.
HOSTILE = {
    "terminal": "\x1b]0;owned\x07\x1b[2Jname\x9b31m\u202e\r\n",
    "markup": "[bold red]name[/bold red][link=file:///etc/passwd]",
    "page": "name@@DATA@@</script><script>alert(1)</script>",
    "surrogate": "na\ud800me",
    "long": "name" * 5000,
}
ACTING = set(map(chr, [*range(10), *range(11, 32), 127, *range(128, 160)])) | set(
    "\u202a\u202b\u202d\u202e\u2066\u2067"
)

# A command line of each command: GOOD is a configuration that can be read, BAD one that cannot, NAME the text itself.
LINES = {
    ("audit",): ["GOOD", "BAD"],
    ("bench",): ["GOOD", "--quick", "--rounds", "1", "--seq", "4", "--backends", "torch:cpu", "--dtype", "float32"],
    ("convert",): ["GOOD", "--to", "v5"],
    ("doctor",): ["--json", "FOLDER/NAME.json"],
    ("fingerprint",): ["GOOD", "BAD"],
    ("golden", "check"): ["GOLDEN"],
    ("golden", "write"): ["GOOD", "-o", "FOLDER/new.safetensors", "--backends", "torch:cpu"],
    ("inspect",): ["GOOD"],
    ("learn",): ["NAME"],
    ("parity",): ["GOOD", "--dtype", "float32", "--backends", "torch:cpu"],
    ("precision",): ["GOOD"],
    ("report",): ["GOOD", "-o", "FOLDER/new.html"],
    ("selftest",): ["--json", "FOLDER/NAME.json"],
    ("validate",): ["GOOD", "BAD"],
}


NAMELESS = {("bench",), ("precision",)}


def leaves(group, path=()):
    for name, command in group.commands.items():
        words = (*path, name)
        yield from leaves(command, words) if isinstance(command, click.Group) else [words]


def test_every_command_is_tried():
    assert sorted(LINES) == sorted(leaves(main))


@pytest.fixture(scope="module", params=HOSTILE)
def named(request, tmp_path_factory):
    """The words that stand for files of a hostile name, with hostile keys and values in them."""
    name = HOSTILE[request.param]
    in_files = name.replace("/", "∕").replace("\ud800", "")[:80]
    folder = tmp_path_factory.mktemp("hostile") / in_files
    folder.mkdir()
    good = {**LLAMA, "model_type": name, "architectures": [name], name: name, f"rope_{name}": 1}
    bad = {**LLAMA, "model_type": name, "rope_scaling": {"rope_type": name, name: 1}}
    golden = {"__metadata__": {"format": name, name: name}, name: {"dtype": name, "shape": [], "data_offsets": [0, 0]}}
    header = json.dumps(golden).encode()
    (folder / f"{in_files}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return {
        "GOOD": str(write(folder / f"good {in_files}.json", good)),
        "BAD": str(write(folder / f"bad {in_files}.json", bad)),
        "GOLDEN": str(folder / f"{in_files}.safetensors"),
        "FOLDER": str(folder),
        "NAME": name if "\ud800" not in name else in_files,
    }


def filled(words, named):
    for key, text in named.items():
        words = [word.replace(key, text if key != "NAME" or "/NAME" not in word else text[:40].replace("/", "∕"))
                 for word in words]  # fmt: skip
    return words


@pytest.mark.parametrize("command", LINES, ids=" ".join)
def test_what_acts_on_a_terminal_never_reaches_it(command, named):
    ran = CliRunner().invoke(main, [*command, *filled(LINES[command], named)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert ran.exit_code in (0, 1, 2)
    assert not ACTING & set(ran.output)
    assert "na" in ran.output or command in NAMELESS
    assert max(map(len, ran.output.splitlines())) < 2000


EACH = """
import json, sys
from tightrope.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words, prog_name="tightrope")
    except SystemExit as end:
        print(f"\\n==={end.code}", flush=True)
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_an_encoding_lacks_are_replaced_by_every_command(encoding, tmp_path):
    """A check mark, an arrow or another script in a table is no reason to stop, nor to say that backends disagree."""
    named = {
        "GOOD": str(write(tmp_path / "ملف✓.json", {**LLAMA, "rope_ملف": 1})),
        "BAD": str(write(tmp_path / "文件.json", {**LLAMA, "rope_theta": -1})),
        "GOLDEN": str(write(tmp_path / "ملف.safetensors", "ملف")),
        "FOLDER": str(tmp_path),
        "NAME": "ملف",
    }
    words = [[*command, *filled(line, named)] for command, line in LINES.items()]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EACH, json.dumps(words)],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr.decode()
    shown = ran.stdout.decode(encoding).split("\n===")
    status = dict(zip(LINES, [int(part.split("\n", 1)[0]) for part in shown[1:]], strict=True))
    failing = {("audit",), ("fingerprint",), ("golden", "check"), ("learn",), ("validate",)}
    assert {command for command, code in status.items() if code} == failing
    assert "????" in ran.stdout.decode(encoding)
