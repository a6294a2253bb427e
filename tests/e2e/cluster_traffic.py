"""Streams without a break over what happens to a cluster meanwhile, each compared with the answer of an undisturbed `herd serve`.
Standard library only.
"""
import threading

from cluster_strikes import PATIENCE_S, STRUCK, risen
from fault_streams import Streams
from serve_process import wait_until


class Traffic:
    """Ten requests, each of them asked `at_once` times, and again as soon as it is answered, until end()."""

    def __init__(self, setting, cluster, at_once):
        self.answers, self.wrong, self._over = 0, [], False
        self._setting, self._gateway = setting, cluster.gateway()
        self._threads = [threading.Thread(target=self._run, args=(request,), daemon=True)
                         for request in at_once * (*setting.neighbours, *STRUCK)]
        for thread in self._threads:
            thread.start()
        if not wait_until(lambda: self.answers >= len(self._threads) or self.wrong, PATIENCE_S):
            self.wrong.append("no answers")

    def _run(self, request):
        while not self._over and not self.wrong:
            try:
                self.wrong += self._setting.wrong([request], Streams(self._gateway, [request]).join(PATIENCE_S))
            except RuntimeError as error:
                self.wrong.append(str(error))
                return
            self.answers += 1

    def end(self):
        self._over = True
        for thread in self._threads:
            thread.join()


def in_traffic(checks, setting, cluster, name, happens, at_once=1):
    """Something happens while streams run, and is over: no answer may differ, and an attempt or an epoch must rise. What rose, by name."""
    before, attempts = cluster.await_serving(), cluster.attempts()
    traffic = Traffic(setting, cluster, at_once)
    try:
        happens(before)
        after = cluster.await_serving()
    finally:
        traffic.end()
    checks.check(f"{name}: all answers are those of an undisturbed server", not traffic.wrong,
                 f"{len(traffic.wrong)} of {traffic.answers} wrong; {traffic.wrong[:2]}")
    rose = {**risen(before, after), "attempts": int(cluster.attempts() - attempts)}
    checks.check(f"{name}: an attempt or an epoch rose", any(rose.values()), rose)
    print(f"note: {name}: {traffic.answers} answers, {', '.join(f'{each} +{by}' for each, by in rose.items() if by)}", flush=True)
    return rose
