//! The server: started, loaded by redis-benchmark, asked things with known answers, stopped.
//!
//! ```text
//!  start ─► PING ─► │ redis-benchmark │ known commands ─► their replies │ ─► SHUTDOWN, wait4
//!                   └──────────── the time that counts ─────────────────┘
//! ```
//!
//! redis-benchmark draws its keys by time and pid, so what it leaves behind differs from run to
//! run. What is compared are the replies to commands of our own, on an emptied database.

use core::time::Duration;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use cidalloc_benches::results::Sample;

use super::launch::{Launch, wait};

/// Where the server listens, in its folder: a path to a socket has at most 107 bytes.
pub(crate) const SOCKET: &str = "redis.sock";
const READY_WITHIN: Duration = Duration::from_secs(10);
const REPLY_WITHIN: Duration = Duration::from_secs(30);
const KEYS: usize = 3_000;
const TESTS: &str = "set,get,incr,lpush,rpop,sadd,hset,zadd";
/// Requests of each test, clients, requests on their way per client, keys, bytes of a value.
const LOAD: [&str; 10] = ["-n", "40000", "-c", "20", "-P", "16", "-r", "20000", "-d", "300"];

pub(crate) fn run(launch: &Launch<'_>, benchmark: &Path) -> Result<(Sample, Vec<u8>), String> {
    let socket = launch.folder.join(SOCKET);
    // A run that was cut short may have left one.
    let _ = fs::remove_file(&socket);
    let log = launch.folder.join("log");
    let file = fs::File::create(&log).map_err(|error| error.to_string())?;
    let mut running = launch.start(Stdio::from(file))?;
    let mut connection = connect(&socket).map_err(|why| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        format!("redis-server {why}: {}", log.lines().last().unwrap_or("it said nothing"))
    })?;
    let talk = launch.folder.join("load");
    let file = fs::File::create(&talk).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let load = Command::new(benchmark)
        .env_remove("LD_PRELOAD")
        .arg("-s")
        .arg(&socket)
        .args(LOAD)
        .args(["-q", "-t", TESTS])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", benchmark.display()))?;
    let status = wait(load, launch.limit).map_err(|why| format!("redis-benchmark {why}"))?;
    let talk = fs::read_to_string(&talk).unwrap_or_default();
    if !status.success() || talk.contains("Error") {
        let line = talk.lines().next().unwrap_or_default();
        return Err(format!("redis-benchmark failed ({status}): {line}"));
    }
    let replies = ask(&mut connection).map_err(|error| format!("redis-server: {error}"))?;
    let wall_ns = begin.elapsed().as_nanos() as f64;
    // It may be gone before `finish` looks for the first time.
    running.look();
    let _ = connection.write_all(b"SHUTDOWN NOSAVE\r\n");
    Ok((Sample { wall_ns, ..running.finish()? }, replies))
}

fn connect(socket: &Path) -> Result<UnixStream, String> {
    let begin = Instant::now();
    loop {
        if let Ok(mut connection) = UnixStream::connect(socket) {
            connection
                .set_read_timeout(Some(REPLY_WITHIN))
                .and_then(|()| connection.write_all(b"PING\r\n"))
                .map_err(|error| error.to_string())?;
            let mut reply = [0; 7];
            return match connection.read_exact(&mut reply) {
                Ok(()) if reply == *b"+PONG\r\n" => Ok(connection),
                _ => Err("does not answer PING".to_owned()),
            };
        }
        if begin.elapsed() > READY_WITHIN {
            return Err(format!("did not listen within {} s", READY_WITHIN.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends the known commands and returns the replies, of which the last is that to `ECHO`.
fn ask(connection: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    const LAST: &[u8] = b"$3\r\nend\r\n";
    let mut sender = connection.try_clone()?;
    let sent = std::thread::spawn(move || sender.write_all(commands().as_bytes()));
    let mut replies = Vec::new();
    let mut buffer = [0; 1 << 16];
    while !replies.ends_with(LAST) {
        match connection.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            len => replies.extend_from_slice(&buffer[..len]),
        }
    }
    match sent.join() {
        Ok(result) => result.map(|()| replies),
        Err(_) => Err(std::io::Error::other("the sender of commands panicked")),
    }
}

/// Every value follows from its key's number. No reply depends on the order of a hash table.
fn commands() -> String {
    let mut text = String::from("FLUSHALL\r\n");
    for i in 0..KEYS {
        let (value, other) = ("v".repeat(i * 7919 % 600 + 1), i * 104_729 % KEYS);
        text += &format!("SET s:{i} {value}\r\nAPPEND s:{other} {i}\r\nGET s:{other}\r\n");
        text += &format!("RPUSH l:{} {value} {i} {other}\r\nLPOP l:{}\r\n", i % 41, other % 41);
        text +=
            &format!("ZADD z:{} {other} member-{i}\r\nHSET h:{} f{i} {value}\r\n", i % 7, i % 97);
        text += &format!("HGET h:{} f{other}\r\nDEL s:{}\r\n", other % 97, (i + 1500) % KEYS);
    }
    for i in 0..41 {
        text += &format!("LRANGE l:{i} 0 -1\r\nZRANGE z:{i} 0 -1 WITHSCORES\r\nHLEN h:{i}\r\n");
    }
    text + "DBSIZE\r\nECHO end\r\n"
}
