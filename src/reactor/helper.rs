//! Owns the one helper thread: whatever may block (a password hash, an fsync, a name look-up) happens
//! there, and its result comes back to the loop. Knows nothing of what the jobs are.
//!
//! The loop never waits for the helper: the queues are bounded, and a full one says [`Busy`] at once.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{fmt, io, process, thread};

use mio::Waker;

/// Which jobs go first. The helper takes a [`Later`](Urgency::Later) job only when no
/// [`First`](Urgency::First) one waits, so a flood of logins cannot put off a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Saves: somebody's registration is lost if they come too late.
    First,
    /// Hashes and look-ups: only the one who asked waits.
    Later,
}

/// So many jobs of that urgency wait already; say so to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Jobs that may wait per urgency. A hash takes some 30 ms, so the last of 64 is answered after
/// two seconds: who comes behind that is better told to try again.
pub const MAX_WAITING_JOBS: usize = 64;

/// The loop's end of the helper thread. `T` is what every job comes to.
///
/// Driving it: [`submit`](Helper::submit) jobs; when the waker's token is ready, call
/// [`finished`](Helper::finished) until it has nothing more, for several results may share one wake.
///
/// A dropped helper forgets the jobs that still wait and is not waited for: the thread ends by itself
/// after the job it is at, which may be stuck in a dead disk. Who needs its saves done keeps it until their
/// results are collected, as long as there is time.
#[derive(Debug)]
pub struct Helper<T> {
    shared: Arc<Shared<T>>,
}

/// A job of any kind, put away until the thread comes to it.
type Job<T> = Box<dyn FnOnce() -> T + Send>;

struct Shared<T> {
    queues: Mutex<Queues<T>>,
    /// There is a job, or there will never be one again.
    changed: Condvar,
}

struct Queues<T> {
    first: VecDeque<Job<T>>,
    later: VecDeque<Job<T>>,
    finished: VecDeque<T>,
    /// The loop's end is gone.
    abandoned: bool,
}

