"""What is made of a result: two compared, plots, features switched, the command line, what is told meanwhile."""

from __future__ import annotations

import argparse
import copy
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli import main as cli
from borderpost.config.load import load_config
from borderpost.demo.scenery import REGIONS, configuration, write_events
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost_base.errors import BorderpostError
from borderpost_bench import arguments, report, table, traffic
from borderpost_bench.compare import Verdict, compare, read_result
from borderpost_bench.directions import less_is_better
from borderpost_bench.experiment import Curve, Round
from borderpost_bench.experiments import EXPERIMENTS
from borderpost_bench.features import DEFAULTS, FEATURES, Features, parse_features
from borderpost_bench.judge import Judgement
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.mix import facts_of
from borderpost_bench.plan import NAMES, unasked
from borderpost_bench.plots import write_plots
from borderpost_bench.rounds import Taken
from borderpost_bench.scenarios import SCENARIOS
from borderpost_bench.telling import Teller

COLOUR = re.compile(r"\x1b\[3[0-7]")
MACHINE = {
    "cores": 2, "cpu": "Chip", "kernel": "6", "file_system": "ext4", "python": "3.11", "packages": {}, "wrk": None,
    "h2load": None, "go": None, "pins": "nothing pinned", "compiled": [], "commit": None, "changed": False,
}  # fmt: skip


def sample(requests_s: float, server_cpu_us: float | None = None, **changes: Any) -> Sample:
    figures: dict[str, Any] = {
        "p50_ms": 1.0, "p90_ms": 1.5, "p99_ms": 2.0, "p999_ms": 3.0, "answered": 10, "refused": 0, "failed": 0,
        "server_cpu_us": server_cpu_us, "worker_cpu_us": None, "envoy_cpu_us": None, "upstream_cpu_us": 1.0,
        "server_memory_mib": None, "records_per_commit": None, "commit_ms": None, "load_average": 0.1,
        "foreign_cores": 0.0, "check": None,
    }  # fmt: skip
    return Sample(requests_s=requests_s, **{**figures, **changes})


def document(
    samples: dict[str, list[Sample]], rounds: dict[str, list[Round]] | None = None, settings: Settings | None = None
) -> dict[str, Any]:
    made = report.result(
        Taken(samples, rounds or {}), settings or Settings(), command="c", when="w", machine=MACHINE
    )  # fmt: skip
    read: dict[str, Any] = json.loads(json.dumps(made))
    return read


BEFORE = document({
    "go-stub": [sample(100.0, 20.0), sample(100.0, 20.0)],
    "ext_proc": [sample(1000.0, 20.0), sample(1100.0, 24.0)],
})  # fmt: skip


@pytest.mark.parametrize(
    ("requests_s", "cpu_us", "throughput", "cpu", "worse"),
    [
        ((1050.0, 1200.0), (22.0, 30.0), Verdict.WITHIN, Verdict.WITHIN, False),
        ((1200.0, 1300.0), (10.0, 19.0), Verdict.BETTER, Verdict.BETTER, False),
        ((900.0, 950.0), (10.0, 19.0), Verdict.WORSE, Verdict.BETTER, True),
        ((1100.0, 1100.0), (25.0, 40.0), Verdict.WITHIN, Verdict.WORSE, True),
    ],
)
def test_a_figure_has_changed_if_the_rounds_of_both_results_do_not_meet(
    requests_s: tuple[float, float], cpu_us: tuple[float, float], throughput: Verdict, cpu: Verdict, worse: bool
) -> None:
    after = document({
        "go-stub": [sample(100.0, 20.0), sample(100.0, 20.0)],
        "ext_proc": [sample(*pair) for pair in zip(requests_s, cpu_us, strict=True)],
    })  # fmt: skip
    made = compare(BEFORE, after)
    told = {(one.of, one.figure): one.verdict for one in made.differences}
    assert told["ext_proc", "requests_s"] is throughput
    assert told["ext_proc", "server_cpu_us"] is cpu
    assert told["ext_proc", "cpu_ratio_to_go_stub"] is cpu
    assert told["ext_proc", "throughput_ratio_to_go_stub"] is throughput
    assert told["go-stub", "server_cpu_us"] is Verdict.WITHIN
    assert made.worse is worse
    ratios = compare(BEFORE, after, ratios_only=True)
    assert {one.figure for one in ratios.differences} == {"cpu_ratio_to_go_stub", "throughput_ratio_to_go_stub"}


def test_of_one_round_nothing_is_said() -> None:
    made = compare(BEFORE, document({"ext_proc": [sample(1.0, 1000.0)]}))
    assert {one.verdict for one in made.differences} == {Verdict.UNKNOWN}
    assert not made.worse


