"""What the page says of TCRP and UCRP, row by row."""
import re
import socket
import time

import scenario
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from tcrp_client import CREATE, JOIN, REQUEST, ROOM_CLOSED, Refused, UcrpClient, ask, header, receive_frame


def get(operation, room, name, **more):
    return ask(port("tcrp"), operation, room, name, **more)


def refused(operation, room, name, **more):
    try:
        token = get(operation, room, name, **more)
    except Refused as why:
        assert str(why), "no reason"
        return str(why)
    raise AssertionError("let in with " + token)


def member(operation, room, name, **more):
    """One that is registered, as soon as something is heard of it."""
    it = UcrpClient(port("ucrp"), room, get(operation, room, name), **more)
    it.name = name
    it.register()
    return it


def settle(*members):
    """All that they did is done and heard: each says something, and the others hear that and nothing else."""
    for number, it in enumerate(members):
        it.send("fence %d" % number)
        for other in members:
            if other is not it:
                equal(other.receive(), (it.name, "fence %d" % number))


def headers():
    seen = set()
    for size in 32, 31:
        for as_object in False, True:
            room = "room-%d-%s" % (size, as_object)
            for name, operation in ("alice", CREATE), ("bob", JOIN), ("grüße 🐦".replace(" ", "_"), JOIN):
                token = get(operation, room, name, size=size, as_object=as_object)
                assert re.fullmatch("token_[0-9a-f]{32}", token), token
                seen.add(token)
            equal(refused(CREATE, room, "eve", size=size, as_object=as_object), "room exists")
    equal(len(seen), 12)
    # The longest name with the longest room's name; and in the page's own words about both sizes.
    for size in 32, 31:
        get(CREATE, "ü" * 32 if size == 32 else "r" * 64, "n" * 64, size=size)
    # Byte by byte.
    for size in 32, 31:
        payload = b'"slow"'
        sock = socket.create_connection(("127.0.0.1", port("tcrp")), timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header(b"lobby", JOIN, REQUEST, payload, size) + b"lobby" + payload:
            sock.sendall(bytes([byte]))
        equal(receive_frame(sock, size), (JOIN, 1, "lobby", {"success": 1}))
        operation, state, room, answer = receive_frame(sock, size)
        equal((operation, state, room, list(answer)), (JOIN, 2, "lobby", ["token"]))
        equal(sock.recv(1), b"")
        # The name is free again with its room only; here it is left at once.
        it = UcrpClient(port("ucrp"), "lobby", answer["token"])
        it.register()
        it.leave()
        witness = TcpRoomClient(port("tcp-room"), "w")
        witness.say("until here")
        witness.hear()
        witness.close()


def refusals():
    equal(refused(JOIN, "nowhere", "alice"), "no such room")
    get(CREATE, "room", "alice")
    equal(refused(CREATE, "room", "bob"), "room exists")
    equal(refused(CREATE, "ROOM", "bob"), "room exists")
    # A name is held from the token on.
    equal(refused(JOIN, "room", "alice"), "name taken")
    equal(refused(JOIN, "room", "ALICE"), "name taken")
    # Creating the lobby, which always exists, is refused; in it is one name space.
    refused(CREATE, "lobby", "alice")
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    equal(refused(JOIN, "lobby", "tcp"), "name taken")
    get(JOIN, "lobby", "alice")
    for name in "", "a b", "a:b", "a|b", "a>b", 'a"b', "x" * 65, "a\tb", "a\u200bb":
        refused(JOIN, "room", name)
        refused(CREATE, "other", name)
    for room in "a b", "a:b", "x" * 65, "a\u200bb":
        refused(CREATE, room, "carol")
    equal(refused(JOIN, "other", "carol"), "no such room")
    tcp.close()


def broken():
    get(CREATE, "room", "alice")
    for data in [
        header(b"room", 3, REQUEST, b'"eve"', 32) + b"room" + b'"eve"',
        header(b"room", JOIN, 1, b'"eve"', 32) + b"room" + b'"eve"',
        header(b"room", JOIN, REQUEST, b"eve", 32) + b"room" + b"eve",
        header(b"room", JOIN, REQUEST, b"[1]", 32) + b"room" + b"[1]",
        header(b"room", JOIN, REQUEST, b'"e\xff"', 32) + b"room" + b'"e\xff"',
        header(b"\xff\xff", JOIN, REQUEST, b'"eve"', 32) + b"\xff\xff" + b'"eve"',
        # A size that nobody has memory for, and one just over what a request may have.
        bytes([4, JOIN, REQUEST]) + b"\xff" * 29,
        bytes([4, JOIN, REQUEST]) + bytes(27) + b"\x01\x00" + b"room" + b"x" * 300,
    ]:
        sock = socket.create_connection(("127.0.0.1", port("tcrp")), timeout=20)
        sock.sendall(data)
        # It may be told why; no token, and the end.
        told = b""
        try:
            while part := sock.recv(4096):
                told += part
        except ConnectionResetError:
            pass
        assert b"token_" not in told, told
        sock.close()
    # Nobody else noticed, and no name is held.
    get(JOIN, "room", "eve")


def talking():
    alice = member(CREATE, "room", "alice")
    bob = member(JOIN, "room", "bob")
    carol = member(JOIN, "room", "carol")
    settle(alice, bob, carol)
    elsewhere = member(CREATE, "elsewhere", "alice")
    elsewhere.send("nobody hears this")
    for sent, heard in [
        ("hello", "hello"),
        ("grüße 🐦\n", "grüße 🐦"),
        ("a\r\nb\nc", "a b c"),
        ("\x1b[2J\u202e", "\ufffd[2J\ufffd"),
        ("__register__", "__register__"),
    ]:
        alice.send(sent)
        for it in bob, carol:
            equal(it.receive(), ("alice", heard))
    for nothing in b"", b"\n", b"\xff\xfe":
        alice.send(nothing)
    settle(alice, bob, carol)
    # REGISTER again, from another port: from now on it is there.
    moved = UcrpClient(port("ucrp"), "room", bob.token)
    moved.name = "bob"
    moved.register()
    settle(alice, moved, carol)
    moved.send("here now")
    for it in alice, carol:
        equal(it.receive(), ("bob", "here now"))
    bob.sock.setblocking(False)
    try:
        raise AssertionError(bob.sock.recv(4096))
    except BlockingIOError:
        pass
    # Who leaves hears nothing more and is not heard; the name is free at once.
    moved.leave()
    moved.send("am I heard?")
    settle(alice, carol)
    again = member(JOIN, "room", "bob")
    settle(alice, carol, again)
    # In the lobby everybody is heard, whatever they speak.
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    guest = member(JOIN, "lobby", "guest")
    guest.send("hello from afar")
    equal(tcp.heard(), ("guest", "hello from afar"))
    tcp.say("hello back")
    equal(tcp.heard(), ("tcp", "hello back"))
    equal(guest.receive(), ("tcp", "hello back"))


def closing():
    alice = member(CREATE, "room", "alice")
    bob = member(JOIN, "room", "bob")
    unregistered = get(JOIN, "room", "late")
    settle(alice, bob)
    # A member leaves: no more than that.
    carol = member(JOIN, "room", "carol")
    settle(alice, bob, carol)
    carol.leave()
    settle(alice, bob)
    alice.leave()
    equal(bob.receive(), ROOM_CLOSED)
    # The room and its tokens are gone: it can be made again, and the old tokens do nothing.
    equal(refused(JOIN, "room", "bob"), "no such room")
    alice = member(CREATE, "room", "alice2")
    newcomer = member(JOIN, "room", "bob2")
    late = UcrpClient(port("ucrp"), "room", unregistered)
    for ghost in bob, late:
        ghost.register()
        ghost.send("am I heard?")
    settle(alice, newcomer)
    # The lobby has no host.
    first, second = member(JOIN, "lobby", "first"), member(JOIN, "lobby", "second")
    settle(first, second)
    first.leave()
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    tcp.say("still open")
    equal(second.receive(), ("tcp", "still open"))


def tokens():
    alice, bob = member(CREATE, "room", "alice"), member(JOIN, "room", "bob")
    other = member(CREATE, "other", "alice")
    settle(alice, bob)
    # Text before REGISTER.
    token = get(JOIN, "room", "carol")
    carol = UcrpClient(port("ucrp"), "room", token)
    carol.name = "carol"
    carol.send("too early")
    # A token from another machine's address, of another room, of nobody; datagrams that are none.
    thief = UcrpClient(port("ucrp"), "room", bob.token, source="127.0.0.2")
    wrong_room = UcrpClient(port("ucrp"), "room", other.token)
    nobody = UcrpClient(port("ucrp"), "room", "token_" + "0" * 32)
    for ghost in thief, wrong_room, nobody:
        ghost.register()
        ghost.send("am I heard?")
        ghost.leave()
    for data in b"", b"\x04", b"\x04\x26room", b"\xff\xff", bytes([4, len(bob.token)]) + b"room" + b"x":
        nobody.sock.sendto(data, nobody.server)
    settle(alice, bob)
    carol.register()
    settle(alice, bob, carol)
    # None of them was answered.
    for ghost in thief, wrong_room, nobody:
        ghost.sock.setblocking(False)
        try:
            raise AssertionError(ghost.sock.recv(4096))
        except BlockingIOError:
            pass


def never_registered():
    # A guest's token is void after a while, and its name free.
    alice = member(CREATE, "room", "alice")
    token = get(JOIN, "room", "late")
    deadline = time.monotonic() + scenario.PATIENCE
    while True:
        try:
            get(JOIN, "room", "late")
            break
        except Refused as why:
            equal(str(why), "name taken")
            assert time.monotonic() < deadline
            time.sleep(0.05)
    late = UcrpClient(port("ucrp"), "room", token)
    late.register()
    late.send("too late")
    bob = member(JOIN, "room", "bob")
    settle(alice, bob)
    # A host that never registers closes its room.
    get(CREATE, "abandoned", "host")
    guest = member(JOIN, "abandoned", "guest")
    equal(guest.receive(), ROOM_CLOSED)
    equal(refused(JOIN, "abandoned", "guest"), "no such room")


def long_lines():
    it = member(JOIN, "lobby", "it")
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    tcp.say("are you there")
    it.receive()
    for text in "x" * 4096, "🐦" * 1024, "é" * 2046 + "x", "x" * 4091:
        tcp.say(text)
        heard, parts = "", 0
        while heard != text:
            sender, part = it.receive()
            equal(sender, "tcp")
            assert part
            heard, parts = heard + part, parts + 1
            assert text.startswith(heard), part
        # A byte is kept for the space before a text that begins like a direct message.
        equal(parts, -(-len(text.encode()) // 4091))


scenario.run(globals())
