//! Owns how the server is set that `mynah bench` starts: everything as by default, but what the load would run into.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::config::Target;
use crate::load::{Pace, Plan};
use crate::protocol::registry::Protocol;
use crate::server::Limits;

/// Where the members of a mesh hear each other on one machine.
pub const MESH_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// The arguments of a server for these protocols that keeps its files in `home`.
pub fn serve(targets: &[Target], plan: &Plan, home: &Path) -> io::Result<Vec<String>> {
    let settings = home.join("settings.toml");
    fs::write(&settings, toml(plan))?;
    let mut protocols: Vec<Protocol> = targets.iter().map(|target| target.protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let mut arguments = vec![
        "serve".to_string(),
        format!("--config={}", settings.display()),
        format!("--data-dir={}", home.join("data").display()),
        "--log-level=warn".to_string(),
        format!("--mesh-broadcast={MESH_BROADCAST}"),
    ];
    let listen = |protocol: &Protocol| format!("--listen={protocol}=127.0.0.1:0");
    arguments.extend(protocols.iter().map(listen));
    Ok(arguments)
}

/// This machine's members are exempt from most limits. What is left is raised where the plan would not fit, and no
/// further, so that memory is what it is by default.
fn toml(plan: &Plan) -> String {
    let defaults = Limits::default();
    let window = match plan.pace {
        Pace::Window(window) => window as usize,
        // What a second brings may wait.
        Pace::Rate(rate) => rate as usize,
    };
    // Everything that may be on its way at once, twice, with its frames.
    let under_way = window.saturating_mul(2 * (plan.payload + 256)).min(1 << 30);
    let backlog = defaults.lag.backlog_bytes.max(under_way);
    let mailing = defaults.mailing_bytes.max(under_way);
    let members = defaults.hub.members_per_room.max(plan.members + 1);
    let mut raised = Limits {
        mailing_bytes: mailing,
        ..defaults
    };
    raised.lag.backlog_bytes = backlog;
    raised.hub.members_per_room = members;
    // A room in each format and the ports, with what buffers have to spare.
    let output = defaults.output_bytes.max(under_way.saturating_mul(16));
    let output = output.max(raised.least_output_bytes());
    format!(
        "limits.members_per_room = {members}\n\
         limits.backlog_bytes = {backlog}\n\
         limits.mailing_bytes = {mailing}\n\
         limits.output_bytes = {output}\n\
         # A login is measured, not the strength of its password.\n\
         accounts.argon2_memory_kib = 1024\n\
         accounts.argon2_passes = 1\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::Service;
    use crate::config::Settings;

    fn settings(pace: Pace, members: usize, payload: usize) -> Settings {
        let plan = Plan {
            members,
            senders: 1,
            pace,
            payload,
            duration: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            logins_in_flight: 1,
            server: None,
        };
        let target = |protocol| Target {
            protocol,
            address: None,
        };
        let home = tempfile::tempdir().unwrap();
        let targets = [Protocol::Group, Protocol::Tcrp, Protocol::Group].map(target);
        let arguments = serve(&targets, &plan, home.path()).unwrap();
        let cli = Cli::try_parse_from(["mynah".to_string()].into_iter().chain(arguments)).unwrap();
        match cli.command {
            Command::Serve(args) => Settings::read(&args).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_that_fits_leaves_the_limits_as_they_are() {
        let settings = settings(Pace::Window(256), 10_000, 64);
        assert_eq!(settings.limits, Limits::default());
        let listen: Vec<Service> = settings.listen.iter().map(|one| one.service).collect();
        let wanted = [Protocol::Group, Protocol::Tcrp, Protocol::Ucrp];
        assert_eq!(listen, wanted.map(Service::Chat));
    }

    #[test]
    fn one_that_does_not_raises_them() {
        let limits = settings(Pace::Window(1000), 30_000, 4096).limits;
        assert!(limits.lag.backlog_bytes > 2 * 1000 * 4096);
        assert!(limits.mailing_bytes > 2 * 1000 * 4096);
        assert!(limits.output_bytes > 4 * limits.mailing_bytes);
        assert!(limits.hub.members_per_room > 30_000);
        let limits = settings(Pace::Window(1), 900_000, 64).limits;
        assert!(limits.output_bytes >= limits.least_output_bytes());
        // As much as may be set, and no more.
        let limits = settings(Pace::Window(u32::MAX), 2, 4096).limits;
        assert_eq!(limits.lag.backlog_bytes, 1 << 30);
    }
}
