"""A server that welcomes whoever comes: programs that know nothing of that show it as a line of somebody's."""
import scenario
from group_client import GroupClient
from scenario import equal, port
from tcp_room_client import TcpRoomClient
from tcrp_client import CREATE, UcrpClient, ask
from udp_login_client import UdpLoginClient
from udp_room_client import UdpRoomClient

SERVER = "<server>"
LINES = ["be welcome", "and kind"]


def everybody():
    tcp = TcpRoomClient(port("tcp-room"), "tcp")
    equal([tcp.heard()[-2:] for _ in LINES], [(SERVER, line) for line in LINES])
    group = GroupClient(port("group"))
    group.register("group")
    equal([group.heard() for _ in LINES], [(SERVER, line) for line in LINES])
    udp = UdpRoomClient(port("udp-room"))
    udp.join("udp")
    equal([udp.receive() for _ in LINES], ["%s: %s" % (SERVER, line) for line in LINES])
    login = UdpLoginClient(port("udp-login"))
    login.login("login", "pw")
    login.ping()
    equal([login.receive() for _ in LINES], ["D PM %s %s" % (SERVER, line) for line in LINES])
    ucrp = UcrpClient(port("ucrp"), "den", ask(port("tcrp"), CREATE, "den", "ucrp"))
    ucrp.register()
    equal([ucrp.receive() for _ in LINES], [(SERVER, line) for line in LINES])
    # All goes on as ever.
    tcp.say("hi")
    equal(tcp.heard()[-2:], ("tcp", "hi"))


scenario.run(globals())