impl<T: Send + 'static> Helper<T> {
    /// Starts the thread; `waker` ends the loop's wait whenever a job is finished. Several helpers may share it.
    ///
    /// Fails when the system has no thread to give.
    pub fn start(waker: impl Into<Arc<Waker>>) -> io::Result<Helper<T>> {
        let shared = Arc::new(Shared {
            queues: Mutex::new(Queues::default()),
            changed: Condvar::new(),
        });
        let (theirs, waker) = (Arc::clone(&shared), waker.into());
        thread::Builder::new()
            .name("helper".to_owned())
            .spawn(move || theirs.work(&waker))?;
        Ok(Helper { shared })
    }

    /// Has `job` done behind those of its urgency that wait already, without waiting for anything.
    ///
    /// A job that panics ends the process, in every build profile: what it was to save or to answer
    /// would otherwise be lost without a word.
    pub fn submit(
        &self,
        urgent: Urgency,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(), Busy> {
        let mut queues = self.shared.lock();
        let queue = match urgent {
            Urgency::First => &mut queues.first,
            Urgency::Later => &mut queues.later,
        };
        if queue.len() >= MAX_WAITING_JOBS {
            return Err(Busy);
        }
        queue.push_back(Box::new(job));
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl<T> Helper<T> {
    /// The oldest result that was not collected yet.
    pub fn finished(&self) -> Option<T> {
        self.shared.lock().finished.pop_front()
    }
}

impl<T> Drop for Helper<T> {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.changed.notify_one();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queues<T>> {
        self.queues
            .lock()
            .expect("invariant: nothing panics while it holds the queues")
    }

    /// The thread's whole life.
    fn work(&self, waker: &Waker) {
        while let Some(job) = self.next_job() {
            let Ok(result) = panic::catch_unwind(AssertUnwindSafe(job)) else {
                // The panic hook has said what happened.
                process::abort();
            };
            let mut queues = self.lock();
            queues.finished.push_back(result);
            drop(queues);
            if let Err(error) = waker.wake() {
                // The result is collected at the next wake; an eventfd has no reason to get here.
                log::error!("the helper thread cannot wake the loop: {error}");
            }
        }
    }

    /// Waits for a job; `None` when there will be no more.
    fn next_job(&self) -> Option<Job<T>> {
        let mut queues = self
            .changed
            .wait_while(self.lock(), |queues| {
                queues.first.is_empty() && queues.later.is_empty() && !queues.abandoned
            })
            .expect("invariant: nothing panics while it holds the queues");
        if queues.abandoned {
            return None;
        }
        queues
            .first
            .pop_front()
            .or_else(|| queues.later.pop_front())
    }
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Queues {
            first: VecDeque::new(),
            later: VecDeque::new(),
            finished: VecDeque::new(),
            abandoned: false,
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::{Duration, Instant};

    use mio::Token;

    use super::*;
    use crate::reactor::Poller;

    const HELPER: Token = Token(7);

    /// A helper whose thread is at a job that ends when the sender is dropped.
    fn held() -> (Poller, Helper<u32>, Sender<()>) {
        let poller = Poller::new().unwrap();
        let helper = Helper::start(poller.waker(HELPER).unwrap()).unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let job = move || {
            started.send(()).unwrap();
            let _ = held.recv();
            0
        };
        helper.submit(Urgency::Later, job).unwrap();
        wait_for(&has_started);
        (poller, helper, hold)
    }

    fn wait_for<T>(receiver: &Receiver<T>) -> T {
        receiver.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    /// Results in their order, taken as the loop takes them: only after the token was ready.
    fn collect(poller: &mut Poller, helper: &Helper<u32>, count: usize) -> Vec<u32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut results = Vec::new();
        while results.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {results:?} of {count}");
            let woken = poller.wait(Some(left)).unwrap().any(|r| r.token == HELPER);
            if woken {
                results.extend(std::iter::from_fn(|| helper.finished()));
            }
        }
        results
    }

    #[test]
    fn results_come_back_with_a_wake() {
        let mut poller = Poller::new().unwrap();
        let helper = Helper::start(poller.waker(HELPER).unwrap()).unwrap();
        assert_eq!(helper.finished(), None);
        helper.submit(Urgency::Later, || 41 + 1).unwrap();
        assert_eq!(collect(&mut poller, &helper, 1), [42]);
        assert_eq!(helper.finished(), None);
    }

    #[test]
    fn saves_overtake_hashes_and_keep_their_own_order() {
        let (mut poller, helper, hold) = held();
        for (urgent, number) in [
            (Urgency::Later, 3),
            (Urgency::First, 1),
            (Urgency::Later, 4),
            (Urgency::First, 2),
        ] {
            helper.submit(urgent, move || number).unwrap();
        }
        drop(hold);
        assert_eq!(collect(&mut poller, &helper, 5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_full_queue_is_busy_and_does_not_fill_the_other() {
        let (mut poller, helper, hold) = held();
        for _ in 0..MAX_WAITING_JOBS {
            helper.submit(Urgency::Later, || 2).unwrap();
        }
        assert_eq!(helper.submit(Urgency::Later, || 2), Err(Busy));
        assert_eq!(helper.submit(Urgency::First, || 1), Ok(()));
        drop(hold);
        let results = collect(&mut poller, &helper, MAX_WAITING_JOBS + 2);
        assert_eq!(results[..3], [0, 1, 2]);
        assert_eq!(helper.submit(Urgency::Later, || 3), Ok(()));
    }

    #[test]
    fn a_dropped_helper_waits_for_nothing_and_its_thread_ends() {
        let (_poller, helper, hold) = held();
        let (never, forgotten) = mpsc::channel::<()>();
        let job = move || {
            let _ = never.send(());
            1
        };
        helper.submit(Urgency::First, job).unwrap();
        // The job at work is stuck here: a drop that joined the thread would never return.
        drop(helper);
        drop(hold);
        // The waiting job is dropped unrun with the thread's end, and its sender with it.
        let end = forgotten.recv_timeout(Duration::from_secs(10));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
