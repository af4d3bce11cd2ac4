"""The examples as modules: they are programs of a user, not part of the package."""

import importlib.util

from paths import ROOT

EXAMPLES = ROOT / "examples"


def load(name):
    """Return an example, imported anew."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
