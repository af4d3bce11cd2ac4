"""The C kernel for the CPU. Without a compiler the installation succeeds and framework operations rotate instead."""

from setuptools import Extension, setup

KERNELS = "backends/kernels"
# Each compiles to nothing on another architecture; among the others the processor chooses at run time.
VARIANTS = ("avx512bf16", "avx512", "avx2", "neon")

setup(
    ext_modules=[
        Extension(
            "tightrope.backends.kernels._cpu",
            sources=[f"{KERNELS}/{name}.c" for name in ("module", "threads", *VARIANTS)],
            depends=[f"{KERNELS}/{name}" for name in ("job.h", "rotate.h", "avx512.c")],
            # A contracted a · b + c would round once where the definition rounds twice.
            extra_compile_args=["-O3", "-ffp-contract=off", "-pthread"],
            extra_link_args=["-pthread"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
