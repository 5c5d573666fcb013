"""A udp-room client as people write them: one datagram socket and strings.

usage: udp_room_client.py PORT NAME
Joins, sends each line of standard input as it stands and prints what comes; EX at the end of its input.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import sys
import threading


class UdpRoomClient:
    def __init__(self, port, host="127.0.0.1"):
        self.server = (host, port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.settimeout(20)
        self.name = None

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendto(data, self.server)

    def receive(self):
        # One byte more than a datagram may have, so that a longer one is seen.
        data, sender = self.sock.recvfrom(1025)
        assert sender == self.server, sender
        assert len(data) <= 1024, len(data)
        return data.decode()

    def join(self, name):
        """Everything up to the answer."""
        self.name = name
        self.send("UN| " + name)
        answer = self.receive()
        assert answer == "[%s joined the server]" % name, answer

    def say(self, text):
        self.send("PM| %s: %s" % (self.name, text))

    def tell(self, receiver, text):
        self.send("DM| %s> %s: %s" % (self.name, receiver, text))

    def leave(self):
        self.send("EX| bye")


def main():
    client = UdpRoomClient(int(sys.argv[1]))
    client.join(sys.argv[2])

    def listen():
        while True:
            print(client.receive(), flush=True)

    threading.Thread(target=listen, daemon=True).start()
    for line in sys.stdin:
        client.send(line.rstrip("\n"))
    client.leave()


if __name__ == "__main__":
    main()
