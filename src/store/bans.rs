//! Owns the file of who is banned, for good or until a time. Knows nothing of who comes, and no clock: times are
//! seconds since 1970, and come in as arguments.
//!
//! A file that is not whole is refused like that of the accounts: with half of the bans, those of the other half would
//! be let in, and the next ban would write it down so.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file::{Keep, replace};

/// The bans' file in the data directory.
pub const BANS_FILE_NAME: &str = "bans.json";

/// Bans at the most: some megabytes. Whoever needs more has a packet filter.
pub const MAX_BANS: usize = 10_000;

/// Twice what as many bans take as there may be, with the longest reasons.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The version that is written, and read.
const VERSION: u64 = 1;

/// A prefix of addresses from which nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptBan {
    #[serde(rename = "address", with = "prefix")]
    pub net: IpNet,
    #[serde(default)]
    pub reason: String,
    /// When it was said.
    #[serde(default)]
    pub since: u64,
    /// When it is over. `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Why it is not known who is banned. Nothing was changed.
#[derive(Debug)]
pub struct BansError {
    path: PathBuf,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The system refused to read it.
    Read(io::Error),
    /// Something stands there that is no file, or a link that leads nowhere.
    NotAFile,
    /// It is longer than any that is written here.
    TooLarge,
    /// It cannot be understood.
    Damaged {
        line: usize,
        column: usize,
        reason: String,
    },
    /// It is a later program's.
    Version(u64),
    /// There are more in it than may be.
    TooMany(usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    bans: Vec<KeptBan>,
}

/// Reads the bans. No file is no bans.
pub fn load_bans(path: &Path) -> Result<Vec<KeptBan>, BansError> {
    let failed = |what| BansError {
        path: path.into(),
        what,
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A link that leads nowhere may lead to what is not mounted yet.
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(Vec::new());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(failed(What::NotAFile)),
        Err(error) => return Err(failed(What::Read(error))),
    };
    // Opening a pipe would wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(failed(What::NotAFile));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| failed(What::Read(error)))?;
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(What::Read(error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(What::TooLarge));
    }
    decode_bans(&bytes).map_err(failed)
}

fn decode_bans(bytes: &[u8]) -> Result<Vec<KeptBan>, What> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        let reason = error.to_string();
        What::Damaged {
            line: error.line().max(1),
            column: error.column().max(1),
            reason: reason.split(" at line ").next().unwrap_or_default().into(),
        }
    })?;
    match document.version {
        VERSION if document.bans.len() > MAX_BANS => Err(What::TooMany(document.bans.len())),
        VERSION => Ok(document.bans),
        version => Err(What::Version(version)),
    }
}

/// As they are written: a ban a line.
pub fn encode_bans<'a>(bans: impl IntoIterator<Item = &'a KeptBan>) -> Vec<u8> {
    let mut out = format!("{{\n  \"version\": {VERSION},\n  \"bans\": [").into_bytes();
    let mut separator = &b"\n    "[..];
    for ban in bans {
        out.extend_from_slice(separator);
        separator = b",\n    ";
        serde_json::to_writer(&mut out, ban).expect("invariant: memory takes all");
    }
    out.extend_from_slice(b"\n  ]\n}\n");
    out
}

/// Replaces the file, or makes it. When this returns without an error the disk has it.
pub fn save_bans(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Keep::Nothing)
}

impl KeptBan {
    /// Whether it holds at that time.
    pub fn holds(&self, unix_time: u64) -> bool {
        self.until.is_none_or(|until| unix_time < until)
    }
}

/// The prefix with IPv4 addresses that are mapped into IPv6 (RFC 4291, 2.5.5.2) as what they are, the bits behind the
/// prefix left alone. `None` of one that begins in those and is wider than all of them: nobody is in it who is meant.
pub fn unmapped(net: IpNet) -> Option<IpNet> {
    match net {
        IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
            Some(address) => {
                let length = v6.prefix_len().checked_sub(MAPPED)?;
                Ipv4Net::new(address, length).ok().map(IpNet::V4)
            }
            None => Some(net),
        },
        IpNet::V4(_) => Some(net),
    }
}

/// So long is the prefix of all mapped addresses.
const MAPPED: u8 = 96;

/// A single address stands without the length of its prefix.
mod prefix {
    use super::*;

    pub(super) fn serialize<S: Serializer>(net: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
        match net.prefix_len() == net.max_prefix_len() {
            true => serializer.collect_str(&net.addr()),
            false => serializer.collect_str(net),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<IpNet, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let net: Result<IpNet, _> = text.parse().or_else(|_| address());
        let net = net.map_err(|_| {
            serde::de::Error::custom(format_args!(
                "{text:?} is no address and no prefix, as 192.0.2.7 or 192.0.2.0/24"
            ))
        })?;
        unmapped(net).map(|net| net.trunc()).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{text:?} is wider than all of IPv4, which is 0.0.0.0/0"
            ))
        })
    }
}

