"""Run cases through the Triton kernel without a GPU, in a process of their own: one JSON list per line.

usage: python -m proofs.gpu.run_triton cases interpreter|sm_90      [case, what is wrong or null]
       python -m proofs.gpu.run_triton mutants sm_90 FOLDER          [mutant, the first case that goes wrong or null]

A process of their own: Triton reads TRITON_INTERPRET when it is imported, its driver is global, and its interpreter
writes through wild pointers where a kernel is wrong. FOLDER takes the mutants' sources, which Triton reads from files.
"""

import importlib
import json
import sys
import traceback
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from proofs.cases import CASES

KERNEL = "tightrope.backends.torch.kernels.triton_kernel"
LAUNCH = "tightrope.backends.torch.kernels.triton_launch"


def main(task, host, *arguments):
    prepare(host)
    globals()[f"run_{task}"](*arguments)


def prepare(host):
    """Choose what executes the kernel."""
    if host == "interpreter":
        from proofs.gpu.triton_interpreter import mend

        mend()
    else:
        from proofs.gpu.triton_driver import use

        use(int(host.removeprefix("sm_")))


def run_cases():
    from proofs.tensors import Call

    kernel = importlib.import_module(LAUNCH)
    for name in CASES:
        say(name, outcome(Call, name, kernel))


def run_mutants(folder):
    from proofs.mutants import TRITON

    text = Path(find_spec(KERNEL).origin).read_text()
    for number, mutant in enumerate(TRITON):
        file = Path(folder) / f"mutant_{number}.py"
        file.write_text(mutant.apply(text))
        say(mutant.name, first_failure(kernel_of(file)))


def kernel_of(file):
    """Return the package's launch functions with the kernel of another file."""
    spec = spec_from_file_location(KERNEL, file)
    sys.modules[KERNEL] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules.pop(LAUNCH, None)
    return importlib.import_module(LAUNCH)


def first_failure(kernel):
    from proofs import far
    from proofs.tensors import Call

    found = (name for name in CASES if outcome(Call, name, kernel))
    return next(found, None) or ("far" if what_is_wrong(far.problem, kernel.rotate) else None)


def outcome(call, name, kernel):
    """Return what is wrong with a case, None where nothing is: the rotation, and its angles where they are computed."""
    case = CASES[name]
    found = what_is_wrong(lambda: call(case).run(kernel.rotate))
    if found is None and case.source == "phase":
        found = what_is_wrong(lambda: call(case).run_angles(kernel.cos_sin))
    return found


def what_is_wrong(problem, *arguments):
    """Return what a function finds wrong, or what it raises."""
    try:
        return problem(*arguments)
    except Exception:
        return traceback.format_exc()


def say(*values):
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
