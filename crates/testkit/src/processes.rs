//! Whether a run left processes behind, told from outside by a marker in their arguments or environment.

use std::time::{Duration, Instant};

/// Ids of the processes whose arguments or environment hold `marker`, this one excepted.
///
/// The environment of another user's process is not readable; a marker in the arguments is always found.
pub fn processes_with_marker(marker: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| ["cmdline", "environ"].iter().any(|file| holds(&format!("/proc/{pid}/{file}"), marker)))
        .collect()
}

fn holds(path: &str, marker: &str) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
}

/// Waits until no process holds `marker`, and returns those that still do after `most`.
pub fn wait_until_gone(marker: &str, most: Duration) -> Vec<u32> {
    let end = Instant::now() + most;
    loop {
        let left = processes_with_marker(marker);
        if left.is_empty() || Instant::now() >= end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_found_by_its_environment_and_its_arguments_until_it_ends() {
        let marker = format!("marker-{}-{:?}", std::process::id(), std::thread::current().id());
        for mut command in [
            {
                let mut command = Command::new("sleep");
                command.arg("60").env("MARK", &marker);
                command
            },
            {
                let mut command = Command::new("sh");
                command.args(["-c", "read line", &marker]).stdin(Stdio::piped());
                command
            },
        ] {
            let mut child = command.spawn().expect("spawn");
            let end = Instant::now() + Duration::from_secs(5);
            // Between fork and exec the child still shows our own arguments.
            while !processes_with_marker(&marker).contains(&child.id()) {
                assert!(Instant::now() < end, "{} was not found", child.id());
                std::thread::yield_now();
            }
            child.kill().expect("kill");
            child.wait().expect("wait");
            assert_eq!(wait_until_gone(&marker, Duration::from_secs(5)), Vec::<u32>::new());
        }
    }
}
