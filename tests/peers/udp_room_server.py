"""A udp-room server as people write them: one socket, a dictionary of addresses.

usage: udp_room_server.py
Prints its port, then serves until its standard input ends.
Written from the protocol's page; it shares nothing with mynah.
"""
import socket
import sys
import threading

names = {}  # address: name


def serve(sock):
    def send(address, text):
        sock.sendto(text.encode(), address)

    def send_all(text):
        for address in names:
            send(address, text)

    while True:
        data, address = sock.recvfrom(1024)
        text = data.decode()
        tag = text[:3].upper()
        rest = text[3:].removeprefix(" ")
        mine = names.get(address)
        if tag == "UN|":
            holder = next((at for at, name in names.items() if name == rest), None)
            if holder == address:
                send(address, "[%s joined the server]" % rest)
            elif mine is not None:
                send(address, "[you are %s]" % mine)
            elif holder is not None:
                send(address, "[%s is taken]" % rest)
                send(holder, "[somebody asks for your name]")
            else:
                names[address] = rest
                send_all("[%s joined the server]" % rest)
        elif mine is None:
            if tag != "EX|":
                send(address, "[join first: UN| name]")
        elif tag == "PM|":
            send_all("%s: %s" % (mine, rest.split(": ", 1)[1]))
        elif tag == "DM|":
            receiver, said = rest.split("> ", 1)[1].split(": ", 1)
            at = next((at for at, name in names.items() if name == receiver), None)
            if at is None:
                send(address, "[%s is not online]" % receiver)
            else:
                send(at, "[DM] %s: %s" % (mine, said))
                send(address, "[DM to %s] %s" % (receiver, said))
        elif tag == "EX|":
            del names[address]
            send_all("[%s left the server]" % mine)
        else:
            send_all("%s: %s" % (mine, text))


sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
threading.Thread(target=serve, args=(sock,), daemon=True).start()
sys.stdin.read()
