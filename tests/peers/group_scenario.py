"""What the page says of group, row by row."""
import socket
import threading

import scenario
from group_client import GroupClient, Phone
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from udp_room_client import UdpRoomClient


def client(nickname=None, source="127.0.0.1", udp_port=5000):
    it = GroupClient(port("group"), source=source)
    if nickname:
        it.participants = it.register(nickname, udp_port=udp_port)
    return it


def settle(*clients):
    """All that the clients did is done, and nothing is left for them to hear."""
    for _ in range(2):
        for it in clients:
            it.send("FENCE")
        for it in clients:
            it.error()


def ended(it):
    try:
        equal(it.file.read(), b"")
    except ConnectionResetError:
        pass


def coming_and_going():
    alice = client("alice", udp_port=5001)
    # The address is the connection's, whatever was claimed.
    equal(alice.participants, [("alice", "127.0.0.1", "5001")])
    bob = client("bob", source="127.0.0.2", udp_port=5002)
    equal(bob.participants, [("alice", "127.0.0.1", "5001"), ("bob", "127.0.0.2", "5002")])
    equal(alice.receive(), "UPDATE:JOIN:bob:127.0.0.2:5002")
    carol = client("carol", source="127.0.0.3", udp_port=5004)
    equal([name for name, _, _ in carol.participants], ["alice", "bob", "carol"])
    for it in alice, bob:
        equal(it.receive(), "UPDATE:JOIN:carol:127.0.0.3:5004")
    settle(alice, bob, carol)
    # A FIN is leaving: what is due is sent, and the name is free at once.
    alice.broadcast("last words")
    equal(bob.heard(), ("alice", "last words"))
    carol.broadcast("and mine")
    equal(bob.heard(), ("carol", "and mine"))
    bob.sock.shutdown(socket.SHUT_WR)
    ended(bob)
    equal(alice.heard(), ("carol", "and mine"))
    equal(carol.heard(), ("alice", "last words"))
    for it in alice, carol:
        equal(it.receive(), "UPDATE:LEAVE:bob:127.0.0.2:5002")
    again = client("bob", udp_port=5003)
    equal([name for name, _, _ in again.participants], ["alice", "carol", "bob"])
    for it in alice, carol:
        equal(it.receive(), "UPDATE:JOIN:bob:127.0.0.1:5003")
    settle(alice, carol, again)
    # The nickname ends at the first colon, the port begins after the last.
    dave = client()
    dave.send("REGISTER:dave:fe80::1:6000")
    equal(dave.receive().split(":")[-3:], ["dave", "127.0.0.1", "6000"])
    equal(alice.receive(), "UPDATE:JOIN:dave:127.0.0.1:6000")
    # A connection that goes without having registered is nobody's business.
    client().close()
    # Byte by byte is as good as at once.
    slow = client()
    for byte in b"REGISTER:slow:1.2.3.4:7000\r\nBROADCAST:slow:2:hi\r\n":
        slow.sock.sendall(bytes([byte]))
    equal(alice.receive(), "UPDATE:JOIN:slow:127.0.0.1:7000")
    equal(alice.heard(), ("slow", "hi"))


def broadcasts():
    alice, bob, carol = client("alice"), client("bob"), client("carol")
    for it, count in (alice, 2), (bob, 1):
        for _ in range(count):
            it.receive()
    alice.broadcast("hello")
    for it in bob, carol:
        equal(it.heard(), ("alice", "hello"))
    # Whoever it says it is from.
    alice.send("BROADCAST:carol:6:forged")
    for it in bob, carol:
        equal(it.heard(), ("alice", "forged"))
    # Empty text is ignored.
    alice.broadcast("")
    settle(alice, bob, carol)
    # Several in one segment, in order.
    alice.sock.sendall(b"".join(b"BROADCAST:alice:1:%d\r\n" % n for n in range(10)))
    for it in bob, carol:
        equal([it.heard() for _ in range(10)], [("alice", str(n)) for n in range(10)])
    settle(alice, bob, carol)


def lengths():
    alice, bob = client("alice"), client("bob")
    alice.receive()

    def says(length, text, heard=None):
        alice.send("BROADCAST:alice:%d:%s" % (length, text))
        equal(bob.heard(), ("alice", text if heard is None else heard))

    says(7, "grüße")
    says(5, "grüße")
    says(4, "🐦")
    says(1, "🐦")
    says(11, "a:b:c:11:::")
    # Text may hold what ends a message; going out it holds no CR or LF.
    says(4, "a\r\nb", "a b")
    says(6, "a\r\n\r\nb", "a  b")
    says(3, "a\nb", "a b")
    says(3, "a\rb", "a b")
    inner = "x\r\nBROADCAST:bob:6:forged\r\ny"
    says(len(inner), inner, "x BROADCAST:bob:6:forged y")
    inner = "ü\r\nLIST:a:b:1"
    says(len(inner), inner, "ü LIST:a:b:1")
    says(len(inner.encode()), inner, "ü LIST:a:b:1")
    # Nobody moves another's cursor.
    says(9, "a\x1b[2J\x07\tb\x00", "a\ufffd[2J\ufffd\tb\ufffd")
    says(2, "\u0085", "\ufffd")
    says(3, "\u202e", "\ufffd")
    says(4096, "x" * 4096)
    says(1024, "🐦" * 1024)
    says(4096, "🐦" * 1024)
    settle(alice, bob)


