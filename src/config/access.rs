//! Owns the keys of `[access.NAME]`: two rows for each service.

use ipnet::IpNet;

use super::key::{Key, Kind, Reload, Told, Unsaid, Wrong};
use super::{Service, Settings};
use crate::control::Prefix;
use crate::protocol::registry::Protocol;
use crate::server::Access;

const ALLOW: &str = "From where people may come to this service: a list of addresses and prefixes. With an empty one they \
                     may come from everywhere.";
const DENY: &str = "From where they may not come, whatever is allowed.";

/// The two rows of one service.
macro_rules! rows {
    ($($name:literal is $service:expr,)+) => {
        &[$(
            Key {
                name: concat!("access.", $name, ".allow"),
                doc: ALLOW,
                reload: Reload::Now,
                unsaid: Unsaid::Value,
                kind: Kind::Texts {
                    right: RIGHT,
                    get: |settings| shown(settings, $service, |access| &access.allow),
                    set: |settings, texts| put(settings, $service, texts, |access| &mut access.allow),
                },
            },
            Key {
                name: concat!("access.", $name, ".deny"),
                doc: DENY,
                reload: Reload::Now,
                unsaid: Unsaid::Value,
                kind: Kind::Texts {
                    right: RIGHT,
                    get: |settings| shown(settings, $service, |access| &access.deny),
                    set: |settings, texts| put(settings, $service, texts, |access| &mut access.deny),
                },
            },
        )+]
    };
}

pub(super) static ACCESS: &[Key] = rows! {
    "tcp-room" is Service::Chat(Protocol::TcpRoom),
    "group" is Service::Chat(Protocol::Group),
    "udp-room" is Service::Chat(Protocol::UdpRoom),
    "udp-login" is Service::Chat(Protocol::UdpLogin),
    "tcrp" is Service::Chat(Protocol::Tcrp),
    "ucrp" is Service::Chat(Protocol::Ucrp),
    "udp-mesh" is Service::Chat(Protocol::UdpMesh),
    "metrics" is Service::Metrics,
};

const RIGHT: &str = "a list of addresses and prefixes in quotes, as [\"192.0.2.1\", \"10.0.0.0/8\", \"2001:db8::/32\"]";

fn shown(settings: &Settings, service: Service, list: fn(&Access) -> &Vec<IpNet>) -> Vec<String> {
    let access = settings.access.get(&service);
    let nets = access.map_or(&[][..], |access| list(access));
    nets.iter()
        .map(|net| Prefix::from(*net).to_string())
        .collect()
}

fn put(
    settings: &mut Settings,
    service: Service,
    texts: &[String],
    list: fn(&mut Access) -> &mut Vec<IpNet>,
) -> Result<(), Wrong> {
    let nets = texts.iter().enumerate().map(|(number, text)| {
        read(text).map_err(|why| Wrong {
            item: Some(number),
            told: Told::Because(why),
        })
    });
    let nets = nets.collect::<Result<_, Wrong>>()?;
    let access = settings.access.entry(service).or_default();
    *list(access) = nets;
    // Who lets in everybody is as if nothing were said.
    settings
        .access
        .retain(|_, access| *access != Access::default());
    Ok(())
}

/// One network, or what is wrong with it.
fn read(text: &str) -> Result<IpNet, String> {
    let prefix = Prefix::parse(text).map_err(|error| error.to_string())?;
    match prefix.was_trimmed() {
        // It may be the length that is wrong.
        true => Err(format!(
            "it is one address in {prefix}; a network begins with its first"
        )),
        false => Ok(prefix.net()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_two_keys() {
        let wanted = Service::all()
            .flat_map(|service| ["allow", "deny"].map(|list| format!("access.{service}.{list}")));
        let names: Vec<&str> = ACCESS.iter().map(|key| key.name).collect();
        assert_eq!(names, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn each_is_about_its_own_service_and_list() {
        for key in ACCESS {
            let mut settings = Settings::default();
            let one = super::super::value::Value::Texts(vec!["10.0.0.0/8".to_owned()]);
            key.set(&mut settings, &one).unwrap();
            let (service, access) = settings.access.first_key_value().unwrap();
            let list = if access.allow.is_empty() {
                "deny"
            } else {
                "allow"
            };
            assert_eq!(format!("access.{service}.{list}"), key.name);
            key.set(
                &mut settings,
                &super::super::value::Value::Texts(Vec::new()),
            )
            .unwrap();
            assert_eq!(settings, Settings::default());
        }
    }
}
