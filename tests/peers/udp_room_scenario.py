"""What the page says of udp-room, row by row."""
import scenario
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from udp_room_client import UdpRoomClient


def client(name=None):
    it = UdpRoomClient(port("udp-room"))
    if name:
        it.join(name)
    return it


def settle(*clients):
    """Nothing is left for these members to hear: each asks again for the name that it has."""
    for it in clients:
        it.join(it.name)


def room(*names):
    clients = []
    for name in names:
        newcomer = client(name)
        for it in clients:
            equal(it.receive(), "[%s joined the server]" % name)
        clients.append(newcomer)
    return clients


def joining():
    alice, bob = room("alice", "bob")
    # Asked again from the address that holds the name: the same answer, to it alone.
    bob.send("UN| bob")
    equal(bob.receive(), "[bob joined the server]")
    settle(alice)
    bob.send("UN| robert")
    equal(bob.receive(), "[you are bob]")
    settle(alice, bob)
    carol = client()
    carol.send("UN| bob")
    equal(carol.receive(), "[bob is taken]")
    equal(bob.receive(), "[somebody asks for your name]")
    settle(alice, bob)
    # Names are compared without regard to case.
    carol.send("UN| ALICE")
    equal(carol.receive(), "[ALICE is taken]")
    equal(alice.receive(), "[somebody asks for your name]")
    for name in "a:b", "a b", "a|b", "a>b", 'a"b', "", "a\x07", "x" * 65, "a\u200bb":
        carol.send("UN| " + name)
        equal(carol.receive(), "[not a name]")
    # A name of another protocol is taken too; its holder has no way to be told.
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    for it in alice, bob:
        equal(it.receive(), "[tcp joined the server]")
    carol.send("UN| tcp")
    equal(carol.receive(), "[tcp is taken]")
    # The space is optional, the tag may be in lower case, an end of line does not belong to the name.
    carol.name = "carol"
    carol.send("un|carol\r\n")
    for it in carol, alice, bob:
        equal(it.receive(), "[carol joined the server]")
    for tag, end in ("UN|", "\n"), ("un| ", ""), ("UN|", "\r"):
        dave = client()
        dave.send(tag + "dave" + end)
        for it in dave, alice, bob, carol:
            equal(it.receive(), "[dave joined the server]")
        dave.leave()
        for it in alice, bob, carol:
            equal(it.receive(), "[dave left the server]")
    longest = client("x" * 64)
    for it in alice, bob, carol:
        equal(it.receive(), "[%s joined the server]" % ("x" * 64))
    settle(alice, bob, carol, longest)
    tcp.close()


def public():
    members = alice, bob, carol = room("alice", "bob", "carol")

    def goes(sent, heard):
        alice.send(sent)
        for it in members:
            equal(it.receive(), heard)

    goes("PM| alice: hello", "alice: hello")
    goes("pm|alice: hello", "alice: hello")
    goes("pm| alice: a: b> c| d", "alice: a: b> c| d")
    goes("PM| alice: grüße 🐦\r\n", "alice: grüße 🐦")
    # The name is the one that was joined with.
    goes("PM| bob: forged", "alice: forged")
    # Anything else is said, whole.
    goes("hello there", "alice: hello there")
    goes("XX| what", "alice: XX| what")
    goes("alice: me", "alice: alice: me")
    goes("PM", "alice: PM")
    # Nobody forges a line or moves another's cursor.
    goes("PM| alice: a\r\nbob: forged", "alice: a bob: forged")
    goes("a\nb\rc", "alice: a b c")
    goes("a\x1b[2J\x07\tb\x00\u202e", "alice: a\ufffd[2J\ufffd\tb\ufffd\ufffd")
    # Empty text and what is no UTF-8 go nowhere.
    for nothing in b"PM| alice: ", b"", b"\r\n", b"PM| alice: \xff\xfe", b"\xff\xfe":
        alice.send(nothing)
    settle(*members)


def direct():
    alice, bob, carol = room("alice", "bob", "carol")
    for sent in "DM| alice> bob: psst", "dm|alice> bob: psst", "DM| carol> bob: psst", "DM| alice> BOB: psst\n":
        alice.send(sent)
        equal(bob.receive(), "[DM] alice: psst")
        name = "BOB" if "BOB" in sent else "bob"
        equal(alice.receive().lower(), "[dm to %s] psst" % name.lower())
    alice.tell("bob", "a: b> c: d")
    equal(bob.receive(), "[DM] alice: a: b> c: d")
    equal(alice.receive(), "[DM to bob] a: b> c: d")
    alice.tell("nobody", "psst")
    equal(alice.receive(), "[nobody is not online]")
    # Once to the receiver, never to others.
    settle(alice, bob, carol)
    bob.leave()
    for it in alice, carol:
        equal(it.receive(), "[bob left the server]")
    alice.tell("bob", "psst")
    equal(alice.receive(), "[bob is not online]")
    settle(alice, carol)


def strangers():
    alice, bob = room("alice", "bob")
    bob.send("ex|anything")
    equal(alice.receive(), "[bob left the server]")
    # Bob is a stranger now: only what is no shorter than its answer is answered, and EX never.
    hint = "[join first: UN| name]"
    for silent in "EX| " + "x" * 100, "ex|" + "x" * 100, "x" * (len(hint) - 1), "PM| bob: x", "DM| b> alice: x":
        bob.send(silent)
    bob.send("x" * len(hint))
    equal(bob.receive(), hint)
    for long in "PM| bob: " + "x" * 100, "DM| bob> alice: " + "x" * 100, "x" * 1000:
        bob.send(long)
        equal(bob.receive(), hint)
    settle(alice)
    # The name is free at once.
    carol = client("bob")
    equal(alice.receive(), "[bob joined the server]")
    carol.send("EX| ")
    equal(alice.receive(), "[bob left the server]")
    settle(alice)


def long_lines():
    alice, bob = room("alice", "b" * 64)
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    for it in alice, bob:
        equal(it.receive(), "[tcp joined the server]")
    for text in "x" * 4096, "é" * 2048, "🐦" * 1024, "x" * 1019, "x" * 1020:
        tcp.say(text)
        for it in alice, bob:
            heard, parts = "", 0
            while heard != text:
                # `receive` sees to the size; a part that was cut in a code point would not decode.
                part = it.receive()
                assert part.startswith("tcp: "), part
                assert len(part) > len("tcp: "), part
                heard += part[len("tcp: "):]
                parts += 1
                assert text.startswith(heard), (text, heard)
            equal(parts, -(-len(text.encode()) // 1019))
    # What fits a datagram on its way in may not on its way out.
    text = "y" * (1024 - len("DM| alice> : ") - 64)
    alice.tell(bob.name, text)
    equal(bob.receive(), "[DM] alice: " + text)
    equal(alice.receive(), "[DM to %s] %s" % (bob.name, text))
    bob.send("z" * 1024)
    for it in alice, bob:
        for length in 1024 - 66, 66:
            equal(it.receive(), bob.name + ": " + "z" * length)
    settle(alice, bob)
    tcp.close()


scenario.run(globals())
