"""A TCRP and UCRP client as people write them.

usage: tcrp_client.py TCP-PORT UDP-PORT create|join ROOM NAME
Gets its token, registers, sends each line of standard input and prints what comes; leaves at the end of its
input. Written from the protocol's page; it shares nothing with mynah.
"""
import json
import socket
import sys
import threading

CREATE, JOIN = 1, 2
REQUEST, COMPLIANCE, COMPLETE = 0, 1, 2
ROOM_CLOSED = "__ROOM_CLOSED__"


def header(room, operation, state, payload, size):
    """The bytes of a header: of 32 as existing programs write it, of 31 as the table says."""
    start = bytes([len(room), operation, state])
    return start + len(payload).to_bytes(size - 3, "big")


def receive(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def receive_frame(sock, size):
    head = receive(sock, size)
    room = receive(sock, head[0]).decode()
    payload = receive(sock, int.from_bytes(head[3:], "big"))
    return head[1], head[2], room, json.loads(payload)


class Refused(Exception):
    pass


def ask(port, operation, room, username, size=32, as_object=False, host="127.0.0.1"):
    """The token."""
    payload = json.dumps({"username": username} if as_object else username).encode()
    sock = socket.create_connection((host, port), timeout=20)
    sock.sendall(header(room.encode(), operation, REQUEST, payload, size) + room.encode() + payload)
    compliance, complete = receive_frame(sock, size), receive_frame(sock, size)
    # What could not be read has no room's name in its refusal.
    rooms = (room,) if compliance[3]["success"] else (room, "")
    assert compliance[:2] == (operation, COMPLIANCE) and compliance[2] in rooms, compliance
    assert complete[:2] == (operation, COMPLETE) and complete[2] in rooms, complete
    assert sock.recv(1) == b""
    sock.close()
    if compliance[3]["success"] != 1:
        assert compliance[3]["success"] == 0, compliance
        assert complete[3] == {"token": ""}, complete
        raise Refused(compliance[3]["error"])
    assert compliance[3] == {"success": 1}, compliance
    return complete[3]["token"]


class UcrpClient:
    def __init__(self, port, room, token, host="127.0.0.1", source="127.0.0.1"):
        self.server = (host, port)
        self.room, self.token = room, token
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((source, 0))
        self.sock.settimeout(20)

    def send(self, text):
        room, token = self.room.encode(), self.token.encode()
        if isinstance(text, str):
            text = text.encode()
        self.sock.sendto(bytes([len(room), len(token)]) + room + token + text, self.server)

    def receive(self):
        """(sender, text), or that the room is closed."""
        data, sender = self.sock.recvfrom(4097)
        assert sender == self.server, sender
        assert len(data) <= 4096, len(data)
        if data == ROOM_CLOSED.encode():
            return ROOM_CLOSED
        name = data[1:1 + data[0]]
        return name.decode(), data[1 + data[0]:].decode()

    def register(self):
        self.send("__REGISTER__")

    def leave(self):
        self.send("__LEAVE__")


def main():
    tcp, udp, what, room, name = sys.argv[1:6]
    try:
        token = ask(int(tcp), CREATE if what == "create" else JOIN, room, name)
    except Refused as refused:
        print("refused:", refused)
        return
    client = UcrpClient(int(udp), room, token)
    client.register()
    print("joined", flush=True)

    def listen():
        while True:
            heard = client.receive()
            if heard == ROOM_CLOSED:
                print("closed", flush=True)
                return
            print(*heard, flush=True)

    threading.Thread(target=listen, daemon=True).start()
    for line in sys.stdin:
        client.send(line.rstrip("\n"))
    client.leave()


if __name__ == "__main__":
    main()
