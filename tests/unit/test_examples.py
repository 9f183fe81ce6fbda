"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    ["sdor.method.initial", "sdor.method.estimator", "sdor.competitors.del_giorno"],
)
def test_examples_give_what_they_say(module):
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted > 1
    assert done.failed == 0