def test_what_only_one_result_has_and_what_is_not_alike_is_told() -> None:
    after = document({"ext_proc": [sample(1000.0)] * 2, "plain": [sample(1.0)]}, settings=Settings(seconds=9.0))
    after["machine"]["cpu"] = "Other"
    made = compare(BEFORE, after)
    assert (made.only_before, made.only_after) == (["go-stub"], ["plain"])
    assert list(made.unlike) == ["cpu was Chip, is Other", "seconds was 3.0, is 9.0"]


def test_experiments_are_compared_by_their_targets_and_by_the_names_of_figures() -> None:
    def found(value: float) -> dict[str, Any]:
        figures = {"p50_excess_ms": value, "peak_s": value, "late_p99_ms": value, "shape": value}
        return document({}, {"half-peak-direct": [Round(figures=figures)] * 2})

    told = {one.figure: one.verdict for one in compare(found(1.0), found(2.0)).differences}
    assert told == {"p50_excess_ms": Verdict.WORSE, "peak_s": Verdict.BETTER}


@pytest.mark.parametrize(
    ("figure", "less"),
    [
        ("p99_ms", True), ("server_cpu_us", True), ("server_memory_mib", True), ("log_bytes", True),
        ("cpu_ratio_to_go_stub", True), ("throughput_ratio_to_constant", False), ("requests_s", False),
        ("load_average", None), ("foreign_cores", None), ("upstream_cpu_us", None),
    ],
)  # fmt: skip
def test_each_figure_has_its_direction(figure: str, less: bool | None) -> None:
    assert less_is_better("ext_proc", figure) is less


@pytest.mark.parametrize("content", [None, "no json", "[]", "{}", '{"bench_version": 1}'])
def test_what_is_no_result_of_this_version_is_an_error(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BorderpostError, match="BP0924"):
        read_result(path)


def write(path: Path, told: dict[str, Any]) -> str:
    path.write_text(json.dumps(told))
    return str(path)


def test_the_command_compares_and_its_exit_code_says_whether_anything_is_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slower = document({"ext_proc": [sample(500.0, 20.0), sample(600.0, 24.0)]})
    before, after = write(tmp_path / "b.json", BEFORE), write(tmp_path / "a.json", slower)
    assert cli.main(["bench", "compare", before, before]) == 0
    capsys.readouterr()
    assert cli.main(["bench", "compare", before, after]) == 1
    out, err = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if "requests_s" in line]
    assert line.split() == [
        "ext_proc",
        "requests_s",
        "1,050",
        "(1,000–1,100)",
        "550",
        "(500–600)",
        "-47.6",
        "%",
        "worse",
    ]
    assert "measured only before: go-stub" in err
    assert cli.main(["bench", "compare", before, after, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["schema_version"], told["command"], told["worse"]) == (1, "bench", True)
    assert cli.main(["bench", "compare", before, str(tmp_path / "gone.json")]) == 2
    assert "error[BP0924]" in capsys.readouterr().err


def test_a_result_printed_by_the_command_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = {"schema_version": 1, "command": "bench", **BEFORE}
    assert read_result(Path(write(tmp_path / "p.json", printed)))["scenarios"] == BEFORE["scenarios"]


@pytest.mark.slow
def test_a_recorded_result_is_shown_again_and_its_files_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = write(tmp_path / "r.json", curved(1.0, 2.0))
    files = ("--markdown", str(tmp_path / "r.md"), "--plots", str(tmp_path / "plots"))
    assert cli.main(["bench", "report", recorded, *files]) == 0
    assert (tmp_path / "r.md").read_text() == capsys.readouterr().out
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["offered-load-wire.svg"]
    failed = document({"plain": [sample(1.0, failed=1)]})
    assert cli.main(["bench", "report", write(tmp_path / "f.json", failed)]) == 1


def test_every_promise_has_a_verdict_even_where_it_was_not_measured() -> None:
    told = report.result(
        Taken(), Settings(), command="c", when="w", machine=MACHINE,
        skipped={"borderpost-streams": "Go is not installed", "idle-streams": "Go is not installed"}, unasked=unasked(),
    )  # fmt: skip
    held = {(one["of"], one["figure"]): (one["bound"], one["met"]) for one in told["targets"]}
    assert held["borderpost-streams", "cpu_ratio_to_go_stub"] == ("≤ 0.6", None)
    assert held["soak", "memory_mib"] == ("≤ 150", None)
    promised = {target.what for one in (*SCENARIOS, *EXPERIMENTS) for target in one.targets}
    assert len(promised) == sum(len(one.targets) for one in (*SCENARIOS, *EXPERIMENTS))
    bounds = {(one.name, target.figure): target.bound for one in (*SCENARIOS, *EXPERIMENTS) for target in one.targets}
    assert bounds["borderpost-streams", "cpu_ratio_to_go_honest"] == "≤ 0.25"
    assert bounds["borderpost-streams", "throughput_ratio_to_go_stub"] == "≥ 1.5"
    assert bounds["ext_proc", "cpu_ratio_to_go_stub"] == "≤ 0.7"
    assert bounds["ext_proc", "throughput_ratio_to_constant"] == "≥ 0.88"
    for name in ("half-peak", "half-peak-direct"):
        assert (bounds[name, "p50_excess_ms"], bounds[name, "p99_excess_ms"]) == ("≤ 0", "≤ 0")
    assert {name for name, _ in bounds} >= {"scaling", "cold", "soak", "idle-streams"}


def curved(*values: float) -> dict[str, Any]:
    rounds = [
        Round(
            figures={"a": value},
            curves={
                "cost": Curve(x="regions", y="CPU µs", points=((3, value), (300, value + 1)), logarithmic=True),
                "memory": Curve(x="regions", y="MiB", points=((3, value), (300, value))),
            },
        )
        for value in values
    ]
    return document({}, {"offered-load@wire": rounds, "half-peak": [Round(figures={})]})


@pytest.mark.slow
def test_plots_show_each_curve_and_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second = (write_plots(curved(1.0, 2.0), tmp_path / name) for name in "ab")
    assert [path.name for path in first] == ["offered-load-wire.svg"]
    text = first[0].read_text()
    assert text == second[0].read_text()
    for label in ("regions", "CPU µs", "MiB"):
        assert f">{label}<" in text
    assert str(tmp_path) not in text
    assert write_plots(curved(5.0), tmp_path / "c")[0].read_text() != text


def test_without_its_package_nothing_is_plotted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BorderpostError, match="BP0923"):
        write_plots(curved(1.0), tmp_path)


