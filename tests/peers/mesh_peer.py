"""A udp-mesh peer as people write them: pickle and broadcasts.

usage: mesh_peer.py PORT NAME ADDRESS BROADCAST
Joins, sends each line of standard input and prints what comes.
Written from the protocol's page; it shares nothing with mynah. (It reads pickles as careless peers do:
whoever can send it a datagram can run what it likes.)
"""
import pickle
import select
import socket
import sys
import threading
import time

ASK, MINE, WELCOME, LINE = 471, 370, 371, 472


class NameTaken(Exception):
    pass


def datagram_socket(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((address, port))
    return sock


class MeshPeer:
    """One with two sockets: its own address sends and is answered, the broadcast address hears all."""

    def __init__(self, port, address, broadcast):
        self.port, self.address, self.broadcast = port, address, broadcast
        self.own = datagram_socket(address, port)
        self.all = datagram_socket(broadcast, port)
        self.name = None
        self.history = []
        self.known = {}

    def send(self, number, username, message, to=None, protocol=None):
        fields = {"protocol_num": number, "username": username, "message": message}
        self.send_bytes(pickle.dumps(fields, protocol=protocol), to)

    def send_bytes(self, data, to=None):
        self.own.sendto(data, (to or self.broadcast, self.port))

    def receive(self, timeout=20, where=None):
        """(number, username, message, from), or None."""
        sockets = [where] if where else [self.own, self.all]
        ready, _, _ = select.select(sockets, [], [], max(timeout, 0))
        if not ready:
            return None
        data, (sender, port) = ready[0].recvfrom(4097)
        assert port == self.port, port
        assert len(data) <= 4096, len(data)
        fields = pickle.loads(data)
        assert list(fields) == ["protocol_num", "username", "message"], fields
        return fields["protocol_num"], fields["username"], fields["message"], sender

    def join(self, name):
        self.name = name
        start = time.monotonic()
        asked = 0
        while True:
            now = time.monotonic() - start
            if now >= 2:
                return
            if asked < 3 and now >= 0.5 * asked:
                self.send(ASK, name, "")
                asked += 1
            heard = self.receive(0.05)
            if heard:
                self.handle(heard, joining=True)

    def handle(self, heard, joining=False):
        """What there is to show: (username, text), or None."""
        number, username, message, sender = heard
        if sender == self.address and number != LINE:
            return None
        if number == MINE and joining:
            raise NameTaken(self.name)
        if number == WELCOME:
            if not self.history:
                self.history = list(message)
            self.known[sender] = username
        elif number == ASK and not joining:
            if username == self.name:
                self.send(MINE, "", "", to=sender)
            else:
                self.send(WELCOME, self.name, self.history[-10:], to=sender)
        elif number == LINE:
            stamp = time.strftime("%H:%M:%S")
            self.history.append("> %s %s: %s" % (stamp, username, message))
            return username, message
        return None

    def say(self, text):
        self.send(LINE, self.name, text)

    def heard(self, number, timeout=20):
        """The next message of this number, whatever comes before it."""
        deadline = time.monotonic() + timeout
        while True:
            heard = self.receive(deadline - time.monotonic())
            assert heard, "nothing of %d in time" % number
            self.handle(heard)
            if heard[0] == number:
                return heard


def main():
    port, name, address, broadcast = sys.argv[1:5]
    peer = MeshPeer(int(port), address, broadcast)
    try:
        peer.join(name)
    except NameTaken:
        print("refused")
        return
    for line in peer.history:
        print(line)
    print("joined", flush=True)

    def listen():
        while True:
            shown = peer.handle(peer.receive(3600))
            if shown:
                print(*shown, flush=True)

    threading.Thread(target=listen, daemon=True).start()
    for line in sys.stdin:
        peer.say(line.rstrip("\n"))


if __name__ == "__main__":
    main()
