"""`--plot` and `--compare` of the commands."""

import json

import pytest
from click.testing import CliRunner

from tightrope import viewing
from tightrope.cli import main

Figure = pytest.importorskip("matplotlib.figure").Figure

SMALL = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SMALL))
    return str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "CONFIG"],
        ["inspect", "CONFIG", "--compare", "CONFIG"],
        ["precision", "CONFIG", "--backends", "torch"],
    ],
    ids=["inspect", "compare", "precision"],
)
@pytest.mark.backend("torch")
def test_commands_draw(arguments, config_file, tmp_path):
    command = [config_file if one == "CONFIG" else one for one in arguments]
    ran = CliRunner().invoke(main, [*command, "--plot", str(tmp_path / "out.png")])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_comparing_without_a_picture_is_wrong_usage(config_file):
    assert CliRunner().invoke(main, ["inspect", config_file, "--compare", config_file]).exit_code == 2


def test_a_picture_that_cannot_be_written_is_an_error_in_words(config_file, tmp_path):
    ran = CliRunner().invoke(main, ["inspect", config_file, "--plot", str(tmp_path / "none" / "out.png")])
    assert ran.exit_code == 1
    assert "Could not open file" in ran.output


@pytest.mark.parametrize(
    ("folders", "block", "expected"),
    [
        (("a", "b"), [], ("a", "b")),
        (("x/a", "y/a"), [], ("x/a/config.json", "y/a/config.json")),
        (("a", "a"), ["--rope", json.dumps({"rope_type": "linear", "factor": 8.0})], ("a with --rope", "a")),
    ],
    ids=["names", "the same name", "the same file"],
)
def test_compared_configurations_are_told_apart(folders, block, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [f"{folder}/config.json" for folder in folders]
    for folder, file in zip(folders, files, strict=True):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(SMALL))
    asked = []
    monkeypatch.setattr(viewing, "draw_comparison", lambda left, right, names: asked.append(names) or Figure())
    ran = CliRunner().invoke(main, ["inspect", files[0], "--compare", files[1], "--plot", "both.png", *block])
    assert ran.exit_code == 0, ran.output
    assert asked == [expected]


def test_long_names_leave_room_for_the_panels(config_file, tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMALL))
    path = str(folder / "config.json")
    ran = CliRunner().invoke(main, ["inspect", path, "--compare", path, "--plot", str(tmp_path / "out.png")])
    assert ran.exit_code == 0, ran.output