def broken_lengths():
    witness = client("witness")
    for number, message in enumerate([
        b"BROADCAST:x:3:hello\r\n",
        b"BROADCAST:x:5:hello there\r\n",
        # These as soon as they are read.
        b"BROADCAST:x:-1",
        b"BROADCAST:x:99999999999999999999",
        b"BROADCAST:x:999999999:",
        b"BROADCAST:x:5:\xff\xfe\xfd\xfc\xfb\r\n",
    ]):
        it = client("it%d" % number)
        witness.receive()
        it.sock.sendall(message)
        it.error()
        ended(it)
        equal(witness.receive(), "UPDATE:LEAVE:it%d:127.0.0.1:5000" % number)
    settle(witness)


def errors():
    alice, bob = client("alice"), client()
    bob.broadcast("too early")
    bob.error()
    for nickname in "alice", "ALICE", "", "a b", "a>b", 'a"b', "a|b", "a\tb", "a\u200bb", "x" * 65:
        bob.send("REGISTER:%s:1.2.3.4:5000" % nickname)
        bob.error()
    for line in "", "HELLO", "LIST", "register:bob:1.2.3.4:5000", "UPDATE:JOIN:x:1.2.3.4:5", "ERROR:2:no":
        bob.send(line)
        bob.error()
    for line in "BROADCAST:x", "BROADCAST:x:1", "BROADCAST:x:x:hello", "BROADCAST:x::hello":
        bob.send(line)
        bob.error()
    for line in "REGISTER", "REGISTER:bob", "REGISTER:bob:1.2.3.4:65536", "REGISTER:bob:1.2.3.4:x":
        bob.send(line)
        bob.error()
    equal(bob.register("b" * 64)[-1], ("b" * 64, "127.0.0.1", "5000"))
    equal(alice.receive(), "UPDATE:JOIN:%s:127.0.0.1:5000" % ("b" * 64))
    bob.send("REGISTER:robert:1.2.3.4:5000")
    bob.error()
    bob.broadcast("x" * 4097)
    bob.error()
    bob.broadcast("still there")
    equal(alice.heard(), ("b" * 64, "still there"))
    settle(alice, bob)


def endless_lines():
    witness = client("witness")
    stranger = client()
    stranger.sock.sendall(b"A" * 8193)
    stranger.error()
    ended(stranger)
    member = client("member")
    witness.receive()
    member.sock.sendall(b"A" * 8193)
    member.error()
    ended(member)
    equal(witness.receive(), "UPDATE:LEAVE:member:127.0.0.1:5000")
    # Just under it is no more than an unknown command.
    member = client("member")
    witness.receive()
    member.send(b"A" * 8000)
    member.error()
    member.broadcast("here")
    equal(witness.heard(), ("member", "here"))


def strangers():
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    alice = client("alice")
    equal(alice.participants, [("tcp", "0.0.0.0", "0"), ("alice", "127.0.0.1", "5000")])
    udp = UdpRoomClient(port("udp-room"))
    udp.join("udp")
    equal(alice.receive(), "UPDATE:JOIN:udp:0.0.0.0:0")
    udp.leave()
    equal(alice.receive(), "UPDATE:LEAVE:udp:0.0.0.0:0")
    tcp.close()
    equal(alice.receive(), "UPDATE:LEAVE:tcp:0.0.0.0:0")


def ipv6():
    four = client("four")
    six = GroupClient(port("group6"), host="::1")
    equal(six.register("six"), [("four", "127.0.0.1", "5000"), ("six", "0.0.0.0", "0")])
    equal(four.receive(), "UPDATE:JOIN:six:0.0.0.0:0")
    six.broadcast("from afar")
    equal(four.heard(), ("six", "from afar"))


def peer_to_peer():
    """The addresses that the server gives are good for sessions without it."""
    phones = Phone("127.0.0.2"), Phone("127.0.0.3")
    alice = client("alice", source="127.0.0.2", udp_port=phones[0].port)
    bob = client("bob", source="127.0.0.3", udp_port=phones[1].port)
    # Alice knows Bob by the UPDATE, Bob knows Alice by the LIST.
    _, _, name, ip, udp_port = alice.receive().split(":")
    equal(name, "bob")
    answered = []
    thread = threading.Thread(target=lambda: answered.append(phones[1].answer(bob.participants)))
    thread.start()
    session = phones[0].start(ip, udp_port)
    thread.join()
    name, other = answered[0]
    equal(name, "alice")
    session.chat("between: us")
    equal(other.receive(), "between: us")
    other.chat("grüße")
    equal(session.receive(), "grüße")
    other.close()
    equal(session.file.read(), b"")
    session.close()
    # The server saw nothing of it.
    settle(alice, bob)


def claimed():
    alice, bob = client("alice"), client()
    bob.send("REGISTER:bob:192.0.2.7:6000")
    equal(bob.receive(), "LIST:alice:10.9.8.7:5000:bob:192.0.2.7:6000")
    equal(alice.receive(), "UPDATE:JOIN:bob:192.0.2.7:6000")


scenario.run(globals())
