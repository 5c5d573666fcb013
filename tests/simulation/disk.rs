//! Owns the helper thread as a run has it: one job after the other, saves first, each taking its virtual
//! time; and the disk that it writes to, which sometimes refuses.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mynah::store::{self, Done, Job};

use crate::rng::Rng;

/// One worker with one disk.
pub struct Disk {
    rng: Rng,
    /// One write in so many fails; never if zero.
    failing: usize,
    waiting: Vec<Job>,
    current: Option<(Instant, Job)>,
    /// What a restart would find.
    kept: store::Accounts,
    pub saved: u64,
    pub failed: u64,
}

impl Disk {
    pub fn new(seed: u64, failing: usize) -> Disk {
        Disk {
            rng: Rng::new(seed),
            failing,
            waiting: Vec::new(),
            current: None,
            kept: store::Accounts::new(),
            saved: 0,
            failed: 0,
        }
    }

    pub fn take(&mut self, job: Job, now: Instant) {
        self.waiting.push(job);
        self.begin(now);
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.current.as_ref().map(|(due, _)| *due)
    }

    /// What is done by now, if anything.
    pub fn finish(&mut self, now: Instant) -> Option<Done> {
        let (_, job) = self.current.take_if(|(due, _)| *due <= now)?;
        self.begin(now);
        match job {
            Job::Save {
                ticket, snapshot, ..
            } => Some(Done::Saved {
                ticket,
                generation: snapshot.generation(),
                result: self.write(&store::encode(&snapshot)),
            }),
            job => Some(job.run()),
        }
    }

    /// Whether that account would survive a power cut.
    pub fn has(&self, name: &str) -> bool {
        self.kept.get(name).is_some()
    }

    fn begin(&mut self, now: Instant) {
        if self.current.is_some() || self.waiting.is_empty() {
            return;
        }
        let first = self.waiting.iter().position(Job::is_save).unwrap_or(0);
        let job = self.waiting.remove(first);
        let time = Duration::from_millis(1 + self.rng.below(80) as u64);
        self.current = Some((now + time, job));
    }

    fn write(&mut self, document: &[u8]) -> io::Result<()> {
        if self.failing > 0 && self.rng.once_in(self.failing) {
            self.failed += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        let (accounts, _) = store::decode(document).expect("what is written can be read");
        self.kept = accounts;
        self.saved += 1;
        Ok(())
    }
}
