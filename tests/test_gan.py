"""The heart: each player's update touches only that player; Algorithm 1's order; exact resume."""

import pytest
import torch
from pytorch_lightning import Callback

from conftest import adam, fit, same, small_gan, weights
from ganlab.losses import (
    Relativistic,
)
from ganlab.regularizers import R1, GradientPenalty, LeCam, WeightClip
from ganlab.training.updates import UpdateRule, frozen


def gradients(module):
    return {n: None if p.grad is None else p.grad.clone() for n, p in module.named_parameters()}


class Watch(Callback):
    """Wraps d_step and g_step to see what they change."""

    def __init__(self):
        self.changed = []
        self.seen = []

    def on_train_start(self, trainer, gan):
        for name in ("d_step", "g_step"):
            setattr(gan, name, self.wrapped(gan, name, getattr(gan, name)))

    def wrapped(self, gan, name, step):
        def watching(real):
            self.seen.append((name, real.images.clone()))
            before = {n: (weights(m), gradients(m)) for n, m in self.players(gan)}
            step(real)
            for n, m in self.players(gan):
                state, grads = before[n]
                now = gradients(m)
                kept = all(
                    (grads[k] is None and now[k] is None)
                    or (
                        now[k] is not None
                        and grads[k] is not None
                        and torch.equal(grads[k], now[k])
                    )
                    for k in now
                )
                self.changed.append((name, n, not same(state, weights(m)), not kept))

        return watching

    def players(self, gan):
        return [("generator", gan.generator), ("discriminator", gan.discriminator)]


@pytest.mark.parametrize("norm", ["batch", "spectral"])
@pytest.mark.parametrize("regularizers", [{}, {"clip": WeightClip()}], ids=["plain", "clip"])
def test_each_update_leaves_the_other_player_alone(regularizers, norm):
    """Parameters, gradients and running statistics of the other network stay."""
    from ganlab.networks import DCGANDiscriminator

    watch = Watch()
    d = DCGANDiscriminator(small_gan().spec, width=8, norm=norm)
    gan = small_gan(iterations=2, d_steps=2, regularizers=regularizers, discriminator=d)
    fit(gan, callbacks=[watch])
    own = {"d_step": "discriminator", "g_step": "generator"}
    assert len(watch.changed) == 2 * 3 * 2
    for step, player, state_changed, gradients_changed in watch.changed:
        assert state_changed == (own[step] == player), (step, player)
        assert gradients_changed == (own[step] == player), (step, player)


def test_the_check_sees_batchnorm_statistics_leak():
    """The usual mistake, a plain forward pass of G in D's step, does change G's buffers."""
    generator = small_gan().generator
    before = weights(generator)
    with torch.no_grad():
        generator(torch.randn(4, 8))
    assert not same(before, weights(generator))
    before = weights(generator)
    with frozen(generator), torch.no_grad():
        generator(torch.randn(4, 8))
    assert same(before, weights(generator))


def test_untouched_normalises_by_the_batch_and_is_undone():
    """Inside, BatchNorm still works as in training; afterwards everything is as before."""
    generator, z = small_gan().generator, torch.randn(4, 8)
    with frozen(generator):
        inside = generator(z)
        assert not any(p.requires_grad for p in generator.parameters())
    assert all(p.requires_grad for p in generator.parameters())
    assert torch.equal(inside, generator(z))


def test_k_discriminator_steps_each_see_fresh_images_then_one_generator_step():
    watch = Watch()
    fit(small_gan(iterations=3, d_steps=3), callbacks=[watch])
    assert [name for name, _ in watch.seen] == (["d_step"] * 3 + ["g_step"]) * 3
    images = [x for name, x in watch.seen if name == "d_step"]
    for i, a in enumerate(images):
        assert not any(torch.equal(a, b) for b in images[i + 1 :]), "a minibatch was used twice"


def test_iterations_and_images_count_the_same_for_any_k():
    """Lightning counts every optimizer's step; ganlab counts generator updates."""
    for k in (1, 2, 5):
        gan = small_gan(iterations=3, d_steps=k)
        trainer = fit(gan, batch_size=4)
        assert (gan.iterations, trainer.global_step) == (3, 3)
        assert gan.images_seen == 3 * k * 4


