"""Plays every script in `scripts/` with the unmodified REST client library, and counts.

    run.py ADDRESS:PORT CA [SCRIPT...]

A script is a module; its functions with public names are its cases, and their names are sentences.
All play against one array and leave it as it was. The last line of output is a JSON document.
"""

import functools
import importlib
import inspect
import json
import pathlib
import sys
import traceback

import netapp_ontap
from netapp_ontap import HostConnection, config
from netapp_ontap.resource import Resource

# Every way into the library that sends a request; the public methods of a class call these.
CALLS = ["_get_collection", "_count_collection", "_patch_collection", "_delete_collection",
         "_post_collection", "_find", "_get", "_post", "_patch", "_delete", "_action"]


class Counter:
    """Counts the calls of a script, by class; a call within a call counts once."""

    def __init__(self):
        self.calls = {}
        self.depth = 0
        for name in CALLS:
            self.wrap(name)

    def wrap(self, name):
        original = inspect.getattr_static(Resource, name)
        of_class = isinstance(original, classmethod)
        function = original.__func__ if of_class else original

        @functools.wraps(function)
        def counted(target, *args, **kwargs):
            cls = target if of_class else type(target)
            if self.depth == 0:
                self.calls[cls.__name__] = self.calls.get(cls.__name__, 0) + 1
            self.depth += 1
            try:
                return function(target, *args, **kwargs)
            finally:
                self.depth -= 1

        setattr(Resource, name, classmethod(counted) if of_class else counted)


def cases(module):
    """The cases of a script, in the order in which they stand."""
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [f for name, f in functions if not name.startswith("_") and f.__module__ == module.__name__]
    return sorted(own, key=lambda function: function.__code__.co_firstlineno)


def play(case, transcript):
    """Plays one case; tells what was said on the wire if it fails."""
    transcript.clear()
    try:
        case()
        return True
    except Exception as error:  # whatever a case raises is its failure
        line = traceback.extract_tb(error.__traceback__)[1]
        print(f"FAILED {case.__module__}.{case.__name__} in line {line.lineno}: {line.line}")
        print(f"    {type(error).__name__}: {error}")
        for line in transcript[-9:]:
            print("    " + line)
        return False


def main():
    address, ca, *chosen = sys.argv[1:]
    host, port = address.rsplit(":", 1)
    config.CONNECTION = HostConnection(
        host, username="admin", password="Netapp1!", verify=ca, port=int(port), poll_interval=1)
    transcript = []

    def remember(response, *_args, **_kwargs):
        request = response.request
        sent, answered = str(request.body or "")[:400], response.text[:600]
        transcript.append(f"{request.method} {request.path_url} {sent} -> {response.status_code} {answered}")

    config.CONNECTION.session.hooks["response"].append(remember)
    counter, played, failed = Counter(), 0, 0
    here = pathlib.Path(__file__).parent
    sys.path.insert(0, str(here))
    for path in sorted((here / "scripts").glob("*.py")):
        if chosen and path.stem not in chosen:
            continue
        for case in cases(importlib.import_module(f"scripts.{path.stem}")):
            played += 1
            failed += not play(case, transcript)
    for name, calls in sorted(counter.calls.items()):
        print(f"{name:<32} {calls:>4} calls")
    print(json.dumps({
        "client": netapp_ontap.__version__, "cases": played, "failed": failed,
        "classes": len(counter.calls), "calls": sum(counter.calls.values()),
    }))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
