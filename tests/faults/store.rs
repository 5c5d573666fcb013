//! The disk under the accounts of a server that runs: full, failing, or gone with the whole process at any step of
//! a save.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mynah::store::load;

use crate::support::logins::{Guest, Home, House, files, is_in};
use crate::support::serve::Mynah;
use crate::support::{have, or_skip, until, wait_for_exit};
use crate::tracer::Tracer;

const NOT_SAVED: &str = "DENIED not saved, try later";

/// A server of which strace has a call fail, or be its last.
fn injected(home: &Home, path: Option<&Path>, inject: &str) -> House {
    let (calls, _) = inject.split_once(':').unwrap();
    let mut tracer = Tracer::new(calls, &[inject.to_owned()]);
    if let Some(path) = path {
        tracer = tracer.on(path);
    }
    home.start_under(&tracer.wrapper())
}

/// The lines of the log in which something stands, once there are so many.
fn told(home: &Home, what: &str, count: usize) -> Vec<String> {
    until(what, || {
        let log = home.log();
        let lines = log.lines().filter(|line| line.contains(what));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn r25_an_acknowledged_registration_outlives_a_server_killed_right_after() {
    let home = Home::new();
    for number in 0..5 {
        let name = format!("name{number}");
        let mut house = home.start();
        assert!(is_in(&house.login(&name, "some password")));
        house.server.child.kill().unwrap();
        wait_for_exit(&mut house.server.child);
        assert!(home.has(&name));
    }
    let mut house = home.start();
    for number in 0..5 {
        let name = format!("name{number}");
        let denied = house.login(&name, "another password");
        assert_eq!(denied, "DENIED wrong name or password");
        assert!(is_in(&house.login(&name, "some password")), "{name}");
    }
}

#[test]
fn an_old_account_whose_name_is_anothers_by_now_is_told_and_stays_in_the_file() {
    let home = Home::new();
    let mut house = home.start();
    assert!(is_in(&house.login("finn", "some password")));
    assert!(is_in(&house.login("ollie", "another password")));
    drop(house);
    // As it was written when these were two names, and accounts had no checks.
    let file = fs::read_to_string(home.file()).unwrap();
    let lines = file
        .lines()
        .map(|line| match line.split_once(", \"check\"") {
            Some((account, check)) => format!("{account}}}{}", check.split_once('}').unwrap().1),
            None => line.to_owned(),
        });
    let old: String = lines.collect();
    let old = old.replace("ollie", "ｆｉｎｎ");
    assert!(old.contains("\"version\": 2") && !old.contains("check"));
    let old = old.replace("\"version\": 2", "\"version\": 1");
    fs::write(home.file(), old).unwrap();

    let mut house = home.start();
    let line = told(&home, "nobody can use it", 1);
    assert!(line[0].ends_with("\"ｆｉｎｎ\" is the same name as \"finn\""));
    let denied = house.login("ｆｉｎｎ", "another password");
    assert_eq!(denied, "DENIED wrong name or password");
    assert!(is_in(&house.login("finn", "some password")));
    assert!(is_in(&house.login("zoe", "third password")));
    let file = fs::read_to_string(home.file()).unwrap();
    assert!(file.contains("\"version\": 2"), "{file}");
    assert!(file.contains("\"ｆｉｎｎ\": {\"password\": \"$argon2id$"));
}

#[test]
fn r25_a_server_killed_at_any_step_of_a_save_has_all_that_it_acknowledged() {
    if !have("strace") {
        return;
    }
    let names = ["ann", "bob"];
    for call in [
        "openat",
        "write",
        "fsync",
        "chmod,fchmodat",
        "unlink,unlinkat",
        "link,linkat",
        "rename,renameat,renameat2",
    ] {
        let mut kills = 0;
        for when in 1.. {
            let home = Home::new();
            // Other files are opened and written to, too: those of the save alone.
            let new = home.data().join("chat_users.json.new");
            let path = matches!(call, "openat" | "write").then_some(new.as_path());
            let inject = format!("{call}:signal=KILL:when={when}");
            let mut house = injected(&home, path, &inject);
            let mut acknowledged = Vec::new();
            for name in names {
                let command = format!("PASS {name} some password");
                match house.ask(&mut Guest::new(), &command) {
                    Some(answer) if is_in(&answer) => acknowledged.push(name),
                    Some(answer) => panic!("{call} {when}: {answer}"),
                    None => break,
                }
            }
            if acknowledged.len() < names.len() {
                wait_for_exit(&mut house.server.child);
                kills += 1;
            }
            for name in &acknowledged {
                assert!(home.has(name), "{call} {when}: {name}");
            }
            let most = acknowledged.len() + 1;
            let accounts = load(&home.file()).unwrap().accounts.len();
            assert!(
                (acknowledged.len()..=most).contains(&accounts),
                "{call} {when}"
            );
            if acknowledged.len() == names.len() {
                break;
            }
            // What is left behind does not stand in the way of the next.
            let mut house = home.start();
            for name in names {
                assert!(is_in(&house.login(name, "some password")), "{call} {when}");
            }
        }
        assert!(kills > 0, "{call} is a step of a save");
    }
}

#[test]
fn r26_a_registration_is_not_acknowledged_before_the_disk_has_it() {
    if !have("strace") {
        return;
    }
    // The file's own, and that of its folder.
    for (when, in_file) in [(1, false), (2, true)] {
        let home = Home::new();
        let mut house = injected(&home, None, &format!("fsync:error=EIO:when={when}"));
        assert_eq!(house.login("ann", "some password"), NOT_SAVED, "{when}");
        let told = told(&home, "cannot be written", 1);
        assert_eq!(told.len(), 1, "{told:?}");
        for part in [
            "[ERROR] server::accounts: ",
            "chat_users.json",
            "Input/output error",
            "registrations refused: 1",
        ] {
            assert!(told[0].contains(part), "{told:?} does not tell {part:?}");
        }
        assert_eq!(home.has("ann"), in_file);
        house.chats("who needs a disk");
        // What a disk once refused is not relied upon: the next save is a file of its own.
        assert!(is_in(&house.login("bob", "some password")));
        assert!(home.has("bob") && !home.has("ann"));
        house.server.child.kill().unwrap();
        wait_for_exit(&mut house.server.child);
        let mut house = home.start();
        let denied = house.login("bob", "another password");
        assert_eq!(denied, "DENIED wrong name or password");
        assert!(is_in(&house.login("bob", "some password")));
        assert!(is_in(&house.login("ann", "her second one")), "it is free");
    }
}

#[test]
fn r26_while_every_fsync_fails_nobody_is_registered_and_who_has_an_account_gets_in() {
    if !have("strace") {
        return;
    }
    let home = Home::new();
    let mut house = home.start();
    assert!(is_in(&house.login("ann", "some password")));
    assert_eq!(house.server.terminate().code(), Some(0));
    let before = fs::read(home.file()).unwrap();
    let mut house = injected(&home, None, "fsync:error=EIO");
    for name in ["bob", "carol", "dave"] {
        assert_eq!(house.login(name, "some password"), NOT_SAVED, "{name}");
    }
    assert!(is_in(&house.login("ann", "some password")));
    house.chats("all as ever");
    assert_eq!(fs::read(home.file()).unwrap(), before);
    assert!(!files(&home.data()).contains(&"chat_users.json.new".to_owned()));
    assert_eq!(told(&home, "cannot be written", 3).len(), 3);
    assert_eq!(house.server.terminate().code(), Some(0));
}

#[test]
fn r24_whichever_call_finds_the_disk_full_the_server_goes_on_and_the_file_stays() {
    if !have("strace") {
        return;
    }
    for call in ["openat", "write", "fsync", "rename,renameat,renameat2"] {
        let home = Home::new();
        let new = home.data().join("chat_users.json.new");
        // The first two saves fail. A folder is not full where something is renamed to what is there.
        let path = (call != "fsync").then_some(new.as_path());
        let mut house = injected(&home, path, &format!("{call}:error=ENOSPC:when=1..2"));
        for name in ["ann", "bob"] {
            assert_eq!(
                house.login(name, "some password"),
                NOT_SAVED,
                "{call} {name}"
            );
            assert_eq!(
                files(&home.data()),
                ["mynah.lock", "mynah.sock"],
                "{call}: nothing is left"
            );
        }
        house.chats("all as ever");
        assert_eq!(told(&home, "No space left on device", 2).len(), 2, "{call}");
        let answer = house.login("ann", "some password");
        assert!(is_in(&answer), "{call}: {answer}\n{}", home.log());
        assert!(home.has("ann") && !home.has("bob"), "{call}");
        assert_eq!(house.server.terminate().code(), Some(0));
    }
}

#[test]
fn r24_on_a_full_disk_the_chat_goes_on_and_once_there_is_room_people_register_again() {
    let home = Home::new().telling_all();
    // A file system of 64 KiB in a namespace of its own, gone with the server; and the log is on it.
    let data = home.data();
    let mount = format!(
        "mount -t tmpfs -o size=64k tmpfs '{}' || exit 99",
        data.display()
    );
    let unshare = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
    ];
    let possible = Command::new(unshare[0])
        .args(&unshare[1..])
        .arg(&mount)
        .output();
    let possible = possible.is_ok_and(|output| output.status.success());
    if !or_skip(possible, "the right to mount a file system") {
        return;
    }
    let script = format!("{mount}; exec \"$0\" \"$@\" 2>'{}/log'", data.display());
    let wrapper: Vec<&str> = unshare.into_iter().chain([script.as_str()]).collect();
    let mut command = home.command(&wrapper);
    command.stderr(Stdio::null());
    let mut house = House::of(Mynah::start(command));
    // As the server sees it.
    let root = format!("/proc/{}/root", house.server.child.id());
    let seen = Path::new(&root).join(data.strip_prefix("/").unwrap());
    let file = seen.join("chat_users.json");
    let accounts = || load(&file).unwrap().accounts;
    let mut ann = Guest::new();
    let welcome = house.ask(&mut ann, "PASS ann some password").unwrap();
    let sid = welcome.strip_prefix("WELCOME ").unwrap();
    assert_eq!(house.ask(&mut ann, &format!("EX {sid}")).unwrap(), "BYE");
    // To the last byte.
    let filler = seen.join("filler");
    let fill = || {
        let mut length = 64 * 1024;
        while length > 0 {
            let so_far = fs::read(&filler).unwrap_or_default();
            if fs::write(&filler, [so_far, vec![0; length]].concat()).is_err() {
                length /= 2;
            }
        }
    };
    fill();
    let whole = fs::read(&file).unwrap();
    for name in ["bob", "carol"] {
        assert_eq!(house.login(name, "some password"), NOT_SAVED, "{name}");
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert!(!seen.join("chat_users.json.new").exists());
    }
    house.chats("all as ever, though nothing of it is logged");
    assert!(is_in(&house.login("ann", "some password")));
    fs::remove_file(&filler).unwrap();
    // No restart, and no waiting.
    assert!(is_in(&house.login("bob", "some password")));
    assert!(accounts().get("ann").is_some() && accounts().get("bob").is_some());
    assert!(accounts().get("carol").is_none());
    until("the log goes on", || {
        let log = fs::read_to_string(seen.join("log")).unwrap();
        log.contains("bob").then_some(())
    });
}
