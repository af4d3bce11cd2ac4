"""`tightrope golden write` and `tightrope golden check`: what they print, what they write, and how they exit."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from paths import ROOT
from samples.cli_files import results
from samples.golden_files import CONFIGURATIONS, rewritten
from tightrope.cli import main

pytest.importorskip("safetensors.numpy")


def run(*arguments):
    return CliRunner().invoke(main, ["golden", *map(str, arguments)])


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tiny-llama").mkdir()
    fields = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, **CONFIGURATIONS["plain"]}
    (tmp_path / "tiny-llama" / "config.json").write_text(json.dumps(fields))
    return tmp_path / "tiny-llama" / "config.json"


def test_commands_write_and_check(config, golden_subject, tmp_path):
    backend = ["--backends", golden_subject.name]
    assert run("write", config, "-o", tmp_path / "a.safetensors", *backend).exit_code == 0
    ran = run("check", tmp_path / "a.safetensors", *backend, "--json", tmp_path / "a.json")
    assert ran.exit_code == 0, ran.output
    assert f"tiny-llama, written by {golden_subject.name}" in ran.output
    assert "identical, every bit" in ran.output
    (report,) = results((tmp_path / "a.json").read_text())
    assert report["identical"]


def test_a_gguf_file_is_recorded_with_the_layout_of_its_channels(golden_subject, tmp_path):
    """llama.cpp's converter permutes Llama's q and k: neighbours pair in the file, halves in the published weights."""
    from samples import gguf_files

    keys = {
        "block_count": 2, "embedding_length": 32, "attention.head_count": 2, "context_length": 64, "rope.freq_base": 5e5
    }  # fmt: skip
    gguf_files.write(tmp_path / "llama.gguf", "llama", keys)
    backend = ["--backends", golden_subject.name]
    ran = run("write", tmp_path / "llama.gguf", "-o", tmp_path / "a.safetensors", *backend, "--json", "-")
    assert results(ran.stdout)[0]["story"]["configuration"]["layout"] == "interleaved"
    ran = run("check", tmp_path / "a.safetensors", *backend)
    assert (ran.exit_code, "identical, every bit" in ran.output) == (0, True), ran.output


@pytest.fixture
def disagreeing(golden_path, golden_subject):
    """What the command says of a file with one rotation rotated round."""

    def change(arrays):
        arrays["default/rotation/float32/rows/q"] = -arrays["default/rotation/float32/rows/q"]

    rewritten(golden_path, change)
    return run("check", golden_path, "--backends", golden_subject.name)


def test_check_command_fails_where_bits_are_beyond_rounding(disagreeing, golden_path, golden_subject):
    assert disagreeing.exit_code == 1
    assert disagreeing.output.endswith(f"{golden_path}: DISAGREES: {golden_subject.name} rotation float32\n")


def test_check_command_tells_agreement_from_identity(golden_path, golden_subject):
    """One ulp of a value below 1 is less than rounding explains, and not the same bits."""

    def change(arrays):
        values = arrays["default/angles/exact/below 16384/cos"].copy()
        values[0, 0, 0] = np.nextafter(values[0, 0, 0], np.float32(0))
        arrays["default/angles/exact/below 16384/cos"] = values

    rewritten(golden_path, change)
    ran = run("check", golden_path, "--backends", golden_subject.name)
    assert ran.exit_code == 0
    assert ran.output.endswith(f"{golden_path}: agrees: some bits differ, none by more than rounding explains\n")


def test_check_command_marks_what_disagrees(disagreeing):
    marked = [line.split()[:2] for line in disagreeing.output.splitlines() if "✗" in line]
    assert marked == [["rotation", "float32"]]


def test_check_command_says_in_one_line_what_is_wrong_with_a_file(golden_path):
    golden_path.write_bytes(golden_path.read_bytes()[:-1])
    ran = run("check", golden_path)
    assert ran.exit_code == 1
    assert ran.output.splitlines() == [f"Error: {ran.output.removeprefix('Error: ').rstrip()}"]


def test_a_damaged_file_among_several_hides_none_of_the_others(golden_path, golden_subject, tmp_path):
    (tmp_path / "damaged").write_bytes(golden_path.read_bytes()[:-1])
    files = [tmp_path / "damaged", golden_path, tmp_path / "missing"]
    ran = run("check", *files, "--backends", golden_subject.name, "--json", tmp_path / "found")
    assert ran.exit_code == 1
    assert f"{golden_path}: identical, every bit" in ran.output
    results = json.loads((tmp_path / "found").read_text())["results"]
    assert [one["agrees"] for one in results] == [False, True, False]
    assert all(str(file) in one["error"] for file, one in zip(files, results, strict=True) if not one["agrees"])
    form = json.loads((ROOT / "docs" / "tightrope.schema.json").read_text())
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(form).validate(json.loads((tmp_path / "found").read_text()))


def test_one_file_holds_one_backend(config, tmp_path):
    ran = run("write", config, "-o", tmp_path / "a.safetensors", "--backends", "torch,mlx")
    assert ran.exit_code == 2
    assert "a file holds one backend" in ran.output


def test_what_is_recorded_is_not_for_standard_output(config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where a file called "-" would be
    ran = run("write", config, "-o", "-")
    assert ran.exit_code == 2
    assert "-o must name a file: the recording is binary" in ran.stderr