impl fmt::Display for BansError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Read(error) => write!(f, "{path}: cannot be read: {error}"),
            What::NotAFile => write!(f, "{path}: no file, where the bans should be"),
            What::TooLarge => write!(f, "{path}: more than {MAX_BYTES} bytes are no file of bans"),
            What::Damaged {
                line,
                column,
                reason,
            } => write!(
                f,
                "{path}:{line}:{column}: {reason}; without the file there are no bans"
            ),
            What::TooMany(count) => write!(
                f,
                "{path}: {count} bans, and there may be {MAX_BANS}: take some out, or have a packet filter keep those \
                 addresses out"
            ),
            What::Version(got) => write!(
                f,
                "{path}: version {got}, and {VERSION} is the last that is known: a later mynah wrote it"
            ),
        }
    }
}

impl std::error::Error for BansError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(net: &str, until: Option<u64>) -> KeptBan {
        KeptBan {
            net: net.parse().unwrap(),
            reason: "a \"reason\"\n".into(),
            since: 1_763_740_800,
            until,
        }
    }

    #[test]
    fn what_is_saved_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet").join(BANS_FILE_NAME);
        assert_eq!(load_bans(&path).unwrap(), []);
        let bans = [
            ban("192.0.2.0/24", Some(1_763_744_400)),
            ban("2001:db8::7/128", None),
        ];
        save_bans(&path, &encode_bans(&bans)).unwrap();
        assert_eq!(load_bans(&path).unwrap(), bans);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{
  "version": 1,
  "bans": [
    {"address":"192.0.2.0/24","reason":"a \"reason\"\n","since":1763740800,"until":1763744400},
    {"address":"2001:db8::7","reason":"a \"reason\"\n","since":1763740800}
  ]
}
"#
        );
        save_bans(&path, &encode_bans([])).unwrap();
        assert_eq!(load_bans(&path).unwrap(), []);
        let files = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(files.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_ban_is_over_when_it_says() {
        assert!(ban("::/1", None).holds(u64::MAX));
        assert!(ban("::/1", Some(7)).holds(6));
        assert!(!ban("::/1", Some(7)).holds(7));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BANS_FILE_NAME);
        let table = [
            ("", ":1:1: EOF"),
            ("{}", ":1:2: missing field `version`"),
            ("{\"version\": 1,\n \"bans\": [}", ":2:11: expected value"),
            (
                "{\"version\": 1,\n \"bans\": [{\"address\":\"10.0.0.0/33\"}]}",
                ":2:35: \"10.0.0.0/33\" is no address",
            ),
            (
                "{\"version\": 1,\n \"bans\": [{\"address\":\"::1\",\"until\":\"x\"}]}",
                ":2:38: invalid type",
            ),
            (
                "{\"version\": 1,\n \"bans\": [{\"address\":\"::ffff:0.0.0.0/90\"}]}",
                ":2:41: \"::ffff:0.0.0.0/90\" is wider than all of IPv4",
            ),
            (
                "{\"version\": 1, \"bans\": [{\"net\":\"::1\"}]}",
                "unknown field `net`",
            ),
            (
                "{\"version\": 1, \"bans\": [], \"more\": 1}",
                "unknown field `more`",
            ),
            ("{\"version\": 2, \"bans\": []}", "a later mynah wrote it"),
            ("{\"version\": 1, \"bans\": []} x", "trailing characters"),
        ];
        for (text, says) in table {
            fs::write(&path, text).unwrap();
            let error = load_bans(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(error.starts_with(&path.display().to_string()));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(
            load_bans(&path)
                .unwrap_err()
                .to_string()
                .contains("no file")
        );
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert!(
            load_bans(&path)
                .unwrap_err()
                .to_string()
                .contains("no file")
        );
    }

    #[test]
    fn an_address_that_is_mapped_into_another_is_itself() {
        let table = [
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.9/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ];
        for (text, net) in table {
            let text = format!("{{\"version\":1,\"bans\":[{{\"address\":\"{text}\"}}]}}");
            let bans = decode_bans(text.as_bytes()).unwrap();
            assert_eq!(bans[0].net, net.parse::<IpNet>().unwrap(), "{text}");
        }
    }

    #[test]
    fn more_than_there_may_be_are_refused_and_not_half_of_them_obeyed() {
        let all: Vec<KeptBan> = (0..=MAX_BANS as u32)
            .map(|n| ban(&format!("{}/32", std::net::Ipv4Addr::from(n)), None))
            .collect();
        let most = decode_bans(&encode_bans(&all[..MAX_BANS])).unwrap();
        assert_eq!(most.len(), MAX_BANS);
        let too_many = decode_bans(&encode_bans(&all));
        assert!(matches!(too_many, Err(What::TooMany(count)) if count == MAX_BANS + 1));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = encode_bans(&[ban("192.0.2.0/24", Some(9)), ban("::1/128", None)]);
        for end in 0..whole.len() - 1 {
            let part = whole.get(..end).unwrap();
            assert!(
                matches!(decode_bans(part), Err(What::Damaged { .. })),
                "{end}"
            );
        }
    }
}
