"""The registry: which backends there are, and what a person reads when one cannot be used."""

import importlib.metadata

import numpy as np
import pytest

import tightrope
from harness.processes import in_new_process
from tightrope import BackendUnavailable, RopeConfigError, backends
from tightrope.rope.support.extras import needed


def test_every_backend_fits_the_protocol(backend):
    public = {name for name in vars(backends.protocol.Backend) if not name.startswith("_")}
    announced = public | set(backends.protocol.Backend.__annotations__)
    assert len(announced) > 8
    assert not [name for name in announced if not hasattr(backend, name)]
    assert backends.load(backend.name) is backend


@pytest.mark.parametrize("name", backends.names())
def test_the_version_is_that_of_the_installed_framework(backend, name):
    if backend.name == name:
        public = backend.version.partition("+")[0]  # PyTorch adds what it was built for: 2.14.1+cu130
        assert public == importlib.metadata.version(name).partition("+")[0]


def test_asking_what_is_available_imports_no_framework():
    code = "import sys, tightrope.backends as b; print(b.available(), {'torch', 'mlx'} & set(sys.modules))"
    assert in_new_process(code) == f"{backends.available()} set()"


def test_an_unknown_backend_is_a_configuration_error():
    with pytest.raises(RopeConfigError, match="backend must be one of 'torch', 'mlx', got 'jax'"):
        tightrope.load_backend("jax")


def without(monkeypatch, framework):
    monkeypatch.setattr(backends, "_installed", lambda name: None if name == framework else "99.0")


@pytest.mark.parametrize(("name", "other"), [("mlx", "torch"), ("torch", "mlx")])
def test_a_backend_that_is_not_installed_says_how_to_install_it(monkeypatch, name, other):
    without(monkeypatch, name)
    assert backends.available() == (other,)
    with pytest.raises(BackendUnavailable, match="is not installed") as raised:
        backends.load(name)
    (asked,) = [asked for asked in needed(name) if asked.startswith(name)]
    assert str(raised.value) == (
        f'backend {name!r} is not installed; python -m pip install "{asked}". Available: {other}'
    )


def test_a_folder_without_a_distribution_is_not_an_installed_framework(monkeypatch, tmp_path):
    """`pip uninstall mlx` can leave mlx/ behind, which Python imports as a namespace."""
    (tmp_path / "leftover").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(backends.ENTRIES, "left", backends.BackendEntry("leftover", "leftover", (0, 1)))
    assert "left" not in backends.available()
    with pytest.raises(BackendUnavailable, match="is not installed"):
        backends.load("left")


def test_without_any_backend_none_is_available(monkeypatch):
    monkeypatch.setattr(backends, "_installed", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"Available: none$"):
        backends.load("mlx")


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_a_backend_that_fails_to_import_says_why(monkeypatch, error):
    def fail(name):
        raise error("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(backends, "_installed", lambda framework: "99.0")
    monkeypatch.setattr(backends, "import_module", fail)
    with pytest.raises(BackendUnavailable, match="libcuda") as raised:
        backends.load("mlx")
    assert str(raised.value) == (
        "backend 'mlx' is installed but failed to import: libcuda.so.1: cannot open shared object file"
    )


@pytest.mark.parametrize(
    ("name", "installed", "needed"),
    [("torch", "2.7.1+cu126", "2.8"), ("mlx", "0.31.9", "0.32"), ("mlx", "0.9", "0.32")],
)
def test_an_old_framework_is_refused(monkeypatch, name, installed, needed):
    monkeypatch.setattr(backends, "_installed", lambda framework: installed)
    with pytest.raises(BackendUnavailable, match=f"needs {name} >= {needed}, got {installed.split('+')[0]}"):
        backends.load(name)


@pytest.mark.parametrize("installed", ["2.8.0", "2.13.0+cpu", "2.8.0a0+git1234", "3.0", "10.0.dev1"])
def test_a_newer_framework_of_any_spelling_is_taken(monkeypatch, installed):
    monkeypatch.setattr(backends, "_installed", lambda framework: installed)
    monkeypatch.setattr(backends, "import_module", lambda name: name)
    assert backends.load("torch") == "tightrope.backends.torch"


def test_devices_and_dtypes_say_what_works(backend):
    for device in backend.devices():
        with backend.on(device):
            for dtype in backend.dtypes(device):
                array = backend.asarray(np.array([1.5, -2.0]), dtype, device)
                assert backend.to_numpy(array + array).tolist() == [3.0, -4.0]
            backend.synchronize(device)
        assert backend.path(device)


def test_arrays_come_back_as_they_went(backend):
    device = backend.devices()[-1]
    for dtype, kept in [("float32", "float32"), ("bfloat16", "float32"), ("int64", "int64"), ("int32", "int32")]:
        values = np.array([[1, -2], [3, 4]])[:, ::-1]
        back = backend.to_numpy(backend.asarray(values, dtype, device))
        assert back.dtype == kept
        assert np.array_equal(back, values)
