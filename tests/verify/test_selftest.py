"""`tightrope selftest`, as a library: it tells right from wrong, and what it did not run."""

import json
from types import SimpleNamespace

import pytest

import tightrope
from tightrope.rope.errors import BackendUnavailable
from tightrope.verify.selftest import checks as selftest_checks
from tightrope.verify.selftest import session as selftest


@pytest.fixture
def small(monkeypatch):
    """Two models of the gallery: M-RoPE, and a tail of MLA with YaRN."""
    few = {name: selftest_checks.GALLERY[name] for name in ("qwen2-vl-7b", "deepseek-v3")}
    monkeypatch.setattr(selftest_checks, "GALLERY", few)


def only(monkeypatch, name, backend):
    """Let the registry hold one backend."""
    monkeypatch.setattr(selftest, "names", lambda: (name,))
    monkeypatch.setattr(selftest, "load", lambda _: backend)


def altered(backend, **changes):
    """Return a backend with some of its names replaced."""
    return SimpleNamespace(**{name: getattr(backend, name) for name in backend.__all__} | changes)


def off_by(factor, **changes):
    """Return PyTorch's backend, whose rotations come out too long."""
    torch = tightrope.load_backend("torch")

    class Off(torch.RotaryEmbedding):
        def forward(self, *arguments, **options):
            rotated = super().forward(*arguments, **options)
            return tuple(x * factor for x in rotated) if isinstance(rotated, tuple) else rotated * factor

    return altered(torch, RotaryEmbedding=Off, **changes)


def test_every_check_passes_on_this_machine(small, backend, monkeypatch):
    only(monkeypatch, backend.name, backend)
    report = selftest.run()
    assert report.passed, report.to_markdown()
    assert {device.device for device in report.devices} == set(backend.devices())


def test_what_a_compiler_refuses_is_reported(small, backend, monkeypatch):
    def refuse(function, device):
        raise RuntimeError(f"no graph on {device}")

    only(monkeypatch, backend.name, altered(backend, compiled=refuse))
    failed = [check for device in selftest.run().devices for check in device.failed]
    assert [check.error for check in failed] == ["RuntimeError: no graph on cpu"] * 3


@pytest.mark.backend("torch")
def test_kernels_are_held_to_the_bits(small, monkeypatch):
    only(monkeypatch, "torch", off_by(1 + 2**-7))
    report = selftest.run()
    assert not report.passed
    assert "ulp off" in report.to_markdown()


@pytest.mark.backend("torch")
def test_framework_operations_are_held_to_their_tolerance(small, monkeypatch):
    only(monkeypatch, "torch", off_by(1.5, path=lambda device: "framework operations"))
    assert not selftest.run().passed


@pytest.mark.backend("torch")
def test_what_a_device_raises_is_reported(small, monkeypatch):
    class Broken:
        def __init__(self, model):
            raise RuntimeError("the driver says no")

    only(monkeypatch, "torch", altered(tightrope.load_backend("torch"), RotaryEmbedding=Broken))
    report = selftest.run()
    assert not report.passed
    assert "the driver says no" in report.to_markdown()


def test_a_missing_backend_is_not_run_and_that_is_no_pass(monkeypatch):
    def missing(name):
        raise BackendUnavailable("backend 'mlx' is not installed")

    monkeypatch.setattr(selftest, "names", lambda: ("mlx",))
    monkeypatch.setattr(selftest, "load", missing)
    report = selftest.run()
    assert report.not_run == ("backend 'mlx' is not installed",)
    assert not report.passed


@pytest.mark.backend("torch")
def test_devices_that_are_not_there_are_named(small, monkeypatch):
    torch = tightrope.load_backend("torch")
    only(monkeypatch, "torch", altered(torch, devices=lambda: ("cpu",)))
    assert [line.split(":")[0] for line in selftest.run().not_run] == ["torch on cuda", "torch on mps"]


@pytest.mark.backend("torch")
def test_the_report_is_json(small, monkeypatch):
    only(monkeypatch, "torch", tightrope.load_backend("torch"))
    report = selftest.run()
    held = json.loads(json.dumps(report.to_dict()))
    assert held["passed"] is True
    assert len(held["devices"][0]["checks"]) == len(report.devices[0].checks)
