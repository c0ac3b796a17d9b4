//! A small disk that can be full: a file system in memory, mounted for the test.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of that size on an empty folder. `None` where that is not allowed, and says so.
    pub fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output().unwrap();
        if !mounted.status.success() {
            eprintln!("no full disks in this run: {}", String::from_utf8_lossy(&mounted.stderr).trim());
            return None;
        }
        Some(Self { folder: folder.to_owned() })
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            while ballast.write_all(&vec![0x55; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a program that was killed this moment may hold a file open still.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
