//! Owns who must have which message, and who has it: every receipt is compared with what its sender sent.
//! Knows neither bytes nor sockets.
//!
//! A member mostly receives what follows the last it received of that sender. So per member and sender there is one
//! number, the next expected, and per message in flight one difference: how many more members have it than have the
//! message before. A run of messages received by one member changes two of those, however long it is.
//!
//! When a message was due is remembered until everybody has it who may still get it, even if nobody waits for it any
//! more: what comes after all has its lateness recorded, however late that is.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;

use super::text::Id;

/// What was counted since [`Ledger::begin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub messages: u64,
    /// Receipts that there should be.
    pub owed: u64,
    /// Receipts, each of one message by one member counted once.
    pub received: u64,
    /// Receipts beyond those.
    pub doubled: u64,
    /// Receipts behind one of a later message of the same sender.
    pub disordered: u64,
}

/// All messages of one run.
#[derive(Debug)]
pub struct Ledger {
    flows: Vec<Flow>,
    /// What each member expects next of each sender: a row per member.
    expected: Vec<u32>,
    /// What a member has not received though it has received something later: first and end of each gap, in order.
    gaps: HashMap<(u32, u16), Vec<(u32, u32)>>,
    counts: Counts,
    in_flight: usize,
    each: Histogram<u64>,
    last: Histogram<u64>,
    /// When what is told now was received: nanoseconds from the run's start.
    now: u64,
}

/// What one sender says.
#[derive(Debug)]
struct Flow {
    echoes: bool,
    /// The first message that counts.
    begun: u32,
    /// The first message that not everybody has, and the next that will be sent.
    oldest: u32,
    next: u32,
    /// What is before that is waited for no longer: it is not in flight, even if it is not before `oldest`.
    given_up: u32,
    /// Of messages `oldest` to `next`, each at its number modulo the length, which is a power of two.
    slots: Vec<Slot>,
    /// How many members have the message before `oldest`, and those after it that are over.
    before: i64,
    /// The difference of the message that will be sent next.
    change_at_next: i64,
    /// Messages before `oldest` that members have not received though they received something later.
    missed: BTreeMap<u32, Missed>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    change: i64,
    /// How many members should have it.
    wanted: i64,
    due: u64,
    /// The first of the messages up to this one that were due at the same time as it.
    since: u32,
    /// How many members have received something later instead.
    missed: u32,
}

/// A message that came late to nobody yet, or to not all of those who missed it.
#[derive(Clone, Copy, Debug)]
struct Missed {
    due: u64,
    members: u32,
}

/// Gaps that are remembered of one member and sender: what is received from before those counts as doubled.
const MAX_GAPS: usize = 1024;

/// Messages of one sender that are remembered because somebody missed them: the oldest are forgotten.
const MAX_MISSED: usize = 1 << 16;

/// What a lateness can be at the most, in nanoseconds: an hour.
const MAX_LATENESS: u64 = 3_600_000_000_000;

/// Of `hdrhistogram`: figures are exact to one in a thousand.
const DIGITS: u8 = 3;

impl Ledger {
    /// For so many members, of whom the first `echoes.len()` speak; those hear themselves where it says so.
    pub fn new(members: usize, echoes: &[bool]) -> Ledger {
        let flow = |echoes: &bool| Flow {
            echoes: *echoes,
            begun: 0,
            oldest: 0,
            next: 0,
            given_up: 0,
            slots: vec![Slot::default(); 16],
            before: 0,
            change_at_next: 0,
            missed: BTreeMap::new(),
        };
        Ledger {
            flows: echoes.iter().map(flow).collect(),
            expected: vec![0; members * echoes.len()],
            gaps: HashMap::new(),
            counts: Counts::default(),
            in_flight: 0,
            each: histogram(),
            last: histogram(),
            now: 0,
        }
    }

