"""The page's table of events: six programs on six protocols in one lobby.

A member is a name and what it can do: `say`, `hear` (the next thing that its protocol brings it, as it looks
there), and where the protocol has them `tell` and `leave`.
"""
import time

import scenario
from group_client import GroupClient
from mesh_peer import ASK, LINE, WELCOME, MeshPeer
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from tcrp_client import JOIN, UcrpClient, ask
from udp_login_client import UdpLoginClient
from udp_room_client import UdpRoomClient


class TcpRoom:
    echoes, tells_of_others = True, False

    def __init__(self, name):
        self.name, self.client = name, TcpRoomClient(port("tcp-room"), name)
        self.say = self.client.say
        self.leave = self.client.close

    def hear(self):
        return self.client.heard()

    def public(self, sender, text):
        return sender, text

    marked = public

    def direct(self, sender, text):
        return sender, "(private) " + text


class Group:
    echoes, tells_of_others = False, True
    marked, direct = TcpRoom.marked, TcpRoom.direct
    public = TcpRoom.public

    def __init__(self, name):
        self.name, self.client = name, GroupClient(port("group"))
        self.client.register(name)
        self.say = self.client.broadcast
        self.leave = self.client.close

    def hear(self):
        line = self.client.receive()
        command, rest = line.split(":", 1)
        if command != "BROADCAST":
            return line
        nickname, length, text = rest.split(":", 2)
        equal(len(text.encode()), int(length))
        return nickname, text

    def arrived(self, name, address):
        return "UPDATE:JOIN:%s:%s" % (name, address)

    def left(self, name, address):
        return "UPDATE:LEAVE:%s:%s" % (name, address)


class UdpRoom:
    echoes, tells_of_others = True, True

    def __init__(self, name):
        self.name, self.client = name, UdpRoomClient(port("udp-room"))
        self.client.join(name)
        self.say, self.hear, self.leave = self.client.say, self.client.receive, self.client.leave

    def tell(self, receiver, text, reached=True):
        self.client.tell(receiver, text)
        wanted = "[DM to %s] %s" % (receiver, text) if reached else "[%s is not online]" % receiver
        equal(self.hear(), wanted)

    def public(self, sender, text):
        return "%s: %s" % (sender, text)

    def direct(self, sender, text):
        return "[DM] %s: %s" % (sender, text)

    def arrived(self, name, address):
        return "[%s joined the server]" % name

    def left(self, name, address):
        return "[%s left the server]" % name


class UdpLogin:
    echoes, tells_of_others = False, True

    def __init__(self, name):
        self.name, self.client = name, UdpLoginClient(port("udp-login"))
        self.client.login(name, "pw " + name)
        self.say, self.hear, self.leave = self.client.say, self.client.receive, self.client.leave

    def tell(self, receiver, text, reached=True):
        equal(self.client.tell(receiver, text), "SENT 1" if reached else "NOUSER " + receiver)

    def public(self, sender, text):
        return "D PM %s %s" % (sender, text)

    def direct(self, sender, text):
        return "D DM %s %s" % (sender, text)

    def arrived(self, name, address):
        return "C 0 ARRIVED " + name

    def left(self, name, address):
        return "C 0 LEFT " + name


class Tcrp:
    echoes, tells_of_others = False, False
    marked, direct, public = TcpRoom.marked, TcpRoom.direct, TcpRoom.public

    def __init__(self, name):
        self.name = name
        self.client = UcrpClient(port("ucrp"), "lobby", ask(port("tcrp"), JOIN, "lobby", name))
        self.client.register()
        self.say, self.hear, self.leave = self.client.send, self.client.receive, self.client.leave


class Mesh:
    # Its own words come back by the network, not from the gateway.
    echoes, tells_of_others = False, False
    public = TcpRoom.public
    direct = None
    number = 1

    def __init__(self, name):
        Mesh.number += 1
        self.name = name
        self.client = MeshPeer(port("udp-mesh"), "127.0.0.%d" % Mesh.number, "127.255.255.255")
        self.client.name = name
        self.client.send(ASK, name, "")
        equal(self.client.heard(WELCOME)[:2], (WELCOME, "mynah"))
        self.say = self.client.say

    def hear(self):
        while True:
            _, sender, text, address = self.client.heard(LINE)
            if address != self.client.address:
                return sender, text


# Those that are told of others come last: the fewer have to hear that everybody comes.
PROTOCOLS = TcpRoom, Mesh, Tcrp, Group, UdpRoom, UdpLogin


