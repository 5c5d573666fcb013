"""The Python servers with the Python clients: what is tried on mynah's halves works between them, too."""
import scenario
from group_client import GroupClient
from scenario import equal, port
from tcrp_client import CREATE, JOIN, ROOM_CLOSED, Refused, UcrpClient, ask
from udp_login_client import UdpLoginClient
from udp_room_client import UdpRoomClient


def group():
    alice, bob = GroupClient(port("server")), GroupClient(port("server"))
    alice.send("REGISTER:alice:127.0.0.1:5000")
    equal(alice.receive(), "UPDATE:JOIN:alice:127.0.0.1:5000")
    equal(alice.receive(), "LIST:alice:127.0.0.1:5000")
    bob.send("REGISTER:alice:127.0.0.1:5001")
    equal(bob.error(), "nickname taken")
    bob.send("REGISTER:bob:127.0.0.1:5001")
    equal(bob.receive(), "UPDATE:JOIN:bob:127.0.0.1:5001")
    equal(bob.receive(), "LIST:alice:127.0.0.1:5000:bob:127.0.0.1:5001")
    equal(alice.receive(), "UPDATE:JOIN:bob:127.0.0.1:5001")
    bob.nickname = "bob"
    bob.broadcast("grüße: an alle")
    for it in alice, bob:
        equal(it.heard(), ("bob", "grüße: an alle"))
    bob.close()
    equal(alice.receive(), "UPDATE:LEAVE:bob:127.0.0.1:5001")


def udp_room():
    alice, bob = UdpRoomClient(port("server")), UdpRoomClient(port("server"))
    alice.join("alice")
    bob.send("UN| alice")
    equal(bob.receive(), "[alice is taken]")
    equal(alice.receive(), "[somebody asks for your name]")
    bob.join("bob")
    equal(alice.receive(), "[bob joined the server]")
    bob.say("hello")
    for it in alice, bob:
        equal(it.receive(), "bob: hello")
    bob.tell("alice", "psst")
    equal(alice.receive(), "[DM] bob: psst")
    equal(bob.receive(), "[DM to alice] psst")
    bob.leave()
    equal(alice.receive(), "[bob left the server]")


def udp_login():
    alice, bob = UdpLoginClient(port("server")), UdpLoginClient(port("server"))
    equal(alice.login("alice", "pw"), "PASSWORD new")
    equal(bob.login("bob", "pw"), "PASSWORD new")
    equal(alice.receive(), "C 0 ARRIVED bob")
    equal(bob.say("hello"), 1)
    equal(alice.receive(), "D PM bob hello")
    equal(bob.tell("alice", "psst"), "SENT 1")
    equal(alice.receive(), "D DM bob psst")
    equal(bob.tell("nobody", "psst"), "NOUSER nobody")
    bob.leave()
    equal(alice.receive(), "C 0 LEFT bob")
    equal(bob.login("bob", "pw"), "PASSWORD existing")


def tcrp():
    def member(operation, name):
        it = UcrpClient(port("udp"), "room", ask(port("server"), operation, "room", name))
        it.register()
        return it

    alice, bob = member(CREATE, "alice"), member(JOIN, "bob")
    try:
        member(CREATE, "eve")
        raise AssertionError("let in")
    except Refused as why:
        equal(str(why), "room exists")
    bob.send("hello")
    equal(alice.receive(), ('"bob"', "hello"))
    alice.leave()
    equal(bob.receive(), ROOM_CLOSED)


scenario.run(globals())
