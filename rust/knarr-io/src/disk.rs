//! A directory of the file system as a [`Disk`]: mode 0700, its files 0600.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use knarr_base::{Disk, DiskError, DiskErrorKind, File};

/// Bytes of zeros written at once.
const ZEROS: usize = 1 << 20;

/// A directory.
#[derive(Clone, Debug)]
pub struct DirectoryDisk {
    path: PathBuf,
}

fn error(operation: &'static str, file: &str) -> impl Fn(io::Error) -> DiskError {
    let file = file.to_owned();
    move |error| {
        let kind = match error.kind() {
            ErrorKind::NotFound => DiskErrorKind::NotFound,
            ErrorKind::AlreadyExists => DiskErrorKind::Exists,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskErrorKind::Full,
            _ => DiskErrorKind::Other(error.to_string()),
        };
        DiskError { operation, file: file.clone(), kind }
    }
}

impl DirectoryDisk {
    /// The directory at `path`, made if it is missing, closed to other users either way.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let name = path.display().to_string();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error("make", &name))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(error("protect", &name))?;
        let disk = Self { path: path.to_owned() };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // The directory itself must survive a power loss, or all that is in it is lost.
            fs::File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(error("sync", &parent.display().to_string()))?;
        }
        Ok(disk)
    }

    fn file(&self, name: &str, options: &mut OpenOptions, operation: &'static str) -> Result<RealFile, DiskError> {
        let file =
            options.read(true).write(true).mode(0o600).open(self.path.join(name)).map_err(error(operation, name))?;
        Ok(RealFile { file, name: name.to_owned() })
    }
}

struct RealFile {
    file: fs::File,
    name: String,
}

impl File for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(error("write", &self.name))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let mut read = 0;
        while read < into.len() {
            match self.file.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(again) if again.kind() == ErrorKind::Interrupted => {}
                Err(failed) => return Err(error("read", &self.name)(failed)),
            }
        }
        Ok(read)
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(error("sync", &self.name))
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.file.metadata().map_err(error("stat", &self.name))?.len())
    }
}

impl Disk for DirectoryDisk {
    fn create(&self, name: &str, size: u64) -> Result<Box<dyn File>, DiskError> {
        let mut file = self.file(name, OpenOptions::new().create_new(true), "create")?;
        let zeros = vec![0; ZEROS.min(usize::try_from(size).unwrap_or(ZEROS))];
        let mut at = 0;
        while at < size {
            let part = usize::try_from(size - at).unwrap_or(ZEROS).min(ZEROS);
            file.write_at(at, &zeros[..part])?;
            at += part as u64;
        }
        file.file.sync_all().map_err(error("sync", name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, DiskError> {
        Ok(Box::new(self.file(name, &mut OpenOptions::new(), "open")?))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.path.join(from), self.path.join(to)).map_err(error("rename", from))
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        fs::remove_file(self.path.join(name)).map_err(error("remove", name))
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error("list", ""))? {
            let entry = entry.map_err(error("list", ""))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> Result<(), DiskError> {
        fs::File::open(&self.path).and_then(|directory| directory.sync_all()).map_err(error("sync", ""))
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Send>, DiskError> {
        let file = self.file(name, OpenOptions::new().create(true), "lock")?.file;
        // The kernel drops the lock with the process, however it ends: a crash leaves no stale one.
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(fs::TryLockError::WouldBlock) => {
                Err(DiskError { operation: "lock", file: name.to_owned(), kind: DiskErrorKind::Locked })
            }
            Err(fs::TryLockError::Error(failed)) => Err(error("lock", name)(failed)),
        }
    }
}
