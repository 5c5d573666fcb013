"""What the page says of udp-login, row by row."""
import re
import time

import scenario
from scenario import equal, port
from tcp_room_client import Refused, TcpRoomClient
from udp_login_client import UdpLoginClient
from udp_room_client import UdpRoomClient


def client(name=None, source="127.0.0.1"):
    it = UdpLoginClient(port("udp-login"), source=source)
    if name:
        it.login(name, "pw " + name)
    return it


def settle(*clients):
    """Nothing is left for them to hear."""
    for it in clients:
        it.ping()
        equal(it.waiting, [])


def room(*names):
    clients = []
    for name in names:
        newcomer = client(name)
        for it in clients:
            equal(it.receive(), "C 0 ARRIVED " + name)
        clients.append(newcomer)
    return clients


def denied(it, name, password):
    answer = it.password(name, password)
    assert answer.startswith("DENIED "), answer
    return answer


def logging_in():
    alice, witness = client(), client("witness")
    equal(alice.command("LOGIN alice"), "PASSWORD new")
    # LOGIN keeps no state: nobody came yet, and another may ask too.
    other = client()
    equal(other.command("LOGIN alice"), "PASSWORD new")
    answer = alice.password("alice", "pass words may hold spaces")
    assert re.fullmatch("WELCOME [0-9a-f]{32}", answer), answer
    equal(witness.receive(), "C 0 ARRIVED alice")
    alice.ping()
    alice.leave()
    equal(witness.receive(), "C 0 LEFT alice")
    equal(alice.command("LOGIN alice"), "PASSWORD existing")
    equal(alice.command("LOGIN ALICE"), "PASSWORD existing")
    for wrong in "wrong", "pass words may hold", "pass words may hold spaces ":
        denied(alice, "alice", wrong)
    first = alice.sid
    alice.login("alice", "pass words may hold spaces")
    assert alice.sid != first
    equal(witness.receive(), "C 0 ARRIVED alice")
    for broken in "a:b", "a|b", "a>b", 'a"b', "x" * 65, "a\u200bb":
        answer = other.command("LOGIN " + broken)
        assert answer.startswith("ERROR "), answer
    # What is no frame, or no command of one without a session, goes nowhere.
    for nothing in b"", b"C", b"C x LOGIN eve", b"X 1 LOGIN eve", b"C 1", b"C 1 HELLO", b"\xff\xfe", b"C 1 LOGIN \xff":
        other.send(nothing)
    equal(other.command("LOGIN eve\r\n"), "PASSWORD new")
    equal(other.waiting, [])
    settle(alice, witness)


def repeats():
    alice, bob = room("alice", "bob")

    def thrice(frame, answer):
        for _ in range(3):
            alice.send(frame)
        equal([alice.receive() for _ in range(3)], [answer] * 3)

    thrice("C 50 PM " + alice.sid, "C 50 READY")
    thrice("D 51 %s once" % alice.sid, "C 51 SENT 1")
    equal(bob.receive(), "D PM alice once")
    settle(bob)
    alice.seq = 51
    users = alice.users()
    thrice("C 52 DM " + alice.sid, "C 52 USERS " + " ".join(users))
    thrice("D 53 %s bob twice?" % alice.sid, "C 53 SENT 1")
    equal(bob.receive(), "D DM alice twice?")
    settle(bob)
    # Older ones are dropped; only the latest is kept.
    for old in "C 52 DM " + alice.sid, "C 50 PM " + alice.sid, "D 51 %s once" % alice.sid, "C 1 PING " + alice.sid:
        alice.send(old)
    thrice("C 54 PING " + alice.sid, "C 54 PONG")
    settle(bob)
    # The same of a login: one account, one session, one arrival.
    carol = client()
    for _ in range(3):
        carol.send("C 1 LOGIN carol")
    equal([carol.receive() for _ in range(3)], ["C 1 PASSWORD new"] * 3)
    carol.send("C 2 PASS carol pw")
    welcome = carol.receive()
    for _ in range(2):
        carol.send("C 2 PASS carol pw")
        equal(carol.receive(), welcome)
    for it in alice, bob:
        equal(it.receive(), "C 0 ARRIVED carol")
    carol.seq, carol.sid = 2, welcome.split(" ")[3]
    settle(carol, bob)
    # And of the end.
    for _ in range(3):
        carol.send("C 9 EX " + carol.sid)
    equal(carol.receive(), "C 9 BYE")
    equal(bob.receive(), "C 0 LEFT carol")
    settle(bob)


