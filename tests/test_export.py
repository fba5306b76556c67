"""Every generator leaves PyTorch: by torch.export, and as ONNX, for any number of images."""

import pytest
import torch

from commands import completed
from ganlab.experiments.experiment import Experiment

MODELS = {
    "vanilla": [],
    "dcgan": [],
    "infogan": [],
    "sndcgan": [],
    "resnet": [],
    "sagan": [],
    "biggan": [],
    "r3gan": [],
    "tutorial": ["data=mnist"],
    "toy": ["data=ring_2d"],
}
CLASSES = ["model=resnet", "conditioning=projection"]


def generator(words):
    """The network that makes the samples, and a function that makes its latents."""
    gan = Experiment(**completed(*words)).build_gan().eval()
    return gan.sampler, gan.fixed_latents


def exported(network, z):
    return torch.export.export(network, (z,), dynamic_shapes=({0: torch.export.Dim("n")},))


@pytest.mark.parametrize("model", MODELS)
def test_torch_exports_every_generator(model):
    network, latents = generator([f"model={model}", *MODELS[model]])
    program = exported(network, latents(2)).module()
    with torch.no_grad():
        assert torch.equal(program(latents(3)), network(latents(3)))


def test_torch_exports_a_generator_of_classes():
    network, latents = generator(CLASSES)
    with torch.no_grad():
        images = exported(network, latents(2)).module()(latents(5))
        assert torch.equal(images, network(latents(5)))


@pytest.mark.parametrize(
    "words", [["model=dcgan"], ["model=biggan"], ["model=r3gan"]], ids=" ".join
)
@pytest.mark.filterwarnings("ignore")
def test_onnx_runs_what_torch_runs(words, tmp_path):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    import onnxruntime

    network, latents = generator(words)
    dynamic = ({0: torch.export.Dim("n")},)
    program = torch.onnx.export(
        network, (latents(2),), dynamo=True, dynamic_shapes=dynamic, verbose=False
    )
    program.save(tmp_path / "g.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    (name,) = (given.name for given in session.get_inputs())
    (images,) = session.run(None, {name: latents(5).numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(images), network(latents(5)), atol=1e-4)
