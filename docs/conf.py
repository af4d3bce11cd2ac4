"""Sphinx: python -m sphinx -W docs docs/_build/html."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import tightrope
from tightrope import viewing
from tightrope.cli import main

project = "Tightrope"
smartquotes = False  # --json is an option
author = "The Tightrope authors"
copyright = author
version = release = tightrope.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "README.md"]
html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"Tightrope {release}"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
default_role = "code"  # `"exact"` in a docstring is a value
napoleon_numpy_docstring = False

# One picture for each rope type, drawn when the pages are built: what is shown is what the code computes.
PICTURES = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 8.0},
    "ntk": {"rope_type": "ntk", "factor": 8.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "qwen_dynamic": {"rope_type": "qwen_dynamic", "original_max_position_embeddings": 2048},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192},
    "longrope": {
        "rope_type": "longrope",
        "short_factor": [1.0] * 64,
        "long_factor": [1.0 + pair / 4 for pair in range(64)],
        "original_max_position_embeddings": 4096,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.25},
    "divisors": {"rope_type": "divisors", "divisor": [1.0] * 32 + [8.0] * 32},
}
CONTEXT = {"default": 8192, "dynamic": 8192, "qwen_dynamic": 8192}


def draw_pictures(app: Any) -> None:
    """Draw the picture of each rope type into the folder of its pages."""
    folder = Path(__file__).parent / "_build" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, block in PICTURES.items():
        config = {
            "model_type": "llama", "head_dim": 128, "num_hidden_layers": 32, "rope_theta": 500000.0,
            "max_position_embeddings": CONTEXT.get(name, 32768), "rope_scaling": block,
        }  # fmt: skip
        viewing.save(viewing.draw(tightrope.read(config), name), folder / f"{name}.png")


def write_commands(app: Any) -> None:
    """Write the page of all commands from the commands themselves."""
    (Path(__file__).parent / "_build").mkdir(exist_ok=True)
    (Path(__file__).parent / "_build" / "commands.md").write_text("\n".join(_help(main, "tightrope")))


def _help(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            yield from _help(below, f"{path} {name}")
        return
    words = command.get_help(click.Context(command, info_name=path, max_content_width=88, terminal_width=88))
    yield from (f"## {path.removeprefix('tightrope ')}", "", "```text", words, "```", "")


def write_formula(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line as MathML: the usual renderer fetches a script from the network."""
    translator.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def write_displayed_formula(translator: Any, node: nodes.math_block) -> None:
    """Write a formula of its own line as MathML."""
    translator.body.append(f"<div style='margin: 1rem 0'>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


def shorten_signature(app: Any, what: str, name: str, obj: Any, options: Any, *texts: str | None) -> Any:
    """Return a signature and its result with the bare names of types, as a dataclass's is not by itself."""
    names = r"~?(?:[A-Za-z_]\w*\.)+(\w+)"
    return tuple(text and re.sub(names, r"\1", text).replace("<factory>", "...") for text in texts)


def setup(app: Any) -> None:
    """Draw before anything is read."""
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("builder-inited", draw_pictures)
    app.connect("builder-inited", write_commands)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_displayed_formula, None))
