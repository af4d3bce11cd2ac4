"""Metal without a Mac: a C++ compiler type-checks a kernel's text and runs it thread by thread.

No front end of the Metal language exists outside Apple's systems. A small `metal_stdlib` gives a C++ compiler the types
and the address spaces of Metal; `lint` finds what C++ allows and Metal does not.
"""

from proofs.msl.host import COMPILERS, NO_COMPILER, RejectedError, compile_kernel
from proofs.msl.lint import complaints

__all__ = ["COMPILERS", "NO_COMPILER", "RejectedError", "compile_kernel", "complaints"]
