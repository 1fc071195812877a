//! `cidalloc run` with the real library: status, signals, options, statistics.

mod common;

use common::{COMMAND, library, without_ours};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// `cidalloc run --library … ARGS`, ready to start.
fn command(args: &[&str]) -> Command {
    common::command("run", args)
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An empty directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("cidalloc-test-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A child that another test starts meanwhile would inherit a descriptor for writing, and
        // nobody could run the file while it has it: so another process writes it.
        let draft = path.with_extension("draft");
        fs::write(&draft, content).unwrap();
        assert!(Command::new("cp").args([&draft, &path]).status().unwrap().success());
        fs::remove_file(&draft).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_program_has_the_library_and_its_status_is_ours() {
    let output = run(&["--", "bash", "-c", "grep -c libcidmalloc /proc/$$/maps; exit 42"]);
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
    let mappings: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(mappings > 0);
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_was_preloaded_stays_behind_ours() {
    let ours = library().canonicalize().unwrap();
    let output = command(&["--", "sh", "-c", "echo $LD_PRELOAD"])
        .env("LD_PRELOAD", ours.with_file_name("libother.so"))
        .output()
        .unwrap();
    let expected =
        format!("{0}/libcidmalloc.so:{0}/libother.so\n", ours.parent().unwrap().display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn options_reach_the_allocator() {
    let output = run(&["--stats", "-o", "cid=none", "--option", "decay_ms=7", "ls", "/"]);
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with("cidalloc: statistics of process "), "{text}");
    assert!(text.lines().next().unwrap().ends_with(" (ls)"), "{text}");
    assert!(
        text.contains("cid_source      none: no caches, since the option asks for it"),
        "{text}"
    );
    let output = run(&["-o", "decay_ms=7", "sh", "-c", "echo $CIDALLOC_DECAY_MS"]);
    assert_eq!(output.stdout, b"7\n");
}

#[test]
fn wrong_options_are_named_in_one_line() {
    for (option, expected) in [
        ("speed=11", "option 'speed=11': no such option; there are: cid cid_policy numa"),
        ("cid=moon", "option 'cid=moon': expected auto, kernel, cpu, emulated, none"),
        ("cid", "option 'cid': expected NAME=VALUE"),
        ("decay_ms=-1", "option 'decay_ms=-1': expected milliseconds"),
    ] {
        let output = run(&["--option", option, "--", "true"]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("cidalloc: {expected}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let output = run(&["--stats", "-o", "stats_file=/tmp/x", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn further_processes_get_a_line_each_or_all_of_theirs() {
    let script = "ls / >/dev/null; ls /usr >/dev/null; exit 3";
    let output = run(&["--stats", "--", "bash", "-c", script]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.lines().next().unwrap().ends_with(" (bash)"), "{text}");
    assert_eq!(text.matches("cidalloc: statistics of process").count(), 1, "{text}");
    let lines = text.lines().filter(|line| line.starts_with("cidalloc: process "));
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        assert!(line.contains(" (ls): live ") && !line.contains('?'), "{line}");
    }
    let output = run(&["--stats=all", "--", "bash", "-c", script]);
    let text = stderr(&output);
    assert_eq!(text.matches("cidalloc: statistics of process").count(), 3, "{text}");
    assert_eq!(text.matches("[classes]").count(), 3, "{text}");
}

#[test]
fn nothing_is_left_behind_and_the_programs_output_is_its_own() {
    let scratch = Scratch::new("tmpdir");
    let output =
        command(&["--stats", "--", "echo", "words"]).env("TMPDIR", &scratch.0).output().unwrap();
    assert_eq!(output.stdout, b"words\n");
    assert!(stderr(&output).contains("(echo)"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0);
}

#[test]
fn missing_statistics_have_a_cause() {
    let output = run(&["--stats", "--", "sh", "-c", "kill -KILL $$"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(128 + 9), "{text}");
    assert_eq!(text, "cidalloc: no statistics of sh: signal 9 ended it\n");
}

/// A statically linked program that ends with status 7, assembled here: it needs no compiler.
#[cfg(target_arch = "x86_64")]
fn static_program() -> Vec<u8> {
    // mov edi, 7; mov eax, 60 (exit); syscall
    let code = [0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let base = 0x40_0000u64;
    let total = 64 + 56 + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64, version 1
    for word in [base + 120, 64, 0] {
        elf.extend(u64::to_le_bytes(word)); // entry, program headers, section headers
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // one program header
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, readable and executable
    for word in [0, base, base, total, total, 0x1000] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_static_program_runs_and_is_told_to_be_one() {
    let scratch = Scratch::new("static");
    let program = scratch.file("seven", static_program(), 0o755);
    let name = program.to_str().unwrap();
    let output = run(&["--stats", "--", name]);
    assert_eq!(output.status.code(), Some(7));
    let why = "it is statically linked, and has no loader that could bring the library in";
    assert_eq!(stderr(&output), format!("cidalloc: no statistics of {name}: {why}\n"));
    let output = run(&["--", name]);
    assert_eq!(output.status.code(), Some(7));
    let expected = format!("cidalloc: warning: {name} runs without the allocator: {why}\n");
    assert_eq!(stderr(&output), expected);
}

#[test]
fn programs_that_cannot_be_run_have_the_shells_status() {
    let scratch = Scratch::new("unrunnable");
    let text = scratch.file("text", "no program\n", 0o644);
    let orphan = scratch.file("orphan", "#!/nowhere/interpreter\n", 0o755);
    for (program, status, expected) in [
        (OsStr::new("no-such-program-anywhere"), 127, "not found"),
        (text.as_os_str(), 126, "cannot be run: Permission denied"),
        (orphan.as_os_str(), 126, "the interpreter or loader it names is missing"),
    ] {
        let output = command(&["--"]).arg(program).output().unwrap();
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{line}");
        assert!(line.contains(expected) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn a_signal_to_the_command_is_the_programs() {
    let script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = command(&["--stats", "--", "bash", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).starts_with("cidalloc: statistics of"), "{}", stderr(&output));
}

#[test]
fn the_library_is_found_beside_the_command_and_in_lib() {
    let scratch = Scratch::new("places");
    let content = fs::read(COMMAND).unwrap();
    let lib = fs::read(library()).unwrap();
    for (at, library) in [
        ("beside/cidalloc", "beside/libcidmalloc.so"),
        ("usr/bin/cidalloc", "usr/lib/libcidmalloc.so"),
    ] {
        let command = scratch.file(at, &content, 0o755);
        let start = || {
            let mut command = Command::new(&command);
            command.args(["run", "--", "sh", "-c", "echo $LD_PRELOAD"]);
            without_ours(&mut command);
            command.output().unwrap()
        };
        let without = start();
        assert_eq!(without.status.code(), Some(1));
        assert!(stderr(&without).starts_with("cidalloc: libcidmalloc.so is neither in "));
        let library = scratch.file(library, &lib, 0o644).canonicalize().unwrap();
        let with = start();
        assert!(with.status.success() && with.status.signal().is_none(), "{}", stderr(&with));
        assert_eq!(String::from_utf8_lossy(&with.stdout).trim(), library.to_str().unwrap());
    }
}

#[test]
fn a_library_that_the_loader_cannot_take_is_refused() {
    let scratch = Scratch::new("with space");
    let library = scratch.file("lib.so", "", 0o644);
    let output = Command::new(COMMAND)
        .args(["run", "--library"])
        .arg(&library)
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no path with spaces or colons"), "{}", stderr(&output));
}

#[test]
fn options_are_listed_with_their_defaults() {
    let output = Command::new(COMMAND).arg("options").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for info in &cidalloc::options::TABLE {
        let line = text.lines().find(|line| line.starts_with(info.name)).unwrap();
        assert!(line.contains(info.default) && line.ends_with(info.help), "{line}");
    }
}

/// A shell with the library and statistics on standard error, without `cidalloc run`.
fn shell(script: &str) -> Output {
    let mut command = Command::new("bash");
    without_ours(&mut command);
    command
        .args(["-c", script])
        .env("LD_PRELOAD", library())
        .env("CIDALLOC_STATS", "1")
        .env_remove("CIDALLOC_STATS_FILE")
        .output()
        .unwrap()
}

#[test]
fn a_program_that_closes_standard_error_reports_all_the_same() {
    // ls does so in an exit handler of its own, which runs before the library's.
    let text = stderr(&shell("exec ls / 2>&2"));
    assert!(text.lines().next().unwrap().ends_with(" (ls)"), "{text}");
    assert!(text.contains("\nenvironment     read\n"), "{text}");
    let text = stderr(&shell("exec 2>&-; exit 0"));
    assert!(text.starts_with("cidalloc: statistics of process "), "{text}");
}

#[test]
fn a_file_that_took_the_descriptors_number_stays_untouched() {
    let scratch = Scratch::new("taken");
    let data = scratch.0.join("data");
    if Command::new("perl").arg("-v").output().is_err() {
        eprintln!("skipped: no perl here, by which a program puts its own file on a number");
        return;
    }
    // A shell would put back what was there before it ends.
    let perl = "use POSIX; open(F, q(>), $ARGV[0]) or die; dup2(fileno(F), 200); exit 6";
    let output = shell(&format!("exec perl -e '{perl}' {}", data.display()));
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(fs::read(data).unwrap(), b"");
    assert_eq!(stderr(&output), "");
}
