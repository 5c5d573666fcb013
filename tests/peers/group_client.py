"""A group client as people write them: a socket, a file over it, a thread that prints.

usage: group_client.py PORT NICKNAME
Registers, broadcasts each line of standard input and prints what the server says; leaves at the end of its
input. Written from the protocol's page; it shares nothing with mynah.
"""
import secrets
import socket
import sys
import threading


class GroupClient:
    def __init__(self, port, host="127.0.0.1", source="127.0.0.1"):
        source = None if ":" in host else (source, 0)
        self.sock = socket.create_connection((host, port), timeout=20, source_address=source)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        self.nickname = None

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendall(data + b"\r\n")

    def receive(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        assert line.endswith(b"\r\n"), line
        return line[:-2].decode()

    def register(self, nickname, ip="10.9.8.7", udp_port=5000):
        """The participants, oneself last: [(nickname, ip, port)]."""
        self.nickname = nickname
        self.send("REGISTER:%s:%s:%d" % (nickname, ip, udp_port))
        command, _, rest = self.receive().partition(":")
        assert command == "LIST", command + ":" + rest
        fields = rest.split(":")
        assert len(fields) % 3 == 0, fields
        return list(zip(fields[::3], fields[1::3], fields[2::3]))

    def broadcast(self, text):
        self.send("BROADCAST:%s:%d:%s" % (self.nickname, len(text.encode()), text))

    def heard(self):
        """The next thing said by others: (nickname, text)."""
        command, nickname, length, text = self.receive().split(":", 3)
        assert command == "BROADCAST", command
        assert len(text.encode()) == int(length), (length, text)
        return nickname, text

    def error(self):
        command, length, text = self.receive().split(":", 2)
        assert command == "ERROR", (command, length, text)
        assert len(text.encode()) == int(length), (length, text)
        return text

    def close(self):
        self.file.close()
        self.sock.close()


class Direct:
    """What two clients say to each other without the server."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(20)
        self.file = sock.makefile("rb")

    def chat(self, text):
        data = text.encode()
        self.sock.sendall(b"CHAT:%d:%s\r\n" % (len(data), data))

    def receive(self):
        command, length, text = self.file.readline().decode().split(":", 2)
        assert command == "CHAT", command
        text = text[:-2]
        assert len(text.encode()) == int(length), (length, text)
        return text

    def close(self):
        self.file.close()
        self.sock.close()


class Phone:
    """The UDP port that a client registers, where sessions begin."""

    def __init__(self, address="127.0.0.1"):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 0))
        self.udp.settimeout(0.5)
        self.address, self.port = self.udp.getsockname()

    def start(self, ip, port):
        """Starts a session with who is there in the LIST."""
        listener = socket.create_server((self.address, 0))
        listener.settimeout(20)
        secret = secrets.token_hex(16)
        for _ in range(6):
            self.udp.sendto(b"INIT:%s:%d\r\n" % (secret.encode(), listener.getsockname()[1]), (ip, int(port)))
            try:
                data, sender = self.udp.recvfrom(1024)
            except socket.timeout:
                continue
            if sender == (ip, int(port)) and data == b"ACK:INIT:%s\r\n" % secret.encode():
                break
        else:
            raise EOFError("no ACK")
        while True:
            sock, (host, _) = listener.accept()
            if host == ip:
                listener.close()
                return Direct(sock)
            sock.close()

    def answer(self, participants):
        """Takes the next session that one of the participants starts: (nickname, session)."""
        self.udp.settimeout(20)
        while True:
            data, (ip, port) = self.udp.recvfrom(1024)
            names = [name for name, host, udp in participants if (host, int(udp)) == (ip, port)]
            if names and data.startswith(b"INIT:") and data.endswith(b"\r\n"):
                _, secret, tcp = data[:-2].split(b":")
                self.udp.sendto(b"ACK:INIT:%s\r\n" % secret, (ip, port))
                source = (self.address, 0)
                return names[0], Direct(socket.create_connection((ip, int(tcp)), 20, source))


def main():
    client = GroupClient(int(sys.argv[1]))
    print(client.register(sys.argv[2]), flush=True)

    def listen():
        try:
            while True:
                print(client.receive(), flush=True)
        except EOFError:
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    for line in sys.stdin:
        client.broadcast(line.rstrip("\n"))
    client.sock.shutdown(socket.SHUT_WR)
    listener.join()


if __name__ == "__main__":
    main()
