//! Programs of every day under `agentic exec --allow-net`: git and pip fetch from the host that was allowed, by its
//! name, as they are; without the rule they do not.

mod published;
mod scene;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use agentic_testkit::{find_program, skip};
use scene::Scene;

/// Serves the files of a folder by HTTP; the port.
fn serve(folder: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || drop(answer(stream, &folder)));
        }
    });
    port
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let mut path = folder.join(path.trim_start_matches('/'));
    if path.is_dir() {
        path.push("index.html");
    }
    let (status, kind) = if path.is_file() { ("200 OK", "text/html") } else { ("404 Not Found", "text/plain") };
    let bytes = std::fs::read(&path).unwrap_or_default();
    let kind = if path.extension().is_some_and(|end| end == "html") { kind } else { "application/octet-stream" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes)
}

#[test]
fn git_clones_from_an_allowed_host() {
    if find_program("git").is_none() {
        skip!("git is not installed");
    }
    let (scene, served) = (Scene::new(), tempfile::tempdir().unwrap());
    published::repository(served.path(), "hello.txt", "from afar\n");
    let port = serve(served.path().into());
    let rule = format!("code.test:{port}=127.0.0.1");
    let script = format!("git clone -q http://code.test:{port}/project.git /tmp/project && cat /tmp/project/hello.txt");
    scene.run(["exec", "--allow-net", &rule, "--lang", "bash", "-e", &script]).ends(0).prints("from afar");
    let other = "other.test=127.0.0.1";
    let seen = scene.run(["exec", "--allow-net", other, "--lang", "bash", "-e", &script]);
    seen.ends(128).says(&format!("no rule allows code.test:{port}"));
}

#[test]
fn pip_installs_from_an_allowed_index() {
    let scene = Scene::new();
    if scene.run(["exec", "-e", "import pip"]).code != 0 {
        skip!("the Python of the sandbox has no pip");
    }
    let served = tempfile::tempdir().unwrap();
    published::index(served.path(), published::WHEEL);
    published::wheel(&served.path().join("simple/greeting"), "installed");
    let port = serve(served.path().into());
    let rule = format!("index.test:{port}=127.0.0.1");
    let code = format!(
        r#"
import subprocess, sys
pip = [sys.executable, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--no-cache-dir', '--retries', '0',
       '--target', '/tmp/site', '--index-url', 'http://index.test:{port}/simple', '--trusted-host', 'index.test', 'greeting']
code = subprocess.run(pip).returncode
if code: sys.exit(code)
sys.path.insert(0, '/tmp/site')
import greeting
print(greeting.WORD)
"#
    );
    scene.run(["exec", "--timeout", "120", "--allow-net", &rule, "-e", &code]).ends(0).prints("installed");
    let other = "other.test=127.0.0.1";
    let seen = scene.run(["exec", "--timeout", "120", "--allow-net", other, "-e", &code]);
    seen.ends(1).says(&format!("no rule allows index.test:{port}"));
}
