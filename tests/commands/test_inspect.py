"""`tightrope inspect` and `tightrope validate`: what a configuration means, and what is wrong with it."""

import math
import os
import sys

import pytest
from click.testing import CliRunner

from samples.cli_files import LLAMA, results, write
from tightrope.cli import main
from tightrope.viewing.facts import layers_line

GEMMA = {"model_type": "gemma3_text", "num_hidden_layers": 12}


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def inspect(tmp_path, content, *arguments):
    return run("inspect", write(tmp_path / "config.json", content), *arguments)


def test_inspect_shows_each_rope_its_layers_and_the_notes(tmp_path):
    shown = inspect(tmp_path, GEMMA).stdout
    assert "sliding_attention: rope_type default, base 10,000" in shown
    assert "full_attention: rope_type default, base 1,000,000" in shown
    assert "layers: 0-4 sliding_attention, 5 full_attention, repeated every 6 layers up to 11" in shown
    assert "note: " in shown


def test_inspect_counts_the_pairs_that_turn_within_the_context(tmp_path):
    # 16 channels, base 10000: wavelengths 2π · 10000^(i/8), the fourth is 198.7 tokens.
    assert "3 of 8 pairs" in inspect(tmp_path, LLAMA).stdout


def test_inspect_shows_the_tower_that_is_asked_for(tmp_path):
    vision = {"depth": 3, "hidden_size": 64, "num_heads": 2, "patch_size": 14}
    whole = {"model_type": "qwen3_vl", "text_config": {}, "vision_config": vision}
    shown = inspect(tmp_path, whole, "--tower", "vision").stdout
    assert "(qwen3_vl_vision)" in shown
    assert "all 3 layers" in shown
    assert "position axes: pairs [8, 8], chunked, a progression for each axis" in shown


def test_inspect_says_where_positions_may_be_fractions(tmp_path):
    shown = inspect(tmp_path, {"model_type": "dinov3_vit", "hidden_size": 64, "num_attention_heads": 2}).stdout
    assert "positions may be fractions" in shown


def test_inspect_json_has_frequencies_and_wavelengths(tmp_path):
    (known,) = results(inspect(tmp_path, LLAMA, "--json", "-").stdout)
    table = known["ropes"]["default"]["tables"][0]
    assert table["inv_freq"] == pytest.approx([10000 ** (-i / 8) for i in range(8)], rel=1e-15)
    assert table["wavelengths"] == pytest.approx([2 * math.pi / value for value in table["inv_freq"]], rel=1e-15)
    assert known["layers"] == ["default", "default"]


def test_inspect_json_has_both_tables_of_longrope(tmp_path):
    block = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "factor": 4.0}
    (known,) = results(inspect(tmp_path, {**LLAMA, "rope_scaling": block}, "--json", "-").stdout)
    short, long = known["ropes"]["default"]["tables"]
    assert (short["holds"], long["holds"]) == ("up to 128 tokens", "beyond 128 tokens")
    assert long["inv_freq"][0] == short["inv_freq"][0] / 2


def test_inspect_of_a_pair_that_does_not_turn_is_valid_json(tmp_path):
    block = {"rope_type": "proportional", "partial_rotary_factor": 0.5}
    (known,) = results(inspect(tmp_path, {**LLAMA, "rope_scaling": block}, "--json", "-").stdout)
    assert known["ropes"]["default"]["tables"][0]["wavelengths"][-1] is None


def test_inspect_of_frequencies_next_to_nothing_warns_of_no_overflow(tmp_path):
    result = inspect(tmp_path, {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 1e308}})
    assert (result.exit_code, result.stderr) == (0, "")


def test_inspect_shows_another_rope_in_place_of_its_own(tmp_path):
    assert "rope_type linear" in inspect(tmp_path, LLAMA, "--rope", '{"rope_type": "linear", "factor": 2.0}').stdout


def test_inspect_of_an_unreadable_file_is_one_line_and_exits_1(tmp_path):
    ran = inspect(tmp_path, "[]")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 1


def test_inspect_shows_every_real_configuration(shared_config):
    ran = run("inspect", shared_config)
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert "rope" in ran.stdout or "no rotary positions" in ran.stdout


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["a", "b", "a", "b", "a"], "0 a, 1 b, repeated every 2 layers up to 4"),
        (["a", "a", None], "0-1 a, 2 without position"),
    ],
    ids=["pattern", "no pattern"],
)
def test_layers_are_told_as_a_pattern(layers, expected):
    assert layers_line(layers) == expected


def test_validate_of_good_files_prints_nothing_and_exits_0(tmp_path):
    ran = run("validate", write(tmp_path / "a.json", LLAMA), write(tmp_path / "b.json", GEMMA))
    assert (ran.exit_code, ran.output) == (0, "")


def test_validate_prints_every_problem_of_every_file_and_exits_1(tmp_path):
    first = write(tmp_path / "a.json", {**LLAMA, "rope_theta": -1, "num_hidden_layers": "two"})
    second = write(tmp_path / "b.json", "{")
    ran = run("validate", tmp_path)
    assert ran.exit_code == 1
    files = [line.partition(": ")[0] for line in ran.stdout.splitlines()]
    assert files == [str(first), str(first), str(second)]


def test_validate_passes_over_a_folder_that_is_called_like_a_file(tmp_path):
    (tmp_path / "old.json").mkdir()
    result = run("validate", tmp_path)
    assert (result.exit_code, result.stderr) == (1, f"Error: {tmp_path}: no *.json in this folder\n")


def test_validate_takes_an_empty_path_for_no_folder():
    result = run("validate", "")
    assert (result.exit_code, result.stderr) == (1, "Error: source must not be empty; give . for this folder\n")


def test_validate_strict_takes_unknown_keys_for_problems(tmp_path):
    block = {"rope_type": "linear", "factor": 2.0, "facter": 3.0}
    file = write(tmp_path / "a.json", {**LLAMA, "rope_scaling": block})
    assert run("validate", file).exit_code == 0
    ran = run("validate", "--strict", file)
    assert ran.exit_code == 1
    assert "facter" in ran.stdout


def test_validate_needs_a_source():
    assert run("validate").exit_code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux alone")
def test_validate_json_has_a_name_that_is_no_unicode(tmp_path):
    source = str(write(tmp_path / os.fsdecode(b"bad\xff.json"), "[]"))
    (found,) = results(run("validate", source, "--json", "-").stdout)
    assert found["source"] == source
