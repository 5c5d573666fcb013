"""A group server as people write them: a thread per client, a lock, a list of participants.

usage: group_server.py
Prints its port, then serves until its standard input ends. As servers out there do, it tells everybody of a
newcomer, the newcomer too, before it sends the list, and sends what is said to everybody, the sender too.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import sys
import threading

lock = threading.Lock()
participants = []  # (nickname, ip, port, socket)


def send_all(line):
    for _, _, _, sock in participants:
        sock.sendall(line.encode())


def error(sock, text):
    sock.sendall(("ERROR:%d:%s\r\n" % (len(text), text)).encode())


def receive(file):
    """A message, without what ends it; a BROADCAST is as long as it says."""
    line = file.readline()
    while line.startswith(b"BROADCAST:"):
        _, _, length, text = line.split(b":", 3)
        if len(text) >= int(length) + 2:
            break
        line += file.readline()
    return line[:-2].decode()


def serve(sock, address):
    file = sock.makefile("rb")
    me = None
    try:
        while True:
            line = receive(file)
            if not line:
                break
            command, _, rest = line.partition(":")
            with lock:
                if command == "REGISTER" and me is None:
                    nickname, ip, port = rest.split(":", 2)
                    if any(nickname == other[0] for other in participants):
                        error(sock, "nickname taken")
                        continue
                    me = (nickname, ip, port, sock)
                    participants.append(me)
                    send_all("UPDATE:JOIN:%s:%s:%s\r\n" % me[:3])
                    fields = ":".join("%s:%s:%s" % other[:3] for other in participants)
                    sock.sendall(("LIST:%s\r\n" % fields).encode())
                elif command == "BROADCAST" and me is not None:
                    send_all(line + "\r\n")
                else:
                    error(sock, "unknown command")
    except OSError:
        pass
    with lock:
        if me is not None:
            participants.remove(me)
            send_all("UPDATE:LEAVE:%s:%s:%s\r\n" % me[:3])
    file.close()
    sock.close()


def accept(listener):
    while True:
        sock, address = listener.accept()
        threading.Thread(target=serve, args=(sock, address), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdin.read()