def test_features_are_read_and_told() -> None:
    assert parse_features("law=off,events=on") == {"law": False, "events": True}
    for wrong in ("lwa=off", "law", "law=no", ""):
        with pytest.raises(ValueError, match=r"no feature|is not NAME"):
            parse_features(wrong)
    assert DEFAULTS.told == ""
    assert Features({"probes": False, "law": True}).told == "probes=off"
    assert Features({"probes": False}).as_dict() == {
        name: one.default and name != "probes" for name, one in FEATURES.items()
    }


def served(tmp_path: Path, features: Features) -> Any:
    config = configuration(dict.fromkeys(REGIONS, 1), admin_port=1)
    write_events(tmp_path, [])
    features.apply(config, tmp_path)
    path = tmp_path / "borderpost.yaml"
    path.write_text(yaml.safe_dump(config))
    return load_config(path, environ={})


@pytest.mark.parametrize("name", FEATURES)
def test_each_feature_switched_makes_a_configuration_that_can_be_served(tmp_path: Path, name: str) -> None:
    plain, switched = tmp_path / "plain", tmp_path / "switched"
    for folder in (plain, switched):
        folder.mkdir()
    before = served(plain, DEFAULTS)
    after = served(switched, Features({name: not FEATURES[name].default}))
    same = (
        before.bundle.digest == after.bundle.digest
        and before.events == after.events
        and before.config.ranking == after.config.ranking
        and before.shadow == after.shadow
    )
    assert same is (name == "access_log"), "that one is Envoy's"


AT_US = 1_790_000_000_000_000
CLIENTS = pytest.mark.parametrize("client", traffic.ROUTED + traffic.REFUSED, ids=lambda client: client.network)


def legal_to(client: traffic.Client, loaded: Any) -> frozenset[str]:
    policy = compile_policy(loaded.bundle, loaded.regions)
    events = compile_events(loaded.events, policy)
    return frozenset(decide(facts_of(client, "m"), policy, events, AT_US).legal)


@CLIENTS
def test_without_law_any_region_may_serve_whoever_is_known(tmp_path: Path, client: traffic.Client) -> None:
    loaded = served(tmp_path, Features({"law": False}))
    assert legal_to(client, loaded) == traffic.legal_without_law(client.country, client.residency, frozenset())


@CLIENTS
def test_with_all_law_switched_on_no_answer_changes(tmp_path: Path, client: traffic.Client) -> None:
    loaded = served(tmp_path, Features({"packs": True, "events": True, "shadow": True}))
    assert legal_to(client, loaded) == client.legal
    assert len(loaded.bundle.packs) > 15
    policy = compile_policy(loaded.bundle, loaded.regions)
    assert len(compile_events(loaded.events, policy).in_force(AT_US)) == 5
    candidate = compile_policy(loaded.shadow, loaded.regions)
    refused = decide(facts_of(client, "m"), candidate, compile_events(EventList(), candidate), AT_US)
    assert (frozenset(refused.legal) == client.legal) is (client.country != "US"), "the shadow differs where it says"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    arguments.add_arguments(parser)
    return parser.parse_args(words)


