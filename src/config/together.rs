//! Owns what has to go together: values that are right by themselves, and wrong beside others.

use std::net::IpAddr;

use super::error::{ConfigError, Origin, Problem};
use super::key::Key;
use super::merged::Merged;
use super::table::{CONTROL, LANES, LISTEN, MEMORY, PASSES};
use super::{Listen, Service};
use crate::protocol::registry::{Protocol, Transport};
use crate::reactor::MAX_SOCKET_PATH;
use crate::server::{Limits, MAX_PORTS};
use crate::store::CostError;

/// What all output may take, and what that depends on.
const OUTPUT: [&str; 4] = [
    "limits.output_bytes",
    "limits.members_per_room",
    "limits.backlog_bytes",
    "limits.mailing_bytes",
];

/// A rate of 0 a second is none.
pub(super) fn without_empty_rates(limits: &mut Limits) {
    for rate in [&mut limits.message_rate, &mut limits.datagram_rate] {
        rate.take_if(|rate| rate.per_second == 0);
    }
}

/// What one key may be depends on others, or on what every kernel refuses. Told at one of those that somebody set.
pub(super) fn check(merged: &Merged) -> Result<(), ConfigError> {
    check_sockets(merged)?;
    let settings = &merged.settings;
    let least = settings.limits.least_output_bytes();
    if settings.limits.output_bytes < least {
        let [output, others @ ..] = OUTPUT;
        let others = others.join(", ");
        let right = format!(
            "something that goes with the others; {output} is at least {least} with these {others}"
        );
        refuse(merged, &OUTPUT, right)?;
    }
    if let Err(error) = settings.hash_cost.check() {
        let key = match error {
            CostError::Memory { .. } => MEMORY,
            CostError::Passes { .. } => PASSES,
            CostError::Lanes { .. } => LANES,
        };
        let right = format!("something that goes with the others; together it is {error}");
        refuse(merged, &[key, MEMORY, PASSES, LANES], right)?;
    }
    Ok(())
}

fn check_sockets(merged: &Merged) -> Result<(), ConfigError> {
    let settings = &merged.settings;
    let is_port = |one: &&Listen| one.service.transport() == Transport::Udp;
    let ports = settings.listen.iter().filter(is_port).count();
    if ports > MAX_PORTS {
        let right = format!("up to {MAX_PORTS} of those that are UDP; these are {ports}");
        refuse(merged, &[LISTEN], right)?;
    }
    for (number, one) in settings.listen.iter().enumerate() {
        let is_mesh = one.service == Service::Chat(Protocol::UdpMesh);
        if is_mesh && one.address.is_ipv6() {
            let right = format!(
                "an IPv4 address for udp-mesh, not {}: it broadcasts, which IPv6 does not have",
                one.address
            );
            refuse(merged, &[LISTEN], right)?;
        }
        // Our IPv6 sockets take IPv6 alone, so the kernel refuses them such an address.
        if let IpAddr::V6(ip) = one.address.ip()
            && let Some(plain) = ip.to_ipv4_mapped()
        {
            let right = format!("an IPv4 address as such, {plain}, not {one}");
            refuse(merged, &[LISTEN], right)?;
        }
        let before = settings.listen.iter().take(number);
        if let Some(other) = before.clone().find(|other| is_taken(one, other)) {
            let right = format!("each address and port once; {other} and {one} are in one place");
            refuse(merged, &[LISTEN], right)?;
        }
    }
    if let Some(path) = settings.control_path()
        && path.as_os_str().len() > MAX_SOCKET_PATH
    {
        let right = format!("a path of up to {MAX_SOCKET_PATH} bytes, the data directory included");
        refuse(merged, &[CONTROL], right)?;
    }
    Ok(())
}

/// Whether the kernel gives a place to the one or the other. The address that is all of its family is each of them. Port 0
/// is another one each time, and in a mesh all share one.
fn is_taken(one: &Listen, other: &Listen) -> bool {
    let is_mesh = |one: &Listen| one.service == Service::Chat(Protocol::UdpMesh);
    let is_any = |one: &Listen| one.address.ip().is_unspecified();
    let overlap =
        one.address.is_ipv4() == other.address.is_ipv4() && (is_any(one) || is_any(other));
    one.address.port() == other.address.port()
        && (overlap || one.address == other.address)
        && one.service.transport() == other.service.transport()
        && one.address.port() != 0
        && !(is_mesh(one) && is_mesh(other))
}

