"""Types of numbers inside a network: what they round, cut or wrap is refused, what they hold is followed."""

import numpy as np
import pytest

import eventsim
from eventsim.errors import UnsupportedError

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Net(nn.Module):
    """Two layers. first: module, x -> what the first synapses read. middle: module, spikes -> what the second ones
    read. current: module, that -> what the last neurons read. count: module, all their spikes -> the answer."""

    def __init__(self, first=None, middle=None, current=None, count=None, n_middle=6):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(4, 6), snntorch.Leaky(beta=0.8, threshold=0.3)
        self.fc2, self.lif2 = nn.Linear(n_middle, 3), snntorch.Leaky(beta=0.8, threshold=0.1)
        self.register_buffer("table", torch.randn(4, 4))
        self.does = [first or (lambda net, x: x), middle or (lambda net, spk: spk),
                     current or (lambda net, spk: net.fc2(spk)), count or (lambda net, sent: sum(sent))]

    def forward(self, x):
        first, middle, current, count = self.does
        mem1, mem2, sent, x = self.lif1.init_leaky(), self.lif2.init_leaky(), [], first(self, x)
        for _ in range(4):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            spk, mem2 = self.lif2(current(self, middle(self, spk)), mem2)
            sent.append(spk)
        return count(self, sent)


def levels(n=3):
    return torch.randint(0, 4, (n, 4), generator=torch.Generator().manual_seed(1))


SPIKES = eventsim.Input((4,), "spikes", bits=3)


def back(function):
    """A function of spikes, whose result is given in the network's own floats."""
    return lambda net, spk: function(spk).to(net.lif1.beta.new_zeros(()).dtype)


def in_bfloat16(net, spk):
    return functional.linear(spk.bfloat16(), net.fc2.weight.bfloat16(), net.fc2.bias.bfloat16()).to(spk.dtype)


REFUSED = {
    "or of bools": (dict(middle=back(lambda spk: spk.bool() + spk.bool())), "does 'add' in bool, where .* to 2"),
    "levels to bools": (dict(first=back(lambda x: x.int().bool())), "rounds what is no spikes to bool"),
    "bits as integers": (dict(current=lambda net, spk: net.fc2(spk).view(torch.int32).view(torch.float32)),
                         "reads the bits of .*"),
    "levels to bytes": (dict(first=back(lambda x: (100 * x.int()).to(torch.uint8))), "rounds .* to uint8"),
    "a sum in bytes": (dict(count=lambda net, sent: (100 * torch.stack(sent)).sum(0, dtype=torch.uint8)),
                       "does 'sum' in uint8, where whole numbers from 0 to 255 .* to 400"),
    "a count in bytes": (dict(count=lambda net, sent: sum(100 * s.to(torch.uint8) for s in sent)),
                         "does 'add' in uint8, .* to 300"),
    "below 0": (dict(middle=back(lambda spk: -spk.to(torch.uint8))), "does 'neg' in uint8, .* come to -1"),
    "products in bfloat16": (dict(current=in_bfloat16), "in bfloat16, which rounds or cuts it"),
    "a mean in half": (dict(count=lambda net, sent: torch.stack(sent).half().mean(0).to(sent[0].dtype)),
                       "does 'mean' in float16, which rounds"),
    "neurons in half": (dict(current=lambda net, spk: spk[:, :3].half()), "'lif2' cannot be taken: computes in f"),
    "a table by levels": (dict(first=lambda net, x: x + net.table[x[:, 0].long()].to(x.dtype)), "picks numbers by"),
    "a table by the largest": (dict(first=lambda net, x: x + net.table[x.argmax(1)].to(x.dtype)), "does 'argmax'"),
    "sorted": (dict(first=lambda net, x: x.gather(1, x.argsort(1))), "argsort'|does 'sort'"),
    "repeated by levels": (dict(first=lambda net, x: x.repeat_interleave(x[:, 0].long(), 0)), "picks numbers by"),
    "filled by the largest": (dict(first=lambda net, x: x - torch.empty(4).to(x).fill_(x.max())), "does 'max'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_type_or_a_signal_changes_is_refused(name):
    settings, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message) as error:
        eventsim.from_torch(Net(**settings), levels(), SPIKES)
    assert "\n" not in str(error.value)


def lesion(net, spk):
    spk[:, 2] = 0
    return spk


def added(dtype):
    """Counts in one type, step by step."""
    def count(net, sent):
        found = torch.zeros(sent[0].shape, dtype=dtype)
        for each in sent:
            found = found + each.to(dtype)
        return found
    return count


TAKEN = {
    "moved as whole numbers": dict(first=back(lambda x: x.long().flip(1))),
    "joined as bools": dict(middle=back(lambda spk: torch.cat([spk.bool(), spk.bool()[:, :2]], 1)), n_middle=8),
    "moved by constants": dict(middle=back(lambda spk: spk.bool()[:, [3, 1, 0, 2, 5, 4]].long().roll(1, 1))),
    "counted as bools": dict(count=lambda net, sent: torch.stack([s.bool() for s in sent]).sum(0)),
    "counted in bytes": dict(count=added(torch.uint8)),
    "counted in half": dict(count=added(torch.float16)),
    "counted in int64": dict(count=added(torch.int64)),
    "under a mask of bools": dict(middle=back(lambda spk: spk.bool() * torch.tensor([True, False] * 3))),
    "weights in half": dict(current=lambda net, spk: functional.linear(spk, net.fc2.weight.half().to(spk.dtype))),
    "a lesion": dict(middle=lesion),
    "clamped spikes": dict(middle=lambda net, spk: spk.clamp(min=0).clamp(0, 1).clamp(max=2).relu()),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_a_type_holds_is_followed(name):
    model = eventsim.from_torch(Net(**TAKEN[name]), levels(), SPIKES)
    fresh = torch.randint(0, 8, (20, 4), generator=torch.Generator().manual_seed(2)).float()
    with torch.no_grad():
        expected = Net(**TAKEN[name])(fresh).numpy()
    assert np.array_equal(eventsim.Simulator(model).run(fresh.numpy()).output, expected) and expected.any()


@pytest.mark.parametrize("rectify", ("relu", "abs", "clamp"))
def test_what_never_fires_may_be_negative(rectify):
    """The membrane of a readout is no spikes, even where the samples show none below 0."""
    norse = pytest.importorskip("norse.torch")
    limit = {"relu": torch.relu, "abs": torch.abs, "clamp": lambda v: v.clamp(min=0)}[rectify]

    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.li = nn.Linear(4, 3), norse.LICell()
            nn.init.constant_(self.fc.weight, 0.1)

        def forward(self, x):
            state, values = None, []
            for _ in range(4):
                value, state = self.li(self.fc(x), state)
                values.append(limit(value))
            return torch.stack(values).mean(0)

    with pytest.raises(UnsupportedError, match=f"does '{rectify}'"):
        eventsim.from_torch(Reading(), 1 + levels(), SPIKES)
