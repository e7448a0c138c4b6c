"""What a command advises can be followed, and what it prints for people is in its JSON, too."""

import json
import warnings

import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line
from processes import environment, python

import eventsim
from eventsim import Dense, EventsimWarning, formats, Input, Neuron, Readout
from eventsim.cli import arguments, diff, main, parser
from eventsim.cli.run import GATHERED, RECORDED
from eventsim.cli.screen import Screen
from eventsim.comparison import divergence
from eventsim.engine import recorder
from eventsim.kernels import calling
from eventsim.kernels.compiling import KernelsWarning


def saved(path, nodes, **options):
    """Save a chain of nodes as a model; returns its path."""
    names = list(nodes)
    eventsim.save(eventsim.Model(nodes, list(zip(names, names[1:])), **options), path)
    return path


# ---- warmup where nothing is kept


WARMED = ("warmup", MODEL, "--precision", "float32")


def warmed_up(folder, *options):
    variables = {"EVENTSIM_CACHE_DIR": str(folder), "EVENTSIM_SHARED_CACHE": ""}
    return python("-m", "eventsim", *WARMED, *options, env=environment(**variables))


@pytest.mark.skipif(not calling.COMPILES, reason="the JIT is off")
@pytest.mark.parametrize("kind", ["open to all", "a file"])
def test_warmup_fails_where_nothing_is_kept(tmp_path, kind):
    place = tmp_path / "place"
    place.touch() if kind == "a file" else place.mkdir()
    place.chmod(0o777)
    for options in ((), ("--json",)):
        done = warmed_up(place, *options)
        line = done.stderr.removeprefix("eventsim: ").rstrip("\n")
        assert done.returncode == 1 and line.startswith("compiled kernels cannot be kept in ") and "\n" not in line
        assert "EVENTSIM_CACHE_DIR" in line
        if options:
            printed = json.loads(done.stdout)
            assert printed["kept"] is False and printed["compiled"] == 0 and printed["notes"] == [line]
        else:
            assert done.stdout == ""


def test_warmup_fails_where_it_was_said_before_that_nothing_is_kept(run, monkeypatch):
    monkeypatch.setattr("eventsim.kernels.compiling._FOLDER", None)
    assert_one_line(*run(*WARMED), "compiled kernels cannot be kept: set EVENTSIM_CACHE_DIR to a folder")


def test_warmup_says_that_kernels_are_kept(run_json):
    assert run_json(*WARMED)["kept"] is True


def test_warmup_fails_where_writing_fails(run, monkeypatch):
    """As on a full disk, which `kernels.compiling` says once."""
    def compiled_unkept(self, record=()):
        warnings.warn("compiled kernels cannot be kept in there (no space is left)", KernelsWarning, stacklevel=1)

    monkeypatch.setattr(eventsim.Simulator, "compile", compiled_unkept)
    assert_one_line(*run(*WARMED), "compiled kernels cannot be kept in there (no space is left)\n")
    status, out, err = run(*WARMED, "--json")
    assert status == 1 and json.loads(out)["kept"] is False


def test_verbose_does_not_say_kept_where_nothing_is(monkeypatch, capsys):
    monkeypatch.setattr("eventsim.kernels.compiling._FOLDER", None)

    class Watched:
        compiled, seconds = 3, 1.0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr("eventsim.kernels.compiling.watched", lambda tell: Watched())
    with Screen(type("Given", (), {"quiet": False, "verbose": True})).compiling():
        pass
    assert capsys.readouterr().err == "eventsim: compiled 3 kernels: 1.0 s\n"


# ---- remedies


def test_the_remedy_for_nir_is_an_option_that_the_command_takes(run, tmp_path):
    soft = saved(tmp_path / "soft.h5", {"in": Input((2,)), "n": Neuron(reset="soft", comparison=">")}, timesteps=3)
    status, out, err = run("convert", soft, tmp_path / "soft.nir")
    assert status == 1 and err.endswith("or give beyond_nir=True (--out-beyond-nir)\n")
    assert run("convert", soft, tmp_path / "soft.nir", "--out-beyond-nir")[0] == 0


def test_all_options_of_formats_are_those_of_writing_too(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "--help-formats"])
    shown = capsys.readouterr().out
    assert "--out-beyond-nir" in shown and "--out-dt" in shown and "--preset" in shown
    with pytest.raises(SystemExit):
        main(["run", "--help-formats"])
    assert "--out-" not in capsys.readouterr().out


