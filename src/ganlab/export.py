"""A trained generator to give away: `python -m ganlab.export run=DIR to=DIR`."""

import sys
from pathlib import Path

from ganlab.commands import command_line
from ganlab.errors import ConfigError, JobFailedError
from ganlab.runs.folder import Run, pointed_at


def export(
    run: str,
    to: str,
    checkpoint: str | int = "last",
    onnx: bool = True,
    license: str | None = None,  # noqa: A002 - as the Hub calls it
    push: str | None = None,
    private: bool | None = None,
    trust: bool = False,
) -> list[str]:
    """Writes a run's generator as a folder to give away; returns the folder, and where it was sent.

    The folder has the weights that `ganlab sample` uses (safetensors), ONNX that was checked
    against PyTorch, an example that needs neither ganlab nor PyTorch, the config without secrets,
    a picture of samples and a model card.  `ganlab.load` and `ganlab sample` take it.

    Needs pip install 'ganlab[export]'.

    Args:
        run: the run's folder, or the newest run below a folder, or a checkpoint file; last: the
            newest run below outputs/.
        to: a new folder, or an earlier export of this run, which is replaced.
        checkpoint: last: the newest; best: the one with the best score in training; or the number
            of its iteration.
        onnx: also write ONNX and the example.
        license: of the model, as the Hub names it, such as mit, cc-by-4.0 or other; null: nothing
            is said.
        push: USER/NAME, a model on the Hugging Face Hub, to which the folder is uploaded.
        private: with push, whether only its owners see that model; null: they alone.
        trust: build parts that are not ganlab's own, if the run's config names any.
    """
    from ganlab.exporting import licenses, needs

    licenses.require_named(license)
    if private is not None and push is None:
        raise ConfigError(["private: is for an upload; leave it out, or set push=USER/NAME"])
    needs.require(*needs.WEIGHTS, *(needs.ONNX if onnx else ()), *(needs.HUB if push else ()))
    from ganlab.commands import sampling
    from ganlab.experiments.restore import restore
    from ganlab.exporting.folder import Export, require_free
    from ganlab.exporting.hub import Repository
    from ganlab.exporting.onnx import onnx_of, require_alike

    folder, which = pointed_at(run, str(checkpoint))
    source, place = Run(folder), Path(to)
    if source.exported:
        raise ConfigError([f"run: '{folder}' is an export already; name the run itself"])
    require_free(place, source)
    repository = Repository(push, private=private is not False) if push is not None else None
    if repository is not None:
        repository.require_ours(source)
    gan = restore(source, which, trust=trust)
    paint = sampling.painter(gan, folder, None, trust=trust)
    picture = paint(gan.sample(sampling.usual_number(gan)))
    drawn = onnx_of(gan) if onnx else None
    checked = (drawn, require_alike(gan, drawn)) if drawn is not None else None
    Export(source, gan, picture, checked, license).write(place)
    if repository is None:
        return [str(place)]
    try:
        return [str(place), repository.upload(place)]
    except ConfigError as error:
        sys.stderr.write(f"ganlab: '{place}' is written, but not uploaded: {error}\n")
        raise JobFailedError from error


if __name__ == "__main__":
    command_line.call(export, show=lambda written: print(*written, sep="\n"))
