"""What the page says of the gateway to udp-mesh, row by row."""
import os
import pickle
import pickletools
import sys
import time

import scenario
from mesh_peer import ASK, LINE, MINE, WELCOME, MeshPeer, NameTaken
from scenario import equal, port
from tcp_room_client import Refused, TcpRoomClient
from udp_room_client import UdpRoomClient

GATEWAY = "127.0.0.1"


def peer(number, name=None):
    it = MeshPeer(port("udp-mesh"), "127.0.0.%d" % number, "127.255.255.255")
    if name:
        it.join(name)
    return it


def tcp(name):
    return TcpRoomClient(port("tcp-room"), name)


def answer(it):
    """The next datagram to it alone."""
    heard = it.receive(scenario.PATIENCE, where=it.own)
    assert heard, "no answer in time"
    equal(heard[3], GATEWAY)
    return heard[:3]


def asking():
    alice = tcp("alice")
    for n in range(12):
        alice.say("line %d" % n, time="10:20:%02d" % n)
        alice.hear()
    it = peer(2)
    it.send(ASK, "newcomer", "")
    lines = ["> 10:20:%02d alice: line %d" % (n, n) for n in range(2, 12)]
    equal(answer(it), (WELCOME, "mynah", lines))
    # As the whole peer asks, thrice.
    whole = peer(3, "whole")
    equal(whole.history, lines)
    equal(whole.known, {GATEWAY: "mynah"})
    for number, name in (4, "alice"), (5, "ALICE"):
        it = peer(number)
        it.send(ASK, name, "")
        equal(answer(it), (MINE, "", ""))
        assert number != 4 or taken(peer(7), "alice")
    # To the asker alone.
    equal(whole.receive(0, where=whole.own), None)


def taken(it, name):
    try:
        it.join(name)
    except NameTaken:
        return True
    return False


def named():
    it = peer(2)
    it.send(ASK, "newcomer", "")
    equal(answer(it), (WELCOME, "parrot", []))


def pacing():
    it, other = peer(2), peer(3)
    start, answers, asked = time.monotonic(), 0, 0
    while answers < 3:
        it.send(ASK, "newcomer", "")
        asked += 1
        if it.receive(0.02, where=it.own):
            # Answer n is sent n seconds after the first at least, and the first not before it was asked for.
            assert time.monotonic() - start >= answers, answers
            answers += 1
            # Another asker does not wait for that.
            if answers == 1:
                other.send(ASK, "other", "")
                equal(answer(other)[0], WELCOME)
        assert time.monotonic() - start < scenario.PATIENCE
    assert asked > answers


def talking():
    alice, bob = tcp("alice"), UdpRoomClient(port("udp-room"))
    bob.join("bob")
    eve, listener = peer(2, "eve"), peer(3, "listener")
    # What the lobby says, each under the speaker's name.
    alice.say("hello mesh")
    equal(alice.heard(), ("alice", "hello mesh"))
    equal(bob.receive(), "alice: hello mesh")
    bob.say("me too")
    equal(bob.receive(), "bob: me too")
    equal(alice.heard(), ("bob", "me too"))
    for it in eve, listener:
        for name, text in ("alice", "hello mesh"), ("bob", "me too"):
            equal(it.heard(LINE), (LINE, name, text, GATEWAY))
    # What the mesh says; the other peer hears it from the network itself, once.
    eve.say("hello lobby")
    equal(alice.heard(), ("eve", "hello lobby"))
    equal(bob.receive(), "[eve joined the server]")
    equal(bob.receive(), "eve: hello lobby")
    eve.say("a\r\nb\x1b[2J")
    equal(alice.heard(), ("eve", "a b\ufffd[2J"))
    equal(bob.receive(), "eve: a b\ufffd[2J")
    # Nobody speaks for the members of the lobby.
    for name in "alice", "BOB":
        eve.send(LINE, name, "forged")
    # The gateway's own broadcasts come back to it and go no further.
    alice.say("last")
    equal(alice.heard(), ("alice", "last"))
    equal(bob.receive(), "alice: last")
    for text in "hello lobby", "a\r\nb\x1b[2J":
        equal(listener.heard(LINE), (LINE, "eve", text, eve.address))
    for name in "alice", "BOB":
        equal(listener.heard(LINE), (LINE, name, "forged", eve.address))
    equal(listener.heard(LINE), (LINE, "alice", "last", GATEWAY))
    # Her name is held while she is heard of.
    try:
        tcp("Eve")
        raise AssertionError("let in")
    except Refused:
        pass
    alice.close()


