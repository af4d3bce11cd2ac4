"""The C kernel for the CPU, and links that work on a package index.

Without a compiler the installation succeeds and framework operations rotate instead.
"""

import os
import re
import sysconfig
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

KERNELS = "backends/kernels/cpu"
# Each compiles to nothing on another architecture; among the others the processor chooses at run time.
VARIANTS = ("avx512bf16", "avx512", "avx2", "neon")
# The stable interface exists only where the GIL does; a free-threaded Python takes an extension of its own.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")


class BuildPackage(build_py):
    """The root folder is the package; this script lies in it and is no part of it."""

    def find_package_modules(self, package, package_dir):
        """Return the modules of a package folder."""
        return [found for found in super().find_package_modules(package, package_dir) if found[1] != "setup"]


class BuildWheel(bdist_wheel):
    """A wheel without the C kernel runs everywhere, and says so by its tag."""

    def run(self):
        """Build the extension first, to know whether there is one."""
        self.run_command("build_ext")
        build = self.get_finalized_command("build_ext")
        if not any(map(os.path.exists, build.get_outputs())):
            self.distribution.ext_modules = None
            self.root_is_pure = True
        super().run()


def described():
    """Return README, and the project's links, with the address of the repository where pyproject.toml has one."""
    root = Path(__file__).parent
    address = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["tightrope"]["address"].rstrip("/")
    readme = (root / "README.md").read_text("utf-8")
    links = {}
    if address:
        readme = re.sub(r"\]\((?!\w+:|#)", f"]({address}/blob/main/", readme)
        pages = {"Documentation": "tree/main/docs", "Changelog": "blob/main/CHANGELOG.md", "Issues": "issues"}
        links = {"Source": address, **{name: f"{address}/{path}" for name, path in pages.items()}}
    return {
        "long_description": readme,
        "long_description_content_type": "text/markdown",
        "project_urls": links,
    }


setup(
    **described(),
    cmdclass={"build_py": BuildPackage, "bdist_wheel": BuildWheel},
    ext_modules=[
        Extension(
            "tightrope.backends.kernels._cpu",
            sources=[f"{KERNELS}/{name}.c" for name in ("module", "view", "threads", *VARIANTS)],
            depends=[f"{KERNELS}/{name}" for name in ("job.h", "view.h", "angles.h", "row.h", "rotate.h", "avx512.c")],
            # A contracted a · b + c would round once where the definition rounds twice.
            extra_compile_args=["-O3", "-ffp-contract=off", "-pthread"],
            extra_link_args=["-pthread"],
            py_limited_api=STABLE,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {},
)
