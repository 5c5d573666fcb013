//! Owns what a password is known by: Argon2id with its cost, as a PHC string, and the memory that it is
//! computed in. Knows nothing of whose password it is, and takes no random bytes by itself.
//!
//! One hash takes some 19 MiB and 30 ms at the default cost. The memory is kept from job to job by the
//! thread that computes, which is one thread: a storm of logins costs no more memory than one login.

use std::cell::RefCell;
use std::fmt;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::Password;

/// What one hash costs whoever computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// How often all of it is gone through.
    pub passes: u32,
    /// In how many parts. They are computed one after the other: there is one helper thread.
    pub lanes: u32,
}

/// The parameters of OWASP's password storage cheat sheet.
impl Default for HashCost {
    fn default() -> Self {
        HashCost {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

/// Beyond this a file from somewhere else could take the machine's memory.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// Memory times passes: some ten seconds of the helper thread.
const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;
/// More lanes than anybody asks for; each needs 8 KiB.
const MAX_LANES: u32 = 64;
/// Bytes of a hash that is made here.
const HASH_BYTES: usize = 32;
/// An arena larger than this goes back to the system after its job.
const KEPT_MEMORY_KIB: usize = 64 * 1024;

/// Which part of a cost is out of all reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostError {
    Memory { kib: u32, least: u32 },
    Passes { passes: u32, most: u32 },
    Lanes { lanes: u32 },
}

impl HashCost {
    /// Refuses what Argon2 cannot do, and what no login is worth.
    pub fn check(self) -> Result<(), CostError> {
        if !(1..=MAX_LANES).contains(&self.lanes) {
            return Err(CostError::Lanes { lanes: self.lanes });
        }
        let least = 8 * self.lanes;
        if !(least..=MAX_MEMORY_KIB).contains(&self.memory_kib) {
            return Err(CostError::Memory {
                kib: self.memory_kib,
                least,
            });
        }
        let most = MAX_WORK_KIB / u64::from(self.memory_kib);
        if self.passes == 0 || u64::from(self.passes) > most {
            return Err(CostError::Passes {
                passes: self.passes,
                most: u32::try_from(most).unwrap_or(u32::MAX),
            });
        }
        Ok(())
    }
}

/// The hash of a password with all that is needed to check one: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
///
/// Its `Debug` leaves out salt and hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Phc(Box<str>);

/// Why a text is no PHC string that is taken. Says nothing of the text but its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhcError {
    /// Not of the form at all.
    Form,
    /// Another function than Argon2id, or another version than 19.
    Algorithm,
    /// A cost that is refused.
    Cost(CostError),
    /// Not the way it would be written here: defaults left out, other parameters, another order.
    Canonical,
}

/// The parts of a [`Phc`].
struct Parts {
    cost: HashCost,
    salt: Salt,
    output: Output,
}

impl Phc {
    /// Reads the one form that is written here, and no other: whatever is not understood to the last
    /// character is refused, so that no damage turns into another password.
    pub fn parse(text: &str) -> Result<Phc, PhcError> {
        let parts = Parts::parse(text)?;
        parts.cost.check().map_err(PhcError::Cost)?;
        if parts.to_string() != text {
            return Err(PhcError::Canonical);
        }
        Ok(Phc(text.into()))
    }

    /// One that no password belongs to, which costs as much to find out: for names without an account.
    ///
    /// A cost that [`HashCost::check`] refuses is taken as the default.
    pub fn dummy(cost: HashCost) -> Phc {
        let cost = checked_or_default(cost);
        let zeros = Output::new(&[0; HASH_BYTES]);
        let salt = Salt::new(b"nobody's account");
        match (zeros, salt) {
            (Ok(output), Ok(salt)) => Parts { cost, salt, output }.into(),
            _ => unreachable!("invariant: 32 bytes are a hash and 16 a salt"),
        }
    }

