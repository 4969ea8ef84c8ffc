"""Plays ZAPI calls with the unmodified client library that others build on, and counts them.

    run.py ADDRESS:PORT [CASE...]

The library sends each request without credentials first and again once it is challenged (401). A case
is a function of `cases.py`; its name is a sentence. All play against one array and leave it as it
was. The last line of output is a JSON document.
"""

import inspect
import json
import sys
import traceback

from netapp_lib.api.zapi import zapi

import cases


class Counter(zapi.NaServer):
    """The library's connection; remembers which calls passed."""

    passed = {}

    def invoke_successfully(self, na_element, enable_tunneling=False):
        result = super().invoke_successfully(na_element, enable_tunneling)
        name = na_element.get_name()
        self.passed[name] = self.passed.get(name, 0) + 1
        return result


def connect(address, password="Netapp1!"):
    """A connection of the cluster's administrator, as the collections' common code makes it."""
    host, port = address.rsplit(":", 1)
    server = Counter(host, username="admin", password=password)
    server.set_transport_type("HTTPS")
    server.set_port(port)
    server.set_api_version(major=1, minor=160)
    server.set_timeout(30)
    return server


def main():
    address, *chosen = sys.argv[1:]
    cases.connect = lambda **kwargs: connect(address, **kwargs)
    played = failed = 0
    own = [case for _, case in inspect.getmembers(cases, inspect.isfunction) if case.__module__ == "cases"]
    public = [case for case in own if not case.__name__.startswith("_")]
    for case in sorted(public, key=lambda case: case.__code__.co_firstlineno):
        if chosen and case.__name__ not in chosen:
            continue
        played += 1
        try:
            case()
        except Exception as error:  # whatever a case raises is its failure
            failed += 1
            line = traceback.extract_tb(error.__traceback__)[1]
            print(f"FAILED {case.__name__} in line {line.lineno}: {line.line}\n    {type(error).__name__}: {error}")
    for name, calls in sorted(Counter.passed.items()):
        print(f"{name:<32} {calls:>4} calls")
    print(json.dumps({
        "cases": played, "failed": failed, "apis": len(Counter.passed), "calls": sum(Counter.passed.values()),
    }))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
