//! Owns how the accounts' file is read and replaced: whole, or not at all.
//! Knows nothing of what stands in it but that [`decode`] reads it.
//!
//! ```text
//!   write                fsync          link, rename         rename            fsync of
//!   *.new ──────▶ *.new, ──────▶ *.new ─────────────▶ *.bak ────────▶ the file ─────────▶ on the disk
//!                 whole        on the disk    (was the file)     is new      the folder
//! ```
//!
//! Whatever ends the process or the power in between, the file is the old one or the new one. What is left
//! of an unfinished save (`*.new`) holds hashes only, like the file, and goes with the next one.
//!
//! A symbolic link in the file's place is followed, so that the file it leads to is replaced and the link
//! stays. One that leads nowhere is an error and not "no accounts": what it leads to may not be mounted yet.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{Damaged, Form, MAX_FILE_BYTES, decode};
use super::{Accounts, Damage};

/// The accounts' file in the data directory.
pub const FILE_NAME: &str = "chat_users.json";

/// For its owner alone: hashes can be guessed at.
const FILE_MODE: u32 = 0o600;
/// As the file.
const FOLDER_MODE: u32 = 0o700;

/// What was found.
#[derive(Debug)]
pub struct Loaded {
    /// None, if there is no file.
    pub accounts: Accounts,
    /// In which form the file is, if there is one.
    pub form: Option<Form>,
    /// The file's permissions, if there is one. Wider than 0600, others can read hashes, and in the plain
    /// form passwords; the next save tightens them.
    pub mode: Option<u32>,
}

/// Why the accounts are not known, so that nothing may be served that depends on them. Nothing was changed.
#[derive(Debug)]
pub enum LoadError {
    /// The system refused to read it.
    Read { path: PathBuf, error: io::Error },
    /// Something stands there that is no file.
    NotAFile { path: PathBuf },
    /// A symbolic link that leads nowhere.
    LostLink { path: PathBuf },
    /// No file, but the copy of an earlier one.
    Lost { path: PathBuf, copy: PathBuf },
    /// It cannot be understood.
    Damaged { path: PathBuf, damaged: Damaged },
}

impl Loaded {
    /// Whether others than its owner can read the file.
    pub fn is_exposed(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o077 != 0)
    }
}

/// Reads the accounts. No file is no accounts; everything else that cannot be read to its last byte is an
/// error, for an empty or damaged file must not let anybody in, nor be overwritten.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let refused = |error| LoadError::Read {
        path: path.into(),
        error,
    };
    let missing = || LoadError::LostLink { path: path.into() };
    let place = match follow(path) {
        Ok(place) => place,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(refused(error)),
    };
    let metadata = match fs::metadata(&place) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let copy = beside(&place, "bak");
            return match copy.try_exists() {
                Ok(false) => Ok(Loaded {
                    accounts: Accounts::new(),
                    form: None,
                    mode: None,
                }),
                Ok(true) => Err(LoadError::Lost {
                    path: path.into(),
                    copy,
                }),
                Err(error) => Err(refused(error)),
            };
        }
        Err(error) => return Err(refused(error)),
    };
    // Opening a pipe would wait for whoever writes to it.
    if !metadata.is_file() {
        return Err(LoadError::NotAFile { path: path.into() });
    }
    let bytes = read(&place).map_err(refused)?;
    let (accounts, form) = decode(&bytes).map_err(|damaged| LoadError::Damaged {
        path: path.into(),
        damaged,
    })?;
    log::debug!("{}: {} accounts", path.display(), accounts.len());
    Ok(Loaded {
        accounts,
        form: Some(form),
        mode: Some(metadata.permissions().mode() & 0o7777),
    })
}

/// Replaces the file, or makes it, with its folder (mode 0700) if there is none. The last good one is
/// kept beside it as `*.bak`, unless it has passwords in plain.
///
/// When this returns without an error the disk has it. With one, nobody may be told that it was saved:
/// the file is the old one, or, if only the last step failed, the new one, and it is whole either way.
/// Every save writes a new file, so that trying again is sound whatever went wrong before.
pub fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Keep::LastGood)
}

/// What is kept of the file that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The last good one, if it holds accounts.
    LastGood,
    /// Nothing.
    Nothing,
}

