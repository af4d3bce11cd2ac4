"""Rope types of a user's own, known before a command reads anything."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

import click

GROUP: Final = "tightrope.rope_types"
"""Entry points of installed packages, each a module that registers rope types when it is imported."""


def load_rope_types(modules: Iterable[str]) -> None:
    """Import modules by name, from the current folder, too, and those that installed packages announce.

    Raises:
        click.UsageError: A module that was named fails to import.
    """
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # another package's code: it may raise anything, and is not what was asked for
            click.echo(f"Warning: rope types of {point.value} cannot be loaded: {_reason(error)}", err=True)
    for name in modules:
        _import(name)


def _import(name: str) -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        import_module(name)
    except Exception as error:  # whatever the module does when it is imported
        raise click.UsageError(f"--import {name} fails: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
