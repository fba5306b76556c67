"""How torch's threads on a CPU wait for each other."""

import os
import sys
from collections.abc import Container, MutableMapping

SPINS = "2000"  # some ten microseconds; libgomp's own default is 300,000
SAID = ("GOMP_", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")  # variables that say how threads wait


def wait_briefly(
    environment: MutableMapping[str, str] = os.environ, loaded: Container[str] = sys.modules
) -> None:
    """Has threads sleep soon while they wait, where nobody has said how they are to wait.

    Threads of libgomp, which torch brings on Linux, spin for milliseconds before they sleep.  On
    a processor that another program uses, too, they keep the thread that they wait for from
    working: a small GAN trains at a third of its speed.  Other OpenMP libraries, such as Intel's,
    ignore the variable.  It is read when torch is loaded, and processes started from here
    inherit it; with a single thread nobody waits.

    Args:
        environment: where GOMP_SPINCOUNT is set.
        loaded: the modules that are imported already; with torch among them nothing is changed.
    """
    said = any(name.startswith(SAID) for name in environment)
    if "torch" not in loaded and not said and environment.get("OMP_NUM_THREADS") != "1":
        environment["GOMP_SPINCOUNT"] = SPINS
