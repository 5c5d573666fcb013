//! Owns one measurement after the other: starts what is measured, has it measured, stops it.

use std::io;
use std::path::Path;
use std::process;
use std::time::Duration;

use super::Failure;
use super::child::{Child, NoChild};
use super::floor;
use super::machine::Cpus;
use super::order::{Order, Place};
use super::settings;
use super::watch::Watch;
use crate::load::{self, Crowd, Mix, Outcome, Part, Plan, Verdict};
use crate::protocol::registry::Protocol;
use crate::report::{self, Round};

/// What measures.
pub struct Work<'a> {
    pub order: &'a Order,
    pub cpus: Cpus,
    pub watch: Watch,
    /// How many there were.
    pub runs: usize,
}

impl Work<'_> {
    /// The floor, if it is asked for, then the server. `None` where a signal came before there was anything.
    pub fn round(&mut self, plan: &Plan) -> Result<Option<Round>, Failure> {
        let floor = match self.order.floor {
            true => match self.floor(plan)? {
                Some(floor) => Some(floor),
                None => return Ok(None),
            },
            false => None,
        };
        let server = self.server(plan)?;
        Ok(server.map(|server| Round { server, floor }))
    }

    fn floor(&mut self, plan: &Plan) -> Result<Option<Outcome>, Failure> {
        let (kind, arguments) = floor::of(self.order, plan);
        let Some(mut child) = self.start("the floor", |_| Ok(arguments))? else {
            return Ok(None);
        };
        let plan = Plan {
            server: Some(child.id()),
            ..*plan
        };
        let address = child.address(floor::NAME);
        let address = address.ok_or_else(|| Failure::Other("the floor is nowhere".into()))?;
        let crowd = floor::crowd(self.order, kind, address)?;
        self.measure(floor::NAME, &plan, &crowd, Some(&mut child))
    }

    fn server(&mut self, plan: &Plan) -> Result<Option<Outcome>, Failure> {
        let order = self.order;
        let crowd = order.crowd();
        if !order.is_own {
            let parts = order.parts(|target| {
                Some(Place {
                    address: target.address?,
                    ucrp: None,
                })
            })?;
            let mix = self.mix(&parts)?;
            return self.measure(&crowd, plan, &mix, None);
        }
        let arguments = |home: &Path| settings::serve(&order.targets, plan, home);
        let Some(mut child) = self.start("the server", arguments)? else {
            return Ok(None);
        };
        let plan = Plan {
            server: Some(child.id()),
            ..*plan
        };
        let parts = order.parts(|target| {
            let mut address = child.address(target.protocol)?;
            if target.protocol == Protocol::UdpMesh {
                address.set_ip(settings::MESH_BROADCAST.into());
            }
            Some(Place {
                address,
                ucrp: child.address(Protocol::Ucrp),
            })
        })?;
        let mix = self.mix(&parts)?;
        self.measure(&crowd, &plan, &mix, Some(&mut child))
    }

    fn start(
        &mut self,
        what: &'static str,
        arguments: impl FnOnce(&Path) -> io::Result<Vec<String>>,
    ) -> Result<Option<Child>, Failure> {
        let (cpus, watch) = (&mut self.cpus, &mut self.watch);
        let started =
            cpus.starting(|| Child::start(what, arguments, || watch.interrupted().is_some()));
        match started {
            Ok(child) => Ok(Some(child)),
            Err(NoChild::Interrupted) => Ok(None),
            Err(NoChild::Failed(reason)) => Err(Failure::Other(reason)),
        }
    }

    /// `None` where a signal came before anything was heard. A child that ends meanwhile is a failure.
    fn measure<C: Crowd>(
        &mut self,
        whom: &str,
        plan: &Plan,
        crowd: &C,
        mut child: Option<&mut Child>,
    ) -> Result<Option<Outcome>, Failure> {
        let mut how_it_ended = |patience| child.as_mut().and_then(|child| child.ended(patience));
        let title = format!("{whom}, {}", report::title(plan));
        let mut look = |progress: &load::Progress| {
            let verdict = self.watch.look(&title, plan, progress);
            match how_it_ended(Duration::ZERO) {
                Some(_) => Verdict::Stop,
                None => verdict,
            }
        };
        let outcome = load::run(plan, crowd, &mut look);
        let patience = match &outcome {
            Ok(outcome) if outcome.deliveries.cut == 0 => Duration::ZERO,
            // It may be about to end.
            Ok(_) | Err(_) => GRACE,
        };
        if self.watch.interrupted().is_none()
            && let Some(how) = how_it_ended(patience)
        {
            return Err(Failure::Other(how));
        }
        let outcome = outcome.map_err(|failure| match failure {
            load::Failure::Plan(_) | load::Failure::Descriptors { .. } => {
                Failure::Usage(failure.to_string())
            }
            other => Failure::Other(other.to_string()),
        })?;
        if self.watch.interrupted().is_some() && outcome.deliveries.received == 0 {
            return Ok(None);
        }
        let rate = outcome.deliveries.received as f64 / outcome.deliveries.elapsed.as_secs_f64();
        let rate = report::with_thousands(rate);
        self.watch.done(&format!("{title}: {rate} deliveries/s"));
        Ok(Some(outcome))
    }

    /// The members of the next run. No two runs have the same names: an address that is slow to let go of its
    /// members is none that has to refuse the next ones.
    fn mix(&mut self, parts: &[Part]) -> Result<Mix, Failure> {
        let number = process::id() as usize + self.runs;
        self.runs += 1;
        let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
        let prefix: String = [letter(number / 26), letter(number)].iter().collect();
        Mix::new(parts, &prefix).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// From the end of a process's connections to its own.
const GRACE: Duration = Duration::from_millis(500);
