#!/usr/bin/env python3
"""The alerts and the dashboard that ship: promtool takes them, each alert fires when it should (config/prometheus/alerts_test.yml), and
whatever they ask for is a family that herd exports.

    alerts_test.py METRICS_DUMP      the program that prints every family of every role

Standard library only; without Debian's `prometheus`, which has promtool, its part is skipped and says so.
"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "config/prometheus"
ALERTS, TESTS, DASHBOARD = PROMETHEUS / "alerts.yml", PROMETHEUS / "alerts_test.yml", ROOT / "config/grafana_dashboard.json"
OPERATE = ROOT / "docs/operate.md"
NAME = re.compile(r"\b(?:vllm:|herd_|http_)[a-z0-9_:]+")
SEVERITIES = {"warning", "critical"}

problems = []


def expect(right, problem):
    if not right:
        problems.append(problem)
    return right


def exported(dump):
    """Names that a query may ask for: of a histogram those of its series."""
    page = subprocess.run([dump, "--families"], check=True, capture_output=True, text=True).stdout
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        names |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


def asked_by_alerts():
    lines = [line for line in ALERTS.read_text().splitlines() if not line.lstrip().startswith("#")]
    return set(NAME.findall("\n".join(lines)))


def asked_by_dashboard():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return set(NAME.findall("\n".join(target["expr"] for panel in panels for target in panel.get("targets", []))))


def check_names(dump):
    names = exported(dump)
    for what, asked in ((ALERTS, asked_by_alerts()), (DASHBOARD, asked_by_dashboard())):
        expect(len(asked) > 10, f"{what.name}: only {len(asked)} names were found in it; is it read as it is written?")
        for name in sorted(asked - names):
            problems.append(f"{what.name} asks for {name}, which nobody exports")


def check_forms():
    """What each alert has beside its expression, and that it has a test."""
    text, tested = ALERTS.read_text(), TESTS.read_text()
    alerts = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    expect(len(alerts) > 10, f"{len(alerts)} alerts were found in {ALERTS.name}; is it read as it is written?")
    sections = {}  # of the guide: their text by the name that links have for them
    for section in re.split(r"^#+ +", OPERATE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        sections[re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")] = body
    for alert in alerts:
        name = alert.split()[0]
        severity = re.search(r"^ +severity: (\S+)$", alert, re.MULTILINE)
        expect(severity and severity.group(1) in SEVERITIES, f"{name}: severity is one of {sorted(SEVERITIES)}")
        for key in ("summary", "description"):
            expect(re.search(rf"^ +{key}: \S", alert, re.MULTILINE), f"{name}: it has no {key}")
        runbook = re.search(r"^ +runbook_url: docs/operate\.md#(\S+)$", alert, re.MULTILINE)
        if expect(runbook, f"{name}: it has no runbook_url in {OPERATE.name}"):
            says = f"`{name}`" in sections.get(runbook.group(1), "")
            expect(says, f"{name}: {OPERATE.name} has no section #{runbook.group(1)} that names it")
        expect(f'alertname="{name}"' in tested, f"{name}: no test of {TESTS.name} has it fire")


def check_rules():
    if not shutil.which("promtool"):
        print("SKIPPED: promtool (Debian's prometheus) is not installed: rules are not tried")
        return
    for words in (["check", "rules", "--lint-fatal", ALERTS], ["check", "config", "--lint-fatal", PROMETHEUS / "cluster.yml"],
                  ["check", "config", "--lint-fatal", ROOT / "config/prometheus.yml"], ["test", "rules", TESTS]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"promtool {' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check_forms()
    check_names(sys.argv[1])
    check_rules()
    if problems:
        sys.exit("FAILED:\n" + "\n".join(problems))
    print("alerts and dashboard: all is exported, all alerts are tried")


if __name__ == "__main__":
    main()
