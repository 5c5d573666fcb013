"""Pickles dicts of the udp-mesh protocol with this Python's own pickle, for a test to compare.

Each line of the file named on the command line is a JSON object: the dict's number, its username and text or
lines as hex of UTF-8, and the bytes that the test's program made of it. For each, one JSON object is printed:
whether this Python reads those bytes as the dict, and what it makes of the dict itself, by each of its two
picklers and in each protocol that it knows.

With `--read` before the file, each of its lines is a pickle as hex, and what this Python reads is printed, as
JSON; it may name nothing and call nothing.
"""

import io
import json
import pickle
import sys

import _pickle


def text(hexadecimal):
    # As from a keyboard or a datagram: strings that are equal are not for that reason one object.
    return bytes.fromhex(hexadecimal).decode()


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError("%s.%s is named" % (module, name))

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("%r is named" % (pid,))


def read():
    for line in open(sys.argv[2]):
        print(json.dumps(Reader(io.BytesIO(bytes.fromhex(line))).load()))


def main():
    protocols = range(2, min(pickle.HIGHEST_PROTOCOL, 5) + 1)
    assert pickle.dumps is _pickle.dumps
    for line in open(sys.argv[1]):
        case = json.loads(line)
        if case["lines"] is None:
            message = text(case["text"])
        else:
            message = [text(line) for line in case["lines"]]
        wanted = {
            "protocol_num": case["number"],
            "username": text(case["username"]),
            "message": message,
        }
        read = None
        if 5 in protocols:
            read = pickle.loads(bytes.fromhex(case["ours"])) == wanted
        dumps = {}
        for protocol in protocols:
            dumps["c%d" % protocol] = pickle.dumps(wanted, protocol=protocol).hex()
            dumps["python%d" % protocol] = pickle._dumps(wanted, protocol=protocol).hex()
        print(json.dumps({"read": read, "dumps": dumps}))


if sys.argv[1] == "--read":
    read()
else:
    main()
