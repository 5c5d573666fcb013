//! Owns how a process that we start ends with us, whatever ends us.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Called by the child: when the process that started it ends, it is told to end as by a service manager.
pub fn end_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // It may have ended before it was asked for.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(io::Error::other(format!(
            "process {parent}, which started us, has ended"
        )));
    }
    Ok(())
}
