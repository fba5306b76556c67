"""What a checkpoint holds, and whether it fits a model."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ganlab.runs.records import Count

LARGEST = 2**17  # of a size in a config or a checkpoint that anybody may have written


class Saved(BaseModel):
    """What a checkpoint must hold to be sampled."""

    model_config = ConfigDict(arbitrary_types_allowed=True, strict=True)
    state_dict: dict[str, torch.Tensor]
    spec: dict[str, Annotated[int, Field(ge=0, le=LARGEST)]]
    iterations: Count
    images_seen: Count
    updates: dict[str, Count]
    class_names: list[str] = []
    observations: dict[str, Any]


def require_shapes(planned: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Raises ValueError unless saved tensors have the names and shapes that a config makes."""
    if odd := sorted(planned.keys() ^ saved.keys()):
        raise ValueError(f"only one of them has '{odd[0]}'")
    for name, tensor in saved.items():
        if tensor.shape != planned[name].shape:
            shapes = f"{tuple(tensor.shape)} and {tuple(planned[name].shape)}"
            raise ValueError(f"'{name}' has the shapes {shapes}")


def require_own_data(saved: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a tensor has more numbers than the file has, as an expanded one has."""
    for name, tensor in saved.items():
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"'{name}' is larger than its data")
