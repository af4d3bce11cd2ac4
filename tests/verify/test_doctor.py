"""`tightrope doctor`: what works, what does not, and what to do, whatever the machine is like."""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import tightrope
from tightrope.backends import kernels
from tightrope.cli import main
from tightrope.verify import doctor


def found(checks, subject):
    """Return the check of a backend, a kernel or a switch; `packages` may name the same subject."""
    (one,) = [check for check in checks if check.subject == subject and check.topic != "packages"]
    return one


def test_a_package_is_named_once(monkeypatch):
    lines = ['mlx>=0.32; sys_platform == "darwin" and extra == "mlx"', 'mlx[cpu]>=0.32; extra == "mlx"', "numpy>=2.0"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    assert [check.subject for check in doctor.examine() if check.topic == "packages"] == ["mlx", "numpy"]


def test_machine_and_unused_gpus_are_among_what_is_examined(monkeypatch):
    told = doctor.Finding("backends", "a:gpu", "missing", "sees no GPU")
    monkeypatch.setattr(
        doctor, "machine_check", lambda system, processor: doctor.Finding("system", "any", "ok", system)
    )
    monkeypatch.setattr(doctor, "unused_gpu", lambda name, devices: [told])
    checks = doctor.examine()
    assert found(checks, "any").words == platform.system()
    assert told in checks or not tightrope.backends.available()


def version_of(versions):
    """Return a function from a package to its version, as `importlib.metadata.version` is."""

    def version(package):
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    return version


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy>=2.0", doctor.Requirement("numpy", (2, 0), "")),
        ('torch>=2.7; extra == "torch"', doctor.Requirement("torch", (2, 7), "torch")),
        (
            'mlx[cpu]>=0.32; sys_platform == "linux" and extra == "mlx"',
            doctor.Requirement("mlx", (0, 32), "mlx"),
        ),
        ('plotly; extra == "report"', doctor.Requirement("plotly", (), "report")),
        ('ruff>=0.12; extra == "dev"', None),
        ('tightrope[torch]; extra == "transformers"', None),
    ],
)
def test_metadata_is_read(line, expected):
    assert doctor.requirement(line) == expected


@pytest.mark.parametrize(
    ("versions", "state", "says"),
    [
        ({"torch": "2.13.0+cu130"}, "ok", "2.13.0+cu130"),
        ({"torch": "2.7"}, "ok", "2.7"),
        ({"torch": "2.6.1"}, "problem", "2.6.1, needs 2.7 or newer"),
        ({"torch": "3.0.dev1"}, "ok", "3.0.dev1"),
        ({}, "missing", "not installed"),
    ],
)
def test_packages_are_compared_with_what_is_needed(versions, state, says):
    check = doctor.package_check(doctor.Requirement("torch", (2, 7), "torch"), version_of(versions))
    assert (check.state, check.words) == (state, says)


def test_a_missing_package_that_everything_needs_is_a_problem():
    assert doctor.package_check(doctor.Requirement("numpy", (2, 0), ""), version_of({})).state == "problem"


def test_remedy_names_the_package_with_its_range():
    check = doctor.package_check(doctor.Requirement("plotly", (), "report"), version_of({}))
    assert check.remedy == 'python -m pip install "plotly>=6.0"'


def test_remedy_of_an_old_package_upgrades_it():
    check = doctor.package_check(doctor.Requirement("plotly", (6, 0), "report"), version_of({"plotly": "5.9"}))
    assert check.remedy == 'python -m pip install --upgrade "plotly>=6.0"'


def kernel(variants, interface=kernels.INTERFACE):
    return lambda name: SimpleNamespace(variants=variants, interface=interface)


def raising(error):
    def load(name):
        raise error

    return load


@pytest.mark.parametrize(
    ("load", "state", "says"),
    [
        (kernel(("avx512", "avx2")), "ok", "built; runs here as avx512, avx2"),
        (kernel(()), "missing", "this processor has no fused multiply-add"),
        (
            kernel(("avx2",), kernels.INTERFACE - 1),
            "problem",
            "built for another version of Tightrope, and must be built again",
        ),
        (kernel(("avx2",), None), "problem", "built for another version"),
        (raising(ImportError("wrong ELF class")), "problem", "built, but does not load: wrong ELF class"),
        (raising(ModuleNotFoundError("none")), "missing", "not built at installation"),
    ],
    ids=["built", "old processor", "stale", "older than the number", "broken", "not built"],
)
def test_kernel_says_why_it_does_not_serve(load, state, says):
    check = doctor.kernel_check(load)
    assert check.state == state
    assert says in check.words


