//! Owns the bans as the disk has them, or will have: what is written, and who waits for it. Knows no thread and no disk,
//! and turns nobody away: that is `bans`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::control::{Asker, Verdict};
use crate::control::{ErrorKind, Last};
use crate::store::{Job, KeptBan, MAX_BANS};

/// What the server is to know about bans.
#[derive(Clone, Debug, Default)]
pub struct BanSettings {
    /// Those that there are.
    pub bans: Vec<KeptBan>,
    /// Where they are saved. `None` where there is no folder for it: they last as long as the server.
    pub path: Option<PathBuf>,
}

/// All bans, and their file.
#[derive(Debug, Default)]
pub(super) struct Book {
    path: Option<PathBuf>,
    /// Shared with the job that writes them.
    bans: BTreeMap<IpNet, Arc<KeptBan>>,
    /// One more with every change.
    generation: u64,
    /// Of the save that is under way.
    saving: Option<u64>,
    waiting: Vec<Waiting>,
    job: Option<Job>,
}

/// Somebody who is told once the disk has it.
#[derive(Debug)]
struct Waiting {
    asker: Asker,
    generation: u64,
    change: Change,
    last: Last,
}

/// What somebody had done to the bans.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Banned,
    Lifted,
}

impl Book {
    pub(super) fn new(settings: BanSettings) -> Book {
        let bans = settings
            .bans
            .into_iter()
            .map(|ban| (ban.net, Arc::new(ban)));
        Book {
            path: settings.path,
            bans: bans.collect(),
            ..Book::default()
        }
    }

    /// Those that hold, by address.
    pub(super) fn iter(&self, unix_time: u64) -> impl Iterator<Item = &KeptBan> {
        let bans = self.bans.values().map(Arc::as_ref);
        bans.filter(move |ban| ban.holds(unix_time))
    }

    /// Whether a ban of that prefix may be entered.
    pub(super) fn has_room(&self, net: IpNet, unix_time: u64) -> bool {
        self.bans.len() < MAX_BANS
            || self.bans.contains_key(&net)
            || self.iter(unix_time).count() < MAX_BANS
    }

    /// Enters a ban, instead of what there was of the same prefix.
    pub(super) fn enter(&mut self, ban: KeptBan) {
        self.generation += 1;
        self.bans.insert(ban.net, Arc::new(ban));
    }

    /// Strikes a ban out; `false` when there is none that holds.
    pub(super) fn strike(&mut self, net: IpNet, unix_time: u64) -> bool {
        self.generation += 1;
        let struck = self.bans.remove(&net);
        struck.is_some_and(|ban| ban.holds(unix_time))
    }

    /// Has it written down; whoever asks is told `last` then, or at once where nothing is kept.
    pub(super) fn save_for(
        &mut self,
        asker: Asker,
        change: Change,
        last: Last,
        unix_time: u64,
    ) -> Option<Last> {
        if self.path.is_none() {
            let note = "it lasts as long as this server: there is no data directory";
            return Some(match change {
                Change::Banned => last.with_note(note),
                Change::Lifted => last,
            });
        }
        self.waiting.push(Waiting {
            asker,
            generation: self.generation,
            change,
            last,
        });
        self.save(unix_time);
        None
    }

    /// Those that are over are not written any more.
    fn save(&mut self, unix_time: u64) {
        let Some(path) = self.path.clone().filter(|_| self.saving.is_none()) else {
            return;
        };
        self.bans.retain(|_, ban| ban.holds(unix_time));
        self.saving = Some(self.generation);
        self.job = Some(Job::SaveBans {
            ticket: 0,
            path,
            bans: self.bans.values().cloned().collect(),
        });
    }

    /// What is to be done elsewhere.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        self.job.take()
    }

    /// Whether somebody waits for the disk.
    pub(super) fn is_waited_for(&self) -> bool {
        self.saving.is_some()
    }

    /// The disk has what it was given, or would not take it.
    pub(super) fn saved(
        &mut self,
        result: io::Result<()>,
        unix_time: u64,
        verdicts: &mut impl Extend<Verdict>,
    ) {
        let Some(generation) = self.saving.take() else {
            debug_assert!(false, "invariant: a save that nobody asked for");
            return;
        };
        if let (Err(error), Some(path)) = (&result, &self.path) {
            log::error!("{} cannot be written: {error}", path.display());
        }
        let (settled, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.generation <= generation);
        self.waiting = left;
        verdicts.extend(settled.into_iter().map(|waiting| Verdict {
            asker: waiting.asker,
            last: match &result {
                Ok(()) => waiting.last,
                Err(error) => Last::error(
                    ErrorKind::Failed,
                    format!("{}: {error}", waiting.change.only_for_now()),
                ),
            },
        }));
        if !self.waiting.is_empty() {
            self.save(unix_time);
        }
    }
}

