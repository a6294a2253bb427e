"""A Prometheus that scrapes a cluster as config/prometheus/cluster.yml has it, but more often, with the alerts that ship. Standard library
only.
"""
import re

from prometheus_test import ROOT, Prometheus

FIRING = 'ALERTS{alertstate="firing"}'


def prometheus_of(stack, coordinator_metrics, changes, every="1s"):
    """`changes`: patterns of config/prometheus/alerts.yml and what is to stand there instead. `every`: how often it scrapes, and looks."""
    text = (ROOT / "config/prometheus/cluster.yml").read_text()
    for before, after in (("127.0.0.1:9100", coordinator_metrics), ("scrape_interval: 5s", f"scrape_interval: {every}\n  evaluation_interval: {every}"),
                          ("scrape_timeout: 5s", f"scrape_timeout: {every}"), ("refresh_interval: 5s", "refresh_interval: 1s")):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    rules = (ROOT / "config/prometheus/alerts.yml").read_text()
    for pattern, instead in changes:
        rules, count = re.subn(pattern, instead, rules)
        assert count, pattern
    return Prometheus(stack, text, {"alerts.yml": rules})


def firing(prometheus):
    """Names of alerts, each with the engine it is about."""
    return sorted((labels["alertname"], labels.get("engine")) for labels, _ in prometheus.values(FIRING))