    /// As it is written to the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What checking a password against it costs.
    pub fn cost(&self) -> HashCost {
        self.parts().map(|parts| parts.cost).unwrap_or_default()
    }

    fn parts(&self) -> Result<Parts, PhcError> {
        Parts::parse(&self.0)
    }
}

impl Parts {
    fn parse(text: &str) -> Result<Parts, PhcError> {
        let read = PasswordHash::new(text).map_err(|_| PhcError::Form)?;
        if read.algorithm.as_str() != "argon2id" || read.version != Some(19) {
            return Err(PhcError::Algorithm);
        }
        let number = |name| read.params.get_decimal(name).ok_or(PhcError::Form);
        Ok(Parts {
            cost: HashCost {
                memory_kib: number("m")?,
                passes: number("t")?,
                lanes: number("p")?,
            },
            salt: read.salt.ok_or(PhcError::Form)?,
            output: read.hash.ok_or(PhcError::Form)?,
        })
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HashCost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}")?;
        write!(f, "${}${}", self.salt, self.output)
    }
}

impl From<Parts> for Phc {
    fn from(parts: Parts) -> Phc {
        Phc(parts.to_string().into())
    }
}

/// The system has no memory for a hash now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashError;

/// Hashes a password. `salt` is 16 random bytes, new for each hash.
///
/// A cost that [`HashCost::check`] refuses is taken as the default.
pub fn hash(password: &Password, salt: [u8; 16], cost: HashCost) -> Result<Phc, HashError> {
    let cost = checked_or_default(cost);
    let salt = Salt::new(&salt).map_err(|_| HashError)?;
    let mut bytes = [0u8; HASH_BYTES];
    compute(password, &salt, cost, &mut bytes)?;
    let output = Output::new(&bytes).map_err(|_| HashError)?;
    Ok(Parts { cost, salt, output }.into())
}

/// Whether it is the password of that hash, in a time that only the cost decides.
pub fn verify(password: &Password, phc: &Phc) -> Result<bool, HashError> {
    let Parts { cost, salt, output } = phc.parts().map_err(|_| HashError)?;
    let mut bytes = [0u8; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..output.len()).ok_or(HashError)?;
    compute(password, &salt, cost, bytes)?;
    let given = Output::new(bytes).map_err(|_| HashError)?;
    // The comparison of outputs takes the same time wherever they differ.
    Ok(given == output)
}

/// Whether it is a password that is still kept in plain; if so, with what it shall be kept as. Costs one
/// hash either way, as [`verify`] does.
pub fn verify_plain(
    password: &Password,
    kept: &Password,
    salt: [u8; 16],
    cost: HashCost,
) -> Result<Option<Phc>, HashError> {
    let phc = hash(password, salt, cost)?;
    Ok(password.same_as(kept).then_some(phc))
}

fn checked_or_default(cost: HashCost) -> HashCost {
    cost.check().map_or_else(|_| HashCost::default(), |()| cost)
}

thread_local! {
    /// Where this thread computes its hashes.
    static ARENA: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

fn compute(
    password: &Password,
    salt: &[u8],
    cost: HashCost,
    into: &mut [u8],
) -> Result<(), HashError> {
    let HashCost {
        memory_kib,
        passes,
        lanes,
    } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(into.len())).map_err(|_| HashError)?;
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    ARENA.with_borrow_mut(|arena| {
        if arena.len() < blocks {
            // What is there need not be copied, and the memory that is wanted may be refused.
            *arena = Vec::new();
            arena.try_reserve_exact(blocks).map_err(|_| HashError)?;
            arena.resize(blocks, Block::new());
        }
        let memory = arena.get_mut(..blocks).ok_or(HashError)?;
        let result = argon2.hash_password_into_with_memory(password.as_bytes(), salt, into, memory);
        if arena.len() > KEPT_MEMORY_KIB {
            *arena = Vec::new();
        }
        result.map_err(|_| HashError)
    })
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phc({:?}, …)", self.cost())
    }
}