impl Change {
    /// What is said where the disk did not take it.
    fn only_for_now(self) -> &'static str {
        match self {
            Change::Banned => "it holds until this server ends, but could not be saved",
            Change::Lifted => {
                "it is lifted until this server ends, but that could not be saved, and the next one holds it again"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::encode_bans;

    const PATH: &str = "/nowhere/bans.json";

    fn book() -> Book {
        Book::new(BanSettings {
            bans: vec![ban("10.0.0.0/8", Some(50))],
            path: Some(PATH.into()),
        })
    }

    fn ban(net: &str, until: Option<u64>) -> KeptBan {
        KeptBan {
            net: net.parse().unwrap(),
            reason: String::new(),
            since: 0,
            until,
        }
    }

    fn written(book: &mut Book) -> String {
        match book.next_job() {
            Some(Job::SaveBans { bans, .. }) => {
                let bytes = encode_bans(bans.iter().map(Arc::as_ref));
                String::from_utf8(bytes).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_bans_is_told_when_the_disk_has_it() {
        let (mut book, mut verdicts) = (book(), Vec::new());
        book.enter(ban("192.0.2.7/32", None));
        assert_eq!(
            book.save_for(Asker::of_test(1), Change::Banned, Last::done(), 10),
            None
        );
        let text = written(&mut book);
        assert!(
            text.contains("10.0.0.0/8") && text.contains("192.0.2.7"),
            "{text}"
        );
        // Two more come while that is written: one save for both.
        book.enter(ban("192.0.2.8/32", None));
        assert_eq!(
            book.save_for(Asker::of_test(2), Change::Banned, Last::count(7), 10),
            None
        );
        assert!(book.strike("192.0.2.7/32".parse().unwrap(), 10));
        assert_eq!(
            book.save_for(Asker::of_test(3), Change::Banned, Last::done(), 10),
            None
        );
        assert!(book.next_job().is_none() && book.is_waited_for());
        book.saved(Ok(()), 60, &mut verdicts);
        let told: Vec<_> = verdicts.drain(..).map(|v| (v.asker, v.last)).collect();
        assert_eq!(told, [(Asker::of_test(1), Last::done())]);
        let text = written(&mut book);
        assert!(
            !text.contains("192.0.2.7") && text.contains("192.0.2.8"),
            "{text}"
        );
        assert!(!text.contains("10.0.0.0/8"), "that one is over: {text}");
        book.saved(Ok(()), 60, &mut verdicts);
        let told: Vec<_> = verdicts.drain(..).map(|v| (v.asker, v.last)).collect();
        let both = [
            (Asker::of_test(2), Last::count(7)),
            (Asker::of_test(3), Last::done()),
        ];
        assert_eq!(told, both);
        assert!(book.next_job().is_none() && !book.is_waited_for());
        assert_eq!(book.iter(60).count(), 1);
    }

    #[test]
    fn a_disk_that_fails_is_told_and_tried_again_with_the_next() {
        let (mut book, mut verdicts) = (book(), Vec::new());
        book.enter(ban("192.0.2.7/32", None));
        book.save_for(Asker::of_test(1), Change::Banned, Last::done(), 10);
        assert!(book.next_job().is_some());
        book.saved(Err(io::ErrorKind::StorageFull.into()), 10, &mut verdicts);
        let told = verdicts.pop().unwrap().last;
        assert_eq!((told.done, told.kind), (None, Some(ErrorKind::Failed)));
        assert!(told.error.unwrap().starts_with("it holds until"));
        assert_eq!(book.iter(10).count(), 2, "it holds all the same");
        assert!(book.strike("10.0.0.0/8".parse().unwrap(), 10));
        assert!(!book.strike("10.0.0.0/8".parse().unwrap(), 10));
        book.save_for(Asker::of_test(2), Change::Lifted, Last::done(), 10);
        assert!(written(&mut book).contains("192.0.2.7"));
        book.saved(Err(io::ErrorKind::StorageFull.into()), 10, &mut verdicts);
        let told = verdicts.pop().unwrap().last.error.unwrap();
        assert!(told.starts_with("it is lifted until"), "{told}");
    }

    #[test]
    fn without_a_folder_it_is_said_that_nothing_is_kept() {
        let mut book = Book::default();
        book.enter(ban("192.0.2.7/32", None));
        let told = book
            .save_for(Asker::of_test(1), Change::Banned, Last::done(), 10)
            .unwrap();
        assert!(told.done == Some(true) && told.note.is_some());
        assert!(book.next_job().is_none());
    }
}
