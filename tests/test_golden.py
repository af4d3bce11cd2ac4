"""Golden files: what one machine computed is what another reads, and nothing else is believed."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import tightrope
from tightrope.backends import golden
from tightrope.backends.golden import draws, file, plan
from tightrope.backends.parity.subjects import OnDevice
from tightrope.cli import main
from tightrope.rope import reference

safetensors = pytest.importorskip("safetensors.numpy")

LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 4.0, 5.0],
    "original_max_position_embeddings": 4096,
}  # fmt: skip
CONFIGURATIONS = {
    "plain": {"model_type": "llama", "rope_theta": 5e5},
    "longrope": {"model_type": "phi3", "rope_scaling": LONGROPE},
    "dynamic": {"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "two ropes": {"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]},
    "several axes": {"model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}},
}


def model(name="plain"):
    shape = {"hidden_size": 16, "num_attention_heads": 2, "head_dim": 8, "num_hidden_layers": 2}
    return tightrope.read({**shape, "max_position_embeddings": 16384, **CONFIGURATIONS[name]})


@pytest.fixture(scope="module")
def subject():
    """One backend, the first there is."""
    name = next((name for name in ("torch", "mlx") if _loads(name)), None)
    if name is None:
        pytest.skip("no backend is installed")
    backend = tightrope.load_backend(name)
    return OnDevice(backend, "cpu")


def _loads(name):
    try:
        return tightrope.load_backend(name)
    except tightrope.BackendUnavailable:
        return None


@pytest.fixture(scope="module")
def written(subject, tmp_path_factory):
    """The bytes of a golden file."""
    path = tmp_path_factory.mktemp("golden") / "plain.safetensors"
    golden.write(path, model(), subject, "a model")
    return path.read_bytes()


@pytest.fixture
def path(written, tmp_path):
    """A golden file of one's own."""
    (tmp_path / "own.safetensors").write_bytes(written)
    return tmp_path / "own.safetensors"


