"""A udp-login client as people write them: a counter, a socket with a timeout, and a prompt.

usage: udp_login_client.py PORT NAME PASSWORD
Logs in, says each line of standard input in public and prints what comes; EX at the end of its input.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import sys


class UdpLoginClient:
    def __init__(self, port, host="127.0.0.1", source="127.0.0.1"):
        self.server = (host, port)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((source, 0))
        self.seq = 0
        self.sid = None
        self.name = None
        # What came while an answer was waited for.
        self.waiting = []
        self.bytes_sent = self.bytes_received = 0

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.bytes_sent += len(data)
        self.sock.sendto(data, self.server)

    def frame(self, timeout=20):
        self.sock.settimeout(timeout)
        data, sender = self.sock.recvfrom(4097)
        assert sender == self.server, sender
        assert len(data) <= 4096, len(data)
        self.bytes_received += len(data)
        return data.decode()

    def receive(self):
        """The next delivery, or answer that nobody waits for."""
        if self.waiting:
            return self.waiting.pop(0)
        return self.frame()

    def repeat(self, request):
        """Sends a request until its answer comes."""
        start = "C %s " % request.split(" ")[1]
        for attempt in range(7):
            self.send(request)
            try:
                while True:
                    # Hashing takes longer than anything else; an unloaded machine needs no repeats.
                    frame = self.frame(0.5 if attempt < 6 else 20)
                    if frame.startswith(start):
                        return frame[len(start):]
                    self.waiting.append(frame)
            except socket.timeout:
                pass
        raise EOFError("no answer to " + request)

    def command(self, text):
        self.seq += 1
        return self.repeat("C %d %s" % (self.seq, text))

    def data(self, text):
        self.seq += 1
        return self.repeat("D %d %s %s" % (self.seq, self.sid, text))

    def password(self, name, password):
        answer = self.command("PASS %s %s" % (name, password))
        if answer.startswith("WELCOME "):
            self.name, self.sid = name, answer.split(" ")[1]
        return answer

    def login(self, name, password):
        """The whole of it, the address proven; the first answer."""
        answer = self.command("LOGIN " + name)
        verdict = self.password(name, password)
        assert verdict.startswith("WELCOME "), verdict
        self.ping()
        return answer

    def ping(self):
        answer = self.command("PING " + self.sid)
        assert answer == "PONG", answer

    def say(self, text):
        """How many it went to."""
        answer = self.command("PM " + self.sid)
        assert answer == "READY", answer
        sent, count = self.data(text).split(" ")
        assert sent == "SENT", sent
        return int(count)

    def users(self):
        users, *names = self.command("DM " + self.sid).split(" ")
        assert users == "USERS", users
        return names

    def tell(self, target, text):
        self.users()
        return self.data(target + " " + text)

    def leave(self):
        answer = self.command("EX " + self.sid)
        assert answer == "BYE", answer


def main():
    client = UdpLoginClient(int(sys.argv[1]))
    print(client.login(sys.argv[2], sys.argv[3]), flush=True)
    for line in sys.stdin:
        print("sent to", client.say(line.rstrip("\n")), flush=True)
    client.leave()
    for frame in client.waiting:
        print(frame)


if __name__ == "__main__":
    main()
