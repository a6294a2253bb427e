"""Several machines, as far as one kernel can play them: network namespaces, each with a cable to one switch. Cables are cut, both ways
or one way only. Needs no root; standard library only.
"""
import ctypes
import os
import subprocess
import sys
import threading

from serve_process import wait_until

HERE = "here"  # the name of this process's own machine
INSIDE = "HERD_TEST_INSIDE_NAMESPACE"
NOBODY = "02:00:00:00:00:99"  # an address of hardware that no machine has
WIRED_S = 20
CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace(checks):
    """Runs this program again where it may make network namespaces, and returns there; False where the machine makes none."""
    if os.environ.get(INSIDE):
        return True
    tried = subprocess.run(["unshare", "-Urn", "ip", "link", "set", "lo", "up"], capture_output=True, timeout=30, check=False)
    if tried.returncode == 0:
        os.execvpe("unshare", ["unshare", "-Urn", sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    checks.skip("network namespaces", f"this machine makes none: {tried.stderr.decode(errors='replace').strip()}")
    return False


def ip(*words, within=()):
    subprocess.run([*within, "ip", *words], check=True, capture_output=True, timeout=30)


class Machine:
    """A namespace, kept by a process that sleeps in it; "here" is this process's own."""

    def __init__(self, name):
        self.name, self.enter, self.keeper = name, [], None
        self.namespace = "/proc/self/ns/net"
        if name != HERE:
            mine = os.readlink(self.namespace)
            self.keeper = subprocess.Popen(["unshare", "-n", "sleep", "100000"])
            self.namespace = f"/proc/{self.keeper.pid}/ns/net"
            if not wait_until(lambda: os.readlink(self.namespace) != mine, WIRED_S):
                raise RuntimeError("no second network namespace")
            self.enter = ["nsenter", "-t", str(self.keeper.pid), "-n", "--"]
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        ip(*words, within=self.enter)

    def on(self, function):
        """What the function returns when a thread on this machine calls it: its sockets belong to the machine, whoever uses them."""
        if not self.keeper:
            return function()
        came = []

        def call():
            namespace = os.open(self.namespace, os.O_RDONLY)
            try:
                if libc.setns(namespace, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
                came.append((function(), None))
            except OSError as error:
                came.append((None, error))
            finally:
                os.close(namespace)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        value, error = came[0]
        if error:
            raise error
        return value

    def end(self):
        if self.keeper:
            self.keeper.kill()
            self.keeper.wait()


class Machines:
    """This process's machine and others by name, all at one switch; each Machines have a switch of their own."""

    made = 0

    def __init__(self, *others):
        Machines.made += 1
        self.switch = f"switch-{Machines.made}"
        self.by_name = {name: Machine(name) for name in (HERE, *others)}
        self.addresses = {name: f"10.77.{Machines.made}.{1 + at}" for at, name in enumerate(self.by_name)}
        ip("link", "add", self.switch, "type", "bridge")
        for at, name in enumerate(others):
            port = f"port-{Machines.made}-{at}"
            ip("link", "add", port, "type", "veth", "peer", "name", "cable", "netns", str(self.by_name[name].keeper.pid))
            ip("link", "set", port, "master", self.switch, "up")
        for name, machine in self.by_name.items():
            machine.ip("address", "add", f"{self.addresses[name]}/24", "dev", self._device_of(name))
            machine.ip("link", "set", self._device_of(name), "up")

    def enter(self, name):
        """What stands before a command that runs there."""
        return self.by_name[name].enter

    def cable(self, name, state):
        """"down": what is sent to it is lost, and so is what it sends; nobody else is told."""
        self.by_name[name].ip("link", "set", "cable", state)

    def cut(self, sender, receiver):
        """One way: what the one sends to the other is lost, and neither is told."""
        self.by_name[sender].ip("neighbor", "replace", self.addresses[receiver], "lladdr", NOBODY, "dev",
                                self._device_of(sender), "nud", "permanent")

    def heal(self, sender, receiver):
        self.by_name[sender].ip("neighbor", "del", self.addresses[receiver], "dev", self._device_of(sender))

    def _device_of(self, name):
        return self.switch if name == HERE else "cable"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for machine in self.by_name.values():
            machine.end()
