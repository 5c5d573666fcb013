//! A pseudo-terminal with a program on it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{until, wait_for_exit};

/// The terminal, and what runs there until it is dropped.
pub struct Pty {
    pub child: Child,
    keyboard: File,
    /// Kept open, so that the terminal outlives the program and can be looked at.
    line: File,
    /// What comes to be seen, in pieces.
    pub shown: mpsc::Receiver<Vec<u8>>,
}

impl Pty {
    /// Runs mynah with these arguments and these variables in the environment.
    pub fn start(args: &[&str], environment: &[(&str, &str)], (columns, rows): (u16, u16)) -> Pty {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let path = Path::new(OsStr::from_bytes(name.as_bytes()));
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path)
            .unwrap();
        set_size(&line, columns, rows);
        Pty {
            child: Command::new(env!("CARGO_BIN_EXE_mynah"))
                .args(args)
                .env("TERM", "xterm")
                .env_remove("NO_COLOR")
                .env_remove("MYNAH_PASSWORD")
                .envs(environment.iter().copied())
                .stdin(Stdio::from(line.try_clone().unwrap()))
                .stdout(Stdio::from(line.try_clone().unwrap()))
                .stderr(Stdio::from(line.try_clone().unwrap()))
                // A group of its own with its parent in the session: one that can be stopped.
                .process_group(0)
                .spawn()
                .unwrap(),
            shown: read_pieces(keyboard.try_clone().unwrap()),
            keyboard: keyboard.into(),
            line,
        }
    }

    /// Changes the size, which no process is told of: the terminal is nobody's.
    pub fn set_size(&self, columns: u16, rows: u16) {
        set_size(&self.line, columns, rows);
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the program is stopped, as by Ctrl-Z.
    pub fn wait_for_stop(&self) {
        let pid = Pid::from_child(&self.child);
        until("stop", || {
            let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
            let (_, status) = waitpid(Some(pid), options).unwrap()?;
            status.stopped().then_some(())
        });
    }

    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the end; the modes are as they were.
    pub fn expect_exit(&mut self, status: i32) {
        assert_eq!(wait_for_exit(&mut self.child).code(), Some(status));
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(line: &File, columns: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(line, size).unwrap();
}

fn read_pieces(from: OwnedFd) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let mut from = File::from(from);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}
