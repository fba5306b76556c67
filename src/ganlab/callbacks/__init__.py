"""Lightning callbacks: readings, scores, pictures, checkpoints, health, interruption, profiling.

May import: conditioning, data, devices, errors, gan, generative, health, loggers, networks, plots,
runs, sampler, scoring, spec, storage, training.
Libraries: numpy, pytorch_lightning, torch, tqdm.
"""

from ganlab.callbacks.capturing import Capturing
from ganlab.callbacks.checkpoints import Checkpoints
from ganlab.callbacks.classification import Classification
from ganlab.callbacks.coverage import ModeCoverage
from ganlab.callbacks.curves import Curves
from ganlab.callbacks.health import Health
from ganlab.callbacks.interruption import Interruption
from ganlab.callbacks.journal import Journal
from ganlab.callbacks.likelihoods import Likelihoods
from ganlab.callbacks.minutes import Minutes
from ganlab.callbacks.profile import Profile
from ganlab.callbacks.progress import Progress
from ganlab.callbacks.readings import HealthReadings
from ganlab.callbacks.samples import SampleGrids
from ganlab.callbacks.scores import Scores

__all__ = [
    "Capturing",
    "Checkpoints",
    "Classification",
    "Curves",
    "Health",
    "HealthReadings",
    "Interruption",
    "Journal",
    "Likelihoods",
    "Minutes",
    "ModeCoverage",
    "Profile",
    "Progress",
    "SampleGrids",
    "Scores",
]
