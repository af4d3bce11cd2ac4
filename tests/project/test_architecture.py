"""The rooms of the package: which may import which, and that no circle of files comes back."""

import ast

import pytest

from paths import ROOT

ROOMS = ("rope", "backends", "verify", "viewing", "commands")

# What a room may import besides itself. The most special prefix counts.
MAY_IMPORT = {
    "rope.support": ("rope.errors",),
    "rope.scaling": ("rope.support", "rope.errors", "rope.arithmetic"),
    "rope.config": ("rope.support", "rope.errors", "rope.scaling"),
    "rope.positions": ("rope.support", "rope.errors"),
    "rope": ("rope",),
    "backends.shared": ("rope",),
    "backends.kernels": ("rope", "backends.shared"),
    "backends.patching": ("rope",),
    "backends.torch": ("rope", "backends.shared", "backends.kernels", "backends.patching", "backends.protocol"),
    "backends.mlx": ("rope", "backends.shared", "backends.kernels", "backends.patching", "backends.protocol"),
    "backends": ("rope", "backends"),
    "verify": ("rope", "backends"),
    "viewing": ("rope", "verify"),
    "commands": ("rope", "backends", "verify", "viewing"),
}


def imports(root):
    """Return (module, imported module) of every import, also within functions and for type checkers."""
    files = [path for room in ROOMS for path in (root / room).rglob("*.py")]
    known = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    found = set()
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tightrope."):
                module = node.module.removeprefix("tightrope.")
                found |= {
                    (name, f"{module}.{one.name}" if f"{module}.{one.name}" in known else module) for one in node.names
                }
    return {(a, b) for a, b in found if a != b}


def room_of(module):
    return max((room for room in MAY_IMPORT if f"{module}.".startswith(f"{room}.")), key=len)


def forbidden(root):
    """Return the imports that no rule allows."""
    return {
        (a, b)
        for a, b in imports(root)
        if not any(f"{b}.".startswith(f"{allowed}.") for allowed in (room_of(a), *MAY_IMPORT[room_of(a)]))
    }


def circles(edges):
    """Return what is left when files that import nothing left are taken away, again and again."""
    edges = set(edges)
    while edges:
        importing = {a for a, _ in edges}
        kept = {(a, b) for a, b in edges if b in importing}
        if kept == edges:
            return edges
        edges = kept
    return edges


def test_rooms_import_downwards_only():
    assert forbidden(ROOT) == set()


def test_no_files_import_each_other_in_a_circle():
    assert circles(imports(ROOT)) == set()


PORTED = ("backends.torch.rope_utils", "backends.mlx.rope_utils", "backends.torch.drop_in")


def test_names_for_ported_code_serve_nothing_within():
    assert {edge for edge in imports(ROOT) if edge[1] in PORTED} == set()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("rope/phase.py", "from tightrope.backends import load"),
        ("backends/shared/trig.py", "from tightrope.verify import gallery"),
    ],
)
def test_an_import_upwards_would_be_seen(file, line, tmp_path):
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text())
    (tmp_path / file).write_text(line + "\n" + (tmp_path / file).read_text())
    assert forbidden(tmp_path)
