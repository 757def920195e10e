"""Docstrings and type hints agree with the code, as functions and dataclasses are really called.

`numpydoc lint` (in `make lint`) reads sources and does not know how a dataclass is called; this imports.
"""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc import validate

import nonideal

PARAMETERS = {"PR01", "PR02"}  # of numpydoc: not documented, not known


def public_objects():
    """Public functions and classes, and the public methods of the classes, by dotted name."""
    for info in pkgutil.walk_packages(nonideal.__path__, "nonideal."):
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != info.name:
                continue
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield f"{info.name}.{name}", thing
            if inspect.isclass(thing):
                for inner, method in vars(thing).items():
                    if inspect.isfunction(method) and not inner.startswith("_"):
                        yield f"{info.name}.{name}.{inner}", method


def wrong_parameters(name, thing):
    """What numpydoc finds wrong in a list of parameters; nothing where one line says all there is to say."""
    if "\nParameters\n----------\n" not in inspect.cleandoc(thing.__doc__ or ""):
        return []
    return [f"{code} {text}" for code, text in validate.validate(name)["errors"] if code in PARAMETERS]


@pytest.fixture(scope="module")
def found():
    objects = dict(public_objects())
    assert len(objects) > 500
    return objects


def test_documented_parameters_are_those_of_the_function(found):
    assert sum("Parameters\n" in (thing.__doc__ or "") for thing in found.values()) > 200
    wrong = {name: problems for name, thing in found.items() if (problems := wrong_parameters(name, thing))}
    assert not wrong, "\n".join(f"{name}: {'; '.join(problems)}" for name, problems in wrong.items())


def test_public_functions_have_type_hints(found):
    untyped = []
    for name, thing in found.items():
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            untyped += [name] * (signature.return_annotation is signature.empty)
            named = [
                p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            ]
            first = named[1:] if "self" in signature.parameters or "cls" in signature.parameters else named
            untyped += [f"{name}: {p.name}" for p in first if p.annotation is p.empty]
    assert not untyped


def test_a_wrong_list_is_found():
    def bad(a: int) -> None:
        """Do nothing.

        Parameters
        ----------
        b
            Something else.
        """

    globals()["bad"], bad.__qualname__ = bad, "bad"
    problems = wrong_parameters(f"{__name__}.bad", bad)
    assert len(problems) == 2 and "'a'" in problems[0] and "'b'" in problems[1]
