//! The promises of this room, for any sequence of what may happen to it: a model keeps, per member, the
//! bytes that it is due, and the real thing must give it a prefix of them, whatever the kernel takes.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Audience, Feed, LagLimits, Roll, Stall, Tally};

/// Small limits, so that short sequences reach them.
const LIMITS: LagLimits = LagLimits {
    backlog_bytes: 400,
    outbox_bytes: 300,
    stall_bytes: 100,
    stall_time: Duration::from_secs(30),
};

#[derive(Clone, Debug)]
enum Step {
    Join {
        told_of_itself: bool,
    },
    Say {
        length: u8,
    },
    SayUnheardBy {
        member: usize,
        length: u8,
    },
    Whisper {
        member: usize,
        length: u8,
    },
    /// What is sent to others too, in pieces.
    Share {
        member: usize,
        length: u8,
    },
    Leave {
        member: usize,
    },
    /// A dead connection: nothing more is due, at once.
    Reset {
        member: usize,
    },
    /// How much each member's kernel takes from now on, per write.
    Appetite {
        member: usize,
        takes: u16,
    },
    /// The end of a turn: one write each, judgement, trimming.
    Turn {
        seconds: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0usize..6;
    prop_oneof![
        2 => any::<bool>().prop_map(|told_of_itself| Step::Join { told_of_itself }),
        6 => any::<u8>().prop_map(|length| Step::Say { length }),
        4 => (member(), any::<u8>()).prop_map(|(member, length)| Step::SayUnheardBy { member, length }),
        4 => (member(), any::<u8>()).prop_map(|(member, length)| Step::Whisper { member, length }),
        2 => (member(), any::<u8>()).prop_map(|(member, length)| Step::Share { member, length }),
        1 => member().prop_map(|member| Step::Leave { member }),
        1 => member().prop_map(|member| Step::Reset { member }),
        4 => (member(), prop_oneof![Just(0u16), 1u16..60, Just(u16::MAX)])
            .prop_map(|(member, takes)| Step::Appetite { member, takes }),
        6 => (0u8..20).prop_map(|seconds| Step::Turn { seconds }),
    ]
}

struct Member {
    feed: Feed,
    /// Its place in the audience's table, while it is in.
    seat: Option<usize>,
    behind: bool,
    stall: Stall,
    takes: u16,
    due: Vec<u8>,
    got: Vec<u8>,
    /// Cut, or its connection died: what was due is not owed any more.
    dead: bool,
}

struct World {
    tally: Tally,
    audience: Audience<usize>,
    members: Vec<Member>,
    roll: Roll,
    /// What the roll says.
    shared: Vec<u8>,
    frames: u32,
    now: Instant,
}

impl World {
    fn new() -> World {
        let tally = Tally::default();
        World {
            audience: Audience::counted_by(&tally),
            members: Vec::new(),
            roll: Roll::counted_by(&tally),
            shared: Vec::new(),
            frames: 0,
            now: Instant::now(),
            tally,
        }
    }

    /// A frame unlike any other.
    fn frame(&mut self, length: u8) -> Vec<u8> {
        self.frames += 1;
        let mut frame = self.frames.to_be_bytes().to_vec();
        frame.resize(4 + usize::from(length), self.frames as u8);
        frame
    }

    fn say(&mut self, frame: &[u8], not_to: Option<usize>) {
        let range = self.audience.append(|bytes| bytes.extend_from_slice(frame));
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.seat.is_none() {
                continue;
            }
            if not_to == Some(index) {
                member.feed.skip(range.clone(), &self.tally);
            } else {
                member.due.extend_from_slice(frame);
            }
        }
    }

    fn run(&mut self, step: &Step) {
        let count = self.members.len().max(1);
        match *step {
            Step::Join { told_of_itself } => {
                let welcome = self.frame(9);
                let notice = self.frame(5);
                let mut feed = Feed::default();
                feed.push_private(&super::Log::new(), &welcome, &self.tally);
                let before = self.audience.log().end();
                self.say(&notice, None);
                let after = self.audience.log().end();
                let mut due = welcome;
                if told_of_itself && before != after {
                    due.extend_from_slice(&notice);
                }
                feed.join(if told_of_itself { before } else { after });
                let seat = self.audience.join(self.members.len());
                self.members.push(Member {
                    feed,
                    seat: Some(seat),
                    behind: false,
                    stall: Stall::default(),
                    takes: u16::MAX,
                    due,
                    got: Vec::new(),
                    dead: false,
                });
            }
            Step::Say { length } => {
                let frame = self.frame(length);
                self.say(&frame, None);
            }
            Step::SayUnheardBy { member, length } => {
                let frame = self.frame(length);
                self.say(&frame, Some(member % count));
            }
            Step::Whisper { member, length } => {
                let frame = self.frame(length);
                if let Some(member) = self.members.get_mut(member % count)
                    && member.seat.is_some()
                {
                    let log = self.audience.log();
                    member.feed.push_private(log, &frame, &self.tally);
                    member.due.extend_from_slice(&frame);
                }
            }
            Step::Share { member, length } => {
                let (entry, end) = (self.frame(length), self.frame(0));
                if !self.roll.is_current() || self.frames.is_multiple_of(7) {
                    self.roll.begin(b"");
                    self.shared.clear();
                }
                self.roll.append(&entry);
                self.shared.extend_from_slice(&entry);
                if let Some(member) = self.members.get_mut(member % count)
                    && member.seat.is_some()
                {
                    let log = self.audience.log();
                    let shared = self.roll.share(&end);
                    member.feed.push_shared(log, shared, &self.tally);
                    member.due.extend_from_slice(&self.shared);
                    member.due.extend_from_slice(&end);
                }
            }
            Step::Leave { member } => self.part(member % count, false),
            Step::Reset { member } => self.part(member % count, true),
            Step::Appetite { member, takes } => {
                if let Some(member) = self.members.get_mut(member % count) {
                    member.takes = takes;
                }
            }
            Step::Turn { seconds } => {
                self.now += Duration::from_secs(u64::from(seconds));
                self.turn();
            }
        }
    }

