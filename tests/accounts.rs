//! The accounts' file through everything that may happen to it: a process killed at each step of a save,
//! a disk that fails or is full, a file damaged at each byte.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use mynah::chat::Name;
use mynah::store::{
    Accounts, Done, FILE_NAME, Form, HashCost, Job, Known, LoadError, Password, Secret, encode,
    fuzz, hash, load, save,
};
use support::{have, or_skip};

const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};

/// Where the child is to save; only children have it.
const PATH: &str = "MYNAH_TEST_SAVE";
/// How many accounts the child saves.
const COUNT: &str = "MYNAH_TEST_SAVE_COUNT";
/// How a child ends whose save was refused.
const REFUSED: i32 = 7;

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn document(count: usize) -> Vec<u8> {
    let mut accounts = Accounts::new();
    for number in 0..count {
        let phc = hash(&password("x"), [number as u8; 16], CHEAP).unwrap();
        let name = Name::parse(&format!("user{number}")).unwrap();
        accounts.insert(name, phc).unwrap();
    }
    encode(&accounts.snapshot().unwrap())
}

/// Not a test of its own: the process that the others kill, fail or starve while it saves.
#[test]
fn child() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let count = std::env::var(COUNT).unwrap().parse().unwrap();
    if let Err(error) = save(Path::new(&path), &document(count)) {
        eprintln!("refused: {error}");
        std::process::exit(REFUSED);
    }
}

/// This program as one that saves `count` accounts, through the `wrapper`.
fn save_under(wrapper: &[&str], path: &Path, count: usize) -> Output {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
        [] => Command::new(&this),
    };
    command
        .args(["--exact", "child", "--test-threads=1", "--nocapture"])
        .env(PATH, path)
        .env(COUNT, count.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9) || status.code() == Some(128 + 9)
}

fn traced(path: &Path, count: usize, inject: &str) -> Output {
    let inject = format!("inject={inject}");
    save_under(
        &["strace", "-f", "-o", "/dev/null", "-e", &inject],
        path,
        count,
    )
}

fn count(path: &Path) -> usize {
    load(path).unwrap().accounts.len()
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn r25_a_save_that_is_killed_anywhere_leaves_the_old_file_or_the_new_one() {
    if !have("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    save(&path, &document(1)).unwrap();
    save(&path, &document(2)).unwrap();
    let mut seen = BTreeSet::new();
    for call in [
        "openat",
        "write",
        "fsync",
        "chmod,fchmodat",
        "unlink,unlinkat",
        "link,linkat",
        "rename,renameat,renameat2",
        "close",
    ] {
        let mut kills = 0;
        for when in 1.. {
            let before = count(&path);
            // The test program opens and closes files of its own; it is killed at these, too.
            let output = traced(
                &path,
                before + 1,
                &format!("{call}:signal=KILL:when={when}"),
            );
            let after = count(&path);
            assert!((before..=before + 1).contains(&after), "{call} {when}");
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            if output.status.success() {
                assert_eq!(after, before + 1, "{call} {when}");
                break;
            }
            assert!(was_killed(output.status), "{call} {when}: {output:?}");
            seen.insert(after - before);
            kills += 1;
        }
        assert!(kills > 0, "{call} is a step of a save");
    }
    assert_eq!(seen.len(), 2, "both were seen");
    // What was left behind does not stand in the way of the next.
    assert!(save_under(&[], &path, 3).status.success());
    assert_eq!(count(&path), 3);
    assert_eq!(files(folder.path()).len(), 2, "the file and its copy");
}

#[test]
fn r25_a_first_save_that_is_killed_anywhere_leaves_no_file_or_the_new_one() {
    if !have("strace") {
        return;
    }
    for call in ["mkdir,mkdirat", "fsync", "rename,renameat,renameat2"] {
        for when in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data").join(FILE_NAME);
            let output = traced(&path, 2, &format!("{call}:signal=KILL:when={when}"));
            if output.status.success() {
                assert!(when > 1, "{call} is a step of a first save");
                break;
            }
            assert!(was_killed(output.status), "{call} {when}: {output:?}");
            assert!([0, 2].contains(&count(&path)), "{call} {when}");
        }
    }
}

#[test]
fn r26_a_disk_that_fails_is_reported_and_the_old_file_stays() {
    if !have("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    save(&path, &document(1)).unwrap();
    for (inject, says) in [
        ("fsync:error=EIO:when=1", "Input/output error"),
        ("rename,renameat,renameat2:error=ENOSPC", "No space left"),
        (
            "rename,renameat,renameat2:error=EROFS",
            "Read-only file system",
        ),
    ] {
        let output = traced(&path, 2, inject);
        assert_eq!(output.status.code(), Some(REFUSED), "{inject}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{inject}: {said}");
        assert_eq!(count(&path), 1, "{inject}");
        let left = files(folder.path());
        assert!(!left.iter().any(|name| name.ends_with("new")), "{left:?}");
    }
    // The folder's fsync comes last: the file is new, but nobody may be told that it will stay.
    let output = traced(&path, 2, "fsync:error=EIO:when=2");
    assert_eq!(output.status.code(), Some(REFUSED));
    assert_eq!(count(&path), 2);
    // The disk is well again.
    assert!(save_under(&[], &path, 3).status.success());
    assert_eq!(count(&path), 3);
}

#[test]
fn r24_a_full_disk_is_reported_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    // A file system of 64 KiB in a namespace of its own: it is gone when the shell is.
    let mount = format!(
        "mount -t tmpfs -o size=64k tmpfs '{}' || exit 99; ",
        folder.path().display()
    );
    let unshare = |script: &str, arguments: &[&str], path: &Path, count| {
        let script = format!("{mount}{script}");
        let mut wrapper = vec![
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &script,
        ];
        wrapper.extend(arguments);
        save_under(&wrapper, path, count)
    };
    let path = folder.path().join(FILE_NAME);
    let possible = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
        .output()
        .is_ok_and(|output| output.status.success());
    if !or_skip(possible, "the right to mount a file system") {
        return;
    }
    // 100 accounts fit in, 1000 do not; then 100 do again. `$0` is this program, `$@` its arguments.
    let script = format!(
        "\"$0\" \"$@\" || exit 1
        {COUNT}=1000 \"$0\" \"$@\"
        test $? = {REFUSED} || exit 2
        cp {path} /proc/self/fd/2
        ls '{folder}' | grep -q new && exit 3
        {COUNT}=101 \"$0\" \"$@\" || exit 4",
        path = path.display(),
        folder = folder.path().display(),
    );
    let output = unshare(&script, &[], &path, 100);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("No space left"), "{said}");
    let kept = said.find("{\n  \"version\"").map(|at| &said[at..]).unwrap();
    let kept = kept.split_inclusive("\n}\n").next().unwrap();
    let (accounts, form) = mynah::store::decode(kept.as_bytes()).unwrap();
    assert_eq!((accounts.len(), form), (100, Form::Hashed));
}