/// An error at the first of the keys that is no default. The defaults go together, so there is one, but for what depends
/// on the machine: that is left to who meets it.
fn refuse(merged: &Merged, keys: &[&str], right: String) -> Result<(), ConfigError> {
    for key in keys.iter().filter_map(|name| Key::named(name)) {
        let origin = merged.origin(key);
        if *origin != Origin::Default {
            let got = key.get(&merged.settings).to_string();
            return Err(ConfigError {
                origin: origin.clone(),
                key: Some(key.name().to_owned()),
                problem: Problem::Value {
                    got: crate::chat::cut(&got, 160).to_owned(),
                    right,
                },
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn settings(text: &str) -> Settings {
        let merged = Merged::of_file(text.as_bytes());
        merged.unwrap_or_else(|error| panic!("{error}")).settings
    }

    fn said(text: impl AsRef<[u8]>) -> String {
        let said = Merged::of_file(text.as_ref()).unwrap_err().to_string();
        said.strip_prefix("mynah.toml:").unwrap().to_owned()
    }

    #[test]
    fn costs_that_do_not_go_together_are_told_at_one_of_them() {
        let said = said("[accounts]\nargon2_passes = 50\nargon2_memory_kib = 1048576\n");
        assert!(said.starts_with("2: accounts.argon2_passes: 50 "), "{said}");
        assert!(said.contains("1 to 4"), "{said}");
    }

    #[test]
    fn r37_a_budget_that_one_room_may_be_over_is_told_at_one_of_its_keys() {
        let least = Limits::default().least_output_bytes();
        let told =
            format!("limits.output_bytes is at least {least} with these limits.members_per_room, ");
        let too_little = said(format!("\nlimits.output_bytes = {}\n", least - 1));
        assert!(
            too_little.starts_with("2: limits.output_bytes: "),
            "{too_little}"
        );
        assert!(too_little.contains(&told), "{too_little}");
        let enough = settings(&format!("limits.output_bytes = {least}"));
        assert_eq!(enough.limits.output_bytes, least);
        for key in [
            "members_per_room = 1000000",
            "backlog_bytes = 33554432",
            "mailing_bytes = 33554432",
        ] {
            let said = said(format!("limits.rooms = 1\nlimits.{key}\n"));
            assert!(said.starts_with("2: limits."), "{said}");
            assert!(said.contains("limits.output_bytes is at least "), "{said}");
            settings(&format!("limits.{key}\nlimits.output_bytes = 134217728"));
        }
    }

    #[test]
    fn what_no_kernel_opens_is_told_before_it_is_asked() {
        for (text, right) in [
            ("listen = [\"udp-mesh=[::1]:1\"]", "IPv6 does not have"),
            (
                "listen = [\"group=127.0.0.1:1\", \"tcp-room=127.0.0.1:1\"]",
                "group=127.0.0.1:1 and tcp-room=127.0.0.1:1 are in one place",
            ),
            (
                "listen = [\"tcp-room=0.0.0.0:1\", \"group=127.0.0.1:1\"]",
                "tcp-room=0.0.0.0:1 and group=127.0.0.1:1 are in one place",
            ),
            (
                "listen = [\"udp-room=[::1]:1\", \"udp-login=[::]:1\"]",
                "udp-room=[::1]:1 and udp-login=[::]:1 are in one place",
            ),
            (
                "listen = [\"udp-mesh=0.0.0.0:1\", \"udp-room=127.0.0.1:1\"]",
                "are in one place",
            ),
            (
                "listen = [\"group=[::ffff:127.0.0.1]:1\"]",
                "an IPv4 address as such, 127.0.0.1, not group=[::ffff:127.0.0.1]:1",
            ),
            // The other half of tcrp is on the port behind it.
            (
                "listen = [\"udp-room=127.0.0.1:2\", \"tcrp=127.0.0.1:1\"]",
                "udp-room=127.0.0.1:2 and ucrp=127.0.0.1:2 are in one place",
            ),
        ] {
            let said = said(format!("\n\n{text}"));
            assert!(said.starts_with("3: listen: ["), "{said}");
            assert!(said.contains(right), "{said}");
        }
        let many = |count| format!("listen = [{}]", "\"udp-room=127.0.0.1:0\", ".repeat(count));
        settings(&many(256));
        let too_many = said(many(257));
        assert!(too_many.starts_with("1: listen: "), "{too_many}");
        assert!(too_many.contains("up to 256 of those that are UDP; these are 257"));
        for fine in [
            "group=127.0.0.1:0 group=127.0.0.1:0",
            "group=127.0.0.1:1 udp-room=127.0.0.1:1",
            "group=0.0.0.0:1 tcp-room=[::]:1",
            "group=127.0.0.1:1 tcp-room=127.0.0.2:1",
            "group=0.0.0.0:0 tcp-room=127.0.0.1:0",
            "udp-mesh=127.0.0.1:1 udp-mesh=127.0.0.1:1",
        ] {
            settings(&format!("listen = [\"{}\"]", fine.replace(' ', "\", \"")));
        }
        let path = format!("control = \"/{}\"", "x".repeat(107));
        let said = said(path);
        assert!(
            said.starts_with("1: control: ") && said.contains("107 bytes"),
            "{said}"
        );
        settings(&format!("control = \"/{}\"", "x".repeat(106)));
    }
}
