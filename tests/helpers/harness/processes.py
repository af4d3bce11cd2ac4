"""Processes of a test: one that runs code, and several that run a module of tests/distributed, none for ever."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paths import ROOT

LIMIT = 150
GRACE = 5  # seconds that the others have once one of them has failed


def in_new_process(code, **environment):
    """Return what code prints in a process of its own."""
    path = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**path, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(module, environments, arguments=(), limit=LIMIT):
    """Run `python -m`-like the file `module` once for each environment; return each one's last line as JSON.

    Raises AssertionError with the output of the process that failed first; the others are ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [(Path(folder) / f"{rank}.log").open("w+") for rank in range(len(environments))]
        processes = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "distributed" / f"{module}.py"), *map(str, arguments)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": str(ROOT / "tests" / "helpers"),
                    **environment,
                },
                cwd=folder,
            )
            for log, environment in zip(logs, environments, strict=True)
        ]
        try:
            ended = _wait(processes, limit)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        texts = []
        for log in logs:
            log.seek(0)
            texts.append(log.read())
            log.close()
    for rank, (process, text) in enumerate(zip(processes, texts, strict=True)):
        if ended == rank or (ended is None and process.returncode != 0):
            raise AssertionError(f"process {rank} of {module} ended with {process.returncode}:\n{text[-3000:]}")
    return [json.loads(text.splitlines()[-1]) for text in texts]


def _wait(processes, limit):
    """Wait for all; return the first that failed, None where none did. Time-outs count for the first still running."""
    end, failed = time.monotonic() + limit, None
    while any(process.poll() is None for process in processes):
        for rank, process in enumerate(processes):
            if failed is None and process.poll() not in (None, 0):
                failed, end = rank, min(end, time.monotonic() + GRACE)
        if time.monotonic() > end:
            running = next(rank for rank, process in enumerate(processes) if process.poll() is None)
            return running if failed is None else failed
        time.sleep(0.05)
    return failed


def torchrun(module, count=2, **options):
    """Run a file in `count` processes of torch.distributed, as torchrun starts them."""
    port = free_ports(1)[0]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return run(module, [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)], **options)


def mlx_ring(module, count=2, **options):
    """Run a file in `count` processes of MLX's ring backend, as mlx.launch starts them."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as hosts:
        json.dump([[f"127.0.0.1:{port}"] for port in free_ports(count)], hosts)
        hosts.flush()
        return run(module, [{"MLX_RANK": str(rank), "MLX_HOSTFILE": hosts.name} for rank in range(count)], **options)