    /// Forgets everything: what was sent until now counts no more, received or not.
    pub fn begin(&mut self) {
        for flow in &mut self.flows {
            flow.begun = flow.next;
            flow.oldest = flow.next;
            flow.given_up = flow.next;
            flow.before = 0;
            flow.change_at_next = 0;
            flow.missed.clear();
        }
        let senders = self.flows.len();
        for row in self.expected.chunks_exact_mut(senders.max(1)) {
            for (expected, flow) in row.iter_mut().zip(&self.flows) {
                *expected = flow.next;
            }
        }
        self.gaps.clear();
        self.counts = Counts::default();
        self.in_flight = 0;
        self.each.reset();
        self.last.reset();
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Receipts that are still to come, or never will.
    pub fn outstanding(&self) -> u64 {
        self.counts.owed.saturating_sub(self.counts.received)
    }

    /// Messages that not everybody has who should, and that are waited for.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn lateness(&self) -> (&Histogram<u64>, &Histogram<u64>) {
        (&self.each, &self.last)
    }

    /// The time of whatever is told next, in nanoseconds from the run's start.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// The message that this sender would send next. `None` once it has used up its numbers.
    pub fn next_id(&self, sender: u16) -> Option<Id> {
        let flow = self.flows.get(usize::from(sender))?;
        (flow.next < u32::MAX).then_some(Id {
            sender,
            sequence: flow.next,
        })
    }

    /// That message is sent, and was due then; so many `members` are there, its sender among them.
    pub fn send(&mut self, sender: u16, due: u64, members: usize) {
        let Some(flow) = self.flows.get_mut(usize::from(sender)) else {
            return;
        };
        let wanted = members.saturating_sub(usize::from(!flow.echoes));
        flow.push(wanted as i64, due);
        self.in_flight += 1;
        self.counts.messages += 1;
        self.counts.owed += wanted as u64;
        self.advance(usize::from(sender), Over::Received);
    }

    /// What this member expects next of that sender.
    pub fn expected(&self, member: usize, sender: u16) -> u32 {
        let sender = usize::from(sender);
        let row = member * self.flows.len();
        match sender < self.flows.len() {
            true => self.expected.get(row + sender).copied().unwrap_or(0),
            false => 0,
        }
    }

    /// This member has received all messages of that sender from `first`, which is the expected one, to before `end`.
    pub fn receive_run(&mut self, member: usize, sender: u16, first: u32, end: u32) {
        let (number, row) = (usize::from(sender), member * self.flows.len());
        let Some(flow) = self.flows.get_mut(number).filter(|flow| end <= flow.next) else {
            // Nobody has sent that.
            return;
        };
        let Some(expected) = self.expected.get_mut(row + number) else {
            return;
        };
        *expected = end;
        let count = u64::from(end - first);
        if number == member && !flow.echoes {
            self.counts.doubled += count;
            return;
        }
        self.counts.received += count;
        // Those of one window were due at one time.
        let mut rest = end;
        while first < rest
            && let Some(slot) = flow.slot(rest - 1)
        {
            let from = slot.since.max(first);
            self.each
                .saturating_record_n(self.now.saturating_sub(slot.due), u64::from(rest - from));
            rest = from;
        }
        flow.credit(first, end);
        self.advance(number, Over::Received);
    }

    /// This member has received that message, whatever it expected.
    pub fn receive(&mut self, member: usize, id: Id) {
        let Id { sender, sequence } = id;
        let number = usize::from(sender);
        let Some(flow) = self.flows.get(number) else {
            return;
        };
        // What was never sent is no message, and what was sent before anything counted does not count.
        if sequence >= flow.next || sequence < flow.begun {
            return;
        }
        let expected = self.expected(member, sender);
        let key = (member as u32, sender);
        if sequence < expected {
            if self
                .gaps
                .get_mut(&key)
                .is_some_and(|gaps| take(gaps, sequence))
            {
                self.counts.received += 1;
                self.counts.disordered += 1;
                self.receive_missed(number, sequence);
            } else {
                self.counts.doubled += 1;
            }
            return;
        }
        if number == member && !flow.echoes {
            // It should hear none of its own at all.
            self.counts.doubled += 1;
            return;
        }
        if expected < sequence {
            let gaps = self.gaps.entry(key).or_default();
            if gaps.len() == MAX_GAPS {
                gaps.remove(0);
            }
            gaps.push((expected, sequence));
            // Nobody waits for those any more: they are lost, or come too late for the window.
            if let Some(flow) = self.flows.get_mut(number) {
                flow.credit(expected, sequence);
                flow.miss(expected, sequence);
            }
        }
        self.receive_run(member, sender, sequence, sequence + 1);
    }