def test_convert_does_not_replace_what_it_reads(run, tmp_path):
    path = saved(tmp_path / "a.h5", {"in": Input((2,)), "n": Neuron()})
    before = path.read_bytes()
    (tmp_path / "link.h5").symlink_to(path)
    for out in (path, tmp_path / "link.h5", tmp_path / "." / "a.h5"):
        assert_one_line(*run("convert", path, out), f"{out}: is what is read, and would be replaced")
    assert path.read_bytes() == before


def test_fixed_without_a_chip_names_an_option_that_can_be_given(run, refused, tmp_path):
    path = saved(tmp_path / "net.h5", {"in": Input((4,)), "w": Dense(np.ones((3, 4))), "n": Neuron(2.0)},
                 timesteps=2)
    for words in (["info", path, "--kernels", "fixed"], ["bench", path, "--precision", "fixed"],
                  ["warmup", path, "--precision", "fixed"]):
        assert_one_line(*run(*words), "precision 'fixed' needs a chip", "chip='loihi' (--chip loihi)\n")
    assert "kernels in fixed\n" in run("info", path, "--kernels", "fixed", "--chip", "loihi")[1]
    assert refused("info", path, "--chip", "loihi") == (
        "--chip says under which chip kernels run: add --kernels fixed")


def test_float16_means_float32(refused, run):
    for word in ("float16", "fp16", "half", "bfloat16"):
        assert refused("run", MODEL, DATA, "--precision", word).endswith(", did you mean float32?")
        assert_one_line(*run("diff", MODEL, f"{MODEL}@{word}", DATA), ", did you mean float32?\n")


# ---- usage


@pytest.mark.parametrize("words, message", [
    ("--versoin", "there is no option --versoin, did you mean --version?"),
    ("--versoin info net.h5", "there is no option --versoin, did you mean --version?"),
    ("-V", "there is no option -V, did you mean --version?"), ("-x", "there is no option -x"),
    ("help", "'help' is no command, did you mean eventsim --help?"),
    ("help run", "'help' is no command, did you mean eventsim run --help?"),
    ("HELP rnu", "'HELP' is no command, did you mean eventsim --help?"),
    ("version", "'version' is no command, did you mean eventsim --version?"),
    ("versoin", "'versoin' is no command, did you mean --version?"),
])
def test_words_before_any_command(refused, words, message):
    assert refused(*words.split()) == message


def test_an_option_of_commands_before_any_command(refused):
    assert refused("--crop", "1") == "'1' is no command: there are " + ", ".join(parser().siblings)
    assert refused("--audit") == "there is no option --audit, which is an option of eventsim run"


@pytest.mark.parametrize("words, message", [
    ("diff A A D --tolerance -1", "--tolerance is '-1', expected a number from 0 on"),
    ("diff A A D --tolerance nan", "--tolerance is 'nan', expected a number from 0 on"),
    ("diff A A D --variables spike", "--variables has 'spike', expected any of spikes, currents, potentials, "
     "residuals, outputs, did you mean spikes?"),
    ("diff A A D --variables spikes,", "--variables has '', expected any of spikes, currents, potentials, "
     "residuals, outputs"),
    ("run A D --workers 99999", "--workers is 99999, expected a whole number from 1 to 1024"),
    ("run A D --timesteps 16777217", "--timesteps is 16777217, expected a whole number from 1 to 16777216"),
    ("bench A D --timesteps 16777217", "--timesteps is 16777217, expected a whole number from 1 to 16777216"),
    ("run A D --out o.h5 --record spike:n", "--record is 'spike:n', expected any of spikes, currents, potentials, "
     "residuals, outputs, or WHAT:NODE, did you mean spikes?"),
    ("run A D --columns abc", "--columns is 'abc', expected t, x, y and p, each once, such as txyp"),
    ("run A D --test-share 1", "--test-share is '1', expected a share between 0 and 1, such as 0.1"),
    ("run A D --full-scale 0", "--full-scale is '0', expected a number above 0"),
    ("run A D --time-unit inf", "--time-unit is 'inf', expected a number above 0"),
    ("run A D --sensor-size 0x3", "--sensor-size is '0x3', expected two whole numbers above 0, such as 34x34"),
    ("stream A D --smoothing 1", "--smoothing is '1', expected a share from 0 to below 1"),
    ("plot R lst", "'lst' is no kind of plot, did you mean list?"),
    ("plot R RATES", "'RATES' is no kind of plot, did you mean rates?"),
    ("stats R --table layer", "'layer' is no table, did you mean layers?"),
])
def test_a_value_that_cannot_be_is_wrong_usage(refused, words, message):
    assert refused(*words.split()) == message


