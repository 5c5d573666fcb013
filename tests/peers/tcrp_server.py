"""A TCRP and UCRP server as people write them: headers of 32 bytes, a dictionary of rooms.

usage: tcrp_server.py
Prints its TCP port and its UDP port, then serves until its standard input ends. As servers out there do, it
takes the payload for the name as it stands, with the quotes of its JSON, and relays it so.
Written from the protocol's page; it shares nothing with mynah.
"""
import json
import secrets
import socket
import sys
import threading

lock = threading.Lock()
rooms = {}  # name: {"host": token, "members": {token: [username, address]}}


def receive(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def request(sock):
    head = receive(sock, 32)
    room = receive(sock, head[0]).decode()
    username = receive(sock, int.from_bytes(head[3:], "big")).decode()

    def send(state, payload):
        data = json.dumps(payload).encode()
        start = bytes([len(room.encode()), head[1], state]) + len(data).to_bytes(29, "big")
        sock.sendall(start + room.encode() + data)

    with lock:
        error = None
        if head[1] == 1 and room in rooms:
            error = "room exists"
        if head[1] == 2 and room not in rooms:
            error = "no such room"
        if error:
            send(1, {"success": 0, "error": error})
            send(2, {"token": ""})
            return
        token = "token_" + secrets.token_hex(16)
        made = rooms.setdefault(room, {"host": token, "members": {}})
        made["members"][token] = [username, None]
        send(1, {"success": 1})
        send(2, {"token": token})


def control(listener):
    while True:
        sock, _ = listener.accept()
        try:
            request(sock)
        except (EOFError, OSError):
            pass
        sock.close()


def chat(sock):
    while True:
        data, address = sock.recvfrom(4096)
        room_end, token_end = 2 + data[0], 2 + data[0] + data[1]
        name, token = data[2:room_end].decode(), data[room_end:token_end].decode()
        text = data[token_end:]
        with lock:
            room = rooms.get(name)
            if room is None or token not in room["members"]:
                continue
            member = room["members"][token]
            others = [at for key, (_, at) in room["members"].items() if key != token and at]
            if text == b"__REGISTER__":
                member[1] = address
            elif text == b"__LEAVE__":
                del room["members"][token]
                if token == room["host"]:
                    del rooms[name]
                    for at in others:
                        sock.sendto(b"__ROOM_CLOSED__", at)
            else:
                sender = member[0].encode()
                for at in others:
                    sock.sendto(bytes([len(sender)]) + sender + text, at)


listener = socket.create_server(("127.0.0.1", 0))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], datagrams.getsockname()[1], flush=True)
threading.Thread(target=control, args=(listener,), daemon=True).start()
threading.Thread(target=chat, args=(datagrams,), daemon=True).start()
sys.stdin.read()
