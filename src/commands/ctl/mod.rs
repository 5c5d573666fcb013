//! `mynah ctl`: asks a running server over its control socket, and shows what it says.

mod show;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use super::control;
use super::place::{self, Failure};
use crate::cli::{CtlArgs, CtlCommand};
use crate::config::Settings;
use crate::control::{Last, MAX_REASON_BYTES, Request, Whom};
pub(super) use show::Shown;

/// Asks, and shows the answer. Exit status 0 if it was done, 1 if not, 2 if the command line is wrong, 3 if nobody is
/// there whom it is for.
pub fn run(args: CtlArgs) -> ExitCode {
    place::end(ctl(args))
}

fn ctl(args: CtlArgs) -> Result<(), Failure> {
    let request = request(args.command)?;
    let settings = place::settings(&args.place, false)?;
    let path = socket(&settings)?;
    let mut shown = Shown::new(args.json);
    let last = control::ask(&path, &request, |line| shown.take(&request, line))?;
    let last = place::done(last)?;
    let text = shown.finish(&request, &last);
    // Who reads no more has what it wanted.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// Where the server listens for us.
pub(super) fn socket(settings: &Settings) -> Result<std::path::PathBuf, Failure> {
    settings.control_path().ok_or_else(|| {
        let why = "`control` is empty in the configuration: that server has no control socket";
        Failure::Other(why.to_owned())
    })
}

fn request(command: CtlCommand) -> Result<Request, Failure> {
    Ok(match command {
        CtlCommand::Members => Request::Members,
        CtlCommand::Rooms => Request::Rooms,
        CtlCommand::Kick {
            whom,
            address,
            room,
            reason,
        } => Request::Kick {
            whom: match address {
                true => whom.parse().map_err(usage)?,
                false => Whom::Named {
                    name: crate::chat::Name::parse(&whom).map_err(|error| {
                        usage(format!(
                            "{whom:?} is no name: {error}; with --address it is one of those"
                        ))
                    })?,
                    room,
                },
            },
            reason: reason_of(&reason)?,
        },
        CtlCommand::Ban {
            net,
            reason,
            time,
            force,
        } => Request::Ban {
            net,
            reason: reason_of(&reason)?,
            seconds: match time {
                Some(Duration::ZERO) => return Err(usage("--for 0s: a ban of no time is none")),
                // Less than a second is one.
                time => time.map(|time| time.as_secs().max(1)),
            },
            force,
        },
        CtlCommand::Unban { net } => Request::Unban { net },
        CtlCommand::Bans => Request::Bans,
        CtlCommand::Say { text } => Request::Say {
            text: text.join(" "),
        },
        CtlCommand::Reload => Request::Reload,
        CtlCommand::Drain => Request::Drain,
        CtlCommand::Stop => Request::Stop,
        CtlCommand::Metrics => Request::Metrics,
        CtlCommand::Status => Request::Status,
        CtlCommand::Accounts => Request::Accounts,
    })
}

fn reason_of(words: &[String]) -> Result<String, Failure> {
    let reason = words.join(" ");
    match reason.len() {
        0..=MAX_REASON_BYTES => Ok(reason),
        bytes => Err(usage(format!(
            "the reason has {bytes} bytes, and may have {MAX_REASON_BYTES}"
        ))),
    }
}

fn usage(reason: impl ToString) -> Failure {
    Failure::Usage(reason.to_string())
}

/// What is said of something that was done, to a person.
fn word(request: &Request, last: &Last) -> String {
    let count = last.count.unwrap_or_default();
    match request {
        Request::Kick { .. } => format!("kicked {count}"),
        Request::Ban { net, seconds, .. } => {
            let time = match seconds {
                Some(seconds) => {
                    let time = Duration::from_secs(*seconds);
                    format!("for {}", humantime::format_duration(time))
                }
                None => "for good".to_owned(),
            };
            format!("banned {net} {time}; {count} were in and are not any more")
        }
        Request::Unban { net } => format!("{net} is banned no more"),
        Request::Say { .. } => "said".to_owned(),
        Request::Reload if last.changes.is_empty() => "reloaded: nothing has changed".to_owned(),
        Request::Reload => "reloaded".to_owned(),
        Request::Drain => "draining: it stops when everybody has left".to_owned(),
        Request::Stop => "stopping".to_owned(),
        _ => "done".to_owned(),
    }
}