def test_what_parsing_takes_the_engine_takes():
    model = eventsim.load(MODEL)
    eventsim.Simulator(model, workers=arguments.MOST_WORKERS)
    with pytest.raises(eventsim.EventsimError, match=f"to {arguments.MOST_WORKERS}$"):
        eventsim.Simulator(model, workers=arguments.MOST_WORKERS + 1)
    with pytest.raises(eventsim.EventsimError, match=f"to {arguments.MOST_STEPS}$"):
        eventsim.Simulator(model).run(np.zeros((1, 1, 8, 8), int), timesteps=arguments.MOST_STEPS + 1)
    assert set(recorder.KINDS) == {*RECORDED, *GATHERED}
    assert set(diff.VARIABLES) == set(divergence.VARIABLES)


# ---- what is printed is in the JSON


def test_what_integers_and_floats_lose_is_in_the_json(run, tmp_path):
    some = np.random.default_rng(0).choice([-1.0, 1.0], (20, 50))
    some.flat[:30] = 1e-3
    nodes = {"in": Input((50,)), "w": Dense(some), "a": Neuron(), "out": Readout("sum")}
    lost = saved(tmp_path / "lost.h5", nodes, timesteps=2)
    huge = saved(tmp_path / "huge.h5", {"in": Input((50,)), "w": Dense(np.full((2, 50), 3e38)), "a": Neuron()},
                 timesteps=2)
    np.savez(tmp_path / "x.npz", x=np.ones((2, 50), np.uint8))
    for words, line in (([lost, "--precision", "int8"], "of the weights, int8 rounds 3.0 % to 0 in a"),
                        ([huge], "float32 overflowed: 4 potentials of a are infinite or nan")):
        path, *options = words
        assert line in run("run", path, tmp_path / "x.npz", *options)[1]
        status, out, _ = run("run", path, tmp_path / "x.npz", *options, "--json")
        assert status == 0 and len(json.loads(out)["notes"]) == 1 and line in json.loads(out)["notes"][0]


def test_what_is_said_while_converting_is_in_the_json(run, monkeypatch, tmp_path):
    load = formats.load

    def loaded(path, **options):
        warnings.warn(f"{path}: its reset is assumed", EventsimWarning, stacklevel=2)
        return load(path, **options)

    monkeypatch.setattr(formats, "load", loaded)
    said = f"{MODEL}: its reset is assumed"
    for words in (["convert", MODEL, tmp_path / "b.h5"], ["info", MODEL], WARMED):
        status, out, err = run(*words, "--json")
        assert status == 0 and err == f"eventsim: {said}\n" and json.loads(out)["notes"] == [said]


def test_what_stats_has_nothing_for_is_in_the_json(run, tmp_path):
    x = np.random.default_rng(0).integers(0, 17, (4, 1, 8, 8))
    path = tmp_path / "run.h5"
    eventsim.save_run(eventsim.Simulator(eventsim.load(MODEL)).run(x, record="statistics"), path)
    line = run("stats", path, "--table", "class_rates")[1].strip()
    assert line == f"{path}: nothing for the table class_rates: there are no labels"
    status, out, err = run("stats", path, "--table", "class_rates", "--json")
    assert status == 0 and err == "" and json.loads(out)["notes"] == [line]


def test_what_an_export_leaves_is_in_the_json(run, tmp_path):
    path, folder = tmp_path / "run.h5", tmp_path / "tables"
    assert main(["run", MODEL, DATA, "--limit", "8", "--out", str(path)]) == 0
    run("stats", path, "--csv", folder, "--table", "rates")
    status, out, err = run("stats", path, "--csv", folder, "--table", "layers", "--json")
    [note] = json.loads(out)["notes"]
    assert status == 0 and note.startswith(f"{folder}: keeps rates.csv of an earlier export")
    assert err == f"eventsim: {note}\n"