    /// A member has received that message behind something later.
    fn receive_missed(&mut self, sender: usize, sequence: u32) {
        let now = self.now;
        let Some(flow) = self.flows.get_mut(sender) else {
            return;
        };
        if let Some(slot) = flow.slot_mut(sequence) {
            slot.missed = slot.missed.saturating_sub(1);
            self.each.saturating_record(now.saturating_sub(slot.due));
        } else if let Some(missed) = flow.missed.get_mut(&sequence) {
            missed.members -= 1;
            let lateness = now.saturating_sub(missed.due);
            self.each.saturating_record(lateness);
            if missed.members == 0 {
                flow.missed.remove(&sequence);
                self.last.saturating_record(lateness);
            }
        }
    }

    /// The server has let this member go: what it has not received, nobody waits for.
    pub fn cut(&mut self, member: usize) {
        let senders = self.flows.len();
        for number in 0..senders {
            let expected = self.expected(member, number as u16);
            let Some(flow) = self.flows.get_mut(number) else {
                continue;
            };
            if number != member || flow.echoes {
                flow.credit(expected, flow.next);
            }
            if let Some(own) = self.expected.get_mut(member * senders + number) {
                *own = flow.next;
            }
            self.advance(number, Over::Cut);
        }
    }

    /// Waits no more for what was due before then: it is not in flight. It is received if it comes all the same, and
    /// is as late then as it is.
    pub fn give_up(&mut self, due_before: u64) {
        for flow in &mut self.flows {
            flow.given_up = flow.given_up.max(flow.oldest);
            while let Some(slot) = flow.slot(flow.given_up)
                && slot.due < due_before
            {
                flow.given_up += 1;
                self.in_flight -= 1;
            }
        }
    }

    /// Messages at the front that everybody has are in flight no more.
    fn advance(&mut self, sender: usize, over: Over) {
        let Some(flow) = self.flows.get_mut(sender) else {
            return;
        };
        while let Some(slot) = flow.slot(flow.oldest)
            && flow.before + slot.change >= slot.wanted
        {
            if slot.missed > 0 {
                flow.remember(flow.oldest, slot);
            } else if slot.wanted > 0 && over == Over::Received {
                self.last
                    .saturating_record(self.now.saturating_sub(slot.due));
            }
            self.in_flight -= usize::from(flow.oldest >= flow.given_up);
            flow.pop();
        }
    }
}

/// Why nobody waits for a message any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// The last that could have it has it, or something later.
    Received,
    /// Whoever did not have it is gone.
    Cut,
}

impl Flow {
    fn index(&self, sequence: u32) -> usize {
        sequence as usize & (self.slots.len() - 1)
    }

    /// A message that not everybody has.
    fn slot(&self, sequence: u32) -> Option<Slot> {
        let in_flight = self.oldest <= sequence && sequence < self.next;
        in_flight.then(|| self.slots.get(self.index(sequence)).copied())?
    }

    fn slot_mut(&mut self, sequence: u32) -> Option<&mut Slot> {
        let index = self.index(sequence);
        let in_flight = self.oldest <= sequence && sequence < self.next;
        in_flight.then(|| self.slots.get_mut(index))?
    }