def test_every_update_sees_fresh_noise():
    gan, drawn = small_gan(iterations=2, d_steps=2), []
    latents = gan.latents
    gan.latents = lambda labels: drawn.append(latents(labels)) or drawn[-1]
    fit(gan)
    assert len(drawn) == 2 * 3
    for i, a in enumerate(drawn):
        assert not any(torch.equal(a, b) for b in drawn[i + 1 :])


def test_a_loss_that_needs_real_images_gets_a_fresh_minibatch_in_gs_step():
    watch = Watch()
    fit(small_gan(iterations=1, d_steps=2, loss=Relativistic()), callbacks=[watch])
    images = [x for _, x in watch.seen]
    assert len(images) == 3
    assert not torch.equal(images[1], images[2])


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"d_steps": 2}], ids=["plain", "ema", "k2"])
def test_resume_is_exact(tmp_path, options):
    """6 iterations at once equal 3, a checkpoint, a new process' worth of objects, and 3 more."""
    whole = small_gan(iterations=6, **options)
    fit(whole)
    half = small_gan(iterations=6, **options)
    stop = fit(half, max_steps=3)
    stop.save_checkpoint(tmp_path / "half.ckpt")
    rest = small_gan(iterations=6, **options)
    torch.manual_seed(12345)  # nothing may depend on the global random state
    fit(rest, ckpt_path=tmp_path / "half.ckpt")
    assert rest.iterations == 6
    assert rest.images_seen == whole.images_seen
    assert same(weights(whole), weights(rest))
    assert not same(weights(whole), weights(half)), "the check would pass on anything"


def test_dropout_is_a_function_of_seed_and_iteration(tmp_path):
    """Random layers take part in exact resume, too."""
    from ganlab.networks import VanillaDiscriminator

    def made():
        torch.manual_seed(0)
        spec = small_gan().spec
        return small_gan(iterations=4, discriminator=VanillaDiscriminator(spec, (16,), dropout=0.5))

    whole = made()
    fit(whole)
    fit(half := made(), max_steps=2).save_checkpoint(tmp_path / "a.ckpt")
    fit(rest := made(), ckpt_path=tmp_path / "a.ckpt")
    assert same(weights(whole), weights(rest))
    assert half.iterations == 2


def test_checkpoints_hold_only_tensors_and_plain_data(tmp_path):
    trainer = fit(small_gan(ema=0.9))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert checkpoint["iterations"] == 4
    assert checkpoint["spec"] == {"channels": 1, "size": 16, "classes": 10}