def goes_round(members, sender, text, heard=None):
    """The sender says the text, and each hears it once, in its protocol's form."""
    sender.say(text)
    for it in members:
        if it is not sender or it.echoes:
            equal(it.hear(), (heard or type(it).public)(it, sender.name, text))


def address_of(it):
    return "127.0.0.1:5000" if isinstance(it, Group) else "0.0.0.0:0"


def lobby():
    members = []
    for protocol in PROTOCOLS:
        it = protocol("the-" + protocol.__name__)
        if protocol is Mesh:
            # The lobby knows a peer once it has said something.
            it.say("here")
            for other in members:
                equal(other.hear(), other.public(it.name, "here"))
        elif protocol is Tcrp:
            # That it is registered shows when it is heard.
            goes_round(members + [it], it, "here")
        else:
            for other in members:
                if other.tells_of_others:
                    equal(other.hear(), other.arrived(it.name, address_of(it)))
        members.append(it)
    return members


def public():
    members = lobby()
    for round in range(2):
        for sender in members:
            for text in "hello from " + sender.name, "grüße 🐦 %d" % round, "a:b|c>d e":
                goes_round(members, sender, text)


def private_mark():
    members = lobby()

    def heard(it, sender, text):
        has_mark = isinstance(it, (TcpRoom, Group, Tcrp))
        return it.public(sender, " " + text if has_mark else text)

    for sender in members:
        for text in "(private) psst", "(private)", "(private)psst":
            goes_round(members, sender, text, heard)
        for text in "x (private) psst", "(Private) psst", "(privat":
            goes_round(members, sender, text)


def direct():
    members = lobby()
    for sender in members:
        if not hasattr(sender, "tell"):
            continue
        for receiver in members:
            if receiver is sender:
                continue
            text = "psst " + receiver.name
            if receiver.direct is None:
                # Nothing is sent to a mesh peer, and the sender is not told that something was.
                sender.tell(receiver.name, text, reached=False)
            else:
                sender.tell(receiver.name, text)
                equal(receiver.hear(), receiver.direct(sender.name, text))
        # Nobody else heard anything, and nothing twice.
        for other in members:
            goes_round(members, other, "next")


def coming_and_going():
    members = lobby()
    for protocol in PROTOCOLS:
        if protocol is Mesh:
            continue
        for _ in range(2):
            it = protocol("newcomer")
            for other in members:
                if other.tells_of_others:
                    equal(other.hear(), other.arrived("newcomer", address_of(it)))
            goes_round(members + [it], it, "I am new")
            goes_round(members + [it], members[0], "welcome")
            it.leave()
            for other in members:
                if other.tells_of_others:
                    equal(other.hear(), other.left("newcomer", address_of(it)))
            # Those that are not told heard nothing of it.
            for other in members:
                goes_round(members, other, "next")


def history():
    members = lobby()
    said = []
    for round in range(2):
        for sender in members:
            text = "line %d of %s" % (round, sender.name)
            goes_round(members, sender, text)
            said.append((sender.name, text))
    udp_room = next(it for it in members if isinstance(it, UdpRoom))
    udp_room.tell(members[0].name, "in no history")
    equal(members[0].hear(), members[0].direct(udp_room.name, "in no history"))
    late = TcpRoomClient(port("tcp-room"), "late")
    equal([tuple(line[1:]) for line in late.history], said[-10:])
    for stamp, _, _ in late.history:
        time.strptime(stamp, "%H:%M:%S")
    peer = MeshPeer(port("udp-mesh"), "127.0.0.99", "127.255.255.255")
    peer.send(ASK, "later", "")
    lines = peer.heard(WELCOME)[2]
    equal(lines, ["> %s %s: %s" % tuple(line) for line in late.history])
    # A server without history for them sends none: the next thing heard is the next thing said.
    group, login = Group("late-group"), UdpLogin("late-login")
    late.say("now")
    equal(login.hear(), login.public("late", "now"))
    equal(group.hear(), group.arrived("late-login", "0.0.0.0:0"))
    equal(group.hear(), group.public("late", "now"))


def isolated():
    # The same name in each, and each hears its own alone.
    pairs = []
    for protocol in PROTOCOLS:
        if protocol is Mesh:
            continue
        first = protocol("sam")
        second = protocol("sue")
        if first.tells_of_others:
            equal(first.hear(), first.arrived("sue", address_of(second)))
        pairs.append((first, second))
    for round in range(2):
        for pair in pairs:
            for sender in pair:
                goes_round(pair, sender, "only for us")
    for first, second in pairs:
        second.leave()
        if first.tells_of_others:
            equal(first.hear(), first.left("sue", address_of(second)))
    TcpRoom("sue")


scenario.run(globals())
