//! Owns where the results go: the table to standard output, JSON and plot to their files or in the table's place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::report::{self, Report};

/// Open before anything is measured, so that nothing is measured that cannot be kept.
pub struct Outputs {
    json: Json,
    plot: Option<(PathBuf, File)>,
}

enum Json {
    No,
    /// Standard output has it instead of the table.
    Stdout,
    File(PathBuf, File),
}

impl Outputs {
    /// Creates the files, which must be two. `-` is standard output for JSON.
    pub fn open(json: Option<PathBuf>, plot: Option<PathBuf>) -> Result<Outputs, Failure> {
        // Before either is made.
        if let (Some(json), Some(plot)) = (&json, &plot)
            && json == plot
            && fs::metadata(json).map_or(true, |there| there.is_file())
        {
            return Err(one_file(json));
        }
        let json = match json {
            None => Json::No,
            Some(path) if path == Path::new("-") => Json::Stdout,
            Some(path) => {
                let file = create(&path)?;
                Json::File(path, file)
            }
        };
        let plot = match plot {
            None => None,
            Some(path) => {
                let file = create(&path)?;
                Some((path, file))
            }
        };
        if let (Json::File(path, json), Some((_, plot))) = (&json, &plot)
            && are_one(json, plot).map_err(cannot_write(path))?
        {
            return Err(one_file(path));
        }
        Ok(Outputs { json, plot })
    }

    pub fn write(&mut self, report: &Report) -> Result<(), Failure> {
        let mut json = Vec::new();
        report::write_json(report, &mut json);
        let shown = match &mut self.json {
            Json::No => report::table(report).into_bytes(),
            Json::Stdout => json,
            Json::File(path, file) => {
                replace(file, &json).map_err(cannot_write(path))?;
                report::table(report).into_bytes()
            }
        };
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&shown).and_then(|()| stdout.flush());
        // Whoever has read enough of it (`| head`) may close it.
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(Failure::Other(format!("writing the result: {error}")));
        }
        if let Some((path, file)) = &mut self.plot {
            let svg = report::plot(report).map_err(|error| Failure::Other(error.to_string()))?;
            replace(file, svg.as_bytes()).map_err(cannot_write(path))?;
        }
        Ok(())
    }
}

/// What stands in it stays there until there is something else.
fn create(path: &Path) -> Result<File, Failure> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(cannot_write(path))
}

/// Whether what is written into one is written over by the other, as by another name of it.
fn are_one(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok(one.is_file() && one.dev() == other.dev() && one.ino() == other.ino())
}

fn one_file(path: &Path) -> Failure {
    let path = path.display();
    Failure::Usage(format!(
        "--json and --plot are one file, {path}: each needs its own"
    ))
}

fn replace(file: &mut File, content: &[u8]) -> io::Result<()> {
    // Of something that is no file, as /dev/null, there is nothing to cut off.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(content)
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Other(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_results_are_not_written_into_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let said = |json, plot| match Outputs::open(json, plot) {
            Ok(_) => None,
            Err(Failure::Usage(reason)) => Some(reason),
            Err(_) => panic!("a file cannot be made"),
        };
        let refused = said(path("x"), path("x")).unwrap();
        assert!(
            refused.starts_with("--json and --plot are one file"),
            "{refused}"
        );
        assert!(!folder.path().join("x").exists(), "nothing is made");
        assert_eq!(said(path("x"), path("y")), None);
        std::os::unix::fs::symlink("x", folder.path().join("z")).unwrap();
        assert!(said(path("x"), path("z")).is_some(), "by another name");
        let nowhere = Some(PathBuf::from("/dev/null"));
        assert_eq!(said(nowhere.clone(), nowhere), None);
    }
}
