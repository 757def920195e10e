import pytest
import torch
from torch import nn
from torch.nn import functional

from nonideal.layers import NORM_EPSILON, QuantLayer, QuantLinear, normalise_quantise
from nonideal.quantize.clipping import choose_scale
from nonideal.quantize.formats import FORMATS
from nonideal.rng import torch_stream


def samples(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_stream(3, "layers"))


def linear(weight_format: str, *, inputs: int = 24, outputs: int = 7, **settings) -> QuantLinear:
    return QuantLinear(
        inputs, outputs, weight_format=weight_format, generator=torch_stream(0, "init"), **settings
    )


class QuantConv2d(QuantLayer):
    """A sibling as later studies will add it: all it brings is its operation."""

    def operate(self, x, weight):
        return functional.conv2d(x, weight)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_activations_are_integers_of_the_sample_over_its_root_mean_square(bits):
    x = samples(6, 3, 5) * torch.tensor([1e-3, 0.1, 1.0, 3.0, 50.0, 1e4]).view(6, 1, 1)
    y = normalise_quantise(x, bits)
    largest = 2 ** (bits - 1) - 1
    for before, after in zip(x.double(), y.double(), strict=True):
        peak, rms = before.abs().max(), (before.square().mean() + NORM_EPSILON).sqrt()
        codes = after * rms / peak * largest
        assert (codes - codes.round()).abs().max() < 0.02
        assert codes.abs().max() == pytest.approx(largest, rel=1e-5)
        assert ((codes - before / peak * largest).abs() <= 0.5 + 1e-2).all()


def test_activation_codes_of_eight_bits_exhaustively():
    codes = torch.arange(-127.0, 128.0)
    rms = codes.square().mean().sqrt()
    for scale in (1.0, 0.125, 0.3):
        # +-0.49: each value rounds back to its own code, and the largest is +-127 exactly
        jitter = torch.where(codes.abs() == 127, 0.0, 0.49)
        for sign in (-1, 1):
            x = (codes + sign * jitter) * scale
            y = normalise_quantise(x[None], 8)[0] * x.square().mean().sqrt() / scale
            assert torch.equal(y.round(), codes)
    assert normalise_quantise(codes[None], 8)[0, -1].item() == pytest.approx(127 / rms.item(), rel=1e-6)


def test_a_sample_of_zeros_stays_zero():
    x = torch.zeros(2, 5, requires_grad=True)
    y = normalise_quantise(x, 8)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 5)) and x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [None, 8, 16])
def test_samples_in_half_precision_are_normalised_as_in_single(bits, dtype):
    x = samples(3, 70_000).to(dtype)  # the squares of a sample add up to more than float16 holds
    x[0] = 0
    x = x.requires_grad_()
    y = normalise_quantise(x, bits)
    y.sum().backward()
    assert y.dtype == dtype and torch.equal(y, normalise_quantise(x.float(), bits).to(dtype))
    assert not y[0].any() and y[1:].any(dim=1).all() and x.grad.isfinite().all()


@pytest.mark.parametrize("bits", [None, 8])
@pytest.mark.parametrize("shape", [(4, 9), (3, 2, 4, 4)])
def test_gradient_is_that_of_the_normalisation_alone(bits, shape):
    x = samples(*shape).double().requires_grad_()
    factor = samples(*shape).double().flip(0)
    (normalise_quantise(x, bits) * factor).sum().backward()
    reference = x.detach().clone().requires_grad_()
    axes = tuple(range(1, len(shape)))
    rms = (reference.square().mean(dim=axes, keepdim=True) + NORM_EPSILON).sqrt()
    (reference / rms * factor).sum().backward()
    torch.testing.assert_close(x.grad, reference.grad, rtol=1e-9, atol=1e-12)


def test_gradient_of_the_unrounded_normalisation_by_differences():
    x = samples(3, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: normalise_quantise(x, None), (x,))


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_output_and_gradients_against_the_detach_formulation(weight_format, per_channel):
    layer, x = linear(weight_format, per_channel=per_channel).double(), samples(11, 24).double()
    layer.eval()
    layer.update_scale()
    x.requires_grad_()
    y = layer(x)
    y.square().sum().backward()
    weight, x2 = layer.weight.detach().clone().requires_grad_(), x.detach().clone().requires_grad_()
    norm = x2 / (x2.square().mean(dim=1, keepdim=True) + NORM_EPSILON).sqrt()
    step = norm.abs().amax(dim=1, keepdim=True) / 127
    x_quantised = norm + ((norm / step).round() * step - norm).detach()
    grid = layer.format.decode(
        layer.format.encode(weight.detach(), layer.scale), layer.scale, dtype=torch.float64
    )
    expected = functional.linear(x_quantised, weight + (grid - weight).detach())
    expected.square().sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(layer.weight.grad, weight.grad)
    torch.testing.assert_close(x.grad, x2.grad)


def test_float_layer_is_a_linear_layer_on_normalised_input():
    layer, x = linear("float", activation_bits=None), samples(5, 24)
    expected = functional.linear(x / x.square().mean(dim=1, keepdim=True).sqrt(), layer.weight)
    torch.testing.assert_close(layer(x), expected)
    assert "scale" not in layer.state_dict()


def test_a_layer_of_zeros_made_half_has_integers():
    layer = QuantLinear(6, 5, weight_format="4bit", generator=torch_stream(0, "init"))
    torch.nn.init.zeros_(layer.weight)
    layer.update_scale()
    layer.half()
    assert not layer.effective_weight().any() and not layer.integer_weight().any()


