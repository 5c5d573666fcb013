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


def main():
    port, name, count, texts = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.sendall(struct.pack("<i", 471))
    send_string(sock, name)
    if not struct.unpack("?", receive(sock, 1))[0]:
        print("refused")
        return
    number, lines = receive_int(sock), receive_int(sock)
    assert number == 371, number
    for _ in range(lines):
        print("history", *receive_list(sock))

    def listen():
        for _ in range(count):
            number = receive_int(sock)
            assert number == 372, number
            print("heard", *receive_list(sock), flush=True)

    print("joined", flush=True)
    listener = threading.Thread(target=listen)
    listener.start()
    for text in texts:
        sock.sendall(struct.pack("<i", 472))
        sock.sendall(struct.pack("<i", 3))
        for part in ("10:20:30", name, text):
            send_string(sock, part)
    listener.join()
    sock.close()


main()
