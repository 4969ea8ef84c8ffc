"""Plays cases with the vendor's unmodified Python SDK and counts the calls that pass.

    run.py ADDRESS:PORT [CASE...]

A case is a function of `cases.py`; its name is a sentence. All play against one cluster and leave it
as it was. The last line of output is a JSON document.
"""

import inspect
import json
import logging
import sys
import traceback
import warnings

from solidfire import common
from solidfire.factory import ElementFactory

import cases

# The cluster's certificate signs itself; the SDK takes it and complains of it at every call.
warnings.filterwarnings("ignore")
logging.disable(logging.ERROR)


def count_calls():
    """Answers a dictionary that counts, from now on, the calls that the cluster answered."""
    answered = {}
    send = common.ServiceBase.send_request

    def counted(service, method_name, *args, **kwargs):
        try:
            result = send(service, method_name, *args, **kwargs)
        except common.ApiServerError:
            # A refusal that a case asked for is an answer; another one fails the case.
            answered[method_name] = answered.get(method_name, 0) + 1
            raise
        answered[method_name] = answered.get(method_name, 0) + 1
        return result

    common.ServiceBase.send_request = counted
    return answered


def main():
    address, *chosen = sys.argv[1:]
    answered = count_calls()
    host, port = address.rsplit(":", 1)
    element = ElementFactory.create(host, "admin", "admin", port=int(port), print_ascii_art=False)
    played = failed = 0
    own = [case for _, case in inspect.getmembers(cases, inspect.isfunction) if case.__module__ == "cases"]
    public = [case for case in own if not case.__name__.startswith("_")]
    for case in sorted(public, key=lambda case: case.__code__.co_firstlineno):
        if chosen and case.__name__ not in chosen:
            continue
        played += 1
        try:
            case(element)
        except Exception as error:  # whatever a case raises is its failure
            failed += 1
            where = [line for line in traceback.extract_tb(error.__traceback__) if line.filename == cases.__file__]
            line = where[-1]
            print(f"FAILED {case.__name__} in line {line.lineno}: {line.line}\n    {type(error).__name__}: {error}")
    for name, calls in sorted(answered.items()):
        print(f"{name:<40} {calls:>4} calls")
    print(json.dumps({
        "cases": played, "failed": failed, "methods": len(answered), "calls": sum(answered.values()),
    }))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