def test_integer_weights_times_scale_are_the_effective_weights():
    for name, fmt in FORMATS.items():
        layer = linear(name, per_channel=True)
        integers = layer.integer_weight()
        assert set(integers.unique().tolist()) <= set(fmt.levels)
        assert torch.equal(integers * layer.scale, layer.effective_weight().detach())
    with pytest.raises(ValueError, match="no integer weights"):
        linear("float").integer_weight()
    for name in ("4bitsym", "ternary", "nf4"):
        layer = linear(name)
        with torch.no_grad():
            layer.weight[0, 0] = torch.nan
        with pytest.raises(ValueError, match="not finite; did the training diverge"):
            layer.integer_weight()


def test_scale_follows_every_training_step_or_waits_for_update():
    for clipping, follows in (("proportional", True), ("mse", False), ("octav", False)):
        layer = linear("2bitsym", clipping=clipping)
        before = layer.scale.clone()
        with torch.no_grad():
            layer.weight.mul_(2)
        layer.eval()
        layer(samples(2, 24))
        assert torch.equal(layer.scale, before)
        layer.train()
        layer(samples(2, 24))
        assert torch.equal(layer.scale, before) is not follows
        layer.update_scale()
        torch.testing.assert_close(layer.scale, before * 2)
        torch.testing.assert_close(layer.scale, choose_scale(layer.weight, layer.format, clipping))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_samples_that_are_whole_numbers_are_refused_and_not_rounded(dtype):
    with pytest.raises(NotImplementedError, match="Expected a floating point"):
        normalise_quantise(torch.ones(3, 8, dtype=dtype), 8)


def test_a_given_quantscale_stays_the_deviation_over_the_largest_level_in_training():
    layer = linear("4bit", quantscale=0.3)
    for _ in range(2):
        deviation = layer.weight.detach().std(correction=0)
        torch.testing.assert_close(deviation / (8 * layer.scale), torch.tensor(0.3))
        with torch.no_grad():
            layer.weight.mul_(2)
        layer.train()(samples(2, 24))


def test_a_frozen_layer_keeps_its_scale():
    layer = linear("ternary")
    before = layer.scale.clone()
    layer.frozen = True
    with torch.no_grad():
        layer.weight.mul_(2)
    layer(samples(2, 24))
    layer.update_scale()
    assert torch.equal(layer.scale, before)


def test_scale_is_saved_and_loaded_with_the_weights():
    source = linear("nf4", per_channel=True)
    target = QuantLinear(24, 7, weight_format="nf4", per_channel=True, generator=torch_stream(1, "init"))
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.eval()(samples(3, 24)), source.eval()(samples(3, 24)))


def test_a_convolution_shares_everything_but_the_operation():
    layer = QuantConv2d(
        (6, 2, 3, 3), weight_format="4bitsym", per_channel=True, generator=torch_stream(0, "init")
    )
    x = samples(4, 2, 8, 8)
    y = layer(x)
    assert y.shape == (4, 6, 6, 6) and layer.scale.shape == (6, 1, 1, 1)
    torch.testing.assert_close(
        y, functional.conv2d(normalise_quantise(x, 8), layer.integer_weight() * layer.scale)
    )
    y.sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_initial_weights_come_from_the_generator_and_fill_the_range():
    layer = linear("float", inputs=100, outputs=200)
    assert torch.equal(layer.weight, linear("float", inputs=100, outputs=200).weight)
    assert layer.weight.abs().max() <= 0.1
    # uniform on +-0.1: variance 0.1^2 / 3, its relative standard error sqrt(0.8 / n)
    error = (0.8 / layer.weight.numel()) ** 0.5
    assert layer.weight.square().mean().item() == pytest.approx(0.01 / 3, rel=4 * error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_format": "5bit"}, "weight format '5bit' is not known"),
        ({"activation_bits": 1}, r"activation_bits must be 2 \.\. 16, or None for float, got 1"),
        ({"clipping": "mse"}, "weight_format 'float' has no scale"),
        ({"weight_format": "fp130", "clipping": "octav"}, "use 'mse'"),
        ({"weight_format": "4bit", "clipping": "mse", "quantscale": 0.2}, "quantscale must be positive"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        QuantLinear(4, 3, generator=torch_stream(0, "init"), **settings)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_a_layer_without_inputs_or_outputs_is_refused(sizes):
    with pytest.raises(ValueError, match=r"one input and one output or more, got weights \[[03], [03]\]"):
        QuantLinear(*sizes, weight_format="4bitsym", generator=torch_stream(0, "init"))


def test_repr_names_what_distinguishes_two_layers():
    module = nn.Sequential(linear("4bit", clipping="octav"), linear("4bit", quantscale=0.3))
    assert "[7, 24], 4bit, activation_bits=8, clipping=octav, per_channel=False" in str(module)
    assert "quantscale=0.3" in str(module)


def test_a_refused_format_leaves_the_layer_as_it_was():
    layer = QuantLinear(6, 5, weight_format="8bit", generator=torch_stream(0, "layer"))
    before, weight = repr(layer), layer.effective_weight()
    for name, clipping in (("nf4", "octav"), ("bogus", None), ("float", "mse")):
        with pytest.raises(ValueError):
            layer.set_format(name, clipping=clipping)
        assert repr(layer) == before and torch.equal(layer.effective_weight(), weight)
    layer.set_format("float")
    QuantLinear(6, 5, generator=torch_stream(1, "layer")).load_state_dict(layer.state_dict())


@pytest.mark.parametrize("bits", [None, 8])
def test_no_samples_give_no_activations(bits):
    assert normalise_quantise(torch.empty(0, 6), bits).shape == (0, 6)
