"""generator.safetensors: the tensors that draw samples, and what config.yaml does not say of them.

Safetensors has neither code nor checksums.  A hash of the tensors is part of its header here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from ganlab.errors import DamagedError
from ganlab.experiments.saved import LARGEST
from ganlab.exporting import needs
from ganlab.generative import Generative
from ganlab.runs.records import Count, reason
from ganlab.storage import files

KEY = "ganlab"  # of the header's metadata


class About(BaseModel):
    """What the header says.

    Args:
        spec: of the samples, as in a checkpoint.
        iterations, images_seen: of training.
        class_names: empty if the classes have no names.
        ema_decay: of the average that the weights are; None: they are the trained ones.
        batchnorm: which statistics BatchNorm has, in words.
        sha256: of the tensors, as `digest` has it.
    """

    model_config = ConfigDict(strict=True, extra="forbid")
    spec: dict[str, Annotated[int, Field(ge=0, le=LARGEST)]]
    iterations: Count
    images_seen: Count
    class_names: list[str]
    ema_decay: float | None
    batchnorm: str
    sha256: str


def save(gan: Generative, path: Path) -> None:
    """Writes the weights that `sample` uses, with all buffers: BatchNorm's statistics, w's mean."""
    from safetensors.torch import save as serialised

    tensors = {
        name: tensor.detach().cpu().contiguous().clone()  # apart: some share their memory
        for name, tensor in gan.sampler.state_dict().items()
    }
    about = About(
        spec=asdict(gan.spec),
        iterations=gan.iterations,
        images_seen=gan.images_seen,
        class_names=gan.class_names,
        ema_decay=gan.ema_decay,
        batchnorm=gan.batchnorm,
        sha256=digest(tensors),
    )
    files.write(path, serialised(tensors, {"format": "pt", KEY: about.model_dump_json()}))


def read(path: Path) -> tuple[dict[str, Tensor], About]:
    """The tensors by name, on the CPU, and what the header says.

    Raises:
        ConfigError: safetensors is not installed.
        DamagedError: the file is truncated, changed, or not ganlab's.
        OSError: it cannot be opened.
    """
    needs.require(*needs.WEIGHTS)
    from safetensors import safe_open

    try:
        with files.opened(path):  # a FIFO or a device is refused, not waited for
            pass
        with safe_open(path, framework="pt") as file:
            about = About.model_validate_json((file.metadata() or {}).get(KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError:
        raise
    except ValidationError as error:
        raise DamagedError(f"'{path}' is not ganlab's, or damaged: {reason(error)}") from error
    except Exception as error:  # damage makes decoders raise anything
        raise DamagedError(f"'{path}' is damaged: {error}") from error
    if digest(tensors) != about.sha256:
        raise DamagedError(f"'{path}' is damaged: its tensors are not those that were written")
    return tensors, about


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all names, types, shapes and numbers, in the order of the names."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()
