"""What the scenarios share: where the server listens, and how a test says what it wanted.

A scenario is a function of a script; `python3 SCRIPT SCENARIO PROTOCOL=PORT ...` runs it. It ends well or with
a traceback. Nothing here waits for a while: that nothing comes is seen by something coming that was caused
later.
"""
import sys

PATIENCE = 20


def run(functions):
    functions[sys.argv[1]]()


def port(protocol):
    for argument in sys.argv[2:]:
        name, _, value = argument.rpartition("=")
        if name == protocol:
            return int(value)
    raise KeyError(protocol)


def equal(got, wanted):
    assert got == wanted, "\n   got %r\nwanted %r" % (got, wanted)
