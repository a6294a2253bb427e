#!/usr/bin/env python3
"""The manifests of config/kubernetes: by Kubernetes' own schemas, by the pod security standard "restricted", and that they fit each other
and the cluster's file, which herd checks.

    kubernetes_test.py HERD_BINARY
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from serve_process import Checks

try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

HERD = sys.argv[1]
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "config/kubernetes"
VERSIONS = ("1.25", "1.27", "1.29")
PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


def manifests():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return {name: list(yaml.safe_load_all((FOLDER / name).read_text())) for name in listed}


def schemas(checks, files):
    if kubernetes_validate is None:
        checks.skip("Kubernetes' schemas", "the package kubernetes-validate is not installed")
        return
    for name, objects in files.items():
        for each in objects:
            for version in VERSIONS:
                shown = f"{name}: {each['kind']} {each['metadata']['name']} by the schema of {version}"
                try:
                    kubernetes_validate.validate(each, version, strict=True)
                    checks.check(shown, True)
                except kubernetes_validate.ValidationError as error:
                    checks.check(shown, False, error.message)
    broken = json.loads(json.dumps(next(each for each in files["gateways.yaml"] if each["kind"] == "Deployment")))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    try:
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)
        checks.check("a key that is none is found", False)
    except kubernetes_validate.ValidationError:
        checks.check("a key that is none is found", True)


def not_restricted(pod):
    """What of a pod breaks the standard "restricted", or writes to its image."""
    whole, found = pod.get("securityContext", {}), []
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            found.append(name)
    for volume in pod.get("volumes", []):
        kind = next(key for key in volume if key != "name")
        if kind not in ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI", "csi", "ephemeral"):
            found.append(f"volume {volume['name']}: {kind}")
    for container in pod.get("initContainers", []) + pod["containers"]:
        own = container.get("securityContext", {})
        if not own.get("runAsNonRoot", whole.get("runAsNonRoot")) or own.get("runAsUser", whole.get("runAsUser", 1)) == 0:
            found.append("root")
        if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            found.append("capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append("readOnlyRootFilesystem")
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append("hostPort")
    return found


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def pods_fit(checks, workload, cluster):
    """Of a Deployment or StatefulSet: probes, ports, times, mounts. Who runs in it, by name, and its ports."""
    name, template = workload["metadata"]["name"], workload["spec"]["template"]
    pod, container = template["spec"], template["spec"]["containers"][0]
    checks.equal(f"{name}: pod security", not_restricted(pod), [])
    checks.check(f"{name}: selects its own pods", selects(workload["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        asked = container[probe]["httpGet"]
        checks.check(f"{name}: {probe}", asked["path"] == path and asked["port"] in ports, asked)
    checks.check(f"{name}: no probe kills what waits", "startupProbe" not in container)
    scraped = template["metadata"]["annotations"]["prometheus.io/port"]
    checks.equal(f"{name}: the port that is scraped", scraped, str(ports["metrics"]))
    volumes = {volume["name"] for volume in pod["volumes"]}
    checks.equal(f"{name}: mounts", {mount["name"] for mount in container["volumeMounts"]}, volumes)
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    role, words = container["args"][0], container["args"]
    files = {"tls": list(cluster["tls"].values())}
    if role == "serve":
        files["http"] = [cluster["http"]["api_key_file"], cluster["http"]["resume_key_file"]]
    for section, paths in files.items():
        for path in paths:
            checks.check(f"{name}: {section} {path} is mounted", str(Path(path).parent) in mounted, mounted)
    checks.check(f"{name}: the file it is given is mounted", str(Path(words[words.index("--config") + 1]).parent) in mounted, words)
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
    drain = int(hook[-1]) + {"serve": 30 + 1, "node": 30 + 20 + 1, "coordinator": 1 + 1}[role]
    checks.check(f"{name}: time to end", pod["terminationGracePeriodSeconds"] > drain, f"{drain} s wanted")
    checks.equal(f"{name}: shutdown_timeout is what the times allow for", cluster["http"]["shutdown_timeout"], "30s")
    if role == "node":
        shm = next((volume for volume in pod["volumes"] if volume["name"] == "shm"), {})
        checks.check(f"{name}: /dev/shm is memory", "/dev/shm" in mounted and shm.get("emptyDir", {}).get("medium") == "Memory", shm)
        checks.equal(f"{name}: whole CPUs, requested as limited", container["resources"]["requests"], container["resources"]["limits"])
    return words[words.index("--name") + 1] if "--name" in words else role, ports


def names_fit(checks, workloads, services, cluster):
    """The cluster's file and the pods speak of the same names and ports."""
    nodes = workloads["herd-node"]
    headless = services[nodes["spec"]["serviceName"]]
    wanted = [f"herd-node-{at}" for at in range(nodes["spec"]["replicas"])]
    checks.equal("nodes of the file are the pods", [node["name"] for node in cluster["nodes"]], wanted)
    checks.equal("… and their addresses the pods' names", [node["address"] for node in cluster["nodes"]],
                 [f"{name}.{headless['metadata']['name']}:7101" for name in wanted])
    gateways = [name for name, each in workloads.items() if each["spec"]["template"]["spec"]["containers"][0]["args"][0] == "serve"]
    checks.equal("gateways of the file are the Deployments", [each["name"] for each in cluster["gateways"]], gateways)
    for name in gateways:
        words = workloads[name]["spec"]["template"]["spec"]["containers"][0]["args"]
        checks.equal(f"{name}: runs under its name", words[words.index("--name") + 1], name)
        checks.equal(f"{name}: one process a name", (workloads[name]["spec"]["replicas"], workloads[name]["spec"]["strategy"]["type"]),
                     (1, "Recreate"))
    checks.check("the coordinator's address is its Service", cluster["coordinators"][0]["address"].split(":")[0] in services)
    for service in (headless, services["herd-coordinator"]):
        shown = service["metadata"]["name"]
        checks.check(f"{shown}: headless, with pods that are not ready",
                     service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True)


