"""A generator as ONNX, and whether that draws what PyTorch draws."""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganlab.errors import ConfigError
from ganlab.networks.equalized import Precision
from ganlab.networks.r3gan import Stage
from ganlab.sampler import Sampler
from ganlab.spec import ImageSpec

TOLERANCE = 1e-4  # of a value in [-1, 1]; a grey level is 8e-3
SIZES = (1, 2, 7, 16)  # numbers of images that the check draws at once
INPUT = "z"
WITHOUT = "`ganlab export` can do without: onnx=false"


class Picture(nn.Module):
    """What leaves PyTorch: z (n, d) -> float32 images in [-1, 1], or points.

    Args:
        sampler: whose generator draws, the average of its weights if there is one.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self.network = in_float32(copy.deepcopy(sampler.sampler).cpu()).eval()
        self.bounded = isinstance(sampler.spec, ImageSpec)

    def forward(self, z: Tensor) -> Tensor:
        x = self.network(z).float()
        return x.clamp(-1, 1) if self.bounded else x  # StyleGAN2 and R3GAN have no last tanh


def in_float32(network: nn.Module) -> nn.Module:
    """The network itself, with the stages in float32 that computed in bfloat16.

    ONNX Runtime has no convolution in bfloat16 on a CPU, and float32 is only more exact.
    """
    for module in network.modules():
        if isinstance(module, Precision):
            module.low = False
        elif isinstance(module, Stage):
            module.bf16 = False
    return network.float()


def output_of(sampler: Sampler) -> str:
    """What the output is called: images, or points."""
    return "images" if isinstance(sampler.spec, ImageSpec) else "points"


def untraceable(sampler: Sampler) -> str | None:
    """Why a generator is no graph of z, as a clause; None: it is one."""
    if getattr(sampler.generator, "traceable", True):
        return None
    kind = type(sampler.generator).__name__
    return f"a {kind} draws random numbers on its way to an image"


def onnx_of(sampler: Sampler) -> bytes:
    """A generator as one ONNX model: z (n, latent.dim + code_dim) -> images (n, C, H, W).

    The input is called z and may have any number of rows.  The output is called images and is in
    [-1, 1], or it is called points.  Both are float32.  The file tells nothing of this machine.

    Args:
        sampler: a GAN, or what else draws samples; it stays as it is, on any device.

    Raises:
        ConfigError: it draws random numbers, or PyTorch cannot export this network.
    """
    if reason := untraceable(sampler):
        raise ConfigError([f"onnx: {reason}, and ONNX cannot; {WITHOUT}"])
    z = sampler.fixed_latents(2).cpu().float()
    kind = "in [-1, 1]" if output_of(sampler) == "images" else "in the data's own units"
    noise, code = sampler.latent, sampler.conditioning.code_dim
    said = (
        f"{noise.dim} numbers of noise, then a code of {code} numbers",
        f"{output_of(sampler)}, {kind}",
    )
    return exported(Picture(sampler), z, output_of(sampler), said)


def exported(network: nn.Module, example: Tensor, output: str, said: tuple[str, str]) -> bytes:
    """A network of one input and one output as an ONNX model, in which n, the rows, are free.

    Args:
        network: on the CPU, in evaluation mode.
        example: an input (2, d); the input is called z.
        output: its name.
        said: words on the input and on the output.

    Raises:
        ConfigError: PyTorch cannot export this network.
    """
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                input_names=[INPUT],
                output_names=[output],
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = str(error.__cause__ or error).strip().splitlines()[0]
        raise ConfigError(
            [f"onnx: PyTorch cannot export this generator ({why}); {WITHOUT}"]
        ) from error
    if program is None:  # only the older exporter returns nothing
        raise TypeError("torch.onnx.export made no program")
    return described(program, said)


def described(program: torch.onnx.ONNXProgram, said: tuple[str, str]) -> bytes:
    """The file of a program: without traces of the code's folders, with words on both ends."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(program.model)
    model = program.model_proto
    model.graph.input[0].doc_string, model.graph.output[0].doc_string = said
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what the exporter says on its way, which is for its authors, off the terminal."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def difference(sampler: Sampler, onnx: bytes) -> float:
    """The greatest difference of a value between ONNX Runtime's samples and PyTorch's.

    Args:
        sampler: that `onnx_of` was given.
        onnx: what it returned.

    Returns:
        The maximum over all values of SIZES images; infinite if one is no number.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    network, far = Picture(sampler), 0.0
    for seed, n in enumerate(SIZES):
        z = sampler.fixed_latents(n, seed).cpu().float()
        with torch.no_grad():
            expected = network(z)
        drawn = torch.from_numpy(session.run(None, {INPUT: z.numpy()})[0])
        apart = (drawn - expected).abs().nan_to_num(nan=float("inf")).max().item()
        far = max(far, apart if drawn.shape == expected.shape else float("inf"))
    return far


def require_alike(sampler: Sampler, onnx: bytes) -> float:
    """The `difference`.

    Raises:
        ConfigError: it is greater than TOLERANCE.
    """
    if (far := difference(sampler, onnx)) > TOLERANCE:
        said = f"its values are up to {far:.3g} away from PyTorch's, and {TOLERANCE:g} is allowed"
        raise ConfigError([f"onnx: {said}; set onnx=false"])
    return far