impl fmt::Display for CostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CostError::Memory { kib, least } => write!(
                f,
                "{kib} KiB of memory; {least} (8 per lane) to {MAX_MEMORY_KIB} are taken"
            ),
            CostError::Passes { passes, most } => write!(
                f,
                "{passes} passes; 1 to {most} are taken with that much memory"
            ),
            CostError::Lanes { lanes } => {
                write!(f, "{lanes} lanes; 1 to {MAX_LANES} are taken")
            }
        }
    }
}

impl std::error::Error for CostError {}

impl fmt::Display for PhcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PhcError::Form => f.write_str("not a PHC string")?,
            PhcError::Algorithm => f.write_str("not Argon2id in version 19")?,
            PhcError::Cost(error) => write!(f, "an unreasonable cost ({error})")?,
            PhcError::Canonical => f.write_str("not written in the usual way")?,
        }
        f.write_str("; it has the form $argon2id$v=19$m=19456,t=2,p=1$salt$hash")
    }
}

impl std::error::Error for PhcError {}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no memory for a password hash")
    }
}

impl std::error::Error for HashError {}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As cheap as it gets.
    pub(in crate::store) const CHEAP: HashCost = HashCost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn arena_blocks() -> usize {
        ARENA.with_borrow(Vec::len)
    }

    #[test]
    fn the_reference_implementation_made_the_same() {
        // Out of test.c of phc-winner-argon2.
        for (memory_kib, text, expected) in [
            (
                256,
                "password",
                "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            ),
            (
                65_536,
                "password",
                "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            ),
        ] {
            let cost = HashCost {
                memory_kib,
                passes: 2,
                lanes: 1,
            };
            let mut bytes = [0; HASH_BYTES];
            compute(&password(text), b"somesalt", cost, &mut bytes).unwrap();
            assert_eq!(Output::new(&bytes).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_password_is_known_by_its_hash() {
        let secret = password("correct horse");
        let phc = hash(&secret, [7; 16], HashCost::default()).unwrap();
        assert!(
            phc.as_str()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$")
        );
        assert_eq!(Phc::parse(phc.as_str()), Ok(phc.clone()));
        assert_eq!(verify(&secret, &phc), Ok(true));
        assert_eq!(verify(&password("correct horsf"), &phc), Ok(false));
        assert_ne!(
            hash(&secret, [8; 16], CHEAP),
            hash(&secret, [7; 16], CHEAP),
            "salted"
        );
        assert!(!format!("{phc:?}").contains("Bwc"));
    }

    #[test]
    fn nobodys_account_has_no_password_and_the_same_cost() {
        let dummy = Phc::dummy(HashCost::default());
        assert_eq!(dummy.cost(), HashCost::default());
        assert_eq!(Phc::parse(dummy.as_str()), Ok(dummy.clone()));
        for guess in ["", "nobody's account", "\0"] {
            if let Ok(guess) = Password::new(guess) {
                assert_eq!(verify(&guess, &dummy), Ok(false));
            }
        }
    }

    #[test]
    fn the_memory_is_used_again() {
        let secret = password("x");
        hash(&secret, [0; 16], HashCost::default()).unwrap();
        let place = || ARENA.with_borrow(|arena| arena.as_ptr());
        let first = place();
        for _ in 0..3 {
            verify(&secret, &Phc::dummy(HashCost::default())).unwrap();
            hash(&secret, [0; 16], CHEAP).unwrap();
        }
        assert_eq!(place(), first);
        assert_eq!(arena_blocks(), 19_456);
        // A large one is given back.
        let large = HashCost {
            memory_kib: 65 * 1024,
            passes: 1,
            lanes: 1,
        };
        hash(&secret, [0; 16], large).unwrap();
        assert_eq!(arena_blocks(), 0);
    }

    #[test]
    fn a_plain_password_is_verified_at_the_price_of_a_hash_and_becomes_one() {
        let kept = password("old");
        let verified = verify_plain(&password("old"), &kept, [1; 16], CHEAP).unwrap();
        assert_eq!(verify(&kept, &verified.unwrap()), Ok(true));
        let refused = verify_plain(&password("new"), &kept, [1; 16], CHEAP);
        assert_eq!(refused, Ok(None));
    }

    #[test]
    fn absurd_costs_are_refused() {
        let cost = |memory_kib, passes, lanes| {
            HashCost {
                memory_kib,
                passes,
                lanes,
            }
            .check()
        };
        assert_eq!(cost(8, 1, 1), Ok(()));
        assert_eq!(cost(1024 * 1024, 4, 1), Ok(()));
        let memory = |kib, least| Err(CostError::Memory { kib, least });
        assert_eq!(cost(7, 1, 1), memory(7, 8));
        assert_eq!(cost(31, 1, 4), memory(31, 32));
        assert_eq!(cost(1024 * 1024 + 1, 1, 1), memory(1024 * 1024 + 1, 8));
        assert_eq!(cost(u32::MAX, 1, 1), memory(u32::MAX, 8));
        let passes = |passes, most| Err(CostError::Passes { passes, most });
        assert_eq!(cost(8, 0, 1), passes(0, 524_288));
        assert_eq!(cost(1024 * 1024, 5, 1), passes(5, 4));
        for lanes in [0, 65, u32::MAX] {
            assert_eq!(cost(1024, 1, lanes), Err(CostError::Lanes { lanes }));
        }
    }

    #[test]
    fn only_the_form_that_is_written_is_read() {
        let (salt, hash) = (
            "c29tc2FsdHNvbWVzYWx0",
            "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        );
        let phc = |head: &str| Phc::parse(&format!("{head}${salt}${hash}"));
        assert!(phc("$argon2id$v=19$m=19456,t=2,p=1").is_ok());
        for (head, error) in [
            ("", PhcError::Form),
            ("argon2id$v=19$m=19456,t=2,p=1", PhcError::Form),
            ("$argon2id$v=19$m=19456,t=2", PhcError::Form),
            ("$argon2id$v=19$m=19456,t=2,p=", PhcError::Form),
            ("$argon2id$v=19$m=19456,t=2,p=x", PhcError::Form),
            ("$argon2id$v=19$m=-1,t=2,p=1", PhcError::Form),
            ("$argon2id$v=19$m=99999999999,t=2,p=1", PhcError::Form),
            ("$argon2id$v=19", PhcError::Form),
            ("$argon2i$v=19$m=19456,t=2,p=1", PhcError::Algorithm),
            ("$bcrypt$v=19$m=19456,t=2,p=1", PhcError::Algorithm),
            ("$argon2id$v=16$m=19456,t=2,p=1", PhcError::Algorithm),
            ("$argon2id$m=19456,t=2,p=1", PhcError::Algorithm),
            ("$argon2id$v=19$t=2,m=19456,p=1", PhcError::Canonical),
            (
                "$argon2id$v=19$m=19456,t=2,p=1,data=eA",
                PhcError::Canonical,
            ),
            (
                "$argon2id$v=19$m=19456,t=99999,p=1",
                PhcError::Cost(CostError::Passes {
                    passes: 99999,
                    most: 215,
                }),
            ),
        ] {
            assert_eq!(phc(head), Err(error), "{head}");
        }
        let whole = format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}");
        for end in 0..whole.len() - 20 {
            // A shorter hash of at least 10 bytes is one: the file's quotes show where it ends.
            if !(whole.len() - 30..).contains(&end) {
                assert!(Phc::parse(&whole[..end]).is_err(), "{}", &whole[..end]);
            }
        }
        assert!(Phc::parse(&format!("{whole}$x")).is_err());
        assert!(Phc::parse(&format!("{whole}=")).is_err());
    }
}
