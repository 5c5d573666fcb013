//! Owns what a run came to: for the summary, for comparing two runs of one seed, and for seeing that
//! everything that may happen did.

/// Declares the counts of a run, all of which are to be seen in the long run.
macro_rules! outcome {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Outcome {
            pub turns: u64,
            /// A digest of everything that every peer received.
            pub digest: u64,
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Outcome {
            pub fn add(&mut self, other: &Outcome) {
                self.turns += other.turns;
                // In whatever order.
                self.digest ^= other.digest;
                $(self.$field += other.$field;)*
            }

            /// What has not happened more than so many times.
            pub fn rare(&self, times: u64) -> Vec<&'static str> {
                let counts = [$((stringify!($field), self.$field)),*];
                let rare = counts.iter().filter(|(_, count)| *count <= times);
                rare.map(|(field, _)| *field).collect()
            }
        }
    };
}

outcome! {
    messages,
    slow,
    violations,
    timed_out,
    refused,
    connections_lost,
    closed_late,
    turned_away,
    over_rate,
    /// Peers of whom it was checked that they were heard, and heard themselves, whole.
    checked_tcp_room,
    /// Peers who heard exactly what they were to hear, from their joining to their leaving.
    checked_group,
    checked_udp_room,
    checked_udp_login,
    checked_ucrp,
    checked_mesh,
    /// Joins by protocol.
    joined_tcp_room,
    joined_group,
    joined_udp_room,
    joined_udp_login,
    joined_ucrp,
    joined_mesh,
    refused_group,
    refused_udp_room,
    refused_udp_login,
    refused_ucrp,
    /// Those who asked for the name of somebody's account, by whatever protocol.
    impostors,
    directs_heard,
    rooms_closed,
    room_messages,
    /// What was heard in houses of one protocol, and was said there.
    heard_at_home,
    /// What whoever keeps order did.
    notices_heard,
    reconfigured,
    kicked,
    drained,
    /// Lives that ended without being asked, and what happens to the processes.
    crashes,
    suspensions,
    /// Crowds that came and went at once.
    mass_joins,
    mass_departures,
    /// Turns that had their fill of what was to be read.
    full_turns,
    died_in_send,
    /// What the kernel told of connections that were gone; some of their places were somebody else's by then.
    late_events,
    late_events_at_successors,
    /// Peers whose programs were broken, and got in.
    mad,
    /// Datagrams, on their ways.
    datagrams_lost,
    datagrams_doubled,
    datagrams_late,
    sends_refused,
    sends_retried,
    batches_short,
    /// Datagrams, in the server.
    datagrams_dropped,
    datagrams_withheld,
    failed_sends,
    failed_receives,
    overflowed,
    /// What ICMP told of those who were gone, and of others.
    told_unreachable,
    told_unreachable_forged,
    unreachable,
    /// Guests.
    silent,
    never_came,
    denied,
    registered,
    logged_in_again,
    accounts_saved,
    saves_failed,
    saves_failed_late,
    not_hashed,
    /// Members left in a room or address book by a stop in full swing.
    stopped_in_full_swing,
    mesh_refusals,
    mesh_welcomes,
}