def parts(content):
    """Return header and data of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def joined(header, data):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def edited(content, change):
    """Return the file with its header changed and nothing else."""
    header, data = parts(content)
    change(header)
    return joined(header, data)


def rewritten(path, change):
    """Write the file again, digest and all, with arrays that `change` changed."""
    story, arrays = file.load(path)
    arrays = dict(arrays)
    change(arrays)
    file.write(path, story, arrays)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_machine_that_wrote_a_file_agrees_with_it_bit_for_bit(name, subject, tmp_path):
    golden.write(tmp_path / "a.safetensors", model(name), subject)
    report = golden.check(tmp_path / "a.safetensors", [subject])
    assert report.identical
    assert report.agrees
    assert {one.rope for one in report.findings} == set(model(name).ropes)


@pytest.mark.backend("torch", "mlx")
def test_each_backend_agrees_with_what_the_other_wrote(tmp_path):
    subjects = [OnDevice(tightrope.load_backend(name), "cpu") for name in ("torch", "mlx")]
    golden.write(tmp_path / "a.safetensors", model(), subjects[0])
    report = golden.check(tmp_path / "a.safetensors", subjects[1:])
    assert report.agrees, [one for one in report.findings if not one.agrees]
    assert {one.subject for one in report.findings} == {"core", "mlx:cpu"}


def test_a_file_tells_where_it_comes_from(path, subject):
    story, _ = file.load(path)
    assert (story.source, story.backend, story.tightrope) == ("a model", subject.name, tightrope.__version__)
    assert tightrope.read(story.configuration).ropes == model().ropes


def test_every_kind_of_quantity_is_recorded(path, subject):
    kinds = {(one.kind, one.numbers) for one in golden.check(path, [subject]).findings}
    rotations = {(kind, dtype) for kind in ("rotation", "gradient") for dtype in ("float32", "bfloat16", "float16")}
    others = {("frequencies", "exact"), ("angles", "exact"), ("trajectory", "row"), ("trajectory", "transformers")}
    assert kinds == rotations | others


def test_rotation_in_the_file_is_the_definition(path, subject):
    """The bits come from the definition in numpy, not from the backend that wrote the file."""
    _, arrays = file.load(path)
    rope = model().rope()
    call = next(one for one in plan._rotation_calls(rope, plan.context_lengths(rope)) if one.name == "rows")
    cos, sin = (part[:, None] for part in reference.cos_sin_bits(rope, call.positions))
    q = draws.floats("rows q", (2, 2, 4, 8), "float32")
    expected = reference.rotate_bits(q, cos, sin, layout=rope.layout, side=rope.side)
    found = arrays["default/rotation/float32/rows/q"]
    # Half an ulp: paths of framework operations may round once more.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.0**-23)


def test_numbers_are_drawn_as_splitmix64_defines_them():
    """The first outputs for seed 0 as published with the algorithm (Vigna, splitmix64.c, seed 0)."""
    z = (np.arange(1, 4, dtype=np.uint64) * draws._GAMMA).tolist()
    mask = 2**64 - 1
    for index, value in enumerate(z):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = ((value ^ (value >> shift)) * factor) & mask
        z[index] = value ^ (value >> 31)
    assert z[0] == 0xE220A8397B1DCDAF
    # crc32 of the empty name is 0: the same seed.
    assert draws.bits("", 3).tolist() == z


def test_drawn_floats_fill_the_unit_interval_and_are_values_of_their_dtype():
    drawn = draws.floats("any", (1000,), "bfloat16")
    assert (np.abs(drawn) <= 1).all()
    assert drawn.min() < -0.9 < 0.9 < drawn.max()
    np.testing.assert_array_equal(drawn, reference.round_to(drawn, "bfloat16"))


def flip_one_bit(name):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name].view(np.uint8)[..., 0] ^= 1

    return change


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("default/frequencies/exact/1048576 tokens/inv_freq", "frequencies"),
        ("default/angles/exact/below 16384/sin", "angles"),
        ("default/trajectory/row/prefill, decode, reset/cos", "trajectory"),
        ("default/rotation/bfloat16/rows/k", "rotation"),
        ("default/gradient/float16/rows/q", "gradient"),
    ],
)
def test_one_bit_of_difference_is_found(name, kind, path, subject):
    rewritten(path, flip_one_bit(name))
    report = golden.check(path, [subject])
    assert not report.identical
    assert {one.kind for one in report.findings if one.identical < one.calls} == {kind}


@pytest.mark.parametrize(
    ("name", "kind", "ulps"),
    [
        ("default/angles/exact/below 16384/cos", "angles", 2),
        ("default/trajectory/row/prefill, decode, reset/sin", "trajectory", 2),
        ("default/rotation/float32/rows/q", "rotation", 7),
        ("default/gradient/float32/rows/k", "gradient", 7),
    ],
)
def test_a_difference_beyond_rounding_disagrees(name, kind, ulps, path, subject):
    """More ulps of the pair's norm than two backends may lie apart: 1.7 for angles, 4.4 for a float32 rotation.

    No drawn pair of q has a norm above √2.
    """

    def change(arrays):
        arrays[name] = arrays[name] + np.float32(ulps * 2**-23)

    rewritten(path, change)
    assert [one.kind for one in golden.check(path, [subject]).findings if not one.agrees] == [kind]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_disagree(value, path, subject):
    def change(arrays):
        arrays["default/angles/exact/below 16384/cos"] = np.full((1, 64, 4), value, np.float32)

    rewritten(path, change)
    assert [one.kind for one in golden.check(path, [subject]).findings if not one.agrees] == ["angles"]


class Broken(OnDevice):
    """A backend that fails in the gradient."""

    def gradient(self, *arguments):
        raise ZeroDivisionError("a framework's own error")


def test_what_a_framework_raises_is_a_finding(path, subject):
    report = golden.check(path, [Broken(subject.backend, subject.device)])
    problems = {one.kind: one.problem for one in report.findings if not one.agrees}
    assert problems == {"gradient": "ZeroDivisionError: a framework's own error"}


def test_a_report_without_findings_does_not_agree(path):
    report = golden.GoldenReport(file.load(path)[0], ())
    assert not report.agrees
    assert not report.identical


def test_report_is_json(path, subject):
    rewritten(path, flip_one_bit("default/angles/exact/below 16384/sin"))
    report = golden.check(path, [Broken(subject.backend, subject.device)])
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (told["agrees"], told["identical"]) == (False, False)
    assert {one["ulps"] for one in told["findings"] if one["problem"]} == {None}


def first(header):
    return header[min(name for name in header if name != "__metadata__")]


def put(key, value):
    return lambda header: header["__metadata__"].update({key: value})


def tell(change):
    def edit(header):
        story = json.loads(header["__metadata__"]["story"])
        change(story)
        header["__metadata__"]["story"] = json.dumps(story, sort_keys=True)

    return edit


REFUSED = {
    "empty": (lambda content: b"", "is no safetensors file"),
    "another format": (lambda content: b"\x89PNG\r\n\x1a\n" + bytes(100), "is no safetensors file"),
    "a huge header": (lambda content: (1 << 62).to_bytes(8, "little") + content[8:], "is no safetensors file"),
    "header cut off": (lambda content: content[:100], "is cut off: 100 bytes"),
    "data cut off": (lambda content: content[:-1], "is cut off or padded: its arrays need"),
    "padded": (lambda content: content + b"\0", "is cut off or padded: its arrays need"),
    "no JSON": (lambda content: joined([], b"")[:8] + b"{]", "its header is not JSON"),
    "deep JSON": (lambda content: (100000).to_bytes(8, "little") + b"[" * 100000, "its header is not JSON"),
    "a list": (lambda content: joined([], b""), "its header is not an object"),
    "foreign": (
        lambda content: safetensors.save({"weight": np.zeros(3)}),
        "not one that `tightrope golden write` wrote",
    ),
    "of another program": (
        lambda content: safetensors.save({"weight": np.zeros(3)}, metadata={"format": "pt"}),
        "not one that `tightrope golden write` wrote",
    ),
    "newer": (lambda content: edited(content, put("version", "2")), r"has format 2, this Tightrope reads up to 1"),
    "no version": (lambda content: edited(content, put("version", "-1")), "has no format version: .* says '-1'"),
    "no story": (lambda content: edited(content, lambda header: header["__metadata__"].pop("story")), "has no story"),
    "edited story": (lambda content: edited(content, tell(lambda story: story.update(backend="mlx:gpu"))), "sha256"),
    "edited data": (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "does not match its sha256"),
    "another dtype": (
        lambda content: edited(content, lambda header: first(header).update(dtype="I64")),
        "has a dtype or a shape that no golden file has",
    ),
    "a negative size": (
        lambda content: edited(content, lambda header: first(header).update(shape=[-1, -3])),
        "has a dtype or a shape that no golden file has",
    ),
    "a size beyond the file": (
        lambda content: edited(content, lambda header: first(header).update(shape=[1 << 20, 1 << 20])),
        "is cut off or padded",
    ),
    "overlapping arrays": (
        lambda content: edited(content, lambda header: first(header).update(data_offsets=[0, 4])),
        "is no golden file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_right_is_refused(case, written, tmp_path):
    spoil, says = REFUSED[case]
    (tmp_path / "bad.safetensors").write_bytes(spoil(written))
    with pytest.raises(tightrope.RopeConfigError, match=says) as raised:
        file.load(tmp_path / "bad.safetensors")
    assert str(raised.value).startswith(f"{tmp_path / 'bad.safetensors'}: ")


def test_a_missing_file_is_an_error_in_words(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="cannot be read: No such file"):
        file.load(tmp_path / "none.safetensors")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="is not a file"):
        file.load(tmp_path)


def test_size_is_checked_before_reading(path, monkeypatch):
    monkeypatch.setattr(file, "MAX_FILE", 1000)
    with pytest.raises(tightrope.RopeConfigError, match="is larger than any golden file"):
        file.load(path)


CHANGED = {
    "an array gone": (lambda arrays: arrays.pop("default/rotation/float32/rows/q"), "rows/q' is missing"),
    "an array more": (lambda arrays: arrays.update(extra=np.zeros(3)), "'extra' does not belong to its configuration"),
    "another shape": (
        lambda arrays: arrays.update({"default/rotation/float32/rows/q": np.zeros(3, np.float32)}),
        "rows/q' has the dtype or the shape of another format",
    ),
    "another width": (
        lambda arrays: arrays.update({"default/rotation/float16/rows/q": np.zeros((2, 2, 4, 8))}),
        "rows/q' has the dtype or the shape of another format",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_arrays_that_do_not_fit_the_configuration_are_refused(case, path, subject):
    change, says = CHANGED[case]
    rewritten(path, change)
    with pytest.raises(tightrope.RopeConfigError, match=says):
        golden.check(path, [subject])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"head_dim": 1 << 40}, r"head_dim of rope 'default' must be <= 16384"),
        ({"max_position_embeddings": 10**30}, "max_position_embeddings must be <="),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_theta must be"),
    ],
)
def test_a_configuration_that_no_model_has_is_refused_before_any_work(changes, says, path, subject):
    story, arrays = file.load(path)
    file.write(path, replace(story, configuration={**story.configuration, **changes}), arrays)
    with pytest.raises(tightrope.RopeConfigError, match=says):
        golden.check(path, [subject])


def test_a_context_that_no_model_has_is_not_recorded(subject, tmp_path):
    endless = model().replace(max_position_embeddings=1 << 41)
    with pytest.raises(tightrope.RopeConfigError, match="the context of rope 'default' must be <= 1099511627776"):
        golden.write(tmp_path / "a.safetensors", endless, subject)
    assert not (tmp_path / "a.safetensors").exists()


def test_an_array_that_is_transposed_in_memory_is_written_in_order(path):
    story, _ = file.load(path)
    file.write(path, story, {"a": np.arange(6.0).reshape(2, 3).T})
    np.testing.assert_array_equal(file.load(path)[1]["a"], np.arange(6.0).reshape(2, 3).T)


def run(*arguments):
    return CliRunner().invoke(main, ["golden", *map(str, arguments)])


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tiny-llama").mkdir()
    fields = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, **CONFIGURATIONS["plain"]}
    (tmp_path / "tiny-llama" / "config.json").write_text(json.dumps(fields))
    return tmp_path / "tiny-llama" / "config.json"


def test_commands_write_and_check(config, subject, tmp_path):
    backend = ["--backends", subject.name]
    assert run("write", config, "-o", tmp_path / "a.safetensors", *backend).exit_code == 0
    ran = run("check", tmp_path / "a.safetensors", *backend, "--json", tmp_path / "a.json")
    assert ran.exit_code == 0, ran.output
    assert f"tiny-llama, written by {subject.name}" in ran.output
    assert "identical, every bit" in ran.output
    (report,) = json.loads((tmp_path / "a.json").read_text()).values()
    assert report["identical"]


def test_check_command_fails_where_bits_are_beyond_rounding(path, subject):
    def change(arrays):
        arrays["default/rotation/float32/rows/q"] = -arrays["default/rotation/float32/rows/q"]

    rewritten(path, change)
    ran = run("check", path, "--backends", subject.name)
    assert ran.exit_code == 1
    assert ran.output.endswith(f"{path}: DISAGREES: {subject.name} rotation float32\n")


def test_check_command_says_in_one_line_what_is_wrong_with_a_file(path):
    path.write_bytes(path.read_bytes()[:-1])
    ran = run("check", path)
    assert ran.exit_code == 1
    assert ran.output.splitlines() == [f"Error: {ran.output.removeprefix('Error: ').rstrip()}"]


def test_one_file_holds_one_backend(config, tmp_path):
    ran = run("write", config, "-o", tmp_path / "a.safetensors", "--backends", "torch,mlx")
    assert ran.exit_code == 2
    assert "a file holds one backend" in ran.output


def test_a_missing_extra_is_named():
    script = """
import sys
sys.modules["safetensors"] = None
import pathlib, tightrope
from tightrope.backends.golden import file
try:
    file.load(pathlib.Path("any"))
except tightrope.RopeError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == 'golden files need safetensors; pip install "tightrope[golden]"\n'


def test_every_real_configuration_can_be_recorded(shared_config, subject, tmp_path):
    try:
        found = tightrope.read(shared_config)
    except tightrope.RopeConfigError as error:
        pytest.skip(f"cannot be read: {error}")
    if not found.ropes:
        pytest.skip("has no rope")
    golden.write(tmp_path / "a.safetensors", found, subject)
    story, _ = file.load(tmp_path / "a.safetensors")
    assert tightrope.read(story.configuration).ropes == found.ropes
