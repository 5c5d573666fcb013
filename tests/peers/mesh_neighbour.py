"""A mesh peer as people write them: one socket on all addresses, pickle, a thread that listens.

usage: mesh_neighbour.py NAME BROADCAST [PICKLE_PROTOCOL]
Joins, says every line of its input, leaves at its end, and prints what it hears as JSON, an object a line.
Written from the protocol's page; it shares nothing with mynah.
"""
import json
import pickle
import socket
import sys
import threading
import time

PORT = 5238
NAME, BROADCAST = sys.argv[1], sys.argv[2]
PROTOCOL = int(sys.argv[3]) if len(sys.argv) > 3 else pickle.DEFAULT_PROTOCOL

joining, refused, welcomed = True, False, False
history = []
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", PORT))


def tell(**event):
    print(json.dumps(event), flush=True)


def send(number, username, message, address=BROADCAST):
    message = {"protocol_num": number, "username": username, "message": message}
    sock.sendto(pickle.dumps(message, protocol=PROTOCOL), (address, PORT))


def listen():
    global refused, welcomed
    while True:
        data, (address, _) = sock.recvfrom(4096)
        heard = pickle.loads(data)
        assert list(heard) == ["protocol_num", "username", "message"], heard
        number, name, message = heard.values()
        if number == 471 and not joining:
            if name == NAME:
                send(370, "", "", address)
            else:
                send(371, NAME, history[-10:], address)
        elif number == 370 and joining:
            refused = True
        elif number == 371 and not welcomed:
            welcomed = True
            for line in message:
                tell(event="line", line=line, responder=name)
        elif number == 472:
            history.append("> %s %s: %s" % (time.strftime("%H:%M:%S"), name, message))
            # "from" is a keyword.
            tell(event="message", **{"from": name, "text": message})


def main():
    global joining
    threading.Thread(target=listen, daemon=True).start()
    for wait in (0.5, 0.5, 1.0):
        send(471, NAME, "")
        time.sleep(wait)
    joining = False
    if refused:
        sys.exit("the name is taken")
    tell(event="joined", name=NAME, room="mesh")
    for line in sys.stdin:
        send(472, NAME, line.rstrip("\n"))


main()
