//! strace(1) at work on a server: it has system calls fail, and writes down which were made.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::logged::Logged;
use crate::support::serve::Mynah;
use crate::support::{until, wait_for_exit};

/// What it is to do, and what it has seen.
pub struct Tracer {
    words: Vec<String>,
    output: NamedTempFile,
}

/// One that was attached to a server which ran already.
pub struct Attached {
    tracer: Tracer,
    child: Child,
}

impl Tracer {
    /// Looks at these calls, and has those fail that `inject` says, as in `sendto:error=ENOBUFS:when=3`.
    pub fn new(calls: &str, inject: &[String]) -> Tracer {
        let output = NamedTempFile::new().unwrap();
        let file = output.path().to_str().unwrap();
        let mut words = ["strace", "-f", "-q", "-o", file]
            .map(str::to_owned)
            .to_vec();
        let expressions = inject.iter().map(|inject| format!("inject={inject}"));
        for expression in [format!("trace={calls}")].into_iter().chain(expressions) {
            words.extend(["-e".to_owned(), expression]);
        }
        Tracer { words, output }
    }

    /// Only where this file is what they are about.
    pub fn on(mut self, file: &Path) -> Tracer {
        self.words
            .extend(["-P", file.to_str().unwrap()].map(str::to_owned));
        self
    }

    /// What is to be put before a server's command. strace is the child, so that the server is ours to end.
    pub fn wrapper(&self) -> Vec<&str> {
        self.words
            .iter()
            .map(String::as_str)
            .chain(["-D"])
            .collect()
    }

    /// A server with one tcp-room, traced from the beginning.
    pub fn serve(&self) -> Logged {
        let wrapper = self.wrapper();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]);
        command.args([env!("CARGO_BIN_EXE_mynah"), "serve"]);
        command.args(["--listen", "tcp-room=127.0.0.1:0"]);
        Logged::start(command)
    }

    /// Begins with a server that runs. What this one waits with is among the calls, for that shows that the tracer is
    /// at work; `poke` has it wait again.
    pub fn attach(calls: &str, inject: &[String], server: &Mynah, poke: impl Fn()) -> Attached {
        let tracer = Tracer::new(&format!("{calls},epoll_wait"), inject);
        let mut command = Command::new(&tracer.words[0]);
        command.args(&tracer.words[1..]);
        command.args(["-p", &server.child.id().to_string()]);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        until("the tracer", || {
            poke();
            tracer.seen().contains("epoll_wait").then_some(())
        });
        Attached { tracer, child }
    }

    /// All that it saw, once the server has ended.
    pub fn seen_to_the_end(&self) -> String {
        until("the calls are written down", || {
            Some(self.seen()).filter(|seen| seen.contains("+++ exited"))
        })
    }

    fn seen(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }
}

impl Attached {
    /// Whether a call has failed already.
    pub fn injected(&self) -> bool {
        self.tracer.seen().contains("(INJECTED)")
    }

    /// Lets it go, and returns what was seen.
    pub fn detach(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        wait_for_exit(&mut self.child);
        self.tracer.seen()
    }
}
