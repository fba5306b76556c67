"""README.md of an export: a model card as the Hugging Face Hub reads it, and as people do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from ganlab.config import recipe
from ganlab.exporting import example, public
from ganlab.exporting.course import Course
from ganlab.exporting.markup import block, code, command, table, text
from ganlab.exporting.scores import scores
from ganlab.generative import Generative
from ganlab.runs.folder import EXPORTED, Run
from ganlab.spec import ImageSpec
from ganlab.training.statistics import running

NAMES = 100  # classes that the card names


@dataclass(frozen=True)
class Card:
    """The text, by `str`.  All that comes from the run is escaped.

    Args:
        run: which was exported.
        gan: that draws.
        about: what generator.json says.
        sizes: bytes of each file.
        far: the greatest difference between ONNX Runtime's values and PyTorch's; None: no ONNX.
        license: as the Hub names it; None: nothing is said.
    """

    run: Run
    gan: Generative
    about: dict[str, Any]
    sizes: dict[str, int]
    far: float | None
    license: str | None

    def __str__(self) -> str:
        sections = {
            "Use": self.use(),
            "Training": self.training(),
            "Scores": scores(self.run, self.gan.iterations),
            "Health of the run": self.course.health(),
            "Intended use and limits": self.limits(),
            "Files": self.files(),
        }
        body = [f"## {name}\n\n" + "\n\n".join(parts) for name, parts in sections.items()]
        return "\n\n".join([self.metadata(), *self.head(), *body]) + "\n"

    # What the Hub reads --------------------------------------------------------------------------

    def metadata(self) -> str:
        """The YAML block."""
        draws = isinstance(self.gan.spec, ImageSpec)
        network = type(self.gan.generator).__name__.removesuffix("Generator").lower()
        found: dict[str, Any] = {"license": self.license} if self.license is not None else {}
        found["library_name"] = "ganlab"
        if draws:
            found["pipeline_tag"] = "unconditional-image-generation"
        found["tags"] = [*self.gan.tags, "ganlab", "pytorch", network]
        found["tags"] += ["image-generation"] if draws else []
        found["tags"] += ["onnx"] if self.far is not None else []
        return f"---\n{yaml.safe_dump(found, sort_keys=False)}---"

    # What people read ----------------------------------------------------------------------------

    @property
    def course(self) -> Course:
        return Course(self.run, self.gan.iterations)

    @property
    def things(self) -> str:
        return "images" if isinstance(self.gan.spec, ImageSpec) else "points"

    def head(self) -> Iterator[str]:
        yield f"# {text(self.run.path.absolute().parent.name)}"
        yield "![samples of the generator](samples.png)\n\nSamples of seed 0, not chosen."
        size = f"{self.about['parameters']:,} parameters"
        yield (
            f"A generator of {self.things} ({self.gan.spec}), with {size}. {self.gan.words} It was "
            "trained with ganlab."
        )

    def use(self) -> Iterator[str]:
        if self.far is not None:
            install = "pip install onnxruntime numpy pillow"
            yield block(f"{install}\npython example.py    # draws, without ganlab", "bash")
        python = "import ganlab  # pip install 'ganlab[export]'\n\n"
        python += 'gan = ganlab.load("the folder of this file")\n'
        yield block(python + f"{self.things} = gan.sample(16, seed=0)", "python")
        yield "\n".join(self.entries())

    def entries(self) -> Iterator[str]:
        """What z holds, and what comes out."""
        given, made = self.about["input"], self.about["output"]
        noise = given["noise"]
        kind = (
            f"uniform between {noise['low']:g} and {noise['high']:g}"
            if noise["prior"] == "uniform"
            else "normal, of mean 0 and standard deviation 1"
        )
        yield f"- z has {given['shape'][1]} numbers. 0 to {noise['to'] - 1}: noise, {kind}."
        for part in given["code"]:
            names = part.get("names", [])
            more = f" and {len(names) - NAMES:,} more" if len(names) > NAMES else ""
            listed = f" of {', '.join(map(code, names[:NAMES]))}{more}" if names else ""
            yield f"- {part['from']} to {part['to'] - 1}: {part['kind']}, {part['values']}{listed}."
        bounds = "in [-1, 1]" if "low" in made else "in the data's own units"
        yield f"- What comes out is float32, {self.gan.spec} each, {bounds}."
        yield "- The same z gives the same result."

    def training(self) -> Iterator[str]:
        config = public.config(self.run)
        yield table(self.settings(config), ("part", "setting"))
        if isinstance(config.get("recipe"), dict):
            known = recipe.read(config["recipe"])
            yield f"Recipe: {text(known.source)}"
            if known.differs:
                yield "What differs from it:"
                yield "\n".join(f"- {text(one)}" for one in known.differs)
        if words := public.command(self.run):
            yield "The command of the sweep that it is in:" if is_sweep(words) else "To repeat it:"
            yield block(command(words), "bash")
        yield "`config.yaml` holds every setting, defaults included."

    def settings(self, config: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Rows of a table."""
        for name, node in (
            ("data", config.get("data")),
            *((name, node) for name, node in config["model"].items() if isinstance(node, dict)),
            *((key, config.get(key)) for key in ("loss", "conditioning", "augment", "latent")),
            *((f"regularizer {key}", one) for key, one in config.get("regularizer", {}).items()),
            *((f"{p} optimizer", config.get(f"{p.lower()}_optimizer")) for p in ("G", "D")),
        ):
            if node is not None:  # a VAE has no loss and no optimizer of D
                yield text(name), code(spoken(node))
        gan, environment = self.gan, public.environment(self.run)
        yield "iterations", self.course.reached()
        if config.get("d_steps") is not None:
            yield "updates of D for one of G", str(config["d_steps"])
        yield "real images seen", f"{gan.images_seen:,}, {config.get('batch_size')} a minibatch"
        average = "no" if gan.ema_decay is None else f"yes, decay {gan.ema_decay:.6g} at the end"
        yield "averaged weights", average
        if running(gan.generator):
            yield "BatchNorm", gan.batchnorm
        yield "seed", str(gan.seed)
        if time := self.course.time():
            yield "time", time
        yield "machine", text(", ".join(environment.gpus) or "CPU")
        versions = ", ".join(f"{k} {v}" for k, v in environment.libraries.items() if v is not None)
        yield "versions", text(versions)

    def limits(self) -> Iterator[str]:
        said = [
            "It is for research and teaching.",
            f"It draws {self.things} like those that it was trained on, and nothing else.",
            "Faults and imbalances of the training data are in what it draws.",
            "A sample may resemble a sample of the training data: see a score named memorisation.",
            "The license of the training data may limit what this model may be used for.",
            "It cannot be trained further: all else that was trained is not here.",
        ]
        yield "\n".join(f"- {one}" for one in said)

    def files(self) -> Iterator[str]:
        rows = (
            (code(name), f"{what}; {self.sizes[name]:,} bytes")
            for name, what in contents(self.gan).items()
            if name in self.sizes
        )
        yield table(rows, ("file", "what it holds"))
        if self.far is not None:
            yield (
                f"ONNX Runtime's values are at most {self.far:.1e} from PyTorch's; the check draws "
                "1, 2, 7 and 16 at once."
            )


