"""Reports for the tests of them, made by the command."""

import json
import re

from click.testing import CliRunner

from tightrope.cli import main

SHAPE = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
DYNAMIC = {
    **SHAPE, "max_position_embeddings": 4096, "rope_theta": 5e5, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}
}  # fmt: skip


def written(folder, config, *arguments, name="config.json"):
    """Return the path of a report, made by the command."""
    (folder / name).write_text(json.dumps(config))
    path = folder / "report.html"
    ran = CliRunner().invoke(main, ["report", str(folder / name), "-o", str(path), *arguments])
    assert ran.exit_code == 0, ran.output
    return path


def data_of(path):
    """Return the JSON that a report carries."""
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(text)
