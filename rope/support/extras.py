"""Packages that only an extra installs: imported when they are needed, missed in words."""

from importlib import import_module
from types import ModuleType

from tightrope.rope.errors import ExtraMissing


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import and return a module.

    Args:
        module: Its name; the package is the part before the first dot.
        extra: The extra of Tightrope that installs it.
        purpose: What it is needed for: `"pictures"`.

    Raises:
        ExtraMissing: It is not installed, or fails to import.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package:
            raise ExtraMissing(f'{purpose} need {package}; pip install "tightrope[{extra}]"') from error
        raise ExtraMissing(f"{purpose} need {package}, which is installed but fails to import: {error}") from error
