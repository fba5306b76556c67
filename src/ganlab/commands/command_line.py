"""Command lines: every mistake is reported in plain words before anything starts."""

import atexit
import contextlib
import errno
import gc
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganlab.commands import composition
from ganlab.commands.composition import CONFIG
from ganlab.commands.preflight import Launch, preflight, shown
from ganlab.commands.terminal import escaped, outputs
from ganlab.commands.words import understood
from ganlab.config.checks import conf_dir, plain, problems
from ganlab.config.secrets import redacted_yaml
from ganlab.config.targets import hints, parameters
from ganlab.config.words import nearest
from ganlab.errors import ConfigError, DataError, JobFailedError
from ganlab.storage import files
from ganlab.sweeps.record import Job, Sweep, standing

HELP = {"-h", "--help"}
# Full, read-only, forbidden, in the way, missing or broken: no fault of the program.
OF_THE_DISK = (
    *files.FULL,
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.EEXIST),
    *(errno.ENOENT, errno.EISDIR, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG),
)
INTERRUPTED = 130  # exit code, as a shell reports a program ended by Ctrl-C


def main(task: Callable[[DictConfig], Any]) -> None:
    """Runs a Hydra task on sys.argv after checking every job that it would start."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `exit_with_message`, not stderr
    hydras = composition.flags()
    sys.argv[1:] = [undashed(word, hydras) for word in sys.argv[1:]]
    with outputs(escape=False), exit_with_message():
        given = composition.arguments()
        flags = [word for word in sys.argv[1:] if word not in given.overrides]
        given.overrides = understood(given.overrides)
        if composition.asks_only(given):
            end_quickly()
            plan = Launch(shown(given))
        else:
            plan = preflight(given)
        sys.argv[1:] = flags + plan.words  # Hydra wants flags first
        if plan.sweep is not None:
            plan.sweep.add(plan.jobs)
        with reported(plan.sweep, plan.jobs), without_secrets(given.cfg):
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=CONFIG)(task)()


def undashed(word: str, flags: Collection[str] = ()) -> str:
    """`key=value` for `--key=value`, as the agents of W&B's sweeps write it, unless a flag's."""
    name, equals, _ = word.partition("=")
    return word.removeprefix("--") if equals and name not in flags else word


@contextlib.contextmanager
def without_secrets(cfg: str | None) -> Iterator[None]:
    """Takes the secrets out of the config that Hydra prints for --cfg."""
    if cfg is None:
        yield
        return
    with contextlib.redirect_stdout(io.StringIO()) as text:
        yield
    print(redacted_yaml(text.getvalue()), end="")


@contextlib.contextmanager
def reported(sweep: Sweep | None, jobs: Sequence[Job] = ()) -> Iterator[None]:
    """Prints the state of a sweep's runs when the sweep ends, for whatever reason.

    Raises:
        JobFailedError: Slurm gave up a job, a search found no score, or one of the jobs is neither
            finished nor running, as another process that had it has ended.
    """
    try:
        yield
        listed = [job for job in jobs if not job.method]  # a study goes on without what has failed
        if any(job.state not in ("finished", "running") for job in listed):
            raise JobFailedError
    except Exception as error:
        if type(error).__module__.startswith("submitit"):
            raise JobFailedError from error
        if str(error) == "No trials are completed yet.":  # Optuna's message
            print("no job has a score: there is nothing to choose from")
            raise JobFailedError from error
        raise
    finally:
        if sweep is not None:
            print(standing(sweep), flush=True)


def call(
    function: Callable[..., Any],
    show: Callable[[Any], object] | None = None,
    words: str | None = None,
) -> None:
    """Calls a function with the `name=value` words of sys.argv, checked against its signature.

    Args:
        function: to call.
        show: prints its result; None: the function prints what there is to see.
        words: the parameter, a list of texts, that takes the words without a name.
    """
    with outputs(escape=True), exit_with_message():
        given = sys.argv[1:]
        result = called(function, gathered(given, words) if words is not None else given)
        if show is not None:
            show(result)


def gathered(words: list[str], name: str) -> list[str]:
    """The words with those without a name as one list: `A B x=1` is `name=["A","B"] x=1`.

    A word that is an existing path has no name, whatever is in it.

    Raises:
        ConfigError: the list is given by its name, too.
    """
    bare = [word for word in words if word not in HELP and ("=" not in word or Path(word).exists())]
    named = [word for word in words if word not in bare]
    if not bare:
        return words
    if any(word.startswith(f"{name}=") for word in named):
        raise ConfigError([f"{name}: given twice, by its name and as '{bare[0]}'"])
    return [f"{name}={json.dumps(bare, ensure_ascii=False)}", *named]


def call_one_of(functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Calls the function that sys.argv names first: `VERB [VALUE] [name=value ...]`.

    Args:
        functions: by verb; VALUE is their first parameter's.
    """
    words = sys.argv[1:]
    with outputs(escape=True), exit_with_message():
        if not words or words[0] in HELP:
            width = max(map(len, functions))
            print("usage: VERB [DIR] [name=value ...]\n")
            for verb, function in functions.items():
                print(f"  {verb:{width}}  {str(inspect.getdoc(function)).splitlines()[0]}")
            print("\n`VERB --help` explains one.")
            raise SystemExit(0)
        return called(*chosen(functions, words))


