"""Does the code that rotates on this machine give the bits of the definition?"""

from tightrope.verify.selftest.session import Device, SelftestReport, run

__all__ = ["Device", "SelftestReport", "run"]
