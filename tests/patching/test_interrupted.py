"""`patch` and `unpatch` when an exception falls between two of their lines, and when two threads call them at once."""

# imports follow the check that there is something to import

import copy
import importlib
import threading

import pytest

import tightrope
from harness import interruptions
from models.tiny_models import SIZES

WORK = {"patch": tightrope.patch, "unpatch": tightrope.unpatch, "patched": lambda model: enter_and_leave(model)}


def enter_and_leave(model):
    with tightrope.patched(model):
        pass


class TorchModel:
    """A tiny Llama of transformers and what its parts are."""

    def __init__(self):
        from models import hf_models

        self._model = hf_models.fresh("llama")

    def fresh(self):
        return copy.deepcopy(self._model)

    def parts(self, model):
        return [(name, type(part), dict(vars(part)), dict(part._modules)) for name, part in model.named_modules()]


CONFIG = {"model_type": "llama", **SIZES, "rms_norm_eps": 1e-6, "rope_theta": 250_000.0, "rope_scaling": None}


class MlxModel:
    """A tiny Llama of mlx-lm and what its parts are."""

    def fresh(self):
        module = importlib.import_module("mlx_lm.models.llama")
        return module.Model(module.ModelArgs.from_dict(CONFIG))

    def parts(self, model):
        ropes = [layer.self_attn.rope for layer in model.layers]
        return [*map(id, ropes), *(dict(vars(part)) for part in model.modules())]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.backend(name)) for name in ("torch", "mlx")]
)
def kind(request):
    pytest.importorskip({"torch": "transformers", "mlx": "mlx_lm"}[request.param])
    return TorchModel() if request.param == "torch" else MlxModel()


def is_whole(kind, model, before):
    return kind.parts(model) == before


@pytest.mark.parametrize("name", WORK)
def test_interrupted_at_any_line_a_model_is_whole_or_unpatch_makes_it_so(kind, name):
    before, places = {}, 0

    def fresh():
        model = kind.fresh()
        before[id(model)] = kind.parts(model)
        if name == "unpatch":
            tightrope.patch(model)
        return model

    for where, model in interruptions.at_every_line(fresh, WORK[name]):
        places += 1
        own = before.pop(id(model))
        if not is_whole(kind, model, own):
            tightrope.unpatch(model)
        assert is_whole(kind, model, own), where
        tightrope.patch(model)  # and it can be patched as ever
        tightrope.unpatch(model)
        assert is_whole(kind, model, own), where
    assert places > 40  # or nothing was watched


def test_interrupted_on_the_way_into_a_with_statement_a_model_is_whole(kind):
    model, entered = kind.fresh(), []
    own = kind.parts(model)

    def enter(given):
        entered[:] = [tightrope.patched(given)]
        entered[0].__enter__()

    for where, _ in interruptions.at_every_line(lambda: model, enter):
        assert is_whole(kind, model, own), where
    entered[0].__exit__(None, None, None)


def test_of_two_threads_that_patch_a_model_one_wins_and_the_other_is_told(kind):
    for _ in range(8):
        model, told, start = kind.fresh(), [], threading.Barrier(2)
        own = kind.parts(model)

        def work(model=model, told=told, start=start):
            start.wait()
            try:
                tightrope.patch(model)
                told.append("patched")
            except tightrope.RopeConfigError as error:
                told.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == ["patched", "this model is patched already; tightrope.unpatch(model) first"]
        tightrope.unpatch(model)
        assert is_whole(kind, model, own)


def test_a_signal_handler_that_unpatches_what_is_being_patched_leaves_it_whole(kind, monkeypatch):
    from tightrope.backends.patching import changes

    model, apply, calls = kind.fresh(), changes.Swap.apply, []
    own = kind.parts(model)

    def interrupted(self):
        if len(calls) == 1:
            tightrope.unpatch(model)
        calls.append(self)
        apply(self)

    monkeypatch.setattr(changes.Swap, "apply", interrupted)
    with pytest.raises(tightrope.RopeConfigError, match="was unpatched while it was being patched"):
        tightrope.patch(model)
    assert is_whole(kind, model, own)