#[test]
fn r27_a_file_cut_anywhere_is_refused_with_its_place_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let whole = document(3);
    // The last byte ends the last line: without it nothing is missing.
    for end in 0..whole.len() - 1 {
        fs::write(&path, &whole[..end]).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error, LoadError::Damaged { .. }), "{end}: {error}");
        let place = error.to_string();
        let place = place.strip_prefix(&format!("{}:", path.display())).unwrap();
        let mut numbers = place.split(':').take(2).map(str::parse::<usize>);
        assert!(numbers.all(|number| number.is_ok_and(|number| number > 0)));
        assert_eq!(fs::read(&path).unwrap(), &whole[..end]);
    }
}

#[test]
fn r27_a_flipped_bit_anywhere_is_refused_and_nobody_is_let_in_by_it() {
    let whole = document(2);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fuzz(&bytes);
            let read = mynah::store::decode(&bytes);
            assert!(read.is_err(), "{at} {bit}");
        }
    }
    // Whoever is in the good one gets in by it.
    let (accounts, _) = mynah::store::decode(&whole).unwrap();
    for (name, text, right) in [
        ("user0", "x", true),
        ("user1", "x", true),
        ("user0", "y", false),
    ] {
        let Secret::Hashed(phc) = accounts.get(name).unwrap().secret() else {
            panic!("{name} is hashed");
        };
        let job = Job::Verify {
            ticket: 0,
            password: password(text),
            known: Known::Hashed(phc.clone()),
        };
        assert!(matches!(job.run(), Done::Verified { good, .. } if good == right));
    }
}

