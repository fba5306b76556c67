"""What a callable takes by name: by inspection, or from its source, without importing it.

Importing torch takes seconds, a misspelt key is to be answered at once.  So a target that is not
imported yet is read by `ast`.  Nothing is guessed: where its source does not say outright what
inspection would find, `read` says nothing, and the target has to be imported.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

TRANSPARENT = {"_defaults_from_env_vars"}  # decorators that keep a signature: the Trainer's
FIXING = {"__new__", "__signature__"}  # what else decides how a class is called
BARE = {"object", "ABC", "Generic"}  # bases that add no parameter


@dataclass(frozen=True)
class Signature:
    """The named parameters of a callable.

    Args:
        name: the callable's.
        required: whether each parameter, by name, must be given.
        hints: types; a parameter without one takes anything.
        is_open: whether any other name may be given, too.
    """

    name: str
    required: dict[str, bool]
    hints: Mapping[str, Any]
    is_open: bool = False

    @classmethod
    def of(cls, callee: Callable[..., Any]) -> "Signature":
        """By inspection."""
        required = {name: p.default is p.empty for name, p in parameters(callee).items()}
        kinds = {p.kind for p in inspect.signature(callee).parameters.values()}
        is_open = inspect.Parameter.VAR_KEYWORD in kinds
        return cls(callee.__name__, required, hints(callee), is_open)


def parameters(callee: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Named parameters of a callable, without self and * or ** ones."""
    return {
        name: parameter
        for name, parameter in inspect.signature(callee).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def hints(callee: Callable[..., Any]) -> dict[str, Any]:
    """Type hints of a callable's parameters; those that cannot be evaluated are left out."""
    target = callee.__init__ if inspect.isclass(callee) else callee  # type: ignore[misc]
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):
        return {}


def read(target: str) -> Signature | None:
    """The signature of the class or function at a dotted path, from source.

    None: there is none, or its source does not say outright.
    """
    module, _, name = target.rpartition(".")
    with suppress(UnreadableError, RecursionError):
        found = definition(module, name)
        match found.node:
            case ast.ClassDef():
                return of_class(found)
            case ast.FunctionDef(decorator_list=[]):
                return of_function(found)
    return None


def is_imported(target: str) -> bool:
    """Whether the module of a dotted path is: then inspection costs nothing."""
    return target.rpartition(".")[0] in sys.modules


class UnreadableError(Exception):
    """The source does not say outright."""


class _Unread(type):
    def __getattr__(cls, name: str) -> "_Unread":
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, _: object) -> "_Unread":
        return cls


class Unread(metaclass=_Unread):
    """Stands in a hint for a type that was not read: what does not fit the others may fit it."""


def is_certain(hint: Any) -> bool:
    """Whether all of a type hint was read."""
    return hint is not Unread and all(is_certain(part) for part in typing.get_args(hint))


def quotes(hint: ast.expr) -> bool:
    """Whether a type hint has a name within quotes inside; the texts of a Literal are none."""
    texts = (n for n in ast.walk(hint) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return any(texts) and "Literal" not in ast.unparse(hint)


class Import(NamedTuple):
    """`from module import name`, or `import module` where there is no name."""

    module: str
    name: str | None


@dataclass(frozen=True)
class Source:
    """A module: what each name of its top level is bound to, as far as that is unconditional."""

    module: str
    bound: dict[str, ast.AST | Import]

    def __getitem__(self, name: str) -> Any:
        """What a name of a type hint stands for; KeyError: a builtin, if anything."""
        found = self.bound[name]
        if isinstance(found, Import):
            return self._imported(found)
        return self.evaluated(found) if isinstance(found, ast.expr) else Unread

    def evaluated(self, hint: ast.expr) -> Any:
        """A type hint; Unread stands for every class that is not the standard library's."""
        try:
            if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
                hint = ast.parse(hint.value, mode="eval").body
            if quotes(hint):
                return Unread
            code = compile(ast.Expression(hint), self.module, "eval")
            return eval(code, {}, cast("Any", self))  # noqa: S307 - as importing it would
        except Exception:  # noqa: BLE001 - whatever it means, it was not read
            return Unread

    def _imported(self, found: Import) -> Any:
        top = found.module.partition(".")[0]
        if top in sys.stdlib_module_names:
            module = importlib.import_module(found.module)
            return getattr(module, found.name) if found.name else module
        if found.name and top == "ganlab":  # others' types are mostly classes, and take long
            with suppress(UnreadableError):
                there = definition(found.module, found.name)
                if isinstance(there.node, ast.expr):
                    return there.source.evaluated(there.node)
        return Unread


class Definition(NamedTuple):
    """A class, a function or the value of a name, and the module that it stands in."""

    source: Source
    node: Any


Annotations = dict[str, tuple[Source, ast.expr]]


def definition(module: str, name: str) -> Definition:
    """Where a name of a module is defined, be it in another module.

    Raises:
        UnreadableError: that cannot be seen.
    """
    source = source_of(module)
    found = source.bound.get(name)
    if isinstance(found, Import) and found.name:
        return definition(found.module, found.name)
    if found is None or isinstance(found, Import):
        raise UnreadableError
    return Definition(source, found)


def source_of(module: str) -> Source:
    """A module's source; nothing is imported, not even the packages that it is in.

    Raises:
        UnreadableError: there is none.
    """
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
        places = list(spec.submodule_search_locations or []) if spec else []
        inside = [Path(place, *rest) for place in places]  # a namespace package has several
        files = [file for at in inside for file in (at / "__init__.py", at.with_suffix(".py"))]
        files += [Path(spec.origin)] if spec and spec.origin and not rest else []
        file = next(file for file in files if file.suffix == ".py" and file.is_file())
        return parsed(module, file, file.stat().st_mtime_ns)
    except (ImportError, ValueError, OSError, SyntaxError, StopIteration) as error:
        raise UnreadableError from error


@functools.cache
def parsed(module: str, file: Path, _changed_at: int) -> Source:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return Source(module, dict(bindings(ast.parse(file.read_bytes()).body, package)))


def bindings(body: list[ast.stmt], package: str) -> Iterator[tuple[str, ast.AST | Import]]:
    """(name, what it is bound to) of each statement that binds unconditionally, or for types."""
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name, node
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.Import():
                for alias in node.names:
                    module = alias.name if alias.asname else alias.name.partition(".")[0]
                    yield alias.asname or module, Import(module, None)
            case ast.ImportFrom():
                module = importlib.util.resolve_name(
                    "." * node.level + (node.module or ""), package
                )
                for alias in node.names:
                    yield alias.asname or alias.name, Import(module, alias.name)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):  # a package that imports lazily
                yield from bindings(node.body, package)