def pickles():
    alice = tcp("alice")
    it = peer(2)
    protocols = range(2, pickle.HIGHEST_PROTOCOL + 1)
    for protocol in protocols:
        for text in "x", "grüße 🐦", "ÿ", "x" * 300, "472", "alice":
            it.send(LINE, "eve", text, protocol=protocol)
            equal(alice.heard(), ("eve", text))
            # The picklers that Python has write different bytes; both are read.
            fields = {"protocol_num": LINE, "username": "eve", "message": text}
            it.send_bytes(pickle._dumps(fields, protocol=protocol))
            equal(alice.heard(), ("eve", text))
            fields = {"protocol_num": LINE, "username": "eve", "message": text}
            it.send_bytes(pickletools.optimize(pickle.dumps(fields, protocol=protocol)))
            equal(alice.heard(), ("eve", text))
    # What the gateway writes is what this Python would write.
    alice.say("hello")
    seen = {}
    while seen.get("username") != "alice":
        data, (sender, _) = it.all.recvfrom(4097)
        seen = pickle.loads(data)
    name, text = seen["username"], seen["message"]
    equal(data, pickle.dumps({"protocol_num": LINE, "username": name, "message": text}, protocol=5))


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, ("touch " + self.path,)


class Call:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def hostile():
    alice = tcp("alice")
    it = peer(2)
    witness = os.path.join(folder(), "owned")
    line = {"protocol_num": LINE, "username": "eve", "message": "hello"}
    for protocol in range(0, pickle.HIGHEST_PROTOCOL + 1):
        for thing in [
            Command(witness),
            dict(line, message=Command(witness)),
            dict(line, username=Call(eval, "__import__('os').system('touch %s')" % witness)),
            dict(line, extra=Command(witness)),
        ]:
            it.send_bytes(pickle.dumps(thing, protocol=protocol))
    good = pickle.dumps(line, protocol=4)
    nested = []
    for _ in range(50):
        nested = [nested]
    for data in [
        b"cos\nsystem\n(S'touch %s'\ntR." % witness.encode(),
        b"(S'touch %s'\nios\nsystem\n." % witness.encode(),
        b"", b".", b"\x80", b"\x80\x04", b"\x80\x06" + good[2:], b"N.", b"(" * 4000, b"\x80\x04" + b"]" * 4000 + b".",
        b"\x80\x04\x8e" + b"\xff" * 8, b"\x80\x04\x8d" + b"\xff" * 8, b"\x80\x04X\xff\xff\xff\xff", b"\x80\x04r\xff\xff\xff\xff.",
        good + b"x", good + good, good[:-1],
        pickle.dumps(nested), pickle.dumps([line]), pickle.dumps((1, 2)), pickle.dumps(None),
        pickle.dumps(dict(line, extra=1)), pickle.dumps({"protocol_num": LINE, "username": "eve"}),
        pickle.dumps(dict(line, protocol_num="472")), pickle.dumps(dict(line, protocol_num=True)),
        pickle.dumps(dict(line, protocol_num=1 << 80)), pickle.dumps(dict(line, protocol_num=9)),
        pickle.dumps(dict(line, message=["a"])), pickle.dumps(dict(line, message=b"bytes")),
        pickle.dumps(dict(line, username=b"eve")), pickle.dumps(dict(line, username="a b")),
        pickle.dumps(dict(line, username="")), pickle.dumps(dict(line, message=1.5)), os.urandom(2000),
    ]:
        it.send_bytes(data)
        it.send_bytes(data, to=GATEWAY)
    # It lives, and nothing of all that was said or done.
    it.send(LINE, "eve", "and I was only joking")
    equal(alice.heard(), ("eve", "and I was only joking"))
    assert not os.path.exists(witness)


def folder():
    return next(argument[len("folder="):] for argument in sys.argv if argument.startswith("folder="))


scenario.run(globals())
