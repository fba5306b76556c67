"""The W&B account: who has one, whether its server answers, and what W&B itself may send."""

import base64
import contextlib
import functools
import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Literal, cast, get_args

from pydantic import ValidationError

from ganlab.config.words import nearest

Mode = Literal["online", "offline", "disabled"]
Answer = Literal["welcome", "refused", "silent"]  # silent: nobody answers, or not as W&B does
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
PATIENCE = 4.0  # seconds that a server has for its answer
VIEWER = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
WAY_OUT = "run `wandb login`, or set logger.wandb.mode=offline"


def client() -> ModuleType:
    """The wandb package, which reports no errors to its makers and asks for no greeting.

    W&B reads these variables when it starts; for its error reports the `mode` of a run does not
    count.  The user may set them to something else.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import wandb

    return wandb


def wanted() -> Mode | None:
    """What WANDB_MODE says; None: nothing.

    Raises:
        ValueError: it is no mode.
    """
    mode = os.environ.get("WANDB_MODE")
    if not mode:
        return None
    if mode not in get_args(Mode):
        listed = "online, offline or disabled"
        known = nearest(mode, get_args(Mode))
        raise ValueError(f"WANDB_MODE: expected {listed}, got '{mode}'{known}")
    return cast("Mode", mode)


def wandb_mode() -> Mode:
    """WANDB_MODE if set; else online if an API key is known, else offline.  Never prompts.

    Raises:
        ValueError: WANDB_MODE is no mode, or the key cannot be one.
    """
    return wanted() or ("online" if has_key() else "offline")


def has_key() -> bool:
    """Whether W&B finds a key: in WANDB_API_KEY, its settings or the .netrc file.

    Raises:
        ValueError: what is there cannot be a key.
    """
    with explained():
        return bool(client().login(prompt=False, verify=False))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns what W&B says of a key, a name or another setting into a ValueError of one sentence."""
    errors = client().errors
    try:
        yield
    except errors.AuthenticationError as error:
        raise ValueError(f"{str(error).rstrip('.')}; {WAY_OUT}") from error
    except errors.UsageError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        said = [f"{one['loc'][0]}: {one['msg']}" for one in error.errors() if one["loc"]]
        raise ValueError("; ".join(said)) from error


def mode_here(mode: Mode | None) -> Mode:
    """The mode in which a run is logged: online only if the server answers now, and lets us in.

    Args:
        mode: null: `wandb_mode`.

    Raises:
        ValueError: W&B has no key, or its server refuses the key.
    """
    if not needs_server(mode):
        return mode or wandb_mode()
    if (answer := ask(*address())) == "refused":
        raise ValueError(refusal())
    if answer == "silent":
        print(
            f"W&B's server {address()[0]} does not answer; this run is logged offline", flush=True
        )
    return "online" if answer == "welcome" else "offline"


def check(mode: Mode | None, **names: Any) -> None:
    """Raises the ValueError of `mode_here`; asks the server once for all jobs of a command.

    Args:
        mode: as in `mode_here`.
        names: W&B's settings, such as `project`, which have rules.
    """
    with explained():
        client().Settings(**{name: value for name, value in names.items() if value})
    if needs_server(mode) and ask_once(*address()) == "refused":
        raise ValueError(refusal())


def needs_server(mode: Mode | None) -> bool:
    """Whether a run would be logged online.

    Raises:
        ValueError: it must be, and there is no key.
    """
    chosen = mode or wandb_mode()
    if chosen == "online" and not has_key():
        raise ValueError(f"W&B has no API key, which mode online needs; {WAY_OUT}")
    return chosen == "online"


def refusal() -> str:
    """The sentence for a key that the server does not take."""
    return f"W&B's server {address()[0]} refuses the API key; {WAY_OUT}"


def address() -> tuple[str, str | None, tuple[tuple[str, str], ...]]:
    """The server's URL, the key if that is how one logs in, and the proxies that W&B would use."""
    settings = client().setup().settings
    proxies = {"http": settings.http_proxy, "https": settings.https_proxy}
    known = tuple((kind, url) for kind, url in proxies.items() if url)
    return settings.base_url, settings.api_key, known


def ask(url: str, key: str | None, proxies: tuple[tuple[str, str], ...]) -> Answer:
    """Asks a server who the owner of a key is.

    Args:
        url: of the server.
        key: None: nobody's.
        proxies: by protocol; those of the environment are used, too.
    """
    request = urllib.request.Request(  # noqa: S310 - the address is the user's own setting
        f"{url.rstrip('/')}/graphql", VIEWER, {"Content-Type": "application/json"}
    )
    if key is not None:
        pair = base64.b64encode(f"api:{key}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {pair}")
    through = urllib.request.ProxyHandler(urllib.request.getproxies() | dict(proxies))
    try:
        urllib.request.build_opener(through).open(request, timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403) and key is not None:
            return "refused"
        return "silent" if error.code >= 500 else "welcome"
    except (OSError, http.client.HTTPException) as error:
        # W&B's own client may know authorities that Python does not.
        untrusted = isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError)
        return "welcome" if untrusted else "silent"
    return "welcome"


ask_once = functools.cache(ask)
