"""Which backends the tests run on, and how a missing one shows.

A test that takes the fixture `backend` runs once per backend; a test marked `backend("torch")`, or with several names,
needs those. Where one is missing the test is skipped with the import error as its reason, unless `--require-backend`
names it: then nothing runs and the exit status is 1. The last lines of a run say how many tests each backend had.
"""

import functools
import os
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

import tightrope
from paths import ROOT
from samples import golden_files, report_files

BACKENDS = ("torch", "mlx")
SHARED = Path(os.environ.get("TIGHTROPE_SHARED", ROOT.parent / "shared"))
SHARED_CONFIGS = sorted((SHARED / "configs").glob("*.json"))
NO_CONFIGS = f"no real configurations in {SHARED / 'configs'}"

# What a person or a service wants of its terminal is not what the tests compare.
for _name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
    os.environ.pop(_name, None)

# No deadline: the first call of a framework takes seconds. CI draws the same examples every time; a person, new ones.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("ci"), max_examples=5)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.backend(name)) for name in BACKENDS])
def backend(request):
    """Each backend's module in turn; `draws.EVERY_PATH` adds PyTorch without its C kernel."""
    return tightrope.load_backend(request.param.split()[0])


# For each test by itself: what a session's fixture takes away, the tests after it would miss as well.
@pytest.fixture(autouse=True)
def kernel_where_wanted(request):
    """No C kernel in a test whose backend is `"torch operations"`."""
    given = getattr(getattr(request.node, "callspec", None), "params", {}).get("backend", "")
    with pytest.MonkeyPatch.context() as patch:
        if given == "torch operations":
            patch.setattr("tightrope.backends.torch.kernels.cpu.kernel", None)
        yield


@pytest.fixture(scope="session")
def shared():
    """The folder with real configurations that may lie beside the checkout."""
    if not SHARED_CONFIGS:
        pytest.skip(NO_CONFIGS)
    return SHARED


@pytest.fixture(
    scope="session",
    params=[pytest.param(path, id=path.stem) for path in SHARED_CONFIGS]
    or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_CONFIGS))],
)
def shared_config(request):
    """The path of each real configuration in turn; one skip where there are none."""
    return request.param


@pytest.fixture
def golden_subject():
    """The backend that golden files of the tests are written by: the first there is."""
    return golden_files.one_backend()


@pytest.fixture
def golden_path(tmp_path):
    """A golden file of one's own."""
    return golden_files.recorded(tmp_path)


@pytest.fixture
def native():
    """The module that calls the C kernel."""
    module = pytest.importorskip("tightrope.backends.torch.kernels.cpu")
    if module.kernel is None:
        pytest.skip("the C kernel was not built, or none of its instruction sets runs here")
    return module


@pytest.fixture
def llama():
    """A tiny transformers model of one's own, to be patched."""
    from models import hf_models

    return hf_models.fresh("llama")


@pytest.fixture(scope="session")
def dynamic_report(tmp_path_factory):
    """The path of a report whose frequencies follow the slider."""
    return report_files.written(tmp_path_factory.mktemp("dynamic"), report_files.DYNAMIC)


@functools.cache
def missing(name):
    """Return why a backend cannot be used, None where it can."""
    try:
        tightrope.load_backend(name)
    except tightrope.BackendUnavailable as error:
        return str(error)
    return None


def pytest_addoption(parser):
    parser.addoption(
        "--require-backend",
        metavar="NAMES",
        default=os.environ.get("TIGHTROPE_REQUIRE_BACKENDS", ""),
        help="backends that must be there, comma-separated (default: $TIGHTROPE_REQUIRE_BACKENDS)",
    )


def pytest_sessionstart(session):
    required = filter(None, session.config.getoption("--require-backend").split(","))
    if reasons := [reason for name in required if (reason := missing(name))]:
        pytest.exit("required by --require-backend: " + "; ".join(reasons), returncode=1)


def pytest_runtest_setup(item):
    names = [name for mark in item.iter_markers("backend") for name in mark.args]
    item.user_properties += [("backend", name) for name in names]
    if reasons := [reason for name in names if (reason := missing(name))]:
        pytest.skip("; ".join(reasons))


def pytest_terminal_summary(terminalreporter):
    counts = Counter(
        (name, outcome)
        for outcome in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        for key, name in getattr(report, "user_properties", [])
        if key == "backend"
    )
    for name in BACKENDS:
        figures = [f"{number} {outcome}" for (of, outcome), number in counts.items() if of == name]
        reason = f" ({reason})" if (reason := missing(name)) else ""
        terminalreporter.write_line(f"tests on {name}: {', '.join(figures) or 'none'}{reason}")
