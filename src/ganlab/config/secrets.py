"""Secrets: what is written down, printed or sent says <redacted> in their place."""

import os
import re
from collections.abc import Iterable
from typing import Any

REDACTED = "<redacted>"
ENDINGS = {
    *("token", "secret", "password", "passwd", "passphrase", "credential", "credentials"),
    *("key", "apikey"),
}
OF_KEYS = {"api", "access", "secret", "private", "auth", "account", "license", "ssh", "encryption"}
SHORTEST = 6  # characters of a variable's value; a shorter one may well be a word of the config


def is_secret(name: str) -> bool:
    """Whether a key of the config names a secret: `api_key`, `hf_token`, not `keypoints`.

    A key that is some thing's, such as `image_key`, tells where something lies: it may decide what
    is trained.
    """
    *before, last = words(name) or [""]
    return last in ENDINGS and (last != "key" or not before or before[-1] in OF_KEYS)


def words(name: str) -> list[str]:
    """The words of a name, in lower case: `apiKey` and `API_KEY` have two."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]


def of_environment() -> list[str]:
    """The values of the environment's variables that name secrets, the longest first."""
    named = {value for name, value in os.environ.items() if ENDINGS & set(words(name))}
    return sorted((value for value in named if len(value) >= SHORTEST), key=len, reverse=True)


def hidden(text: str) -> str:
    """A text without the secrets of the environment."""
    for secret in of_environment():
        text = text.replace(secret, REDACTED)
    return text


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """A config without secrets: those that its keys name, and those of the environment."""
    known = of_environment()

    def seen(value: Any, *, secret: bool) -> Any:
        if isinstance(value, dict):
            return {
                key: seen(item, secret=is_secret(key) or (secret and key != "_target_"))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [seen(item, secret=secret) for item in value]
        if secret and value not in (None, True, False, ""):
            return REDACTED
        if isinstance(value, str) and any(one in value for one in known):
            return hidden(value)
        return value

    return dict(seen(config, secret=False))


def redacted_words(said: Iterable[str]) -> list[str]:
    """Words of a command line, `key=value`, without secrets."""
    shown = []
    for word in said:
        key, equals, value = word.partition("=")
        refers = value.startswith("${")  # it names the secret and does not tell it
        secret = equals and value and not refers and is_secret(key.rpartition(".")[2])
        shown.append(f"{key}={REDACTED}" if secret else hidden(word))
    return shown


def redacted_yaml(text: str) -> str:
    """The text of a config as YAML, with the command line in it, without secrets."""

    def shown(match: re.Match[str]) -> str:
        name, sign, value = match[1], match[2], match[3]
        kept = value in ("null", "true", "false", "''", "???") or value.startswith("${")
        secret = is_secret(name.rpartition(".")[2]) and not kept
        return f"{name}{sign}{REDACTED}" if secret else match[0]

    node = re.compile(r"([\w.]+)(: )(.+)$", re.MULTILINE)
    word = re.compile(r"""([\w.]+)(=)('[^']*'|"[^"]*"|[^\s,]+)""")
    return hidden(word.sub(shown, node.sub(shown, text)))
