"""``homeostat.yaml``: good files are read, bad ones name every problem with its place and remedy."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cli.installed import Installed
from homeostat.config import load_config
from homeostat.core.config import Config
from homeostat.core.errors import ConfigError
from homeostat.core.settings import parse_duration
from homeostat.flags import load_flags


def _write(folder: Path, text: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(folder: Path, text: str) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(folder, text))
    return [(problem.line, problem.key) for problem in caught.value.problems]


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(_write(tmp_path, "")) == Config()


def test_durations_are_written_as_people_write_them(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, "storage: {retention: 7d}\ndetect:\n  interval: 250ms\n"))
    assert config.storage.retention == timedelta(days=7)
    assert config.detect.interval == timedelta(milliseconds=250)


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = "storage: {path: data}\nwatch:\n  processes:\n    - {name: pay, pid_file: run/pay.pid}\n"
    config = load_config(_write(tmp_path, text))
    assert config.storage.path == tmp_path / "data"
    assert config.watch.processes[0].pid_file == tmp_path / "run/pay.pid"


def test_every_problem_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    text = "server:\n  prot: 1\n  port: 99999\nheal:\n  mode: yolo\n  rules:\n    - resource: x\n"
    assert _problems(tmp_path, text) == [
        (3, "server.port"),
        (2, "server.prot"),
        (5, "heal.mode"),
        (7, "heal.rules.0.mode"),
    ]


def test_a_whole_file_of_a_collector_is_told_what_of_it_belongs_where(tmp_path: Path) -> None:
    policy = "{name: a, type: always_sample}"
    text = f"processors:\n  tail_sampling:\n    policies: [{policy}]\nexporters: {{otlp: }}\nservice: {{}}\n"
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, text))
    said = {problem.key: problem.remedy for problem in caught.value.problems}
    assert "under `processors.tail_sampling`" in said["processors"]
    assert "belongs under `sampling`" in said["processors"]
    assert "remove it" in said["exporters"]
    assert "remove it" in said["service"]
    with pytest.raises(ConfigError, match="belongs under `sampling` itself"):
        load_config(_write(tmp_path, f"sampling: {{tail_sampling: {{policies: [{policy}]}}}}"))


def test_a_misspelt_key_is_told_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean `port`"):
        load_config(_write(tmp_path, "server:\n  prot: 1\n"))


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    assert _problems(tmp_path, "server:\n  port: [1\nheal: {}\n")[0][1] == "(syntax)"


@pytest.mark.parametrize("section", ["storage: {clickhouse: {url: %s}}", "metrics: {scrape: [{job: a, url: %s}]}"])
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("default:s3cret@ch:8123", "'...@ch:8123'"),
        ("u:s3cret@h/m", "'...@h/m'"),
        ("ftp://u:s3cret@h:1", "'ftp://...@h:1'"),
        ("u:s3cret@s3cret@h:1", "'...@h:1'"),
        ("ftp://u:s3cret@s3cret@h", "'ftp://...@h'"),
        ("u:s3cret://s3cret@h", "'...@h'"),
        ("ftp://h?password=s3cret&x=1", "'ftp://h?password=...&x=1'"),
        ("http://u:s3cret@h\u2100", ""),
    ],
)
def test_a_password_in_an_address_is_not_told(tmp_path: Path, section: str, url: str, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(tmp_path, section % f'"{url}"'))
    assert shown in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_restart_needs_exactly_one_way(tmp_path: Path) -> None:
    text = "watch:\n  processes:\n    - name: a\n      pid_file: a.pid\n      restart: {}\n"
    assert _problems(tmp_path, text) == [(5, "watch.processes.0.restart")]


@pytest.mark.parametrize("text", ["5", "- 1", "just words"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert _problems(tmp_path, text) == [(1, "(top)")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "homeostat.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_config(path)
    except ConfigError as error:
        if not error.problems:
            pytest.fail("a ConfigError without a problem")


@pytest.mark.parametrize("bad", ["5 parsecs", "", "-3s", "0s", 0, -1, 30, True, None])
def test_a_duration_that_makes_no_sense_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(bad)


class Shop:
    """What is installed in these tests."""

    def flags(self, file: Path | None) -> Sequence[str]:
        return load_flags(file).switchable if file else ("cacheEnabled",)

    def actions(self, config: Config) -> Sequence[str]:
        return ("disable_flag", "restart_process")


def _told(folder: Path, text: str) -> dict[tuple[str, int, str], str]:
    with pytest.raises(ConfigError) as caught:
        load_config(_write(folder, text), Shop())
    return {(Path(found.file).name, found.line, found.key): found.remedy for found in caught.value.problems}


def test_what_cannot_work_is_named_at_once_with_what_has_the_wrong_shape(tmp_path: Path) -> None:
    text = """server: {port: 99999, host: no.such.host.invalid}
detect:
  error_rate:
    close_percent: 9
  latency: {ratio: 2, close_ratio: 2.5}
watch:
  processes:
    - {name: pay, pid_file: a.pid}
    - {name: pay, pid_file: b.pid}
heal:
  rules:
    - {action: restart_proces, mode: auto}
    - {action: "*", mode: observe}
    - {action: "disable_*", mode: observe}
flags:
  initial:
    cacheEnabledd: true
    cacheEnabled: true
"""
    assert _told(tmp_path, text) == {
        ("homeostat.yaml", 1, "server.port"): "The default is 4000; see docs/configuration.md",
        ("homeostat.yaml", 1, "server.host"): "Use an address of this machine, such as 127.0.0.1",
        (
            "homeostat.yaml",
            4,
            "detect.error_rate.close_percent",
        ): "An issue would close while it is bad: choose 2.5, for example",
        (
            "homeostat.yaml",
            5,
            "detect.latency.close_ratio",
        ): "An issue would close while it is bad: choose a number between 1 and ratio",
        ("homeostat.yaml", 9, "watch.processes.1.name"): "Give each process a name of its own",
        ("homeostat.yaml", 12, "heal.rules.0.action"): "Did you mean `restart_process`?",
        ("homeostat.yaml", 17, "flags.initial.cacheEnabledd"): "Did you mean `cacheEnabled`?",
    }


def test_a_threshold_of_the_wrong_shape_does_not_make_its_neighbour_wrong(tmp_path: Path) -> None:
    text = "detect:\n  error_rate: {threshold_percent: many, close_percent: 9}\n"
    assert list(_told(tmp_path, text)) == [("homeostat.yaml", 2, "detect.error_rate.threshold_percent")]


def test_the_problems_of_the_flags_file_are_told_with_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "flags.json").write_text('{"flags": {\n  "a": {"state": "ON", "variants": {"on": true}}}}\n')
    assert list(_told(tmp_path, "server: {prot: 1}\nflags:\n  file: flags.json\n")) == [
        ("homeostat.yaml", 1, "server.prot"),
        ("flags.json", 2, "flags.a.state"),
    ]


def test_a_flags_file_that_cannot_be_read_is_named_where_it_is_configured(tmp_path: Path) -> None:
    told = _told(tmp_path, "flags:\n  file: nowhere.json\n")
    assert list(told) == [("homeostat.yaml", 2, "flags.file")]


def test_what_is_installed_is_what_may_be_named() -> None:
    installed = Installed()
    assert {"restart_process", "disable_flag", "restore_flag"} <= set(installed.actions(Config()))
    assert "errorInjectionEnabled" in installed.flags(None)
