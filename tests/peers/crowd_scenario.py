"""A thousand members on five protocols in one lobby, one thread: everybody hears everything, once, in order."""
import resource
import selectors
import struct
import time

import scenario
from group_client import GroupClient
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from tcrp_client import JOIN, UcrpClient, ask
from udp_login_client import UdpLoginClient
from udp_room_client import UdpRoomClient

EACH = 200
# Each is heard by all, so this many a second come to as many deliveries as there are members.
MESSAGES, SECONDS_BETWEEN = 10, 1.0

pool = selectors.DefaultSelector()
members = []


class Member:
    def __init__(self, name, sock, say, read, echoes):
        self.name, self.sock, self.say, self.read, self.echoes = name, sock, say, read, echoes
        self.rest = b""
        self.heard = []
        sock.setblocking(False)
        pool.register(sock, selectors.EVENT_READ, self)
        members.append(self)


def tcp_room_lines(member, data):
    member.rest += data
    at, rest = 0, member.rest
    while True:
        end, strings = at + 8, []
        for _ in range(3):
            if len(rest) < end + 4:
                break
            (length,) = struct.unpack_from("<i", rest, end)
            strings.append(rest[end + 4:end + 4 + length])
            end += 4 + length
        if len(strings) < 3 or len(rest) < end:
            break
        equal(struct.unpack_from("<ii", rest, at), (372, 3))
        member.heard.append((strings[1], strings[2]))
        at = end
    member.rest = rest[at:]


def group_lines(member, data):
    *lines, member.rest = (member.rest + data).split(b"\r\n")
    for line in lines:
        if line.startswith(b"BROADCAST:"):
            _, name, _, text = line.split(b":", 3)
            member.heard.append((name, text))


def udp_room_line(member, data):
    if not data.startswith(b"["):
        name, text = data.split(b": ", 1)
        member.heard.append((name, text))


def udp_login_line(member, data):
    if data.startswith(b"D PM "):
        _, _, name, text = data.split(b" ", 3)
        member.heard.append((name, text))


def ucrp_line(member, data):
    member.heard.append((data[1:1 + data[0]], data[1 + data[0]:]))


def read(timeout):
    """Takes what is there, from every member, before anybody's buffer fills."""
    for key, _ in pool.select(timeout):
        member = key.data
        while True:
            try:
                data = member.sock.recv(65536)
            except BlockingIOError:
                break
            assert data or member.sock.type != 1, member.name + " was cut"
            member.read(member, data)


def crowd():
    for n in range(EACH):
        client = TcpRoomClient(port("tcp-room"), "tcp%d" % n)
        Member(client.name, client.sock, client.say, tcp_room_lines, True)
    for n in range(EACH):
        name = "ucrp%d" % n
        client = UcrpClient(port("ucrp"), "lobby", ask(port("tcrp"), JOIN, "lobby", name))
        client.register()
        Member(name, client.sock, client.send, ucrp_line, False)
    # From here on others are told of each newcomer, so they are read in between.
    for n in range(EACH):
        client = GroupClient(port("group"))
        client.register("group%d" % n)
        Member(client.nickname, client.sock, client.broadcast, group_lines, False)
        read(0)
    for n in range(EACH):
        client = UdpRoomClient(port("udp-room"))
        client.join("udp%d" % n)
        Member(client.name, client.sock, client.say, udp_room_line, True)
        read(0)
    for n in range(EACH):
        client = UdpLoginClient(port("udp-login"))
        client.login("login%d" % n, "pw")

        def say(text, client=client):
            client.seq += 2
            client.send("C %d PM %s" % (client.seq - 1, client.sid))
            client.send("D %d %s %s" % (client.seq, client.sid, text))

        Member(client.name, client.sock, say, udp_login_line, False)
        read(0)


def thousand():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd()
    equal(len(members), 5 * EACH)
    said = []
    start = time.monotonic()
    for n in range(MESSAGES):
        while time.monotonic() < start + n * SECONDS_BETWEEN:
            read(0.01)
        sender = members[n % 5 * EACH + 7 * n]
        text = "message %d of %s" % (n, sender.name)
        sender.say(text)
        said.append((sender.name.encode(), text.encode()))
    deadline = time.monotonic() + scenario.PATIENCE
    wanted = {it.name: [one for one in said if it.echoes or one[0] != it.name.encode()] for it in members}
    while any(it.heard != wanted[it.name] for it in members) and time.monotonic() < deadline:
        read(0.1)
    for it in members:
        equal((it.name, it.heard), (it.name, wanted[it.name]))


scenario.run(globals())
