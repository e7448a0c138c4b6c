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


@pytest.fixture
def refused(capsys):
    """Run main, which has to end with status 2; returns the one line of standard error."""

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        assert left.value.code == 2 and out == "" and err.count("\n") == 1 and err.endswith(" --help)\n")
        return err.removeprefix("eventsim: ").rpartition(" (eventsim ")[0]

    return call
