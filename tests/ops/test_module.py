"""Module and name_scope: what they hold and how it is called, as TensorFlow has it."""

import pytest

import headrace as hr


def build(lib):
    """Names of everything in a tree of modules."""

    class Part(lib.Module):
        def __init__(self, name=None):
            super().__init__(name=name)
            self.z = lib.Variable(1.0, name="z")
            self.a = lib.Variable(2.0, name="a", trainable=False)

    class HTTPWhole2(lib.Module):
        def __init__(self):
            super().__init__()
            shared = Part("x1")
            self.parts = [shared, {"k": Part(), "j": (shared,)}]
            self.v = lib.Variable(3.0, name="v")
            with self.name_scope:
                self.w = lib.Variable(3.0, name="w")

        @lib.Module.with_name_scope
        def make(self):
            return lib.Variable(1.0, name="q")

    with lib.name_scope("outer"):
        whole = HTTPWhole2()
    return {
        "variables": [v.name for v in whole.variables],
        "trainable": [v.name for v in whole.trainable_variables],
        "others": [v.name for v in whole.non_trainable_variables],
        "modules": [m.name for m in whole.submodules],
        "made": whole.make().name,
        "name": whole.name,
        "scope": whole.name_scope.name,
    }


@pytest.mark.peers
def test_module_as_in_tensorflow():
    tf = pytest.importorskip("tensorflow")
    assert build(hr) == build(tf)


def test_scopes_nest_and_end():
    with hr.name_scope("a") as outer:
        with hr.name_scope("b") as inner:
            assert (outer, inner) == ("a/", "a/b/")
            assert hr.Variable(1.0, name="v").name == "a/b/v:0"
            with hr.name_scope("x/"):
                assert hr.get_current_name_scope() == "x"
            with hr.name_scope(""):
                assert hr.Variable(1.0).name == "Variable:0"
        assert hr.get_current_name_scope() == "a"
    assert hr.get_current_name_scope() == ""
    scope = hr.name_scope("twice")
    with scope, scope:
        assert hr.get_current_name_scope() == "twice/twice"
    with pytest.raises(ValueError, match="must be a string, got 3"):
        hr.name_scope(3)


def test_names_must_be_identifiers():
    with pytest.raises(ValueError, match="not a valid module name"):
        hr.Module(name="a b")


def test_layers_in_a_module():
    class Model(hr.Module):
        def __init__(self):
            super().__init__()
            self.dense = hr.keras.layers.Dense(3)

        def __call__(self, x):
            return self.dense(x)

    model = Model()
    model(hr.ones([1, 2]))
    assert [v.shape for v in model.trainable_variables] == [(2, 3), (3,)]
