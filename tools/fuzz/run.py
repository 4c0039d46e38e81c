"""One target under libFuzzer: run for a while, cut down what was found, tell."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.fuzz.seeds import seeds
from tools.fuzz.targets import Target

MINIMISE_SECONDS: Final = 60
_LIMITS: Final = ["-timeout=60", "-rss_limit_mb=3072"]
_FOUND: Final = ("crash-", "timeout-", "oom-", "leak-")


@dataclass(frozen=True)
class Result:
    """What came of one target."""

    executions: int
    edges: int  # covered
    findings: list[Path]
    failure: str  # why it did not run, if it did not

    def __str__(self) -> str:
        line = (
            f"{self.executions:>10} executions {self.edges:>6} edges {len(self.findings)} findings"
        )
        return " ".join([line, *map(str, self.findings), self.failure]).rstrip()


def run(target: Target, folder: Path, seconds: int) -> Result:
    """Fuzz until the time is over or something is found."""
    corpus, found = folder / "corpus" / target.name, folder / "findings" / target.name
    log = folder / f"{target.name}.log"
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(target.name):
        (corpus / name).write_bytes(data)
    options = [f"-max_total_time={seconds}", f"-max_len={target.max_size}", "-print_final_stats=1"]
    command = [*target.command(folder), *options, *_LIMITS, f"-artifact_prefix={found}/"]
    status = _libfuzzer([*command, str(corpus)], target, log)
    told = log.read_text("utf-8", "replace")
    findings = [
        _minimised(path, target, folder) for path in found.iterdir() if path.name.startswith(_FOUND)
    ]
    failure = told.strip().rpartition("\n")[2] if status and not findings else ""
    return Result(
        _last(r"number_of_executed_units: (\d+)", told),
        _last(r"cov: (\d+)", told),
        findings,
        failure,
    )


def _libfuzzer(command: list[str], target: Target, log: Path) -> int:
    env = {**os.environ, **dict(target.env)}
    with log.open("wb") as out:
        return subprocess.run(command, stdout=out, stderr=out, env=env).returncode


def _last(pattern: str, text: str) -> int:
    return int((re.findall(pattern, text) or ["0"])[-1])


def _minimised(path: Path, target: Target, folder: Path) -> Path:
    """The smallest input found in a minute that fails as well, or the finding itself."""
    smallest = path.with_name(f"smallest-{path.name}")
    options = ["-minimize_crash=1", f"-max_total_time={MINIMISE_SECONDS}"]
    options += [*_LIMITS, f"-exact_artifact_path={smallest}"]
    log = folder / f"{target.name}.minimising.log"
    _libfuzzer([*target.command(folder), *options, str(path)], target, log)
    return smallest if smallest.exists() else path
