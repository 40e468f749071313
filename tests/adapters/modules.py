"""What every adapter that is a torch module owes its users."""

import copy
import pickle

import torch


def check_module(module, call):
    """A module without state: it moves, copies, pickles, and gives the same answer after each.

    `call` takes the module and returns its answer.
    """
    assert isinstance(module, torch.nn.Module)
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
    assert list(module.buffers()) == []
    assert repr(module).startswith((f"{type(module).__name__}(", f"Matcher {type(module).__name__}"))
    expected = call(module)
    for same in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        copy.deepcopy(module).to(torch.float64).eval(),
        copy.deepcopy(torch.nn.ModuleList([module]))[0],
    ):
        assert_same(call(same), expected)


def assert_same(got, expected):
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        got, expected = list(got.values()), list(expected.values())
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        assert not got.requires_grad
        return
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert_same(one, other)
