//! One virtual machine from power-on to power-off. Its second serial line is read as it speaks, and kept as the log.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::debian::make;
use super::image::Bootable;
use super::log::{self, Log};
use super::{MEMORY, MOST_ALL, Variant};
use crate::run::{cannot_start, quiet};
use crate::{Failure, say};

/// Boots, runs everything that is listed on the disk `tests`, and reads the log.
pub(super) fn run(
    booted: &Bootable,
    variant: &Variant,
    [system, tests]: [&Path; 2],
    commit: &str,
) -> Result<Log, Failure> {
    let kernel = &booted.kernel;
    make(&log::folder())?;
    let name = format!("{}-{}", kernel.series, variant.name);
    let path = log::folder().join(format!("{name}.log"));
    let console = log::folder().join(format!("{name}.console"));
    say(format!("{} with {}: {}", kernel.release, variant.name, variant.what));

    // An ordinary start of an everyday machine, told to end on a panic. The check of the timer counts its ticks by the
    // processor's speed, and panics where emulation is slow.
    let line = format!("console=ttyS0 loglevel=5 panic=-1 random.trust_cpu=on no_timer_check {}", variant.options);
    let mut qemu = Command::new("timeout");
    qemu.args(["--kill-after=10", MOST_ALL, "nice", "-n", "15", "qemu-system-x86_64"]);
    // Software emulation, also where there is KVM: the same everywhere, whatever the processor and its flaws.
    qemu.args(["-accel", "tcg", "-machine", "pc", "-cpu", "max,la57=off", "-smp", "2"]);
    qemu.args(["-m", &MEMORY.to_string()]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"]);
    for disk in [system, &booted.modules, tests] {
        qemu.args(["-drive", &format!("file={},if=virtio,format=raw,snapshot=on", disk.display())]);
    }
    qemu.arg("-kernel").arg(&booted.image).arg("-initrd").arg(&booted.initrd).args(["-append", line.trim()]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());

    let fail = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = File::create(&path).map_err(fail)?;
    for (word, value) in [
        ("series", kernel.series.clone()),
        ("variant", variant.name.to_owned()),
        ("commit", commit.to_owned()),
        ("date", String::from_utf8_lossy(&quiet(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.stdout).trim().into()),
        ("emulator", first_line(Command::new("qemu-system-x86_64").arg("--version"))?),
    ] {
        writeln!(file, "@@ {word} {value}").map_err(fail)?;
    }
    let mut child = qemu.spawn().map_err(|error| cannot_start(&qemu, &error))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read the machine's words: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches('\r');
            writeln!(file, "{line}").map_err(fail)?;
            if line.starts_with("@@ ") || line.starts_with("test ") {
                println!("{line}");
            }
        }
    }
    child.wait().map_err(|error| format!("cannot wait for qemu: {error}"))?;
    let log = log::read(&path)?;
    if !log.ended {
        say(format!("the machine did not reach its end: see {}", console.display()));
    }
    Ok(log)
}

fn first_line(command: &mut Command) -> Result<String, Failure> {
    let said = quiet(command)?.stdout;
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
}