    fn push(&mut self, wanted: i64, due: u64) {
        if (self.next - self.oldest) as usize == self.slots.len() {
            self.grow();
        }
        let before = self.next.checked_sub(1).and_then(|last| self.slot(last));
        let since = match before {
            Some(slot) if slot.due == due => slot.since,
            _ => self.next,
        };
        let index = self.index(self.next);
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot {
                change: std::mem::take(&mut self.change_at_next),
                wanted,
                due,
                since,
                missed: 0,
            };
        }
        self.next += 1;
    }

    fn grow(&mut self) {
        let mut larger = vec![Slot::default(); self.slots.len() * 2];
        let mask = larger.len() - 1;
        for sequence in self.oldest..self.next {
            if let (Some(slot), Some(place)) = (
                self.slot(sequence),
                larger.get_mut(sequence as usize & mask),
            ) {
                *place = slot;
            }
        }
        self.slots = larger;
    }

    /// The oldest is over.
    fn pop(&mut self) {
        if let Some(slot) = self.slot(self.oldest) {
            self.before += slot.change;
            self.oldest += 1;
        }
    }

    /// A member has received something later than the messages from `first` to before `end`.
    fn miss(&mut self, first: u32, end: u32) {
        for sequence in first.max(self.oldest)..end {
            if let Some(slot) = self.slot_mut(sequence) {
                slot.missed += 1;
            }
        }
    }

    /// The oldest is over, but for those who missed it.
    fn remember(&mut self, sequence: u32, slot: Slot) {
        let missed = Missed {
            due: slot.due,
            members: slot.missed,
        };
        self.missed.insert(sequence, missed);
        if self.missed.len() > MAX_MISSED {
            self.missed.pop_first();
        }
    }

    /// One more member has, or will never have, the messages from `first` to before `end`.
    fn credit(&mut self, first: u32, end: u32) {
        let first = first.max(self.oldest);
        if first >= end {
            return;
        }
        let (at_first, at_end) = (self.index(first), self.index(end));
        if let Some(slot) = self.slots.get_mut(at_first) {
            slot.change += 1;
        }
        if end == self.next {
            self.change_at_next -= 1;
        } else if let Some(slot) = self.slots.get_mut(at_end) {
            slot.change -= 1;
        }
    }
}