def public():
    alice, bob, carol = room("alice", "bob", "carol")
    equal(alice.data("too early"), "ERROR say PM or DM first")
    equal(alice.say("hello"), 2)
    for it in bob, carol:
        equal(it.receive(), "D PM alice hello")
    # READY is for one message.
    equal(alice.data("too late"), "ERROR say PM or DM first")
    equal(alice.command("HELLO " + alice.sid), "ERROR unknown command")
    equal(alice.say("a  b D PM bob forged"), 2)
    for it in bob, carol:
        equal(it.receive(), "D PM alice a  b D PM bob forged")
    equal(alice.say("a\r\nD PM bob \x1b[2J"), 2)
    for it in bob, carol:
        equal(it.receive(), "D PM alice a D PM bob \ufffd[2J")
    equal(alice.say("grüße 🐦\r\n"), 2)
    for it in bob, carol:
        equal(it.receive(), "D PM alice grüße 🐦")
    settle(alice, bob, carol)
    bob.leave()
    for it in alice, carol:
        equal(it.receive(), "C 0 LEFT bob")
    equal(alice.say("who is left"), 1)
    equal(carol.receive(), "D PM alice who is left")
    settle(alice, carol)


def direct():
    alice, bob, carol = room("alice", "bob", "carol")
    users = alice.users()
    assert {"bob", "carol"} <= set(users) <= {"alice", "bob", "carol"}, users
    equal(alice.data("bob psst, bob"), "SENT 1")
    equal(bob.receive(), "D DM alice psst, bob")
    equal(alice.tell("nobody", "psst"), "NOUSER nobody")
    equal(alice.tell("BOB", "psst"), "SENT 1")
    equal(bob.receive(), "D DM alice psst")
    settle(alice, bob, carol)
    bob.leave()
    for it in alice, carol:
        equal(it.receive(), "C 0 LEFT bob")
    equal(alice.tell("bob", "psst"), "NOUSER bob")
    settle(alice, carol)


def gone():
    alice, bob = room("alice", "bob")
    stranger = client()
    # Only where the answer is not longer: `C 1 GONE` has eight bytes.
    for short in "C 1 PM", "C 1 EX ", "D 1 x", "D 1 x y", "C 1 DM ":
        stranger.send(short)
    for long in "C 2 PM x", "C 3 DM " + "0" * 32, "C 4 PING x", "C 5 EX xx", "D 6 xx text", "D 7 %s bob hi" % ("0" * 32):
        stranger.send(long)
        equal(stranger.receive(), "C %s GONE" % long.split(" ")[1])
    ended = alice.sid
    alice.leave()
    equal(bob.receive(), "C 0 LEFT alice")
    for text in "PM ", "PING ", "DM ":
        equal(alice.command(text + ended), "GONE")
    equal(alice.data("hello"), "GONE")
    # The client logs in again.
    equal(alice.login("alice", "pw alice"), "PASSWORD existing")
    equal(bob.receive(), "C 0 ARRIVED alice")
    # Another's session is of no use from another address.
    stranger.seq, stranger.sid = 20, alice.sid
    stranger.send("C 21 PM " + alice.sid)
    stranger.send("D 22 %s stolen" % alice.sid)
    stranger.send("C 23 EX " + alice.sid)
    equal(alice.say("mine"), 1)
    heard = bob.receive()
    equal(heard, "D PM alice mine")
    settle(alice, bob)


def one_session():
    alice, bob = room("alice", "bob")
    other = client()
    wrong = denied(other, "alice", "wrong")
    # The right password of somebody who is in reads like a wrong one.
    equal(denied(other, "alice", "pw alice"), wrong)
    settle(alice, bob)
    # A second user at an address that has a session is refused.
    answer = bob.command("PASS carol pw")
    assert answer.split(" ")[0] in ("DENIED", "ERROR"), answer
    settle(alice, bob)
    alice.leave()
    equal(bob.receive(), "C 0 LEFT alice")
    other.login("alice", "pw alice")
    equal(bob.receive(), "C 0 ARRIVED alice")


def names():
    tcp = TcpRoomClient(port("tcp-room"), "held")
    alice = client()
    wrong = denied(client(), "held", "pw")
    # A name held in the lobby cannot be registered, until it is free.
    tcp.close()
    other = client("other")
    answer = alice.command("LOGIN held")
    equal(answer, "PASSWORD new")
    alice.login("held", "pw")
    equal(other.receive(), "C 0 ARRIVED held")
    equal(denied(client(), "held", "wrong"), wrong)
    # A name that has an account is nobody else's, even when nobody is in.
    alice.leave()
    equal(other.receive(), "C 0 LEFT held")
    for name in "held", "HELD":
        try:
            TcpRoomClient(port("tcp-room"), name)
            assert False, "let in"
        except Refused:
            pass
        udp = UdpRoomClient(port("udp-room"))
        udp.send("UN| " + name)
        equal(udp.receive(), "[%s is taken]" % name)
    settle(other)


