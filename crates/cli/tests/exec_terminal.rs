//! `agentic exec --tty`: a real terminal inside, the caller's own put back afterwards.

mod scene;

use std::time::Duration;

use agentic_testkit::{Pty, agentic_binary, report_skip, wait_until_gone};
use rustix::process::{Pid, Signal, kill_process};
use scene::Scene;

/// Reached only by a test that fails: a debug build on a busy machine is slow.
const SOON: Duration = Duration::from_secs(60);

fn at_terminal(scene: &Scene, args: &[&str]) -> Option<Pty> {
    let pty = Pty::spawn(agentic_binary(), args, |command| {
        scene.surround(command);
        command.env("TERM", "xterm");
    });
    pty.map_err(|error| report_skip(&error.to_string())).ok()
}

/// A shell at a terminal that runs the program as `$0 exec …` and says afterwards what its terminal is like.
fn in_shell(scene: &Scene, script: &str) -> Option<Pty> {
    let pty = Pty::spawn("/bin/sh", ["-c", script, agentic_binary().to_str().unwrap()], |command| {
        scene.surround(command);
        command.env("TERM", "xterm");
    });
    pty.map_err(|error| report_skip(&error.to_string())).ok()
}

#[track_caller]
fn expect(pty: &Pty, text: &str) -> String {
    pty.expect(text, SOON).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn end(pty: &mut Pty) -> i32 {
    let status = pty.wait(SOON).unwrap().unwrap_or_else(|| panic!("it never ended: {}", pty.output()));
    status.code().unwrap_or(-1)
}

#[test]
fn the_program_sees_a_terminal_of_the_same_size() {
    let scene = Scene::new();
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && echo term=$TERM";
    let Some(mut pty) = at_terminal(&scene, &["exec", "--tty", "--lang", "bash", "-e", script]) else { return };
    expect(&pty, "24 100\r\n");
    expect(&pty, "term=xterm");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
}

#[test]
fn it_reads_lines_and_its_status_passes() {
    let scene = Scene::new();
    let code = "print('<' + input('name? ') + '>'); raise SystemExit(7)";
    let Some(mut pty) = at_terminal(&scene, &["exec", "--tty", "-e", code]) else { return };
    expect(&pty, "name? ");
    pty.send("Ada\r").unwrap();
    // Once as the program's own terminal echoes it, and not once more by the caller's.
    let echo = expect(&pty, "<Ada>");
    assert_eq!(echo.matches("Ada").count(), 2, "{echo:?}");
    assert_eq!(end(&mut pty), 7, "{}", pty.output());
}

#[test]
fn an_interpreter_without_a_program_is_interactive() {
    let scene = Scene::new();
    let Some(mut pty) = at_terminal(&scene, &["exec", "--tty"]) else { return };
    expect(&pty, ">>> ");
    pty.send("6 * 7\r").unwrap();
    expect(&pty, "42");
    expect(&pty, ">>> ");
    pty.send("\x04").unwrap();
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
}

#[test]
fn ctrl_c_goes_to_the_program() {
    let scene = Scene::new();
    // Short sleeps: an interrupt between Python's own look for signals and the system call of `sleep` waits for its end
    // (seen in 1 of 100 loaded runs of a bare interpreter at a bare terminal).
    let code = "import time\ntry:\n    print('ready', flush=True)\n    while True: time.sleep(0.05)\nexcept KeyboardInterrupt:\n    print('caught'); raise SystemExit(5)";
    let Some(mut pty) = at_terminal(&scene, &["exec", "--tty", "-e", code]) else { return };
    expect(&pty, "ready");
    pty.interrupt().unwrap();
    expect(&pty, "caught");
    assert_eq!(end(&mut pty), 5, "{}", pty.output());
}

#[test]
fn the_window_is_followed() {
    let scene = Scene::new();
    let script = "stty size; for i in $(seq 600); do case $(stty size) in '31 77') echo followed; exit 0;; esac; sleep 0.1; done; exit 1";
    let args = ["exec", "--tty", "--timeout", "120", "--lang", "bash", "-e", script];
    let Some(mut pty) = at_terminal(&scene, &args) else { return };
    expect(&pty, "24 100");
    pty.resize(31, 77).unwrap();
    expect(&pty, "followed");
    assert_eq!(end(&mut pty), 0, "{}", pty.output());
}

#[test]
fn the_callers_terminal_is_put_back_however_it_ends() {
    for (args, code) in [
        ("-e 'print(1)'", 0),
        ("-e 'raise SystemExit(3)'", 3),
        ("--timeout 1 -e 'import time; time.sleep(600)'", 124),
        ("--runtime /nowhere/python3 -e 1", 127),
        ("--memory 64 -e 'x = bytearray(b\"x\" * (1 << 30))'", 137),
    ] {
        let scene = Scene::new();
        let script =
            format!("b=$(stty -g); \"$0\" exec --tty {args}; c=$?; test \"$b\" = \"$(stty -g)\" && echo same-$c");
        let Some(mut pty) = in_shell(&scene, &script) else { return };
        expect(&pty, &format!("same-{code}"));
        assert_eq!(end(&mut pty), 0, "{}", pty.output());
    }
}

#[test]
fn the_terminal_is_put_back_when_signals_end_it() {
    for second in [false, true] {
        let scene = Scene::new();
        let marker = format!("agentic-tty-{}-{second}", std::process::id());
        let code = format!(
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(\"re\" + \"ady\", flush=True); time.sleep(600) # {marker}"
        );
        let script = format!(
            "b=$(stty -g); \"$0\" exec --tty --timeout 100 -e '{code}' & p=$!; wait $p 2>/dev/null; \
             test \"$b\" = \"$(stty -g)\" && echo same"
        );
        // A job of a shell without job control has /dev/null for standard input: give it the terminal.
        let script = script.replacen(" & p=$!", " <&3 & p=$!", 1);
        let script = format!("exec 3<&0; {script}");
        let Some(mut pty) = in_shell(&scene, &script) else { return };
        expect(&pty, "ready");
        let agentic = agentic_binary();
        for pid in agentic_testkit::processes_with_marker(&marker) {
            let ours = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == agentic);
            let asks = std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"exec"));
            if ours && asks {
                let pid = Pid::from_raw(pid.cast_signed()).unwrap();
                let _ended = kill_process(pid, Signal::TERM);
                if second {
                    let _ended = kill_process(pid, Signal::TERM);
                }
            }
        }
        expect(&pty, "same");
        assert_eq!(end(&mut pty), 0, "{}", pty.output());
        assert_eq!(wait_until_gone(&marker, SOON), Vec::<u32>::new());
    }
}

#[test]
fn without_a_terminal_it_is_refused() {
    let scene = Scene::new();
    scene.run(["exec", "--tty", "-e", "1"]).ends(125).says("standard input is not a terminal").says("hint:");
    let Some(mut pty) =
        in_shell(&scene, "\"$0\" exec --tty -e 1 | cat; \"$0\" exec --tty -e 1 >/dev/null; echo code-$?")
    else {
        return;
    };
    expect(&pty, "standard output is not a terminal");
    expect(&pty, "code-125");
    assert_eq!(end(&mut pty), 0);
}
