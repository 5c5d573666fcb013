"""A udp-login server as people write them: one socket, a dictionary of users in memory.

usage: udp_login_server.py [lossy]
Prints its port, then serves until its standard input ends. `lossy` drops the first copy of every request, and
the first answer to the second.
Written from the protocol's page; it shares nothing with mynah.
"""
import secrets
import socket
import sys
import threading

passwords = {}
sessions = {}  # sid: [name, address, what comes next, target]
latest = {}  # address: (seq, answer)


def serve(sock, lossy):
    seen = {}

    def send(address, text):
        sock.sendto(text.encode(), address)

    def others(name):
        return [session for session in sessions.values() if session[0] != name]

    def answer(kind, words, address):
        command = words[0]
        if kind == "C" and command == "LOGIN":
            return "PASSWORD existing" if words[1] in passwords else "PASSWORD new"
        if kind == "C" and command == "PASS":
            name, password = words[1], " ".join(words[2:])
            online = any(session[0] == name for session in sessions.values())
            if online or passwords.setdefault(name, password) != password:
                return "DENIED no"
            sid = secrets.token_hex(16)
            for session in others(name):
                send(session[1], "C 0 ARRIVED " + name)
            sessions[sid] = [name, address, None]
            return "WELCOME " + sid
        sid = words[0] if kind == "D" else words[1]
        session = sessions.get(sid)
        if session is None:
            return "GONE"
        name, _, state = session
        if kind == "D":
            session[2] = None
            if state == "PM":
                for other in others(name):
                    send(other[1], "D PM %s %s" % (name, " ".join(words[1:])))
                return "SENT %d" % len(others(name))
            if state == "DM":
                for other in sessions.values():
                    if other[0] == words[1]:
                        send(other[1], "D DM %s %s" % (name, " ".join(words[2:])))
                        return "SENT 1"
                return "NOUSER " + words[1]
            return "ERROR say PM or DM first"
        if command == "PM":
            session[2] = "PM"
            return "READY"
        if command == "DM":
            session[2] = "DM"
            return "USERS " + " ".join(session[0] for session in sessions.values())
        if command == "PING":
            return "PONG"
        if command == "EX":
            del sessions[sid]
            for other in others(name):
                send(other[1], "C 0 LEFT " + name)
            return "BYE"
        return "ERROR unknown command"

    while True:
        data, address = sock.recvfrom(4096)
        kind, seq, *words = data.decode().split(" ")
        key = address, seq
        seen[key] = seen.get(key, 0) + 1
        if lossy and seen[key] == 1:
            continue
        old = latest.get(address, (0, ""))
        if int(seq) > old[0]:
            old = latest[address] = int(seq), "C %s %s" % (seq, answer(kind, words, address))
        if int(seq) == old[0] and not (lossy and seen[key] == 2):
            send(address, old[1])


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
threading.Thread(target=serve, args=(sock, sys.argv[1:] == ["lossy"]), daemon=True).start()
sys.stdin.read()
