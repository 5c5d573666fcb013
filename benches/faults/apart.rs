//! Keeps apart what is measured and what measures it: in the field they are different machines. The server has one
//! processor, everybody else the others, and there who attacks goes behind who only chats.

use std::io;

use rustix::process::{Pid, nice};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Gives this program all processors but the first. To be called before there are threads; with one processor only, all
/// share it.
pub fn leave_one_processor() -> io::Result<()> {
    let mut rest = sched_getaffinity(None)?;
    if let Some(first) = first(&rest)
        && rest.count() > 1
    {
        rest.unset(first);
        sched_setaffinity(None, &rest)?;
    }
    Ok(())
}

/// Gives a server that has just begun the processor that this program has left, if it has.
pub fn place(server: Pid) -> io::Result<()> {
    let own = sched_getaffinity(None)?;
    let left = (0..first(&own).unwrap_or(0)).next_back();
    if let Some(left) = left {
        let mut one = CpuSet::new();
        one.set(left);
        sched_setaffinity(Some(server), &one)?;
    }
    Ok(())
}

/// Puts the calling thread behind the others of this program, for good.
pub fn step_back() {
    // Where this may not be, it attacks less and measures worse: both are seen in the figures.
    let _ = nice(10);
}

fn first(set: &CpuSet) -> Option<usize> {
    (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu))
}
