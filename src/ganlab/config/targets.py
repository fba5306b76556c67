"""What `_target_` names: the object, the parameters it takes, their types."""

import importlib
import inspect
import typing
from collections.abc import Callable
from typing import Any

from ganlab.config.words import nearest
from ganlab.errors import ConfigError


def locate(path: Any) -> Any:
    """The object at a dotted path, which can be called.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if not isinstance(path, str):
        raise ConfigError([f"_target_: expected a dotted path, got {path!r}"])
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in path.split(".")):
        raise ConfigError([f"_target_: expected a path such as my_module.MyClass, got '{path}'"])
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, name)
    except AttributeError as error:
        public = [n for n in vars(module) if not n.startswith("_")]
        close = nearest(name, public).replace("'", f"'{module_name}.", 1)
        raise ConfigError([f"there is no '{path}'{close}"]) from error
    except (ImportError, ValueError) as error:
        raise ConfigError([f"there is no '{path}' ({error})"]) from error
    if not callable(found) or not is_inspectable(found):
        raise ConfigError([f"'{path}' is not a class or a function that ganlab can call"])
    return found


def is_inspectable(callee: Callable[..., Any]) -> bool:
    """Whether the parameters of a callable are known; those of some builtins are not."""
    try:
        inspect.signature(callee)
    except (ValueError, TypeError):
        return False
    return True


def parameters(callee: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named parameters of a callable, without self and * or ** ones."""
    return {
        name: parameter
        for name, parameter in inspect.signature(callee).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def takes_any_name(callee: Callable[..., Any]) -> bool:
    """Whether a callable has a ** parameter."""
    kinds = {p.kind for p in inspect.signature(callee).parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


def hints(callee: Callable[..., Any]) -> dict[str, Any]:
    """Type hints of a callable's parameters; none if they cannot be evaluated."""
    target = callee.__init__ if inspect.isclass(callee) else callee
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):
        return {}