def contents(gan: Generative) -> dict[str, str]:
    """What each file of an export holds."""
    statistics = ", with BatchNorm's statistics" if running(gan.generator) else ""
    return {
        EXPORTED: f"the weights that draw samples{statistics}",
        "generator.onnx": "the same generator for any runtime of ONNX",
        "generator.json": "how z is made, the classes, and the range of what comes out",
        "config.yaml": "the complete config of the run",
        "samples.png": "the picture above",
        "example.py": f"draws with {example.libraries(gan)}, and saves {example.file(gan)}",
    }


def spoken(node: Any) -> str:
    """A node of a config in a line: the class, and its plain settings."""
    if not isinstance(node, dict):
        return str(node)
    target = str(node.get("_target_", "")).removeprefix("ganlab.")
    if target in ("augment.Augment", "conditioning.Conditioning"):
        return "none"
    plain = {k: v for k, v in node.items() if k[:1] != "_" and not isinstance(v, dict)}
    return " ".join([target, *(f"{k}={v}" for k, v in plain.items() if v not in (None, False))])


def is_sweep(words: list[str]) -> bool:
    """Whether a command, `python -m ganlab...`, starts several runs."""
    said = words[3:]
    return not {"-m", "--multirun"}.isdisjoint(said) or any(w.startswith("sweep=") for w in said)