/// Takes a number out of the gaps that it may be in.
fn take(gaps: &mut Vec<(u32, u32)>, sequence: u32) -> bool {
    let at = gaps.partition_point(|(_, end)| *end <= sequence);
    let Some(gap) = gaps.get_mut(at).filter(|(first, _)| *first <= sequence) else {
        return false;
    };
    let (first, end) = *gap;
    match (first == sequence, sequence + 1 == end) {
        (true, true) => {
            gaps.remove(at);
        }
        (true, false) => gap.0 = sequence + 1,
        (false, true) => gap.1 = sequence,
        (false, false) => {
            gap.1 = sequence;
            gaps.insert(at + 1, (sequence + 1, end));
        }
    }
    true
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENESS, DIGITS)
        .expect("invariant: these are bounds that a histogram can have")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many members the first are senders, who hear themselves.
    fn ledger(members: usize, senders: usize) -> Ledger {
        Ledger::new(members, &vec![true; senders])
    }

    fn send(ledger: &mut Ledger, sender: u16, members: usize, count: usize) {
        for _ in 0..count {
            ledger.send(sender, 0, members);
        }
    }

    fn receive(ledger: &mut Ledger, member: usize, sender: u16, sequences: &[u32]) {
        for &sequence in sequences {
            ledger.receive(member, Id { sender, sequence });
        }
    }

    /// Received, outstanding, doubled, disordered.
    fn figures(ledger: &Ledger) -> [u64; 4] {
        let counts = ledger.counts();
        [
            counts.received,
            ledger.outstanding(),
            counts.doubled,
            counts.disordered,
        ]
    }

    #[test]
    fn a_message_is_in_flight_until_everybody_has_it() {
        let mut ledger = ledger(3, 1);
        send(&mut ledger, 0, 3, 2);
        assert_eq!(ledger.in_flight(), 2);
        receive(&mut ledger, 0, 0, &[0, 1]);
        ledger.receive_run(1, 0, 0, 2);
        assert_eq!(ledger.in_flight(), 2);
        receive(&mut ledger, 2, 0, &[0]);
        assert_eq!(ledger.in_flight(), 1);
        receive(&mut ledger, 2, 0, &[1]);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [6, 0, 0, 0]);
        assert_eq!(ledger.lateness().0.len(), 6);
        assert_eq!(ledger.lateness().1.len(), 2);
    }

    #[test]
    fn however_the_runs_overlap_the_window_is_exact() {
        // Compared with counting one by one, over many messages and a table that grows.
        let (members, messages) = (5, 500u32);
        let mut ledger = ledger(members, 1);
        let mut has = vec![0u32; members];
        let (mut sent, mut step) = (0u32, 1u32);
        while has.iter().any(|has| *has < messages) {
            step = step.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let burst = ((step >> 8) % 40).min(messages - sent);
            send(&mut ledger, 0, members, burst as usize);
            sent += burst;
            let member = (step >> 16) as usize % members;
            let run = ((step >> 20) % 60).min(sent - has[member]);
            if run > 0 {
                ledger.receive_run(member, 0, has[member], has[member] + run);
                has[member] += run;
            }
            let slowest = has.iter().min().unwrap();
            assert_eq!(ledger.in_flight(), (sent - slowest) as usize);
        }
        assert_eq!(figures(&ledger), [u64::from(messages) * 5, 0, 0, 0]);
    }

    #[test]
    fn loss_doubling_and_disorder_are_told_apart() {
        for (sequences, wanted) in [
            (&[0, 1, 2, 3, 4, 5][..], [6, 0, 0, 0]),
            (&[0, 1, 3, 4, 5], [5, 1, 0, 0]),
            (&[0, 2, 1, 3, 4, 5], [6, 0, 0, 1]),
            (&[0, 0, 1, 2, 2, 3, 4, 5, 1], [6, 0, 3, 0]),
            (&[5, 4, 3, 2, 1, 0], [6, 0, 0, 5]),
            (&[5, 2, 2, 0, 4, 3, 1, 5], [6, 0, 2, 5]),
            (&[1, 3, 5, 3], [3, 3, 1, 0]),
            (&[], [0, 6, 0, 0]),
        ] {
            let mut ledger = ledger(1, 1);
            send(&mut ledger, 0, 1, 6);
            receive(&mut ledger, 0, 0, sequences);
            assert_eq!(figures(&ledger), wanted, "{sequences:?}");
        }
    }

    #[test]
    fn two_senders_have_an_order_each() {
        let mut ledger = ledger(2, 2);
        send(&mut ledger, 0, 2, 3);
        send(&mut ledger, 1, 2, 3);
        // The first member hears them in turns, the second one after the other, and one too early.
        for sequence in 0..3 {
            receive(&mut ledger, 0, 0, &[sequence]);
            receive(&mut ledger, 0, 1, &[sequence]);
        }
        receive(&mut ledger, 1, 1, &[0, 2, 1]);
        receive(&mut ledger, 1, 0, &[0, 1]);
        assert_eq!(figures(&ledger), [11, 1, 0, 1]);
        assert_eq!(ledger.in_flight(), 1);
    }

    #[test]
    fn what_is_lost_blocks_the_window_only_until_something_later_comes() {
        let mut ledger = ledger(2, 1);
        send(&mut ledger, 0, 2, 2);
        receive(&mut ledger, 0, 0, &[0, 1]);
        assert_eq!(ledger.in_flight(), 2);
        receive(&mut ledger, 1, 0, &[1]);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [3, 1, 0, 0]);
    }

    /// All that was recorded, rounded to thousands.
    fn recorded(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        let thousands = |value: u64| (value + 500) / 1000 * 1000;
        let values = histogram.iter_recorded();
        values
            .map(|value| (thousands(value.value_iterated_to()), value.count_at_value()))
            .collect()
    }

    #[test]
    fn what_was_given_up_is_as_late_as_it_is() {
        let mut ledger = ledger(2, 1);
        for due in [1000, 2000, 3000] {
            ledger.send(0, due, 2);
        }
        ledger.set_now(4000);
        ledger.receive_run(0, 0, 0, 3);
        ledger.give_up(2500);
        assert_eq!(ledger.in_flight(), 1);
        ledger.give_up(2500);
        assert_eq!(ledger.in_flight(), 1);
        assert!(ledger.lateness().1.is_empty());
        ledger.set_now(90_000);
        ledger.receive_run(1, 0, 0, 2);
        assert_eq!(ledger.in_flight(), 1);
        ledger.receive_run(1, 0, 2, 3);
        assert_eq!(ledger.in_flight(), 0);
        let (each, last) = ledger.lateness();
        let late = [(87_000, 1), (88_000, 1), (89_000, 1)];
        assert_eq!(recorded(last), late);
        assert_eq!(recorded(each)[..3], [(1000, 1), (2000, 1), (3000, 1)]);
        assert_eq!(recorded(each)[3..], late);
    }

    #[test]
    fn all_of_a_run_are_recorded_those_due_together_together() {
        let mut ledger = ledger(2, 1);
        for due in [1000, 1000, 1000, 2000, 3000, 3000] {
            ledger.send(0, due, 2);
        }
        ledger.set_now(10_000);
        ledger.receive_run(0, 0, 0, 6);
        assert_eq!(
            recorded(ledger.lateness().0),
            [(7000, 2), (8000, 1), (9000, 3)]
        );
        ledger.set_now(20_000);
        ledger.receive_run(1, 0, 0, 2);
        ledger.receive_run(1, 0, 2, 5);
        let wanted = [(17_000, 1), (18_000, 1), (19_000, 3)];
        assert_eq!(recorded(ledger.lateness().0)[3..], wanted);
        assert_eq!(recorded(ledger.lateness().1), wanted);
        ledger.receive_run(1, 0, 5, 6);
        assert_eq!(ledger.lateness().0.len(), 12);
        // Due when those before were, though those are over.
        ledger.send(0, 3000, 2);
        ledger.receive_run(0, 0, 6, 7);
        assert_eq!(ledger.lateness().0.len(), 13);
    }

    #[test]
    fn what_comes_out_of_order_is_as_late_as_it_is() {
        let mut ledger = ledger(2, 1);
        ledger.send(0, 1000, 2);
        ledger.send(0, 2000, 2);
        ledger.set_now(3000);
        receive(&mut ledger, 0, 0, &[1]);
        // Neither is in flight for anybody, but the first came to nobody.
        receive(&mut ledger, 1, 0, &[1]);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(recorded(ledger.lateness().0), [(1000, 2)]);
        assert_eq!(recorded(ledger.lateness().1), [(1000, 1)]);
        ledger.set_now(51_000);
        receive(&mut ledger, 1, 0, &[0, 0]);
        assert_eq!(recorded(ledger.lateness().1), [(1000, 1)]);
        ledger.set_now(61_000);
        receive(&mut ledger, 0, 0, &[0]);
        assert_eq!(figures(&ledger), [4, 0, 1, 2]);
        let (each, last) = ledger.lateness();
        assert_eq!(recorded(each), [(1000, 2), (50_000, 1), (60_000, 1)]);
        assert_eq!(recorded(last), [(1000, 1), (60_000, 1)]);
        assert!(ledger.flows[0].missed.is_empty());
    }

    #[test]
    fn the_last_receipt_is_none_of_a_member_that_was_cut_or_missed_it() {
        let mut ledger = ledger(2, 1);
        send(&mut ledger, 0, 2, 3);
        ledger.set_now(1000);
        receive(&mut ledger, 0, 0, &[0, 1, 2]);
        receive(&mut ledger, 1, 0, &[1]);
        assert_eq!(recorded(ledger.lateness().1), [(1000, 1)]);
        ledger.set_now(5000);
        ledger.cut(1);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(recorded(ledger.lateness().1), [(1000, 1)]);
    }

    #[test]
    fn missed_messages_are_not_remembered_without_end() {
        let mut ledger = ledger(1, 1);
        let messages = 2 * MAX_MISSED as u32 + 100;
        send(&mut ledger, 0, 1, messages as usize);
        receive(&mut ledger, 0, 0, &[messages - 1]);
        assert_eq!(ledger.flows[0].missed.len(), MAX_MISSED);
        receive(&mut ledger, 0, 0, &[0, messages - 2]);
        assert_eq!(ledger.lateness().0.len(), 2);
        ledger.begin();
        assert!(ledger.flows[0].missed.is_empty());
    }

    #[test]
    fn what_was_given_up_may_come_all_the_same() {
        let mut ledger = ledger(2, 1);
        ledger.send(0, 100, 2);
        ledger.send(0, 200, 2);
        receive(&mut ledger, 0, 0, &[0, 1]);
        ledger.give_up(150);
        assert_eq!(ledger.in_flight(), 1);
        ledger.give_up(300);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [2, 2, 0, 0]);
        send(&mut ledger, 0, 2, 1);
        receive(&mut ledger, 1, 0, &[0, 1, 2]);
        receive(&mut ledger, 0, 0, &[2]);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [6, 0, 0, 0]);
    }

    #[test]
    fn who_was_cut_is_waited_for_no_more_and_what_it_missed_is_lost() {
        let mut ledger = ledger(3, 2);
        send(&mut ledger, 0, 3, 4);
        send(&mut ledger, 1, 3, 1);
        for member in [0, 1] {
            receive(&mut ledger, member, 0, &[0, 1, 2, 3]);
            receive(&mut ledger, member, 1, &[0]);
        }
        receive(&mut ledger, 2, 0, &[0, 2]);
        assert_eq!(ledger.in_flight(), 2);
        ledger.cut(2);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [12, 3, 0, 0]);
        send(&mut ledger, 0, 2, 1);
        receive(&mut ledger, 0, 0, &[4]);
        receive(&mut ledger, 1, 0, &[4]);
        assert_eq!(ledger.in_flight(), 0);
        assert_eq!(figures(&ledger), [14, 3, 0, 0]);
    }

    #[test]
    fn a_sender_that_should_not_hear_itself_and_does_hears_double() {
        let mut ledger = Ledger::new(2, &[false]);
        send(&mut ledger, 0, 2, 2);
        receive(&mut ledger, 1, 0, &[0, 1]);
        assert_eq!(ledger.in_flight(), 0);
        receive(&mut ledger, 0, 0, &[1, 0]);
        assert_eq!(figures(&ledger), [2, 0, 2, 0]);
        send(&mut ledger, 0, 2, 1);
        receive(&mut ledger, 0, 0, &[2]);
        assert_eq!(ledger.in_flight(), 1);
    }

    #[test]
    fn what_was_sent_before_does_not_count_and_what_was_never_sent_is_nothing() {
        let mut ledger = ledger(1, 1);
        send(&mut ledger, 0, 1, 3);
        receive(&mut ledger, 0, 0, &[0]);
        ledger.begin();
        assert_eq!(figures(&ledger), [0; 4]);
        assert_eq!(ledger.in_flight(), 0);
        send(&mut ledger, 0, 1, 1);
        receive(&mut ledger, 0, 0, &[1, 2, 7]);
        receive(&mut ledger, 0, 9, &[0]);
        assert_eq!(figures(&ledger), [0, 1, 0, 0]);
        receive(&mut ledger, 0, 0, &[3]);
        assert_eq!(figures(&ledger), [1, 0, 0, 0]);
    }

    #[test]
    fn gaps_are_not_remembered_without_end() {
        let mut ledger = ledger(1, 1);
        let messages = 4 * MAX_GAPS as u32;
        send(&mut ledger, 0, 1, messages as usize);
        let odd: Vec<u32> = (0..messages).filter(|sequence| sequence % 2 == 1).collect();
        receive(&mut ledger, 0, 0, &odd);
        assert_eq!(ledger.gaps[&(0, 0)].len(), MAX_GAPS);
        receive(&mut ledger, 0, 0, &[messages - 2, 0]);
        let half = u64::from(messages) / 2;
        assert_eq!(figures(&ledger), [half + 1, half - 1, 1, 1]);
    }
}