    fn part(&mut self, index: usize, dead: bool) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if dead {
            member.dead = true;
            member.feed.abandon();
        } else {
            member.feed.end(self.audience.owed(), &self.tally);
        }
        if let Some(seat) = member.seat.take()
            && let Some(moved) = self.audience.leave(seat)
        {
            self.members[moved].seat = Some(seat);
        }
    }

    fn turn(&mut self) {
        self.audience.take_news();
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let log = self.audience.log();
            // One write after the other, until there is nothing more or the kernel takes less than all.
            let mut refused = false;
            while !refused && !member.feed.is_done(log) {
                let pieces = member.feed.pieces(log);
                if let Some(plain) = member.feed.plain(log) {
                    assert_eq!(*pieces.slices()[0], *plain, "both ways offer the same");
                }
                let offered = pieces.bytes();
                let taken = offered.min(usize::from(member.takes));
                let bytes = pieces.slices().iter();
                let bytes = bytes.flat_map(|slice| slice.iter().copied());
                member.got.extend(bytes.take(taken));
                member.feed.advance(log, taken);
                refused = taken < offered;
            }
            let (feed, stall) = (&member.feed, &mut member.stall);
            let verdict = LIMITS
                .judge(feed, log)
                .and_then(|()| LIMITS.judge_stall(feed, log, stall, self.now));
            if refused && verdict.is_err() {
                self.part(index, true);
            }
            let member = &mut self.members[index];
            if !member.behind && !member.feed.is_done(self.audience.log()) {
                member.behind = true;
                self.audience.mark_behind(index);
            }
        }
        let log_end = self.audience.log().end();
        let members = &mut self.members;
        self.audience.settle(|index| {
            let member = &mut members[index];
            member.behind = member.feed.needs_from() < log_end;
            member.behind.then(|| member.feed.needs_from())
        });
    }

    fn check(&self) {
        for (index, member) in self.members.iter().enumerate() {
            assert!(
                member.due.starts_with(&member.got),
                "member {index} got what it was not due"
            );
            if let Some(seat) = member.seat {
                assert_eq!(self.audience.members()[seat], index, "seats are told truly");
            }
            if member.feed.is_done(self.audience.log()) && !member.dead {
                assert_eq!(
                    member.got.len(),
                    member.due.len(),
                    "member {index} is done too early"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_member_gets_a_prefix_of_what_it_is_due(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        let mut appended_this_turn = 0;
        for step in &steps {
            let before = world.audience.log().end();
            world.run(step);
            world.check();
            appended_this_turn += world.audience.log().end() - before;
            if let Step::Turn { .. } = step {
                // After judgement nobody that stays is further back than the backlog, so nothing
                // more than the backlog is kept; the buffer has at most doubled over what it held.
                let kept = world.audience.log().end() - world.audience.log().start();
                prop_assert!(kept <= LIMITS.backlog_bytes as u64, "{kept} bytes kept");
                let most = 2 * (2 * LIMITS.backlog_bytes as u64 + appended_this_turn);
                prop_assert!(world.audience.log().memory() as u64 <= most.max(64 * 1024));
                appended_this_turn = 0;
            }
        }
        // In the end everybody reads again: all that is alive and due arrives, and nothing is kept.
        for member in &mut world.members {
            member.takes = u16::MAX;
        }
        for _ in 0..200 {
            world.turn();
        }
        world.check();
        for (index, member) in world.members.iter().enumerate() {
            prop_assert!(member.dead || member.got == member.due, "member {index} lost something");
        }
        prop_assert_eq!(world.audience.log().start(), world.audience.log().end());
        // What is counted is what there is: the log's working memory, and the roll.
        world.roll.clear();
        prop_assert_eq!(world.tally.bytes(), world.audience.log().memory());
        world.audience.shrink();
        prop_assert_eq!(world.tally.bytes(), 0);
        prop_assert!(world.audience.behind().is_empty());
    }
}
