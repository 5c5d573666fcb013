//! A network of a test's own: hosts, each in a network namespace, joined by a bridge in another one. The
//! machine's own network never hears of it. Needs root, `ip` and `iptables`.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::or_skip;

/// Hosts on one /24 network, gone with the test, however that ends.
pub struct Network {
    hosts: Vec<Host>,
    /// Every namespace that is to be deleted.
    namespaces: Vec<String>,
}

/// One machine of it, with an interface `eth0` by which everything leaves.
pub struct Host {
    namespace: String,
    pub ip: Ipv4Addr,
}

/// What a chain of iptables counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

/// Where a broadcast goes that all hosts of a network hear.
pub const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);

impl Network {
    /// So many hosts, or a test that is skipped.
    pub fn of<const HOSTS: usize>() -> Option<Network> {
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        if !or_skip(is_possible(), "root with `ip netns` and iptables") {
            return None;
        }
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("mynah-{}-{number}", std::process::id());
        let mut network = Network {
            hosts: Vec::new(),
            namespaces: Vec::new(),
        };
        let bridge = network.namespace(&format!("{prefix}-bridge"));
        let add = "link add br0 up type bridge forward_delay 0 stp_state 0";
        ip_in(&bridge, add);
        for host in 1..=HOSTS {
            let namespace = network.namespace(&format!("{prefix}-{host}"));
            let ip = Ipv4Addr::new(10, 77, 0, host as u8);
            let port = format!("port{host}");
            ip_in(
                &namespace,
                &format!("link add eth0 type veth peer name {port} netns {bridge}"),
            );
            ip_in(&bridge, &format!("link set {port} up master br0"));
            ip_in(
                &namespace,
                &format!("address add {ip}/24 broadcast {BROADCAST} dev eth0"),
            );
            ip_in(&namespace, "link set eth0 up");
            ip_in(&namespace, "route add default dev eth0");
            network.hosts.push(Host { namespace, ip });
        }
        Some(network)
    }

    /// All of them.
    pub fn hosts<const HOSTS: usize>(&self) -> [&Host; HOSTS] {
        let hosts: Vec<&Host> = self.hosts.iter().collect();
        hosts.try_into().ok().expect("as many as were asked for")
    }

    fn namespace(&mut self, name: &str) -> String {
        run("ip", &["netns", "add", name]);
        self.namespaces.push(name.to_owned());
        ip_in(name, "link set lo up");
        name.to_owned()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.namespaces {
            // A panic here, during another one, would hide that.
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

impl Host {
    /// Does some work there: sockets that it opens and processes that it starts are that host's for ever.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        let enter = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            work()
        };
        // The thread ends there, and nobody has to find the way back.
        thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A port of it.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddrV4::new(self.ip, port).into()
    }

    /// Joins it to another host by a network of their own, `eth1` of both: the two addresses there.
    pub fn wire(&self, other: &Host) -> [Ipv4Addr; 2] {
        let ends = [(self, 1), (other, 2)];
        self.ip(&format!(
            "link add eth1 type veth peer name eth1 netns {}",
            other.namespace
        ));
        ends.map(|(host, last)| {
            let ip = Ipv4Addr::new(10, 78, 0, last);
            host.ip(&format!(
                "address add {ip}/24 broadcast 10.78.0.255 dev eth1"
            ));
            host.ip("link set eth1 up");
            ip
        })
    }

    /// Calls `ip` there, with arguments without spaces in them.
    pub fn ip(&self, arguments: &str) {
        ip_in(&self.namespace, arguments);
    }

    /// Calls iptables there, likewise.
    pub fn iptables(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = ["-w"].into_iter().chain(arguments.split(' ')).collect();
        self.within(|| run("iptables", &arguments))
    }

    /// Drops what a mesh says that a router would pass on: none of it should.
    pub fn hear_nothing_routable(&self) {
        self.iptables("-A INPUT -p udp --dport 5238 -m ttl ! --ttl-eq 1 -j DROP");
    }

    /// What the rules of a chain have counted, in their order.
    pub fn counts(&self, chain: &str) -> Vec<Count> {
        let listing = self.iptables(&format!("-L {chain} -v -n -x"));
        let rules = listing.lines().skip(2).map(|rule| {
            let mut numbers = rule.split_whitespace().map(|word| word.parse().unwrap());
            let mut number = || numbers.next().unwrap();
            Count {
                packets: number(),
                bytes: number(),
            }
        });
        rules.collect()
    }
}

/// Whether such networks can be made here.
pub fn is_possible() -> bool {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let name = format!(
        "mynah-{}-probe-{:?}",
        std::process::id(),
        thread::current().id()
    );
    if !works("ip", &["netns", "add", &name]) {
        return false;
    }
    let iptables = works("ip", &["netns", "exec", &name, "iptables", "-w", "-L"]);
    works("ip", &["netns", "delete", &name]) && iptables
}

fn ip_in(namespace: &str, arguments: &str) {
    let arguments: Vec<&str> = ["-n", namespace]
        .into_iter()
        .chain(arguments.split(' '))
        .collect();
    run("ip", &arguments);
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {}: {error}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}
