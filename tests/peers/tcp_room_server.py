"""A tcp-room server as people write them: a thread per client, a lock, a list of the last lines.

usage: tcp_room_server.py
Prints its port, then serves until its standard input ends.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import struct
import sys
import threading

lock = threading.Lock()
clients = {}
history = []


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


def pack_list(strings):
    packed = struct.pack("<i", len(strings))
    for text in strings:
        data = text.encode("utf-8")
        packed += struct.pack("<i", len(data)) + data
    return packed


def serve(sock):
    name = None
    try:
        if receive_int(sock) != 471:
            return
        asked = receive_string(sock)
        with lock:
            if asked in clients:
                sock.sendall(struct.pack("?", False))
                return
            name = asked
            clients[name] = sock
            welcome = struct.pack("?", True) + struct.pack("<ii", 371, len(history))
            sock.sendall(welcome + b"".join(pack_list(line) for line in history))
        while receive_int(sock) == 472:
            line = [receive_string(sock) for _ in range(receive_int(sock))]
            with lock:
                history.append(line)
                del history[:-10]
                for other in clients.values():
                    other.sendall(struct.pack("<i", 372) + pack_list(line))
    except (EOFError, OSError):
        pass
    finally:
        with lock:
            if name is not None:
                del clients[name]
        sock.close()


def accept(listener):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdin.read()
