//! What a run may spend. Every limit is on by default and holds for the whole process tree.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One mebibyte. "MB" means 2^20 bytes everywhere in this project.
pub const MB: u64 = 1 << 20;

/// What a run may spend, for its whole process tree.
///
/// ```
/// use agentic_sandbox::{Limits, MB};
/// let limits = Limits { memory: 64 * MB, ..Limits::default() };
/// assert!(limits.validate().is_ok());
/// assert_eq!(Limits { processes: 0, ..limits }.validate().unwrap_err().limit, "processes");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Time on the clock. Default 30 s. Past it the tree is killed: [`crate::ExitReason::TimedOut`].
    pub wall: Duration,
    /// CPU time of the whole tree, user and system. Default: none beyond `wall` times the processors.
    pub cpu: Option<Duration>,
    /// Processors that the whole tree runs on at once. Default: all that the caller has, though no more than half of
    /// `processes`, since pools of a thread for each processor have to fit in. More than there are means all.
    pub cpus: Option<u32>,
    /// Bytes of memory of the whole tree, its tmpfs files included. Default 256 MB.
    pub memory: u64,
    /// Processes and threads at once. Default 64. Past it `fork` answers EAGAIN.
    pub processes: u32,
    /// Open descriptors per process. Default 1,024. Past it `open` answers EMFILE.
    pub open_files: u32,
    /// Bytes kept of each captured output stream, half head and half tail. Default 1 MiB.
    pub output: u64,
    /// Bytes of scratch space (`/tmp`, home), where `write` answers ENOSPC past it, and of the layers, where
    /// the tree is killed past it. Default 128 MB; 4 GB in the host view.
    pub disk: u64,
    /// Files and folders in the scratch space. Default 65,536. Past it `open(O_CREAT)` answers ENOSPC.
    pub inodes: u64,
    /// Bytes of any one file, a sparse one or one in memory included. Default 4 GB. Past it `write` answers EFBIG.
    pub file_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(30),
            cpu: None,
            cpus: None,
            memory: 256 * MB,
            processes: 64,
            open_files: 1024,
            output: MB,
            disk: 128 * MB,
            inodes: 65_536,
            file_size: 4096 * MB,
        }
    }
}

/// A limit that cannot be meant: zero, or past what the kernel can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit `{limit}` is {value}; it must lie between {least} and {most}")]
pub struct LimitError {
    /// The field of [`Limits`].
    pub limit: &'static str,
    /// What was asked for, with its unit.
    pub value: String,
    /// The least that is accepted.
    pub least: String,
    /// The most that is accepted.
    pub most: String,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Limits {
    /// The wider limits of the host view, where a build has to fit: half of `host_memory` (at least
    /// 512 MB), 512 processes, 4,096 descriptors, 4 GB of disk and 1,048,576 files.
    pub fn for_host_view(host_memory: u64) -> Self {
        Self {
            memory: (host_memory / 2).max(512 * MB),
            processes: 512,
            open_files: 4096,
            disk: 4096 * MB,
            inodes: 1 << 20,
            file_size: 4096 * MB,
            ..Self::default()
        }
    }

    /// Refuses what cannot be meant, by name.
    ///
    /// # Errors
    /// [`LimitError`] naming the first field outside its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let number = |limit, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(LimitError { limit, value: value.to_string(), least: least.to_string(), most: most.to_string() })
        };
        let time = |limit, value: Duration| {
            if value >= Duration::from_millis(1) && value <= 365 * DAY {
                return Ok(());
            }
            Err(LimitError { limit, value: format!("{value:?}"), least: "1ms".into(), most: "365 days".into() })
        };
        let most_bytes = 1 << 50;
        time("wall", self.wall)?;
        if let Some(cpu) = self.cpu {
            time("cpu", cpu)?;
        }
        if let Some(cpus) = self.cpus {
            number("cpus", cpus.into(), 1, 1 << 20)?;
        }
        number("memory", self.memory, 4 * MB, most_bytes)?;
        number("processes", self.processes.into(), 1, 1 << 20)?;
        number("open_files", self.open_files.into(), 16, 1 << 20)?;
        number("output", self.output, 1, most_bytes)?;
        number("disk", self.disk, MB, most_bytes)?;
        number("inodes", self.inodes, 64, 1 << 32)?;
        number("file_size", self.file_size, 1, most_bytes)
    }
}