/// `mynah serve` that is to refuse to start; what it says.
fn refused_to_start(wrapper: &[&str], folder: &Path) -> String {
    let words: Vec<&str> = wrapper
        .iter()
        .copied()
        .chain([env!("CARGO_BIN_EXE_mynah")])
        .collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .args(["serve", "--listen", "tcp-room=127.0.0.1:0", "--data-dir"])
        .arg(folder)
        // Who may not look into our home is to be refused for the accounts.
        .env("MYNAH_CONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert_eq!(output.stdout, b"", "it never was ready");
    said
}

#[test]
fn r27_accounts_that_are_lost_or_cannot_be_read_keep_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let copy = folder.path().join("chat_users.json.bak");
    save(&path, &document(1)).unwrap();
    save(&path, &document(2)).unwrap();
    // The copy alone.
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let said = refused_to_start(&[], folder.path());
    assert!(
        said.contains("chat_users.json.bak is; rename the copy"),
        "{said}"
    );
    assert_eq!((count(&copy), path.exists()), (1, false));
    // Beside a damaged one it is named and left alone.
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let said = refused_to_start(&[], folder.path());
    assert!(said.contains("the last good one is"), "{said}");
    assert_eq!(count(&copy), 1);
    fs::remove_file(&path).unwrap();
    // A folder in its place, and a link to nowhere.
    fs::create_dir(&path).unwrap();
    let said = refused_to_start(&[], folder.path());
    assert!(
        said.contains("no file, where the accounts should be"),
        "{said}"
    );
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
    let said = refused_to_start(&[], folder.path());
    assert!(said.contains("a link that leads nowhere"), "{said}");
    fs::remove_file(&path).unwrap();
    // Somebody else's.
    fs::write(&path, &whole).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let mut version = Command::new(nobody[0]);
    version
        .args(&nobody[1..])
        .args([env!("CARGO_BIN_EXE_mynah"), "--version"]);
    let possible = version.output().is_ok_and(|output| output.status.success());
    if or_skip(possible, "root with setpriv") {
        let said = refused_to_start(&nobody, folder.path());
        assert!(
            said.contains("chat_users.json: cannot be read: Permission denied"),
            "{said}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn r18_after_the_conversion_no_file_has_a_password_in_plain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let secrets = ["correct-horse", "battery-staple", "pass word"];
    let plain = format!(
        r#"{{"ada": "{}", "bob": "{}", "momodou": "{}"}}"#,
        secrets[0], secrets[1], secrets[2]
    );
    fs::write(&path, &plain).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = load(&path).unwrap();
    assert!(loaded.is_exposed() && loaded.form == Some(Form::Plain));
    let mut accounts = loaded.accounts;
    let told = format!("{accounts:?}");
    assert!(!secrets.iter().any(|secret| told.contains(secret)));
    let entries: Vec<_> = accounts
        .plain()
        .map(|(name, password)| (name.as_str().to_owned(), password.clone()))
        .collect();
    for (ticket, (name, password)) in (0..).zip(entries) {
        assert!(accounts.snapshot().is_err(), "{name} is in plain");
        let job = Job::Hash {
            ticket,
            password,
            salt: [ticket as u8; 16],
            cost: CHEAP,
        };
        let Done::Hashed { phc, .. } = job.run() else {
            panic!("{name} is hashed");
        };
        assert!(accounts.set_hash(&name, phc));
    }
    for (ticket, name) in [(0, "first"), (1, "second")] {
        // The second save would keep a copy of what the first one wrote.
        let job = Job::Save {
            ticket,
            path: path.clone(),
            snapshot: accounts.snapshot().unwrap(),
        };
        assert!(
            matches!(job.run(), Done::Saved { result: Ok(()), .. }),
            "{name}"
        );
    }
    for file in files(folder.path()) {
        let path = folder.path().join(&file);
        let text = fs::read_to_string(&path).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret), "{file} holds {secret}");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let accounts = load(&path).unwrap().accounts;
    for (name, secret) in ["ada", "bob", "momodou"].into_iter().zip(secrets) {
        let Secret::Hashed(phc) = accounts.get(name).unwrap().secret() else {
            panic!("{name} is hashed");
        };
        let job = Job::Verify {
            ticket: 0,
            password: password(secret),
            known: Known::Hashed(phc.clone()),
        };
        assert!(matches!(job.run(), Done::Verified { good: true, .. }));
    }
}

#[test]
fn r27_a_damaged_file_keeps_the_server_from_starting_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    for (bytes, place) in [
        (&b""[..], "1:1: it is empty"),
        (b"{\n\"a\": \"hunter2\"", "2:14: it ends here"),
        (b"{\n\n\"a\": \"\"}", "3:7: the password of \"a\""),
    ] {
        fs::write(&path, bytes).unwrap();
        let said = refused_to_start(&[], folder.path());
        let place = format!("{}:{place}", path.display());
        assert!(said.contains(&place), "{said:?} does not tell {place:?}");
        assert!(!said.contains("hunter2"), "{said:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