def main():
    checks = Checks()
    files = manifests()
    on_disk = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    checks.equal("kustomization.yaml lists every file", set(files), on_disk)
    schemas(checks, files)
    objects = [each for name in files for each in files[name]]
    workloads = {each["metadata"]["name"]: each for each in objects if each["kind"] in PODS}
    services = {each["metadata"]["name"]: each for each in objects if each["kind"] == "Service"}
    text = next(each for each in objects if each["kind"] == "ConfigMap")["data"]["cluster.yaml"]
    cluster = yaml.safe_load(text)
    ports = {}
    for workload in workloads.values():
        who, its_ports = pods_fit(checks, workload, cluster)
        ports[who] = its_ports
    checks.equal("ports: coordinator", (ports["coordinator"]["cluster"], ports["coordinator"]["metrics"]),
                 (int(cluster["coordinators"][0]["address"].split(":")[1]), cluster["coordinators"][0]["metrics_port"]))
    for node in cluster["nodes"]:
        checks.equal(f"ports: {node['name']}", (ports["$(POD_NAME)"]["cluster"], ports["$(POD_NAME)"]["metrics"]),
                     (int(node["address"].split(":")[1]), node["metrics_port"]))
    for gateway in cluster["gateways"]:
        checks.equal(f"ports: {gateway['name']}", (ports[gateway["name"]]["http"], ports[gateway["name"]]["metrics"]),
                     (gateway["port"], gateway["metrics_port"]))
    names_fit(checks, workloads, services, cluster)
    templates = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in workloads.items()}
    for each in [*services.values(), *(each for each in objects if each["kind"] == "PodDisruptionBudget")]:
        selector = each["spec"]["selector"].get("matchLabels", each["spec"]["selector"])
        checks.check(f"{each['kind']} {each['metadata']['name']}: selects pods", any(selects(selector, labels) for labels in templates.values()))
    checks.equal("every object is in the namespace", {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"},
                 {"herd"})

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cluster.yaml"
        path.write_text(text.replace("/usr/share/herd/demo_model", str(ROOT / "config/demo_model")))
        done = subprocess.run([HERD, "check", "--output", "json", str(path)], capture_output=True, text=True, timeout=60)
        said = json.loads(done.stdout)
        checks.check("the cluster's file is right, with the model that the image has", done.returncode == 0 and said["valid"] and
                     not any("cannot be read" in note for note in said["notes"]), done.stdout)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
