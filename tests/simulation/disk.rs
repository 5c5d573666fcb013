//! Owns the helper thread as a run has it: one job after the other, saves first, each taking its virtual
//! time; and the disk that it writes to, on which every step of a save fails sometimes.
//!
//! A save is modelled by the steps that `store::save` takes. Until the rename the file is the old one, from then on
//! the new one, whatever fails behind it; a power cut may still bring the old one back as long as the folder was not
//! synced. What is read after a crash is therefore always a whole file, and never older than the last save that
//! was acknowledged.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mynah::store::{self, Done, Form, HashError, Job, Snapshot};

use crate::rng::Rng;

/// One worker with one disk.
pub struct Disk {
    rng: Rng,
    /// One write in so many fails; never if zero. For hashes there is as rarely no memory.
    pub failing: usize,
    waiting: Vec<Job>,
    current: Option<(Instant, Job)>,
    /// What is read from the file.
    file: Option<Vec<u8>>,
    /// What is read from it after a power cut, at the least.
    synced: Option<Vec<u8>>,
    /// The accounts in that.
    kept: store::Accounts,
    pub saved: u64,
    pub failed: u64,
    /// Those that failed when the file was the new one already.
    pub failed_late: u64,
    pub not_hashed: u64,
}

/// How a server ends that is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process is killed.
    Kill,
    /// And what the disk does not have for good is gone.
    PowerCut,
}

/// The steps of a save: a new file is made, written, synced; the old one gets a second name; the new one is renamed;
/// the folder is synced.
const STEPS: usize = 6;
/// The file is the new one from this step on.
const RENAMED: usize = 5;

impl Disk {
    pub fn new(seed: u64, failing: usize, file: Option<Vec<u8>>) -> Disk {
        let mut disk = Disk {
            rng: Rng::new(seed),
            failing,
            waiting: Vec::new(),
            current: None,
            synced: file.clone(),
            file,
            kept: store::Accounts::new(),
            saved: 0,
            failed: 0,
            failed_late: 0,
            not_hashed: 0,
        };
        disk.kept = disk.load();
        disk
    }

    /// The accounts, as a server finds them that starts.
    pub fn load(&self) -> store::Accounts {
        match &self.file {
            Some(bytes) => store::decode(bytes).expect("a whole file").0,
            None => store::Accounts::new(),
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
        if !job.is_save() && self.fails(8) {
            self.not_hashed += 1;
            let (Job::Verify { ticket, .. }
            | Job::Hash { ticket, .. }
            | Job::Save { ticket, .. }
            | Job::SaveBans { ticket, .. }) = job;
            let error = HashError;
            return Some(Done::NotHashed { ticket, error });
        }
        match job {
            Job::Save {
                ticket, snapshot, ..
            } => Some(Done::Saved {
                ticket,
                generation: snapshot.generation(),
                result: self.save(&snapshot),
            }),
            job => Some(job.run()),
        }
    }

    /// The server is gone, and with it what it wanted done. A save was anywhere.
    pub fn crash(&mut self, crash: Crash) {
        if let Some((_, Job::Save { snapshot, .. })) = self.current.take()
            && self.rng.below(STEPS + 1) >= RENAMED
        {
            self.file = Some(document(&snapshot));
        }
        self.waiting.clear();
        if crash == Crash::PowerCut && self.rng.once_in(2) {
            self.file = self.synced.clone();
        }
        self.sync();
    }

    /// Whether that account would survive a power cut.
    pub fn has(&self, name: &str) -> bool {
        self.kept.get(name).is_some()
    }

    fn fails(&mut self, times: usize) -> bool {
        self.failing > 0 && self.rng.once_in(self.failing * times)
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

    fn save(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let fails_at = match self.fails(1) {
            true => self.rng.below(STEPS),
            false => STEPS,
        };
        if fails_at >= RENAMED {
            self.file = Some(document(snapshot));
        }
        if fails_at < STEPS {
            self.failed += 1;
            self.failed_late += u64::from(fails_at >= RENAMED);
            return Err(ErrorKind::StorageFull.into());
        }
        self.sync();
        self.saved += 1;
        Ok(())
    }

    fn sync(&mut self) {
        self.synced = self.file.clone();
        self.kept = self.load();
    }
}

fn document(snapshot: &Snapshot) -> Vec<u8> {
    let document = store::encode(snapshot);
    let (_, form) = store::decode(&document).expect("what is written can be read");
    assert_eq!(form, Form::Hashed, "a password in plain is written");
    document
}