def chosen(
    functions: Mapping[str, Callable[..., Any]], words: list[str]
) -> tuple[Callable[..., Any], list[str]]:
    """The function of a verb, and its arguments all as `name=value`.

    Raises:
        ConfigError: there is no such verb.
    """
    verb, *rest = words
    if verb not in functions:
        known = f"{nearest(verb, functions)} ({', '.join(functions)})"
        raise ConfigError([f"there is no '{verb}'{known}"])
    function = functions[verb]
    if rest and "=" not in rest[0] and rest[0] not in HELP:
        first = next(iter(parameters(function)))
        text = json.dumps(rest[0], ensure_ascii=False)  # a folder may be called null
        rest[0] = f"{first}={text}"
    return function, rest


def called(function: Callable[..., Any], words: list[str], **given: Any) -> Any:
    """Calls a function with `name=value` words, or prints its docstring if they ask for help.

    Args:
        function: whose signature says what the words may be.
        words: of the command line.
        given: further arguments, which the user cannot set.

    Raises:
        ConfigError: all mistakes in the words, or what the function refuses.
    """
    if HELP & set(words):
        print(inspect.getdoc(function))
        raise SystemExit(0)
    words = [undashed(word) for word in words]
    if odd := [word for word in words if "=" not in word]:
        raise ConfigError([f"'{word}': expected name=value" for word in odd])
    words = [as_text(word) if is_text(word.partition("=")[0], function) else word for word in words]
    require_yaml(words)
    node = plain(OmegaConf.from_dotlist(words))
    if found := problems(node, function):
        raise ConfigError(found)
    try:
        return function(**node, **given)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ConfigError([f"'{error.filename}': {error.strerror}"]) from error


def is_text(name: str, function: Callable[..., Any]) -> bool:
    """Whether a parameter takes only text, or a list of texts."""
    hint = hints(function).get(name)
    kinds = set(get_args(hint)) or {hint}
    return str in kinds and kinds <= {str, NoneType, list[str]}


def as_text(word: str) -> str:
    """Quotes the value of `name=value`, so YAML reads a path such as 12345678 or a#b as text."""
    name, _, value = word.partition("=")
    plain = value and value != "null" and value[0] not in "\"'["
    return f"{name}={json.dumps(value, ensure_ascii=False)}" if plain else word


def require_yaml(words: list[str]) -> None:
    """Raises ConfigError unless the value of each `name=value` can be read."""
    found = []
    for word in words:
        try:
            OmegaConf.from_dotlist([word])
        except yaml.YAMLError:
            quoted = f"""{word.partition("=")[0]}='"..."'"""
            found.append(f"'{word}': the value must be quoted once more: {quoted}")
    if found:
        raise ConfigError(found)


class exit_with_message:
    """Prints the user's mistakes and exits with 2; all other errors keep their traceback."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ConfigError):
            complain(error.problems)
        elif isinstance(error, DataError | HydraException | OmegaConfBaseException):
            complain([str(error)])
        elif isinstance(error, OSError) and error.errno in OF_THE_DISK:
            sys.stderr.write(f"ganlab: stopped: {escaped(sentence(error))}\n")
            raise SystemExit(1)
        elif isinstance(error, JobFailedError):
            raise SystemExit(1)
        elif isinstance(error, KeyboardInterrupt):  # before training, or a second time during it
            sys.stderr.write("ganlab: interrupted; every file that was written is whole\n")
            raise SystemExit(INTERRUPTED)


def sentence(error: OSError) -> str:
    """What the system says of a file, with the file's name if that is known."""
    named = f"'{error.filename}': " if error.filename is not None else ""
    room = "; make room and give the same command again" if error.errno in files.FULL else ""
    return f"{named}{error.strerror}{room}"


def complain(sentences: list[str]) -> None:
    """Prints the mistakes to stderr and exits with 2."""
    end_quickly()
    sentences = [escaped(sentence) for sentence in sentences]
    count = "1 mistake" if len(sentences) == 1 else f"{len(sentences)} mistakes"
    lines = "".join(f"  {sentence}\n" for sentence in sentences)
    sys.stderr.write(f"ganlab: {count}, nothing was started\n{lines}")
    raise SystemExit(2)


def end_quickly() -> None:
    """Skips the garbage collection at exit, which takes 0.2 s, if nothing was started."""
    atexit.register(gc.freeze)