@pytest.mark.parametrize("player", ["g", "d"])
@pytest.mark.parametrize("parts", [4, 5], ids=["even", "uneven"])
def test_accumulation_gives_the_whole_minibatchs_gradient(player, parts):
    """Without BatchNorm a minibatch in parts makes the same update as in one."""
    from ganlab.networks import DCGANDiscriminator, DCGANGenerator

    def trained(parts):
        spec = small_gan().spec
        torch.manual_seed(0)
        networks = {
            "generator": DCGANGenerator(spec, 8, width=8, norm="none"),
            "discriminator": DCGANDiscriminator(spec, width=8, norm="none"),
        }
        sgd = lambda p: torch.optim.SGD(p, lr=0.1)
        gan = small_gan(
            iterations=1,
            **networks,
            g_rule=UpdateRule(sgd, accumulate=parts if player == "g" else 1),
            d_rule=UpdateRule(sgd, accumulate=parts if player == "d" else 1),
        )
        # The parts draw their noise one after another: give both runs the same rows.
        gan.latents = rows_in_order(gan)
        fit(gan)
        return weights(gan)

    def rows_in_order(gan):
        rows = {"at": 0, "all": torch.randn(64, 8, generator=torch.Generator().manual_seed(1))}

        def latents(labels):
            n = len(labels)
            rows["at"] += n
            return rows["all"][rows["at"] - n : rows["at"]]

        return latents

    one, several = trained(1), trained(parts)
    for name in one:
        torch.testing.assert_close(one[name], several[name], rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_gradient_of_its_own_player():
    norms = {"g": [], "d": []}

    class Norms(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            for player, network in (("g", gan.generator), ("d", gan.discriminator)):
                grads = [p.grad.flatten() for p in network.parameters()]
                norms[player].append(torch.cat(grads).norm().item())

    fit(small_gan(g_rule=UpdateRule(adam(), clip=0.01)), callbacks=[Norms()])
    assert all(n <= 0.0101 for n in norms["g"])
    assert all(n > 0.02 for n in norms["d"])


def test_schedules_set_the_rates_of_each_player_by_progress():
    from ganlab.schedules import Linear

    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            rates.append([o.param_groups[0]["lr"] for o in gan.optimizers(use_pl_optimizer=False)])

    fit(small_gan(g_rule=UpdateRule(adam(0.1), Linear())), callbacks=[Rates()])
    g, d = zip(*rates, strict=True)
    assert g == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert d == pytest.approx([2e-4] * 4)


def test_sampling_does_not_disturb_training():
    """A run that draws after every iteration ends with the same weights, bit for bit."""

    class Draw(Callback):
        def on_train_batch_end(self, trainer, gan, *_):
            gan.sample(8)

    fit(plain := small_gan(ema=0.9))
    fit(drawn := small_gan(ema=0.9), callbacks=[Draw()])
    assert same(weights(plain), weights(drawn))


def test_samples_are_a_function_of_the_seed_and_leave_the_mode():
    gan = small_gan()
    fit(gan)
    a, b, c = gan.sample(5, seed=1), gan.sample(5, seed=1), gan.sample(5, seed=2)
    assert a.shape == (5, 1, 16, 16)
    assert a.abs().max() <= 1
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert gan.generator.training


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(precision):
    fit(gan := small_gan(regularizers={"clip": WeightClip()}), precision=precision)
    assert all(torch.isfinite(t).all() for t in gan.state_dict().values())


def test_penalties_are_computed_in_float32_under_autocast():
    from ganlab.regularizers import input_gradient

    critic = small_gan().discriminator.eval()
    images = torch.rand(4, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = input_gradient(critic, images)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, input_gradient(critic, images))


@pytest.mark.parametrize("regularizer", [R1(), GradientPenalty()], ids=["r1", "gradient_penalty"])
def test_per_sample_penalties_refuse_batchnorm(regularizer):
    with pytest.raises(ValueError, match=r"regularizer\.it looks at .* BatchNorm"):
        small_gan(regularizers={"it": regularizer})


def test_objects_that_are_no_loss_are_refused():
    with pytest.raises(TypeError, match=r"loss: ReLU is no ganlab\.losses\.Loss"):
        small_gan(loss=torch.nn.ReLU())


@pytest.mark.parametrize(("name", "value"), [("d_steps", 0), ("iterations", 0)])
def test_counts_below_one_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        small_gan(**{name: value})


def test_lazy_penalties_are_taken_every_nth_update_and_multiplied(tmp_path):
    """every=2 sees updates 0, 2, 4, ... of D, also after a resume in between."""
    calls = []

    class Counted(R1):
        def d_term(self, seen):
            calls.append(1)
            return super().d_term(seen)

    def made():
        from ganlab.networks import DCGANDiscriminator

        torch.manual_seed(0)
        d = DCGANDiscriminator(small_gan().spec, width=8, norm="none")
        lazy = {"lazy": Counted(every=2)}
        return small_gan(iterations=5, discriminator=d, regularizers=lazy)

    fit(whole := made())
    assert len(calls) == 3
    fit(made(), max_steps=3).save_checkpoint(tmp_path / "a.ckpt")
    fit(rest := made(), ckpt_path=tmp_path / "a.ckpt")
    assert len(calls) == 6
    assert same(weights(whole), weights(rest))


def test_stateful_regularizers_resume_exactly(tmp_path):
    """LeCam's anchors are part of the checkpoint."""
    fit(whole := small_gan(iterations=4, regularizers={"lecam": LeCam()}))
    half = small_gan(iterations=4, regularizers={"lecam": LeCam()})
    fit(half, max_steps=2).save_checkpoint(tmp_path / "a.ckpt")
    fit(
        rest := small_gan(iterations=4, regularizers={"lecam": LeCam()}),
        ckpt_path=tmp_path / "a.ckpt",
    )
    assert same(weights(whole), weights(rest))
    assert whole.regularizers["lecam"].real_anchor != 0
