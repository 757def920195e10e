import pytest
import torch

from nonideal import pruning
from nonideal.layers import normalise_quantise
from nonideal.mcu.integer import from_model
from nonideal.models import ordinary
from nonideal.models.fc import fc
from nonideal.rng import torch_stream


def network(**settings):
    return fc(
        generator=torch_stream(0, "init"),
        input_pixels=20,
        widths=(40, 30),
        classes=4,
        **({"weight_format": "4bitsym"} | settings),
    )


def pruned(share=0.5, **settings):
    model = network(**settings)
    pruning.PruneUnits(model, share, epoch=3).before_epoch(model, 3)
    return model.eval()


@pytest.mark.parametrize("settings", [{}, {"per_channel": True}, {"weight_format": "binary"}])
def test_the_smaller_network_gives_the_same_logits(settings):
    settings = settings | {"activation_bits": None}  # rounding would turn the last bit into a step
    model = pruned(**settings)
    smaller = pruning.shrink(model)
    assert [tuple(layer.weight.shape) for layer in smaller.layers] == [(20, 20), (15, 20), (4, 15)]
    images = torch.randn(50, 20, generator=torch_stream(1, "images"))
    torch.testing.assert_close(smaller(images), model(images), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(network(**settings).eval()(images), model(images), atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pruned_neurons_stay_away_in_ordinary_layers(dtype):
    model = pruned().to(dtype)
    images = torch.randn(50, 20, generator=torch_stream(1, "images")).to(dtype)
    torch.testing.assert_close(ordinary(model)(images), model(images))


def test_pruned_neurons_are_left_out_before_a_network_is_put_into_integers():
    model = pruned()
    with pytest.raises(ValueError, match=r"layer 1: has pruned neurons.*nonideal\.pruning\.shrink\(model\)"):
        from_model(model)
    assert from_model(pruning.shrink(model)).layers[0].weights.shape == (20, 20)


def test_levels_stay_as_they_are():
    model = pruned()
    kept = model.layers[0].unit_mask.bool()
    smaller = pruning.shrink(model)
    assert torch.equal(smaller.layers[0].integer_weight(), model.layers[0].integer_weight()[kept])


def test_the_least_important_neurons_go():
    model = network()
    score = pruning.importance(model.layers[0].weight, model.layers[1].weight)
    weight, following = model.layers[0].weight[2], model.layers[1].weight[:, 2]
    assert score[2].item() == pytest.approx((weight.norm() * following.norm()).item())
    pruning.PruneUnits(model, 0.36, epoch=0).before_epoch(model, 0)
    mask = model.layers[0].unit_mask.bool()
    assert mask.sum() == 26  # 14.4 neurons go, rounded down
    assert score[mask].min() >= score[~mask].max()


def test_only_the_epoch_given_prunes():
    model = network()
    hook = pruning.PruneUnits(model, 0.5, epoch=3)
    for epoch in (0, 2, 4):
        hook.before_epoch(model, epoch)
    assert all(layer.unit_mask.all() for layer in pruning.hidden_layers(model))


def test_pruned_neurons_get_no_gradient():
    model = pruned().train()
    images = torch.randn(8, 20, generator=torch_stream(2, "images"))
    model(images).square().sum().backward()
    gone = ~model.layers[0].unit_mask.bool()
    assert not model.layers[0].weight.grad[gone].any()
    assert model.layers[0].weight.grad[~gone].any()


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\), got 1"):
        pruning.PruneUnits(network(), 1, epoch=0)
    for epoch in (-1, 1.0, True):
        with pytest.raises(ValueError, match="epoch to prune before must be a whole number from 0"):
            pruning.PruneUnits(network(), 0.5, epoch=epoch)
    with pytest.raises(ValueError, match="PruneUnits first"):
        pruning.shrink(network())


def test_the_factor_undoes_the_shorter_norm():
    values = torch.tensor([[1.0, 2.0, 0.0, 0.0]])
    long, short = normalise_quantise(values, None), normalise_quantise(values[:, :2], None)
    torch.testing.assert_close(long[:, :2], short * (4 / 2) ** 0.5)


def test_the_share_is_of_whole_neurons():
    model = fc(generator=torch_stream(0, "init"), input_pixels=20, widths=(100,), classes=4)
    pruning.PruneUnits(model, 0.29, epoch=0).before_epoch(model, 0)  # 0.29 * 100 is less than 29 in binary
    assert pruning.shrink(model.eval()).layers[0].weight.shape == (71, 20)


@pytest.mark.parametrize("epoch", [1.5, -3])
def test_an_epoch_that_never_comes_is_refused(epoch):
    with pytest.raises(ValueError, match="whole number from 0"):
        pruning.PruneUnits(network(), 0.5, epoch)
