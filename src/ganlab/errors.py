"""Every error whose cause is the user's: its message is a sentence, shown without a traceback.

Commands end with exit code 2 if nothing was started, and with 1 if training stopped.
"""

ADVICE = (
    "Usual causes: learning rates too high for this loss, 16-mixed precision (bf16-mixed has "
    "float32's range); of a GAN, a wasserstein critic without weight_clip or gradient_penalty; of "
    "a VAE or an RBM, a deviation that is too small."
)


class ConfigError(Exception):
    """One or more mistakes in the config or on the command line.

    Args:
        problems: one sentence for each mistake.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class RunBusyError(ConfigError):
    """Another process works in the run's folder."""


class CombinationError(ValueError):
    """Parts that cannot work together.

    Args:
        reasons: one sentence for each conflict.
    """

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


class DataError(Exception):
    """Data is missing, corrupt or unsuitable."""


class DamagedError(Exception):
    """A file is not the checkpoint that was written."""


class ProtocolMismatchError(ValueError):
    """Scores of different protocols cannot be compared."""


class NonFiniteError(Exception):
    """A loss, a penalty, a gradient or a weight is NaN or infinite: training cannot go on."""


class UnhealthyError(Exception):
    """A health verdict ended the run, as `health.action` says."""


class DiskFullError(Exception):
    """The disk of a run is full: training cannot go on.  The last checkpoint is good."""


class JobFailedError(Exception):
    """A job failed and has said why; the other jobs of a sweep go on."""