@pytest.mark.parametrize(
    ("programs", "says", "remedy"),
    [
        ({"cc"}, "there is a compiler now (cc)", "python -m pip install --force-reinstall --no-deps /any/tightrope"),
        (set(), "there is no C compiler", "install one, then python -m pip install"),
    ],
)
def test_kernel_that_was_not_built_asks_for_a_compiler(monkeypatch, programs, says, remedy):
    again = "python -m pip install --force-reinstall --no-deps /any/tightrope"
    monkeypatch.setattr(doctor, "reinstall_command", lambda: again)
    check = doctor.kernel_check(raising(ModuleNotFoundError("none")), lambda name: name in programs)
    assert says in check.words
    assert check.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("devices", "driver", "count"),
    [(["cpu"], "/bin/nvidia-smi", 1), (["cuda:0", "cpu"], "/bin/nvidia-smi", 0), (["cpu"], None, 0)],
)
def test_a_gpu_that_no_backend_sees_is_pointed_out(devices, driver, count):
    assert len(list(doctor.unused_gpu("torch", devices, lambda name: driver))) == count


@pytest.mark.parametrize(
    ("system", "processor", "state"),
    [("Linux", "x86_64", "ok"), ("Darwin", "arm64", "ok"), ("Darwin", "x86_64", "problem")],
)
def test_intel_python_on_a_mac_is_a_problem(system, processor, state):
    assert doctor.machine_check(system, processor).state == state


@pytest.mark.parametrize("name", ["torch", "mlx"])
def test_a_backend_that_works_tells_device_and_kernel(name):
    try:
        backend = tightrope.load_backend(name)
    except tightrope.BackendUnavailable as error:
        pytest.skip(str(error))
    check = found(doctor.examine(), f"{name}:{backend.devices()[0]}")
    assert check.state == "ok"
    assert backend.path(backend.devices()[0]) in check.words


def unavailable(name):
    raise tightrope.BackendUnavailable(
        f'backend {name!r} is not installed; python -m pip install "{name}>=0.1". Available: none'
    )


def test_no_backend_is_not_healthy(monkeypatch):
    monkeypatch.setattr(doctor.backends, "load", unavailable)
    monkeypatch.setattr(doctor.backends, "available", lambda: ())
    checks = doctor.examine()
    assert not doctor.healthy(checks)
    assert (found(checks, "mlx").state, found(checks, "mlx").words) == ("missing", "is not installed")
    assert found(checks, "mlx").remedy == 'python -m pip install "mlx>=0.1"'


def test_an_installed_backend_that_fails_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor.backends, "load", unavailable)
    monkeypatch.setattr(doctor.backends, "available", lambda: ("mlx",))
    assert found(doctor.examine(), "mlx").state == "problem"


def check(state, topic="backends"):
    return doctor.Finding(topic, "any", state, "words")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([check("ok")], True),
        ([check("ok"), check("missing")], True),
        ([check("ok"), check("problem", "kernel")], False),
        ([check("missing")], False),
        ([check("ok", "packages")], False),
        ([], False),
    ],
)
def test_healthy_is_a_working_backend_and_no_problem(checks, expected):
    assert doctor.healthy(checks) is expected


def test_switches_in_the_environment_are_told(monkeypatch):
    monkeypatch.setenv("TIGHTROPE_CPU_KERNEL", "none")
    assert "'none'" in found(doctor.examine(), "TIGHTROPE_CPU_KERNEL").words


def test_command_prints_every_finding(monkeypatch):
    monkeypatch.setattr(
        doctor, "examine", lambda: [check("ok"), doctor.Finding("kernel", "C", "missing", "gone", "build it")]
    )
    ran = CliRunner().invoke(main, ["doctor"])
    assert ran.exit_code == 0
    assert "✓  any" in ran.output
    assert "–  C" in ran.output
    assert "→ build it" in ran.output


def test_command_fails_where_something_is_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [check("ok"), check("problem")])
    ran = CliRunner().invoke(main, ["doctor", "--json", "-"])
    assert ran.exit_code == 1
    assert [one["state"] for one in json.loads(ran.stdout)["results"][0]["checks"]] == ["ok", "problem"]


def test_command_works_without_any_framework(tmp_path):
    """Frameworks that cannot be imported: as a machine where their installation is broken."""
    for name in ("torch", "mlx"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('broken on purpose')\n")
    search = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "tightrope", "doctor", "--json", "-"]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stderr
    assert not json.loads(ran.stdout)["results"][0]["healthy"]
