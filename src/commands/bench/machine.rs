//! Owns what there is to know of this machine, and which of its processors server and generator are kept on.

use std::{fs, io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::report::{Machine, Pinned};

/// A processor for those whom we start, and another for us.
pub struct Cpus {
    pinned: Option<Pinned>,
}

impl Cpus {
    /// The first two that this process may run on. With fewer there is nothing to choose.
    pub fn choose() -> Cpus {
        let allowed = sched_getaffinity(None);
        let pinned = allowed.ok().and_then(|allowed| {
            let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
            Some(Pinned {
                server: cpus.next()?,
                generator: cpus.next()?,
            })
        });
        Cpus { pinned }
    }

    /// Leaves everything where the kernel likes it.
    pub fn unpinned() -> Cpus {
        Cpus { pinned: None }
    }

    /// Does what starts a child while this process is where the child shall be: it and all its threads stay there.
    /// Then this process is on its own processor, for good.
    pub fn starting<T>(&mut self, start: impl FnOnce() -> T) -> T {
        let Some(pinned) = self.pinned else {
            return start();
        };
        let mut is_pinned = pin(pinned.server);
        let started = start();
        // Even then: the two on one processor would be worst.
        let own = pin(pinned.generator);
        is_pinned = is_pinned.and(own);
        if is_pinned.is_err() {
            self.pinned = None;
        }
        started
    }

    pub fn pinned(&self) -> Option<Pinned> {
        self.pinned
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// What stands above the table; how TCP sends only where that matters. To be called before anything is pinned.
pub fn facts(is_over_tcp: bool) -> Machine {
    let control = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    let control = control.ok().filter(|_| is_over_tcp);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": "));
    Machine {
        cpus: thread::available_parallelism().map_or(1, usize::from),
        model: model.map(|(_, name)| name.trim().into()),
        kernel: format!("Linux {}", release.trim()),
        congestion_control: control.map(|name| name.trim().into()),
        pinned: None,
    }
}
