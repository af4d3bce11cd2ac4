"""The C kernel for the CPU. Without a compiler the installation succeeds and framework operations rotate instead."""

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

KERNELS = "backends/kernels/cpu"
# Each compiles to nothing on another architecture; among the others the processor chooses at run time.
VARIANTS = ("avx512bf16", "avx512", "avx2", "neon")


class BuildPackage(build_py):
    """The root folder is the package; this script lies in it and is no part of it."""

    def find_package_modules(self, package, package_dir):
        """Return the modules of a package folder."""
        return [found for found in super().find_package_modules(package, package_dir) if found[1] != "setup"]


setup(
    cmdclass={"build_py": BuildPackage},
    ext_modules=[
        Extension(
            "tightrope.backends.kernels._cpu",
            sources=[f"{KERNELS}/{name}.c" for name in ("module", "view", "threads", *VARIANTS)],
            depends=[f"{KERNELS}/{name}" for name in ("job.h", "view.h", "angles.h", "row.h", "rotate.h", "avx512.c")],
            # A contracted a · b + c would round once where the definition rounds twice.
            extra_compile_args=["-O3", "-ffp-contract=off", "-pthread"],
            extra_link_args=["-pthread"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