def of_function(found: Definition, name: str | None = None, *, bound: bool = False) -> Signature:
    """Of a function; of a method without its first parameter, under the name of its class."""
    arguments = found.node.args
    positional = (arguments.posonlyargs + arguments.args)[1 if bound else 0 :]
    required = {a.arg: True for a in positional}
    if arguments.defaults:
        required |= {a.arg: False for a in positional[-len(arguments.defaults) :]}
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required |= {argument.arg: default is None for argument, default in pairs}
    for argument in arguments.posonlyargs:
        required.pop(argument.arg, None)
    listed = [*positional, *arguments.kwonlyargs]
    annotations = {a.arg: (found.source, a.annotation) for a in listed if a.annotation}
    return Signature(
        name or found.node.name, required, Hints(annotations), arguments.kwarg is not None
    )


class Hints(Mapping[str, Any]):
    """Type hints by parameter, each evaluated when it is asked for."""

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations

    def __getitem__(self, name: str) -> Any:
        source, hint = self.annotations[name]
        return source.evaluated(hint)

    def __iter__(self) -> Iterator[str]:
        return iter(self.annotations)

    def __len__(self) -> int:
        return len(self.annotations)


def of_class(found: Definition) -> Signature:
    """Of a class: that of its __init__, which is written, made by @dataclass or inherited.

    Raises:
        UnreadableError: something else may decide how it is called.
    """
    node = found.node
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    if node.keywords or FIXING & methods.keys():
        raise UnreadableError
    if (init := methods.get("__init__")) is not None:
        if {ast.unparse(decorator) for decorator in init.decorator_list} - TRANSPARENT:
            raise UnreadableError
        return of_function(Definition(found.source, init), node.name, bound=True)
    if node.decorator_list:
        required, annotations = fields_of(found)
        return Signature(node.name, required, Hints(annotations))
    base = base_of(found)
    return replace(of_class(base), name=node.name) if base else Signature(node.name, {}, {})


def base_of(found: Definition) -> Definition | None:
    """The one base of a class that may add parameters, if any."""
    bases = [base for base in found.node.bases if ast.unparse(base) not in BARE]
    if not bases:
        return None
    if len(bases) > 1 or not isinstance(bases[0], ast.Name):
        raise UnreadableError
    base = definition(found.source.module, bases[0].id)
    if not isinstance(base.node, ast.ClassDef):
        raise UnreadableError
    return base


def fields_of(found: Definition) -> tuple[dict[str, bool], Annotations]:
    """Of a dataclass: whether each field must be given, and the annotations."""
    (decorator,) = found.node.decorator_list if len(found.node.decorator_list) == 1 else (None,)
    made_by = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not isinstance(made_by, ast.Name) or made_by.id != "dataclass":
        raise UnreadableError
    base = base_of(found)
    required, annotations = fields_of(base) if base else ({}, {})
    for node in found.node.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, hint = node.target.id, ast.unparse(node.annotation)
            if "InitVar" in hint or "KW_ONLY" in hint:
                raise UnreadableError
            if "ClassVar" not in hint:
                required[name] = needs_value(node.value)
                annotations[name] = (found.source, node.annotation)
    return required, annotations


def needs_value(default: ast.expr | None) -> bool:
    """Whether a field of a dataclass has no default."""
    if not (isinstance(default, ast.Call) and ast.unparse(default.func).endswith("field")):
        return default is None
    given = {keyword.arg for keyword in default.keywords}
    if "init" in given:
        raise UnreadableError
    return not given & {"default", "default_factory"}
