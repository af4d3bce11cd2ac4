"""Attributes of a model that are replaced all together or not at all, and a record of them beside each.

An exception, a Ctrl-C among them, may fall between any two lines: what is about to change is recorded before it does,
and undoing skips what was not changed or is undone already. So a model is whole, or `tightrope.unpatch` makes it so.
No lock is held, so none is left held: the records themselves say which of two threads came first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Self

from tightrope.backends.patching.report import PatchReport
from tightrope.rope.errors import RopeConfigError

PATCHED: Final = "this model is patched already; tightrope.unpatch(model) first"

_RECORD: Final = "_tightrope_patch"


@dataclass(frozen=True, eq=False)
class Swap:
    """One attribute of one object, before and after.

    Attributes:
        owner: The object.
        name: The attribute; `"__class__"` replaces methods, bound when they are called.
        new: Its value once patched.
        old: Its value before.
        main: False where it makes no sense without the main swaps of the same patch, and they with it.
        unless: An attribute that would hide the new value if the object had it itself.
    """

    owner: Any
    name: str
    new: Any
    old: Any
    main: bool = True
    unless: str = ""

    def apply(self) -> None:
        """Set the new value."""
        setattr(self.owner, self.name, self.new)

    def undo(self) -> None:
        """Set the old value, unless it is not the new one that is there."""
        if self.in_force():
            setattr(self.owner, self.name, self.old)

    def in_force(self) -> bool:
        """Return whether the new value is there."""
        return self._value() is self.new

    def replaced_again(self) -> bool:
        """Return whether there is a value that is neither the new one nor the old one, or one that hides it."""
        return self._hidden() if self.in_force() else self.changed()

    def changed(self) -> bool:
        """Return whether the old value is not there any more."""
        return self._value() is not self.old

    def _value(self) -> Any:
        return getattr(self.owner, self.name, None)

    def _hidden(self) -> bool:
        return self.unless in vars(self.owner)


@dataclass(frozen=True, eq=False)
class Record:
    """What was replaced in one object, kept there; the report is one object for all parts of a patch.

    A copy of a part takes its record along, and no other part.
    """

    report: PatchReport
    swaps: tuple[Swap, ...]

    def in_force(self) -> bool:
        """Return whether any of it is in place."""
        return any(swap.in_force() for swap in self.swaps)

    def is_of(self, part: Any) -> bool:
        """Return whether this part is the one recorded: a shallow copy has all attributes of the original."""
        return self.swaps[0].owner is part


class Changes:
    """The swaps of a patch, by the object that they change."""

    def __init__(self, records: Sequence[tuple[Any, Record]]) -> None:
        self._records = tuple(records)

    @classmethod
    def planned(cls, swaps: Sequence[Swap], report: PatchReport) -> Self:
        """Return the changes that swaps would make."""
        # In one order for all, so that of two threads the first to record the first part has them all.
        by_owner = groupby(sorted(swaps, key=_owner), key=_owner)
        groups = [tuple(group) for _, group in by_owner]
        return cls([(group[0].owner, Record(report, group)) for group in groups])

    @classmethod
    def found(cls, model: Any) -> Self:
        """Return the changes that are recorded in a model, whatever wraps it."""
        modules = {id(module): module for module in _modules(model)}.values()
        records = [(module, vars(module)[_RECORD]) for module in modules if _RECORD in vars(module)]
        return cls([(module, record) for module, record in records if record.is_of(module)])

    def __bool__(self) -> bool:
        return bool(self._records)

    def make(self) -> None:
        """Record and apply all swaps, or none.

        Raises:
            RopeConfigError: Another thread, or a signal handler, patches or unpatches the same parts.
        """
        try:
            for owner, record in self._records:
                _claim(owner, record)
            if any(swap.changed() for swap in self._swaps()):
                raise RopeConfigError("this model was changed while it was being patched; patch it again")
            for swap in self._swaps():
                swap.apply()
            if any(vars(owner).get(_RECORD) is not record for owner, record in self._records):
                raise RopeConfigError("this model was unpatched while it was being patched")
        except BaseException:
            self._undo()
            raise

    def undo(self) -> None:
        """Put back what is still replaced, and forget the record.

        Raises:
            RopeConfigError: Something else replaced one of the parts since, or the main part is elsewhere. Nothing was
                changed.
        """
        again = [swap.unless or swap.name for swap in self._swaps() if swap.replaced_again()]
        if again:
            raise RopeConfigError(
                f"{again[0]} of {len(again)} patched parts was replaced again after tightrope.patch; undo that first"
            )
        main = {id(record.report) for _, record in self._records if any(swap.main for swap in record.swaps)}
        if any(id(record.report) not in main and record.in_force() for _, record in self._records):
            raise RopeConfigError(
                "this is a part of a patched model, whose angles are computed outside of it; tightrope.unpatch(model)"
            )
        self._undo()

    def _undo(self) -> None:
        for swap in self._swaps():
            swap.undo()
        for owner, record in self._records:
            if vars(owner).get(_RECORD) is record:
                del vars(owner)[_RECORD]

    def _swaps(self) -> Iterator[Swap]:
        for _, record in self._records:
            yield from record.swaps


def _claim(part: Any, record: Record) -> None:
    """Put a record beside a part, in one step of the interpreter: of two threads one comes first."""
    held: Record = vars(part).setdefault(_RECORD, record)
    if held is record:
        return
    if held.is_of(part):
        raise RopeConfigError(PATCHED)
    vars(part)[_RECORD] = record


def _owner(swap: Swap) -> int:
    return id(swap.owner)


def _modules(model: Any) -> Iterator[Any]:
    modules = getattr(model, "modules", None)
    return iter(modules()) if callable(modules) and not isinstance(model, type) else iter(())
