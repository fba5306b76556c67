"""Sets how torch's CPU threads wait for each other."""

import os
import sys
from collections.abc import Container, MutableMapping

SPINS = "2000"  # about ten microseconds; libgomp's default is 300,000 spins
SAID = ("GOMP_", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")  # variables by which users set this


def wait_briefly(
    environment: MutableMapping[str, str] = os.environ, loaded: Container[str] = sys.modules
) -> None:
    """Shortens the spinning of waiting OpenMP threads, unless the user has configured it.

    Threads of libgomp, which torch ships on Linux, spin for milliseconds before they sleep.  If
    another program shares the CPU, spinning threads hold up the thread that they wait for, and a
    small GAN trains at a third of its speed.  Other OpenMP libraries, such as Intel's, ignore the
    variable.  It is read when torch is loaded, and child processes inherit it.  With one thread it
    has no effect and is not set.

    Args:
        environment: the variables; GOMP_SPINCOUNT is set there.
        loaded: modules that are imported already; if torch is among them, nothing is changed.
    """
    said = any(name.startswith(SAID) for name in environment)
    if "torch" not in loaded and not said and environment.get("OMP_NUM_THREADS") != "1":
        environment["GOMP_SPINCOUNT"] = SPINS
