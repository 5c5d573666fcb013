//! Owns what is known of another process: its processor time and its memory, as `proc(5)` tells them. Knows not
//! what it does.

use std::time::Duration;
use std::{fs, io};

/// A process of this machine.
#[derive(Debug)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// Fails when there is none, or it may not be looked at.
    pub fn open(pid: u32) -> io::Result<Process> {
        let process = Process { pid };
        process.cpu()?;
        process.resident()?;
        Ok(process)
    }

    /// The processor time of all its threads together. Of a thread that runs at this moment up to a tick is missing.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds: u64 = 0;
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, "no such process"),
            _ => error,
        };
        for task in fs::read_dir(self.path("task")).map_err(missing)? {
            match fs::read_to_string(task?.path().join("schedstat")) {
                Ok(text) => {
                    let first = text.split_whitespace().next();
                    let spent: u64 = first
                        .and_then(|word| word.parse().ok())
                        .ok_or_else(|| io::Error::other("its schedstat cannot be read"))?;
                    nanoseconds = nanoseconds.saturating_add(spent);
                }
                // A thread that has just ended.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
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

/// How many processors this machine has, whatever this process is pinned to.
pub fn processors() -> usize {
    fs::read_to_string("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|list| count(list.trim()))
        .unwrap_or(1)
}

/// `0-3,8` are five.
fn count(list: &str) -> Option<usize> {
    list.split(',').try_fold(0, |sum: usize, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_and_its_figures_go_up() {
        let own = Process::open(std::process::id()).unwrap();
        let before = own.cpu().unwrap();
        let filled = std::hint::black_box(vec![1u8; 16 << 20]);
        assert!(own.resident().unwrap() >= filled.len() as u64);
        assert!(own.peak().unwrap() >= filled.len() as u64);
        assert!(own.cpu().unwrap() >= before);
    }

    #[test]
    fn one_that_is_not_there_is_said_to_be_missing() {
        // The kernel's limit is 2^22.
        let error = Process::open(u32::MAX).unwrap_err();
        assert_eq!(error.to_string(), "no such process");
    }

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(count("0"), Some(1));
        assert_eq!(count("0-1"), Some(2));
        assert_eq!(count("0-3,8,10-11"), Some(7));
        for broken in ["", "x", "3-1", "1-"] {
            assert_eq!(count(broken), None, "{broken:?}");
        }
        assert!(processors() >= 1);
    }
}
