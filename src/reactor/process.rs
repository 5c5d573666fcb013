//! Owns what the kernel tells of this process: memory, descriptors, processor time. Asked only when somebody wants to
//! know. Knows nothing of what the process is for.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What was told; `None` is what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Time of all processors, in user mode and in the kernel.
    pub cpu: Option<Duration>,
    pub resident_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_descriptors: Option<u64>,
    pub max_descriptors: Option<u64>,
    /// Since 1970.
    pub started: Option<Duration>,
}

impl ProcessFigures {
    /// Asks for all of it, which reads two small files and takes a dozen system calls. How many descriptors are open only
    /// Linux from 6.2 on tells: to count them takes many milliseconds where there are ten thousand.
    pub fn read() -> ProcessFigures {
        let page = rustix::param::page_size() as u64;
        let (virtual_pages, resident_pages) = memory().unzip();
        ProcessFigures {
            cpu: clock(ClockId::ProcessCPUTime),
            resident_bytes: resident_pages.map(|pages| pages * page),
            virtual_bytes: virtual_pages.map(|pages| pages * page),
            open_descriptors: open_descriptors(),
            max_descriptors: getrlimit(Resource::Nofile).current,
            started: started(),
        }
    }
}

/// The pages of proc_pid_statm(5): all, and those that are resident.
fn memory() -> Option<(u64, u64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut fields = statm.split_ascii_whitespace();
    let (all, resident) = (fields.next()?, fields.next()?);
    Some((all.parse().ok()?, resident.parse().ok()?))
}

/// The size of the directory is how many are open, since Linux 6.2; before, it is zero.
fn open_descriptors() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

/// The beginning is told in ticks since the machine's (proc_pid_stat(5), field 22), and that is so long ago as the
/// clock says that counts from there.
fn started() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: u64 = start_ticks(&stat)?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let since_boot = Duration::from_millis(ticks * 1000 / ticks_per_second.max(1));
    let boot = now()?.checked_sub(clock(ClockId::Boottime)?)?;
    // Whole hundredths: the two clocks are not read at once, and a beginning does not change.
    let start = boot + since_boot;
    Some(Duration::from_millis(start.as_millis() as u64 / 10 * 10))
}

/// The program's name, in parentheses, may have spaces and parentheses of its own.
fn start_ticks(stat: &str) -> Option<&str> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(22 - 3)
}

fn now() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

fn clock(id: ClockId) -> Option<Duration> {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let before = ProcessFigures::read();
        assert!(before.resident_bytes.unwrap() > 1 << 20);
        assert!(before.virtual_bytes > before.resident_bytes);
        assert!(before.max_descriptors >= before.open_descriptors);
        let age = now().unwrap() - before.started.unwrap();
        assert!(age < Duration::from_secs(24 * 60 * 60), "{age:?}");
        // Other tests open and close some meanwhile, but not so many.
        let files: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let after = ProcessFigures::read();
        if let (Some(before), Some(after)) = (before.open_descriptors, after.open_descriptors) {
            assert!(after >= before + 100, "{before}, then {after}");
        }
        assert!(after.cpu > before.cpu);
        drop(files);
    }

    #[test]
    fn a_program_may_be_called_as_it_likes() {
        let rest: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("1 (a) (b 2 3) {}", rest.join(" "));
        assert_eq!(start_ticks(&stat), Some("22"));
        assert_eq!(start_ticks("1 (a) 3 4"), None);
        assert_eq!(start_ticks(""), None);
    }
}
