//! Owns the data directory for one process: two that saved their accounts in it would each undo what the other
//! has confirmed. Knows nothing of what is kept there.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::file::{make_folder, own_as_folder};

/// Nobody else keeps accounts there for as long as this lives. The kernel ends it with the process, however that
/// ends (flock(2)).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is none.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held { folder: PathBuf },
    /// The system refused to make the folder, or the file in it.
    Refused { folder: PathBuf, error: io::Error },
}

const FILE_NAME: &str = "mynah.lock";

impl Lock {
    /// Takes the folder, which is made if it is not there.
    pub fn take(folder: &Path) -> Result<Lock, LockError> {
        let refused = |error| LockError::Refused {
            folder: folder.into(),
            error,
        };
        make_folder(folder).map_err(refused)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(FILE_NAME))
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {
                log::debug!("{}: kept for this process alone", folder.display());
                own_as_folder(&file, folder);
                Ok(Lock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Held {
                folder: folder.into(),
            }),
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held { folder } => write!(
                f,
                "{}: another server keeps its accounts and bans there; choose another --data-dir",
                folder.display()
            ),
            LockError::Refused { folder, error } => write!(
                f,
                "{}: accounts and bans cannot be kept there: {error}",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("made/on/demand");
        let lock = Lock::take(&folder).unwrap();
        assert!(matches!(Lock::take(&folder), Err(LockError::Held { .. })));
        drop(lock);
        assert!(
            Lock::take(&folder).is_ok(),
            "what a killed process leaves is no lock"
        );
        let refused = Lock::take(Path::new("/proc/nowhere"));
        assert!(matches!(refused, Err(LockError::Refused { .. })));
    }
}
