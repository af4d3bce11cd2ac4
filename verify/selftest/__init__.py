"""Does the code that rotates on this machine give the bits of the definition?"""

from tightrope.verify.selftest.session import Device, Report, run

__all__ = ["Device", "Report", "run"]
