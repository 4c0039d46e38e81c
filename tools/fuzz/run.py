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
PATIENCE_SECONDS: Final = 180  # more than one slow input takes
_LIMITS: Final = ["-timeout=60", "-rss_limit_mb=3072"]
_FOUND: Final = ("crash-", "timeout-", "oom-", "leak-")


@dataclass(frozen=True)
class Result:
    """What came of one target."""

    executions: int
    edges: int  # covered
    findings: list[Path]
    failure: str  # the sanitizer's words, or why it did not run; empty if all went well

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
    others = [directory for name in target.also if (directory := folder / "corpus" / name).exists()]
    status = _libfuzzer([*command, *map(str, [corpus, *others])], target, log, seconds)
    told = log.read_text("utf-8", "replace")
    findings = [
        _minimised(path, target, folder) for path in found.iterdir() if path.name.startswith(_FOUND)
    ]
    failure = _reason(told) if status else ""
    return Result(
        _last(r"number_of_executed_units: (\d+)", told),
        _last(r"cov: (\d+)", told),
        findings,
        failure,
    )


def _libfuzzer(command: list[str], target: Target, log: Path, seconds: int) -> int:
    """Its exit status. After a race is reported a process may never end, so it is ended."""
    env = {**os.environ, **dict(target.env)}
    with log.open("wb") as out:
        try:
            limit = seconds + PATIENCE_SECONDS
            return subprocess.run(
                command, stdout=out, stderr=out, env=env, timeout=limit
            ).returncode
        except subprocess.TimeoutExpired:
            out.write(b"\nSUMMARY: ended, since it did not end by itself\n")
            return 1


def _reason(told: str) -> str:
    """What a sanitizer found first, or else the last line."""
    found = re.findall(r"^(?:DIFFERS|SUMMARY|==\d+== ?ERROR): .*", told, re.MULTILINE)
    return str((found or told.strip().splitlines()[-1:] or ["it said nothing"])[0])


def _last(pattern: str, text: str) -> int:
    return int((re.findall(pattern, text) or ["0"])[-1])


def _minimised(path: Path, target: Target, folder: Path) -> Path:
    """The smallest input found in a minute that fails as well, or the finding itself."""
    smallest = path.with_name(f"smallest-{path.name}")
    options = ["-minimize_crash=1", f"-max_total_time={MINIMISE_SECONDS}"]
    options += [*_LIMITS, f"-exact_artifact_path={smallest}"]
    log = folder / f"{target.name}.minimising.log"
    _libfuzzer([*target.command(folder), *options, str(path)], target, log, MINIMISE_SECONDS)
    return smallest if smallest.exists() else path