/// Replaces a file, whole or not at all, as it is told of [`save`].
pub(super) fn replace(path: &Path, bytes: &[u8], keep: Keep) -> io::Result<()> {
    let place = follow(path)?;
    let folder = folder_of(&place);
    make_folder(folder)?;
    let new = beside(&place, "new");
    let result = write_new(&new, bytes)
        .and_then(|()| match keep {
            Keep::LastGood => keep_copy(&place),
            Keep::Nothing => Ok(()),
        })
        .and_then(|()| fs::rename(&new, &place));
    if let Err(error) = result {
        // A full disk needs the room. If this fails too, the next save does it.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    File::open(folder)?.sync_all()?;
    log::debug!("{}: {} bytes are on the disk", path.display(), bytes.len());
    Ok(())
}

/// Where the file itself is, behind symbolic links.
fn follow(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path),
        // What is in the way shows when it is opened.
        _ => Ok(path.into()),
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // One more than is taken, so that too much is seen; and all at once, so that no copy of passwords
    // stays where a growing buffer was.
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(MAX_FILE_BYTES as u64) as usize;
    bytes.try_reserve_exact(length + 1)?;
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_new(new: &Path, bytes: &[u8]) -> io::Result<()> {
    // Never into something that is there: it may be a link, or readable by others.
    let open = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(new)
    };
    let mut file = match open() {
        // Left by a process that was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(new)?;
            open()?
        }
        opened => opened?,
    };
    own_as_folder(&file, folder_of(new));
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a new file to whoever owns its folder: what root does in the folder of a server must not keep the server out.
/// Anybody else may not give files away, and need not.
pub(super) fn own_as_folder(file: &File, folder: &Path) {
    if let (Ok(own), Ok(above)) = (file.metadata(), fs::metadata(folder))
        && (own.uid(), own.gid()) != (above.uid(), above.gid())
    {
        let _ = fchown(file, Some(above.uid()), Some(above.gid()));
    }
}

/// The present file gets a second name, if it is good and of the hashed form.
fn keep_copy(place: &Path) -> io::Result<()> {
    let hashed = |bytes: &[u8]| matches!(decode(bytes), Ok((_, Form::Hashed)));
    if !read(place).is_ok_and(|bytes| hashed(&bytes)) {
        return Ok(());
    }
    fs::set_permissions(place, Permissions::from_mode(FILE_MODE))?;
    let (copy, new_copy) = (beside(place, "bak"), beside(place, "bak.new"));
    forget(&new_copy)?;
    match fs::hard_link(place, &new_copy) {
        Ok(()) => {
            let renamed = fs::rename(&new_copy, &copy);
            // Where both were names of one file, as after a save that was cut short, they still are.
            forget(&new_copy)?;
            renamed
        }
        // Some file systems have no second names. The copy is a help, the save must not hang on it.
        Err(_) => Ok(()),
    }
}

fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, each of them on the disk when this returns.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make_folder(above)?;
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(above)?.sync_all(),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// `chat_users.json.ending`, in the same folder: a rename reaches no other file system.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read { path, error } => {
                write!(f, "{}: cannot be read: {error}", path.display())
            }
            LoadError::NotAFile { path } => {
                write!(
                    f,
                    "{}: no file, where the accounts should be",
                    path.display()
                )
            }
            LoadError::LostLink { path } => write!(
                f,
                "{}: a link that leads nowhere; is what it leads to mounted?",
                path.display()
            ),
            LoadError::Lost { path, copy } => write!(
                f,
                "{}: not there, but its copy {} is; rename the copy to have those accounts, or remove it \
                 to have none",
                path.display(),
                copy.display()
            ),
            LoadError::Damaged { path, damaged } => {
                let Damaged {
                    line,
                    column,
                    damage,
                } = damaged;
                write!(f, "{}:{line}:{column}: {damage}", path.display())?;
                let copy = beside(path, "bak");
                match damage {
                    Damage::Empty | Damage::NulByte | Damage::Truncated if copy.exists() => {
                        write!(f, "; the last good one is {}", copy.display())
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Read { error, .. } => Some(error),
            LoadError::Damaged { damaged, .. } => Some(damaged),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::hash::tests::CHEAP;
    use super::super::{Phc, encode};
    use super::*;
    use crate::chat::Name;

    fn document(names: &[&str]) -> Vec<u8> {
        let mut accounts = Accounts::new();
        for name in names {
            let name = Name::parse(name).unwrap();
            accounts.insert(name, Phc::dummy(CHEAP)).unwrap();
        }
        encode(&accounts.snapshot().unwrap())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn count(path: &Path) -> usize {
        load(path).unwrap().accounts.len()
    }

    #[test]
    fn what_is_saved_is_loaded_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not/yet").join(FILE_NAME);
        let loaded = load(&path).unwrap();
        assert!(loaded.accounts.is_empty() && loaded.mode.is_none());
        assert_eq!(files(folder.path()), [""; 0], "loading makes nothing");
        save(&path, &document(&["a"])).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(
            (loaded.accounts.len(), loaded.mode, loaded.form),
            (1, Some(0o600), Some(Form::Hashed))
        );
        assert!(!loaded.is_exposed());
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&folder.path().join("not")), 0o700);
        assert_eq!(files(path.parent().unwrap()), [FILE_NAME]);
    }

    #[test]
    fn the_last_good_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let copy = folder.path().join("chat_users.json.bak");
        save(&path, &document(&["a"])).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(load(&path).unwrap().is_exposed());
        save(&path, &document(&["a", "b"])).unwrap();
        assert_eq!((count(&copy), count(&path)), (1, 2));
        assert_eq!((mode(&copy), mode(&path)), (0o600, 0o600));
        save(&path, &document(&["a", "b", "c"])).unwrap();
        assert_eq!((count(&copy), count(&path)), (2, 3));
        assert_eq!(files(folder.path()), [FILE_NAME, "chat_users.json.bak"]);
        // As a save leaves them that was killed between its two renames.
        fs::remove_file(&copy).unwrap();
        fs::hard_link(&path, &copy).unwrap();
        save(&path, &document(&[])).unwrap();
        assert_eq!((count(&copy), count(&path)), (3, 0));
        assert_eq!(files(folder.path()), [FILE_NAME, "chat_users.json.bak"]);
        // Without the file, whoever started the server should know.
        fs::remove_file(&path).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("chat_users.json.bak"), "{error}");
    }

    #[test]
    fn no_copy_keeps_what_is_in_plain_or_damaged() {
        for bad in ["{\"momodou\":\"hunter2\"}", "{\"momodou\":\"hunt", ""] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE_NAME);
            fs::write(&path, bad).unwrap();
            save(&path, &document(&["momodou"])).unwrap();
            assert_eq!(files(folder.path()), [FILE_NAME]);
            assert_eq!(mode(&path), 0o600);
        }
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let new = folder.path().join("chat_users.json.new");
        fs::write(&new, "half a fi").unwrap();
        save(&path, &document(&["a"])).unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "somebody else's").unwrap();
        symlink(&other, &new).unwrap();
        save(&path, &document(&["a"])).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"somebody else's");
        assert_eq!(count(&path), 1);
    }

    #[test]
    fn a_link_is_followed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let file = elsewhere.join("accounts");
        symlink(&file, &path).unwrap();
        assert!(matches!(load(&path), Err(LoadError::LostLink { .. })));
        assert!(save(&path, &document(&["a"])).is_err());
        fs::write(&file, document(&[])).unwrap();
        save(&path, &document(&["a"])).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!((count(&path), count(&file)), (1, 1));
        assert_eq!(files(&elsewhere), ["accounts", "accounts.bak"]);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::create_dir(&path).unwrap();
        assert!(matches!(load(&path), Err(LoadError::NotAFile { .. })));
        assert!(save(&path, b"{}").is_err());
        assert_eq!(files(folder.path()), [FILE_NAME], "nothing is left behind");
        let below = path.join("x").join(FILE_NAME);
        fs::write(path.join("x"), "a file").unwrap();
        assert!(matches!(load(&below), Err(LoadError::Read { .. })));
        assert!(save(&below, b"{}").is_err());
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "{\n  \"momodou\": 5\n}\n").unwrap();
        let error = load(&path).unwrap_err().to_string();
        let begin = format!("{}:2:14: a number stands where", path.display());
        assert!(error.starts_with(&begin), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"{\n  \"momodou\": 5\n}\n");
    }
}
