"""The libraries of `pip install 'ganlab[export]'`."""

import importlib.util

from ganlab.errors import ConfigError

WEIGHTS = ("safetensors",)
ONNX, HUB = ("onnx", "onnxscript", "onnxruntime"), ("huggingface_hub",)


def require(*libraries: str) -> None:
    """Raises ConfigError, with the way to install them, unless all libraries are there."""
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(
            [f"{', '.join(missing)} {verb} not installed: pip install 'ganlab[export]'"]
        )
