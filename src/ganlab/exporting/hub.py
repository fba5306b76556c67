"""Uploads an export to the Hugging Face Hub, into a repository that holds nothing else."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganlab.errors import ConfigError
from ganlab.exporting import interface
from ganlab.exporting.folder import FILES, INTERFACE, origin_in
from ganlab.runs.folder import Run

LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write"
OF_THE_HUB = {".gitattributes"}  # which the Hub itself puts into a new repository
REFUSED, FORBIDDEN, MISSING = 401, 403, 404


class Repository:
    """A repository of a model.

    Args:
        name: USER/NAME, or ORGANISATION/NAME.
        private: whether only its owners may see it.

    Raises:
        ConfigError: the name cannot be one, or nobody has logged in.
    """

    def __init__(self, name: str, *, private: bool) -> None:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        self.name, self.private = name, private
        try:
            validate_repo_id(name)
        except HFValidationError as error:
            raise ConfigError([f"push: expected USER/NAME, got '{name}'"]) from error
        if name.count("/") != 1:
            raise ConfigError([f"push: expected USER/NAME, got '{name}'"])
        if get_token() is None:
            raise ConfigError([f"push: you are not logged in to the Hugging Face Hub; {LOGIN}"])
        self.hub = HfApi(library_name="ganlab")
        self.parent: str | None = None  # the commit that ours follows; None: there is no repository

    def require_ours(self, run: Run) -> None:
        """Checks the token, and that the repository is new, empty, or an export of this run.

        Raises:
            ConfigError: it is not, the token is refused, or nobody answers.
        """
        with explained(self.name):
            self.hub.whoami()
            found = self.found()
        if found is None:
            return
        self.parent = found.sha
        if bool(found.private) != self.private:
            seen, other = ("private", "true") if found.private else ("public", "false")
            raise ConfigError([f"push: '{self.name}' exists and is {seen}; set private={other}"])
        names = {file.rfilename for file in found.siblings or []} - OF_THE_HUB
        if not names:
            return
        if others := sorted(names - set(FILES)):
            said = f"'{self.name}' exists and has '{others[0]}', which no export wrote"
            raise ConfigError([f"push: {said}; choose another name"])
        with explained(self.name):
            origin = self.origin() if INTERFACE in names else None
        if origin != interface.origin(run):
            said = f"'{self.name}' exists and is no export of this run"
            raise ConfigError([f"push: {said}; choose another name"])

    def found(self) -> Any:
        """What the Hub tells of the repository; None: there is none, or none that is shown."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return self.hub.model_info(self.name)
        except RepositoryNotFoundError:
            return None

    def origin(self) -> Any:
        """Which run the repository says that it is an export of; None: it says nothing."""
        with tempfile.TemporaryDirectory() as place:
            file = self.hub.hf_hub_download(
                self.name, INTERFACE, revision=self.parent, local_dir=place
            )
            with contextlib.suppress(ConfigError):  # it is no JSON
                return origin_in(Path(file).parent)
        return None

    def upload(self, folder: Path) -> str:
        """Makes the repository if it is missing, and commits the folder's files.

        Files of the export before that are no more are deleted.  The commit is refused if anybody
        has changed the repository since `require_ours`.

        Returns:
            The address of the repository.

        Raises:
            ConfigError: the Hub refuses, or does not answer.
        """
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        with explained(self.name):
            if self.parent is None:
                self.hub.create_repo(self.name, private=self.private)
            self.hub.upload_folder(
                repo_id=self.name,
                folder_path=folder,
                allow_patterns=list(FILES),
                delete_patterns=list(FILES),
                parent_commit=self.parent,
                commit_message="Export of ganlab",
            )
        return f"{self.hub.endpoint}/{self.name}"


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns what the Hub says, or that nobody answers, into a ConfigError of one sentence."""
    try:
        yield
    except Exception as error:
        if (why := meaning(error, name)) is None:
            raise
        raise ConfigError([f"push: {why}"]) from error


def meaning(error: BaseException | None, name: str) -> str | None:
    """What an error of the client means; None: it is no answer of the Hub's."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it"
    if isinstance(error, HfHubHTTPError):
        return answer(error, name)
    if isinstance(error, ValueError):  # the card has a fault, or the answer is no JSON
        return sentence(error)
    if isinstance(error, LocalEntryNotFoundError) or type(error).__module__.startswith("httpx"):
        return f"the Hub does not answer: {sentence(error)}"
    return meaning(error.__cause__, name) if isinstance(error, RuntimeError) else None  # of a file


def answer(error: Any, name: str) -> str:
    """What a refusal means."""
    status = error.response.status_code
    if status == REFUSED:
        return f"the Hub refuses your token (401); {LOGIN}"
    if status == FORBIDDEN:
        return f"you may not write to '{name}' (403); name a repository of yours, or {LOGIN}"
    return f"the Hub answers {status} about '{name}': {error.server_message or sentence(error)}"


def sentence(error: object) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
