"""A third network is a local change: the VAE/GAN of Larsen et al. 2016 as a class of one's own."""

import torch

import ganlab
from commands import rows, run_train, runs_in
from ganlab.gan import GAN, D, G
from ganlab.models.vae import kl_to_prior, reparametrised
from ganlab.training.updates import Player, frozen

E = "e"  # the third player


class VAEGAN(GAN):
    """A GAN whose generator also decodes: what an encoder makes of an image looks alike to D.

    Args:
        encoder: of pixels in [0, 1], with its own optimizer by G's rule.
        weight: of the likeness in G's loss (gamma in the paper).
    """

    def __init__(self, *, encoder, g_rule, weight: float = 0.01, **options):
        super().__init__(g_rule=g_rule, **options)
        self.encoder, self.weight = encoder, weight
        self.players[E] = Player((encoder,), g_rule)
        self.updates[E] = 0

    needs_real = True

    def play(self, batch):
        minibatches = batch.unbind()
        for real in minibatches[: self.d_steps]:
            self.d_step(real)
        self.e_step(minibatches[-1])
        self.g_step(minibatches[-1])
        self.average()

    def e_step(self, real):
        self.optimizer(E).zero_grad()
        with frozen(self.generator), frozen(self.discriminator):
            unlikeness, divergence = self.rebuilt(real)
            self.manual_backward(unlikeness + divergence)
        self.observations.add("elbo/kl", divergence)
        self.update(E)

    def g_loss(self, fake, real, z, computed=None):
        with frozen(self.encoder):
            unlikeness, _ = self.rebuilt(real)
        return super().g_loss(fake, real, z, computed) + self.weight * unlikeness

    def rebuilt(self, real):
        """How unlike images and their reconstructions are in D's features, and the divergence."""
        mean, log_variance = self.encoder.posterior((real.images + 1) / 2)
        z = reparametrised(mean, log_variance, self.latents(real.labels))
        code = self.code_in(z)
        pair = (self.discriminate(x, code).features for x in (real.images, self.generator(z)))
        of_real, of_rebuilt = pair
        apart = 0.5 * (of_real.detach() - of_rebuilt).square().sum(dim=1).mean()
        return apart, kl_to_prior(mean, log_variance).sum(dim=1).mean()


WORDS = ["gan=null", f"model._target_={__name__}.VAEGAN", "model.weight=0.1", "latent.dim=8"]
WORDS += ["model.encoder._target_=ganlab.networks.MLPEncoder", "model.encoder.hidden=[16]"]
WORDS += [f"model.{player}.width=8" for player in ("generator", "discriminator")]


def test_a_third_network_trains_from_a_config(tmp_path):
    where = ["trainer=smoke", "logger=csv", f"output_dir={tmp_path}", "iterations=3", "d_steps=2"]
    outcome = run_train(*where, *WORDS)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(tmp_path)
    model = ganlab.load(run, trust=True)
    assert model.updates == {G: 3, D: 6, E: 3}
    assert float(rows(run)[-1]["elbo/kl"]) > 0
    assert model.sample(2).shape == (2, 1, 16, 16)
    fresh = ganlab.load(run, "3", trust=True)
    assert torch.equal(fresh.sample(2), model.sample(2))
