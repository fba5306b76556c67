"""Every generator leaves PyTorch: by torch.export, and as ONNX, for any number of images."""

import pytest
import torch

from exports import MODELS, RANDOM, SMALL, gan_of
from ganlab.config.checks import conf_dir
from ganlab.errors import ConfigError

NEEDED = ("onnx", "onnxscript", "onnxruntime")
CONDITIONINGS = ["concat", "projection", "acgan", "infogan", "semisupervised"]


def require_onnx():
    for name in NEEDED:
        pytest.importorskip(name, reason=f"no {name}: pip install 'ganlab[export]'")


def words_of(model):
    return [f"model={model}", *SMALL, *MODELS[model]]


def exported(network, z):
    return torch.export.export(network, (z,), dynamic_shapes=({0: torch.export.Dim("n")},))


def test_every_model_is_here():
    assert sorted(MODELS) == sorted(file.stem for file in (conf_dir() / "model").glob("*.yaml"))


TRACED = [model for model in MODELS if model not in RANDOM]


@pytest.mark.long
@pytest.mark.parametrize("model", TRACED)
def test_torch_exports_every_generator(model):
    gan = gan_of(*words_of(model))
    program = exported(gan.sampler, gan.fixed_latents(2)).module()
    with torch.no_grad():
        assert torch.equal(program(gan.fixed_latents(3)), gan.sampler(gan.fixed_latents(3)))


def test_torch_exports_a_generator_of_classes():
    gan = gan_of("model=resnet", *MODELS["resnet"], "conditioning=projection", *SMALL)
    with torch.no_grad():
        images = exported(gan.sampler, gan.fixed_latents(2)).module()(gan.fixed_latents(5))
        assert torch.equal(images, gan.sampler(gan.fixed_latents(5)))


@pytest.mark.long
@pytest.mark.parametrize("model", TRACED)
def test_onnx_draws_what_torch_draws(model):
    require_onnx()
    from ganlab.exporting.onnx import TOLERANCE, onnx_of, require_alike

    gan = gan_of(*words_of(model))
    assert 0 <= require_alike(gan, onnx_of(gan)) <= TOLERANCE


@pytest.mark.parametrize("model", RANDOM)
def test_what_draws_as_it_goes_is_no_graph_and_that_is_said(model):
    require_onnx()
    from ganlab.exporting.onnx import onnx_of

    with pytest.raises(ConfigError, match="onnx=false"):
        onnx_of(gan_of(*words_of(model)))


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_onnx_draws_under_every_condition(conditioning):
    require_onnx()
    from ganlab.exporting.onnx import onnx_of, require_alike

    gan = gan_of("model=dcgan", f"conditioning={conditioning}", *SMALL)
    require_alike(gan, onnx_of(gan))


def test_the_file_has_the_documented_ends_and_tells_nothing_of_this_machine(capsys):
    require_onnx()
    import onnx

    from ganlab.exporting.onnx import onnx_of

    gan = gan_of("model=dcgan", "conditioning=concat", *SMALL)
    content = onnx_of(gan)
    graph = onnx.load_from_string(content).graph
    onnx.checker.check_model(content)
    (given,), (made,) = graph.input, graph.output
    assert (given.name, made.name) == ("z", "images")
    shapes = [
        [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
        for end in (given, made)
    ]
    assert shapes == [["n", 26], ["n", 1, 16, 16]]
    assert made.doc_string == "images, in [-1, 1]"
    assert b".py" not in content
    assert b"site-packages" not in content
    assert capsys.readouterr() == ("", "")


@pytest.mark.long
def test_images_without_bounds_are_clamped():
    require_onnx()
    import onnxruntime

    from ganlab.exporting.onnx import onnx_of

    gan = gan_of("model=stylegan2", *SMALL)
    with torch.no_grad():
        for parameter in gan.generator.parameters():
            parameter.mul_(3)
    z = gan.fixed_latents(4)
    assert gan.generate(z).abs().max() > 1
    (images,) = onnxruntime.InferenceSession(onnx_of(gan)).run(None, {"z": z.numpy()})
    assert abs(images).max() == 1


def test_a_difference_is_seen_and_refused():
    """The check compares with the network itself, not with a copy of what was exported."""
    require_onnx()
    from ganlab.errors import ConfigError
    from ganlab.exporting.onnx import onnx_of, require_alike

    gan = gan_of("model=dcgan", *SMALL)
    content = onnx_of(gan)
    with torch.no_grad():
        next(gan.generator.parameters()).add_(0.5)
    with pytest.raises(ConfigError, match=r"up to 0\.\d+ away from PyTorch's, and 0.0001 is allow"):
        require_alike(gan, content)


def test_a_network_that_cannot_be_exported_is_named():
    require_onnx()
    from ganlab.errors import ConfigError
    from ganlab.exporting.onnx import onnx_of

    class Branching(torch.nn.Linear):
        def forward(self, z):
            return super().forward(z).tanh() if z.sum() > 0 else z

    gan = gan_of("model=toy", "data=ring_2d", "latent.dim=2", "ema=null")
    gan.generator = Branching(2, 2)
    with pytest.raises(
        ConfigError, match=r"^onnx: PyTorch cannot export this generator "
    ) as refused:
        onnx_of(gan)
    assert "onnx=false" in str(refused.value)
    assert "data-dependent" in str(refused.value)
    assert str(refused.value).isprintable()