def guessing():
    alice = client("alice")
    alice.leave()
    guesser = client(source="127.0.0.2")
    wrong = {denied(guesser, "alice", "guess %d" % n) for n in range(5)}
    equal(len(wrong), 1)
    # Once N seconds are over the next one is tried, so what counts is what comes within the first.
    for n in range(10):
        start = time.monotonic()
        answer = denied(guesser, "alice", "guess more")
        # The right password is no better, from there.
        verdict = guesser.password("alice", "pw alice")
        if time.monotonic() - start < 1 and answer not in wrong:
            break
    for answer in answer, verdict:
        assert re.fullmatch("DENIED try again in [0-9]+ s", answer), answer
    # The address of the last good login is spared.
    equal(alice.login("alice", "pw alice"), "PASSWORD existing")


def guessing_many():
    """One address, many names: 20 wrong ones in all."""
    for n in range(5):
        it = client("user%d" % n)
        it.leave()
    guesser = client(source="127.0.0.3")
    for n in range(20):
        answer = denied(guesser, "user%d" % (n % 5), "guess")
        assert "try again" not in answer, (n, answer)
    answer = denied(guesser, "user0", "guess")
    assert re.fullmatch("DENIED try again in [0-9]+ s", answer), answer
    # Who comes from elsewhere is not held back by that.
    equal(client().login("user1", "pw user1"), "PASSWORD existing")


def registering_reserves():
    """A name that is being registered is nobody else's, whoever wins it."""
    witness = TcpRoomClient(port("tcp-room"), "witness")
    for n in range(10):
        it, name = client(), "name%d" % n
        equal(it.command("LOGIN " + name), "PASSWORD new")
        it.send("C 2 PASS %s pw" % name)
        try:
            tcp = TcpRoomClient(port("tcp-room"), name)
        except Refused:
            tcp = None
        answer = it.receive()
        while not answer.startswith("C 2 "):
            answer = it.receive()
        assert answer.startswith("C 2 WELCOME ") == (tcp is None), (answer, tcp)
        assert tcp is None or answer.startswith("C 2 DENIED "), answer
    witness.close()


def credits():
    alice, bob = room("alice", "bob")
    # Every answer to a stranger, counted together.
    stranger = client()
    for n in range(20):
        stranger.command("LOGIN stranger%d" % n)
        if n < 3:
            denied(stranger, "alice", "no")
        assert stranger.bytes_received <= 3 * stranger.bytes_sent
    # One that has logged in and shown nothing yet, in a room where much is said.
    quiet = client()
    answer = quiet.password("quiet", "pw")
    assert answer.startswith("WELCOME "), answer
    for it in alice, bob:
        equal(it.receive(), "C 0 ARRIVED quiet")
    for n in range(50):
        alice.say("x" * 500)
        equal(bob.receive(), "D PM alice " + "x" * 500)
    assert quiet.sid
    before = quiet.bytes_sent
    quiet.ping()
    # All that came before the PONG was sent before the PING came.
    assert quiet.bytes_received - len("C 2 PONG") <= 3 * before, (quiet.bytes_received, before)
    quiet.waiting.clear()
    # Proven: now it hears everything.
    for n in range(20):
        alice.say("%d" % n * 500)
        heard = quiet.receive()
        assert heard.startswith("D PM alice %d" % n), heard


def long_lines():
    alice = client("alice")
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    equal(alice.receive(), "C 0 ARRIVED tcp")
    prefix = "D PM tcp "
    for text in "x" * 4096, "🐦" * 1024, "x" * (4096 - len(prefix)):
        tcp.say(text)
        heard, parts = "", 0
        while heard != text:
            part = alice.receive()
            assert part.startswith(prefix) and part != prefix, part
            heard, parts = heard + part[len(prefix):], parts + 1
            assert text.startswith(heard), part
        equal(parts, -(-len(text.encode()) // (4096 - len(prefix))))
    many = []
    for n in range(100):
        many.append(TcpRoomClient(port("tcp-room"), "%03d" % n + "n" * 60))
        equal(alice.receive(), "C 0 ARRIVED " + many[-1].name)
    names = alice.users()
    more = names.pop()
    assert re.fullmatch(r"\+[0-9]+", more), more
    inside = {it.name for it in many} | {"tcp", "alice"}
    assert set(names) <= inside and len(names) == len(set(names)), names
    assert int(more) + len(names) in (len(inside), len(inside) - 1), (more, len(names))
    assert len("C 9 USERS " + " ".join(names + [more])) > 4096 - 70, len(names)
    settle(alice)


def register():
    it = client()
    equal(it.login("momodou", "open sesame"), "PASSWORD new")
    it.leave()


def registered():
    it = client()
    equal(it.command("LOGIN momodou"), "PASSWORD existing")
    denied(it, "momodou", "sesame")
    equal(it.login("momodou", "open sesame"), "PASSWORD existing")
    it.leave()


def closed():
    it = client()
    wrong = denied(it, "momodou", "wrong")
    it.command("LOGIN newcomer")
    equal(denied(it, "newcomer", "pw"), wrong)
    registered()


scenario.run(globals())
