"""A tcp-room client as people write them: blocking sockets, struct, a thread that listens.

usage: tcp_room_client.py PORT NAME COUNT [TEXT ...]
Joins, says each TEXT, and prints what it hears until it has heard COUNT lines; then it leaves.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import struct
import sys
import threading


def receive(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def receive_int(sock):
    return struct.unpack("<i", receive(sock, 4))[0]


def receive_string(sock):
    return receive(sock, receive_int(sock)).decode("utf-8")


def receive_list(sock):
    return [receive_string(sock) for _ in range(receive_int(sock))]


def send_string(sock, text):
    data = text.encode("utf-8")
    sock.sendall(struct.pack("<i", len(data)))
    sock.sendall(data)


class Refused(Exception):
    pass


class TcpRoomClient:
    def __init__(self, port, name):
        """Joins; `history` is what was said before: [[time, name, text]]."""
        self.name = name
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.sock.sendall(struct.pack("<i", 471))
        send_string(self.sock, name)
        if not struct.unpack("?", receive(self.sock, 1))[0]:
            raise Refused(name)
        number, lines = receive_int(self.sock), receive_int(self.sock)
        assert number == 371, number
        self.history = [receive_list(self.sock) for _ in range(lines)]

    def say(self, text, time="10:20:30"):
        self.sock.sendall(struct.pack("<ii", 472, 3))
        for part in (time, self.name, text):
            send_string(self.sock, part)

    def hear(self):
        """[time, name, text]"""
        number = receive_int(self.sock)
        assert number == 372, number
        return receive_list(self.sock)

    def heard(self):
        """(name, text)"""
        return tuple(self.hear()[1:])

    def close(self):
        self.sock.close()


def main():
    port, name, count, texts = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    try:
        client = TcpRoomClient(port, name)
    except Refused:
        print("refused")
        return
    for line in client.history:
        print("history", *line)

    def listen():
        for _ in range(count):
            print("heard", *client.hear(), flush=True)

    print("joined", flush=True)
    listener = threading.Thread(target=listen)
    listener.start()
    for text in texts:
        client.say(text)
    listener.join()
    client.close()


if __name__ == "__main__":
    main()