def test_the_arguments_make_the_settings_and_the_command_makes_the_arguments() -> None:
    words = [
        "--runs", "2", "--seconds", "3", "--connections", "4", "--rate", "700", "--arrivals", "constant", "--seed",
        "9", "--scenario", "open", "--engine", "wire", "--features", "law=off,events=on",
    ]  # fmt: skip
    settings = arguments.settings_of(parsed(*words))
    assert (settings.pace.rate_s, settings.pace.arrivals, settings.pace.seed) == (700.0, "constant", 9)
    assert settings.features.told == "law=off,events=on"
    assert arguments.command_of(parsed(*words)) == " ".join(["borderpost", "bench", *words])
    assert arguments.command_of(parsed()) == "borderpost bench --runs 5 --seconds 3 --connections 32"
    told = settings.as_dict()
    assert told["features"]["law"] is False
    assert told["pace"] == {"rate_s": 700.0, "arrivals": "constant", "seed": 9}


@pytest.mark.parametrize(
    "words",
    [("--rate", "0"), ("--arrivals", "bursts"), ("--features", "law=maybe"), ("--features", "lwa=on"), ("--seed", "x")],
)
def test_what_is_no_argument_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(argparse.ArgumentError):
        parsed(*words)


def test_every_scenario_and_experiment_can_be_asked_for() -> None:
    asked = [word for name in NAMES for word in ("--scenario", name)]
    assert parsed(*asked).scenario == list(NAMES)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_a_run_is_told_line_by_line(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    with Teller(stream) as teller:
        teller.expect(3)
        teller.skipped("go-stub", "Go is not installed")
        teller.begins(1, "open")
        wrong = Judgement(illegal=1, wrong=["answer 1 came from us-east-1"])
        teller.sampled(1, "open", sample(500.0, 12.0, failed=2, judgement=wrong, late_p99_ms=50.0))
        teller.tried(1, "idle", Round(figures={"slowdown": 1.01}, faults=("it is slow",)))
    text = stream.getvalue()
    for told in (
        "not measured: go-stub: Go is not installed", "500 req/s", "2 FAILED",
        "INVALID: the generator was 50.0 ms late", "answer 1 came from us-east-1", "slowdown 1.01", "it is slow",
    ):  # fmt: skip
        assert told in text
    assert ("\x1b[" in text) is stream.isatty(), "what moves the cursor is for terminals"
    assert not COLOUR.search(text)


def test_an_open_loop_says_how_many_answers_were_illegal_or_unlogged() -> None:
    wrong = Judgement(
        answers=100, routed=90, refused_as_law_says={"embargo": 8}, illegal=1, unlogged=2, over_refused=1,
        refused_by_envoy=1, wrong=["answer 7 names no decision"],
    )  # fmt: skip
    told = document(
        {"open": [sample(1.0, judgement=wrong, late_p50_ms=5.0), sample(1.0, judgement=Judgement(answers=5))]}
    )
    assert told["passed"] is False
    (one,) = told["scenarios"]
    assert (one["judgement"]["answers"], one["judgement"]["illegal"], one["too_late"]) == (105, 1, 1)
    text = table.markdown(told)
    assert "of 105 answers, 1 illegal, 2 without their record, 1 refused against the law; 90 routed" in text
    assert "refused as the law says: 8 embargo; refused by Envoy without an answer in time: 1" in text
    assert "**answer 7 names no decision**" in text
    assert "invalid in 1 rounds" in text


def test_in_a_terminal_the_scenarios_and_the_verdicts_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from borderpost.cli import bench
    from borderpost.cli.output import Output

    told = copy.deepcopy(BEFORE)
    told["skipped"] = {"opa": "Go is not installed"}
    monkeypatch.setattr("borderpost_bench.main.measured", lambda _arguments: told)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    out, err = Terminal(), io.StringIO()
    asked = argparse.Namespace(action=None)
    assert bench.run(asked, Output("bench", stdout=out, stderr=err)) == 0
    assert "Scenarios (medians)" in out.getvalue()
    assert "│ ext_proc" in out.getvalue()
    assert "not met" in out.getvalue()
    assert not COLOUR.search(out.getvalue())
    assert "not measured: opa: Go is not installed" in err.getvalue()
    piped = io.StringIO()
    told["passed"] = False
    assert bench.run(asked, Output("bench", stdout=piped, stderr=err)) == 1
    assert piped.getvalue().startswith("| scenario |")
    as_json = io.StringIO()
    assert bench.run(asked, Output("bench", as_json=True, stdout=as_json, stderr=err)) == 1
    assert json.loads(as_json.getvalue())["bench_version"] == report.SCHEMA_VERSION
