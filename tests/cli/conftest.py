"""How the tests of the command line call it: in this process."""

import json

import pytest

from eventsim.cli import main


@pytest.fixture
def run(capsys):
    """Run main; returns (status, standard output, standard error)."""

    def call(*arguments):
        status = main([str(a) for a in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture
def run_json(run):
    def call(*arguments):
        status, out, err = run(*arguments, "--json")
        assert status == 0 and err == "" and out.count("\n") == 1
        return json.loads(out)

    return call
