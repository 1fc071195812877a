//! Options of the allocator: checked by the allocator's own code, passed on by environment.

use crate::Failure;
use cidalloc::options::{Options, TABLE};
use std::ffi::{CString, OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

/// The environment variable for option `name`.
pub(crate) fn variable(name: &str) -> String {
    format!("CIDALLOC_{}", name.to_ascii_uppercase())
}

/// Names and values of `NAME=VALUE` arguments as environment variables.
pub(crate) fn to_environment(given: &[OsString]) -> Result<Vec<(String, OsString)>, Failure> {
    let mut options = Options::DEFAULT;
    given.iter().map(|argument| one(&mut options, argument)).collect()
}

fn one(options: &mut Options, argument: &OsStr) -> Result<(String, OsString), Failure> {
    let refuse = |why: String| {
        let line = format!("option '{}': {why}", argument.to_string_lossy());
        Failure::new(Failure::USAGE, line)
    };
    let bytes = argument.as_bytes();
    let Some(equals) = bytes.iter().position(|&b| b == b'=') else {
        return Err(refuse("expected NAME=VALUE".into()));
    };
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    // An argument of a program has no NUL inside. The option keeps the value for ever.
    let text = CString::new(value).map_err(|_| refuse("NUL in the value".into()))?;
    options.set(name, Box::leak(text.into_boxed_c_str())).map_err(|why| refuse(why.to_string()))?;
    // It was found in the table, whose names are text.
    let name = String::from_utf8_lossy(name);
    Ok((variable(&name), OsStr::from_bytes(value).to_owned()))
}

/// Prints the table. A reader that goes away early is no error.
pub(crate) fn print() {
    let mut out = std::io::stdout().lock();
    let rows = TABLE.iter().map(|info| [info.name, info.default, info.values, info.help]);
    for [name, default, values, help] in
        [["option", "default", "values", "meaning"]].into_iter().chain(rows)
    {
        if writeln!(out, "{name:<16} {default:<15} {values:<24} {help}").is_err() {
            return;
        }
    }
    let note =
        "\nGive them by `cidalloc run -o NAME=VALUE`, or as CIDALLOC_NAME in the environment.";
    let _ = writeln!(out, "{note}");
}
