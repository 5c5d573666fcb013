//! Owns what is known of another process: its processor time and its memory, as `proc(5)` tells them. Knows not
//! what it does.

use std::time::Duration;
use std::{fs, io};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity};

/// How processors were used, in sum since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// For so long it ran,
    pub cpu: Duration,
    /// and for so long it could have run, and others did.
    pub waited: Duration,
}

impl Times {
    /// What was added since then.
    pub fn since(self, before: Times) -> Times {
        Times {
            cpu: self.cpu.saturating_sub(before.cpu),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// The times of the thread that asks.
pub fn own_times() -> io::Result<Times> {
    sum([fs::read_to_string("/proc/thread-self/schedstat")])
}

/// Of threads: those that have just ended do not count, but if none is there nothing is known.
fn sum(threads: impl IntoIterator<Item = io::Result<String>>) -> io::Result<Times> {
    let mut sum = None;
    for text in threads {
        let text = match text {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        let mut words = text.split_whitespace();
        let mut next = || -> Option<u64> { words.next()?.parse().ok() };
        let (Some(cpu), Some(waited)) = (next(), next()) else {
            return Err(io::Error::other("its schedstat cannot be read"));
        };
        let sum = sum.get_or_insert(Times::default());
        sum.cpu = sum.cpu.saturating_add(Duration::from_nanos(cpu));
        sum.waited = sum.waited.saturating_add(Duration::from_nanos(waited));
    }
    sum.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "there is no schedstat here"))
}

/// A process of this machine.
#[derive(Debug)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// Fails when there is none, or it may not be looked at.
    pub fn open(pid: u32) -> io::Result<Process> {
        let process = Process { pid };
        match process.times() {
            // Its memory can be measured all the same.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            times => drop(times?),
        }
        process.resident()?;
        Ok(process)
    }

    /// The times of all its threads together. Of a thread that runs at this moment up to a tick is missing. It is an
    /// error of kind `Unsupported` where the kernel counts none.
    pub fn times(&self) -> io::Result<Times> {
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, "no such process"),
            _ => error,
        };
        let tasks = fs::read_dir(self.path("task")).map_err(missing)?;
        sum(tasks.map(|task| fs::read_to_string(task?.path().join("schedstat"))))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most that was resident since the process began, or since [`reset_peak`](Process::reset_peak).
    pub fn peak(&self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// Begins a new peak at what is resident now. Not everybody may: without it, the peak is that of the whole life.
    pub fn reset_peak(&self) -> io::Result<()> {
        fs::write(self.path("clear_refs"), "5")
    }

    fn status(&self, field: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.path("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes: Option<u64> =
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let bytes = kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024));
        bytes.ok_or_else(|| io::Error::other(format!("it has no {field} (has it ended?)")))
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid)
    }
}

/// Whether this thread and that process (if it is known) have more than one processor between them, as they are pinned
/// now: so one may run without ever waiting, and not be in the way of the other.
pub fn have_processors(process: Option<&Process>) -> bool {
    let own = sched_getaffinity(None).ok();
    let pid = process.and_then(|process| Pid::from_raw(i32::try_from(process.pid).ok()?));
    let other = pid.and_then(|pid| sched_getaffinity(Some(pid)).ok());
    own.is_some_and(|own| are_several(&own, other.as_ref()))
}

fn are_several(own: &CpuSet, other: Option<&CpuSet>) -> bool {
    let allowed = |cpu: &usize| own.is_set(*cpu) || other.is_some_and(|other| other.is_set(*cpu));
    (0..CpuSet::MAX_CPU).filter(allowed).nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_and_its_figures_go_up() {
        let own = Process::open(std::process::id()).unwrap();
        let before = own.times().unwrap();
        own_times().unwrap();
        let filled = std::hint::black_box(vec![1u8; 16 << 20]);
        assert!(own.resident().unwrap() >= filled.len() as u64);
        assert!(own.peak().unwrap() >= filled.len() as u64);
        assert!(own.times().unwrap().cpu >= before.cpu);
    }

    #[test]
    fn one_that_is_not_there_is_said_to_be_missing() {
        // The kernel's limit is 2^22.
        let error = Process::open(u32::MAX).unwrap_err();
        assert_eq!(error.to_string(), "no such process");
    }

    #[test]
    fn times_are_summed_and_what_is_unknown_is_not_zero() {
        let text = |text: &str| Ok(text.to_string());
        let ended = || Err(io::ErrorKind::NotFound.into());
        let told = sum([text("5000 70 9\n"), ended(), text("1000 1 2\n")]).unwrap();
        let nanos = Duration::from_nanos;
        let wanted = Times {
            cpu: nanos(6000),
            waited: nanos(71),
        };
        assert_eq!(told, wanted);
        assert_eq!(wanted.since(told), Times::default());
        let error = sum([ended(), ended()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(sum([text("5000\n")]).is_err());
        assert!(sum([text("x 1 2\n")]).is_err());
        assert!(sum([Err(io::ErrorKind::PermissionDenied.into())]).is_err());
    }

    #[test]
    fn two_processors_are_enough_whoever_may_use_them() {
        let set = |cpus: &[usize]| {
            let mut set = CpuSet::new();
            cpus.iter().for_each(|cpu| set.set(*cpu));
            set
        };
        for (own, other, wanted) in [
            (&[0][..], None, false),
            (&[0, 1], None, true),
            (&[0], Some(&[0][..]), false),
            (&[3], Some(&[3]), false),
            (&[1], Some(&[0]), true),
            (&[0], Some(&[0, 1]), true),
            (&[0, 1], Some(&[0]), true),
        ] {
            let other_set = other.map(set);
            let told = are_several(&set(own), other_set.as_ref());
            assert_eq!(told, wanted, "{own:?} {other:?}");
        }
    }
}
