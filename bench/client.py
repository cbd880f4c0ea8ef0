#!/usr/bin/env python3
"""Figures of the in-cluster client: memory, the time of a pass and its calls of the API server, with many fleets.

    bench/client.py [--fleets 500] [--changed 25] [--passes 5] [--kubeconfig FILE]

Without --kubeconfig a small API server of the tests stands in, in a process of its own; with it, a real one is used,
and a namespace `bench-client` with the Deployments is made there. The endpoint is local, and also a process of its
own. The client is a fresh process with everything loaded that a pod has loaded: boto3 for SageMaker and CloudWatch too.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "client")]

NAMESPACE = "bench-client"


def endpoint(connection):
    """The endpoint: a fifth more than is needed; with the demand of each fleet changing for `changed` of them."""
    from testkit.client.standins import EndpointStandIn, serving

    with serving(EndpointStandIn()) as url:
        connection.send(url)
        connection.recv()


def matchmaker(connection, fleets, changed):
    """Demand of every fleet in one document; each fetch changes the next `changed` fleets."""
    from testkit.client.standins import as_json, serving

    demand, fetched = {f"f{i}": 50 for i in range(fleets)}, [0]

    def handler(method, path, body):
        if fetched[0]:
            for i in range(changed):
                demand[f"f{(fetched[0] * changed + i) % fleets}"] += 5
        fetched[0] += 1
        return as_json(demand)

    with serving(handler) as url:
        connection.send(url)
        connection.recv()


def small_cluster(connection, fleets):
    """The API server of the tests."""
    from testkit.client.standins import Cluster, serving

    cluster = Cluster()
    for i in range(fleets):
        cluster.add("deployments", f"f{i}", 60)
    with serving(lambda method, path, body: cluster(method, path.replace(NAMESPACE, "games"), body)) as url:
        connection.send(url)
        connection.recv()


def fill(kubeconfig, fleets):
    """The Deployments on a real API server: paused, so that no pods are made."""
    from autopilot_client.kube.api import Kube
    from autopilot_client.kube.kubeconfig import from_kubeconfig
    from autopilot_client.ports import KubeRefusedError

    kube = Kube(from_kubeconfig(kubeconfig), NAMESPACE)
    template = {"metadata": {"labels": {"app": "f"}}, "spec": {"containers": [{"name": "game", "image": "game:1"}]}}
    spec = {"replicas": 60, "paused": True, "selector": {"matchLabels": {"app": "f"}}, "template": template}
    documents = [("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})]
    path = kube.path("apps/v1", "deployments")
    documents += [(path, {"metadata": {"name": f"f{i}"}, "spec": spec}) for i in range(fleets)]
    for where, document in documents:
        try:
            kube.post(where, document)
        except KubeRefusedError as error:
            if error.status != 409:
                raise
    for i in range(fleets):
        kube.patch(kube.path("apps/v1", "deployments", f"f{i}", "scale"), {"spec": {"replicas": 60}})
    while not all(settled(item) for item in json.loads(kube.get(path))["items"]):
        time.sleep(0.5)


def settled(item):
    """Whether the controllers have seen the last change: they write too, and a pass would meet them."""
    return item["status"].get("observedGeneration") == item["metadata"]["generation"]


def resident():
    """(resident now, highest ever) of this process in MiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def client(connection, urls, options):
    """The client itself: passes, and what they cost."""
    from autopilot_client.config.document import CloudWatch, Endpoint
    from autopilot_client.endpoint.sagemaker import runtime
    from autopilot_client.net.aws import new_session
    from autopilot_client.status import cloudwatch
    from autopilot_client.status.server import HttpServer
    from autopilot_client.status.web import Application, exposition

    loop, kube = wired(urls, options)
    session = new_session()
    extras = [
        runtime(Endpoint(sagemaker="x", region="us-west-2"), session),
        cloudwatch.connect(CloudWatch(region="us-west-2"), session),
    ]
    store = loop.outside.store
    server = HttpServer(Application(store, loop.leadership, kube.calls), store.config.server)
    server.start()
    rows = []
    for _ in range(options.passes + 1):
        before = dict(kube.calls)
        began = time.perf_counter()
        views = loop.run_pass()
        took = time.perf_counter() - began
        calls = {verb: count - before.get(verb, 0) for verb, count in kube.calls.items()}
        rows.append((took, sum(view.outcome == "scaled" for view in views), calls))
    scrape = len(exposition(Application(store, loop.leadership, kube.calls)._collector))
    server.stop()
    connection.send({"rows": rows[1:], "rss": resident(), "extras": len(extras), "scrape": scrape})


def wired(urls, options):
    """A loop over all fleets, and its connection to the API server."""
    import urllib3

    from autopilot_client.config.parse import parse
    from autopilot_client.endpoint.http import HttpEndpoint
    from autopilot_client.kube.api import Connection, Kube
    from autopilot_client.kube.kubeconfig import from_kubeconfig
    from autopilot_client.kube.lease import Alone
    from autopilot_client.reconcile.gather import Outside
    from autopilot_client.reconcile.loop import Loop
    from autopilot_client.status.store import StatusStore

    source = {"source": "http", "url": urls["demand"]}
    fleets = [
        {"name": f"eu/f{i}", "target": f"deployment/f{i}", "demand": source | {"field": f"f{i}"}, "maximum": 5000}
        for i in range(options.fleets)
    ]
    server = {"host": "127.0.0.1", "port": 0}
    whole = {"endpoint": {"url": urls["endpoint"]}, "defaults": {"apply": "scale"}, "fleets": fleets, "server": server}
    config = parse(json.dumps(whole), "bench")
    way = (
        from_kubeconfig(options.kubeconfig)
        if options.kubeconfig
        else Connection(urls["cluster"], urllib3.PoolManager(), lambda: None)
    )
    kube = Kube(way, NAMESPACE)
    outside = Outside(kube, HttpEndpoint(config.endpoint), StatusStore(config, NAMESPACE))
    return Loop(outside, Alone()), kube


def start(target, *arguments):
    """A process, and the first thing that it says."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(there, *arguments))
    process.start()
    return process, here, here.recv()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=500)
    parser.add_argument("--changed", type=int, default=25)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--kubeconfig")
    options = parser.parse_args()
    started = {"endpoint": start(endpoint), "demand": start(matchmaker, options.fleets, options.changed)}
    if options.kubeconfig:
        fill(options.kubeconfig, options.fleets)
    else:
        started["cluster"] = start(small_cluster, options.fleets)
    process, _, figures = start(client, {name: found[2] for name, found in started.items()}, options)
    process.join()
    for other, pipe, _ in started.values():
        pipe.send("end")
        other.join()
    report(figures, options)


def report(figures, options):
    """The figures beside what is to be reached."""
    rows = figures["rows"]
    where = "a real API server" if options.kubeconfig else "the tests' small API server"
    print(f"{options.fleets} fleets, {options.passes} passes, {where}")
    for took, changed, calls in rows:
        print(f"  pass {took * 1000:6.0f} ms, {changed:3d} changed, {sum(calls.values()):3d} API calls {calls}")
    print(f"a pass, median                    {statistics.median(row[0] for row in rows):6.2f} s    reach: 2")
    beyond = max(sum(calls.values()) - changed for _, changed, calls in rows)
    print(f"API calls beyond the changed      {beyond:6d}      reach: 2")
    now, highest = figures["rss"]
    print(f"memory now / highest              {now:4.0f} / {highest:.0f} MiB  reach: 80")
    print(f"a scrape of /metrics              {figures['scrape'] / 1024:6.0f} KiB")


if __name__ == "__main__":
    main()
