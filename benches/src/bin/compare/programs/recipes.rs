//! Where each program is, what it is given, and what to install where it is missing.
//!
//! ```text
//!  redis    redis-server, asked by redis-benchmark over a unix socket
//!  sqlite   sqlite3 in memory: inserts, indices, joins, a window function, deletes, vacuum
//!  python   PYTHONMALLOC=malloc, so that every object is one: JSON, regular expressions, trees
//!  cc       cc1plus, the compiler proper, on a preprocessed source that includes much of the
//!           standard library
//!  lua      tables, strings, coroutines, a serialiser
//!  rust     rustfmt on a generated source: the parser and the syntax trees of rustc
//! ```
//!
//! Not rustc itself: the one that rustup installs is linked with jemalloc, as are rustdoc and
//! clippy-driver, so nothing can be preloaded there. rustfmt comes with them, uses the same
//! `librustc_driver` and the system's malloc, and makes a syntax tree of millions of blocks.

use core::fmt::Write;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program is.
pub(crate) enum Kind {
    /// It does its work and ends.
    Batch,
    /// It answers, and its load comes from this program.
    Server { benchmark: PathBuf },
}

/// How a program is run.
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) env: &'static [(&'static str, &'static str)],
    pub(crate) kind: Kind,
    /// What to preload in a run on the C library's malloc, where the program is linked with
    /// another one.
    pub(crate) preload_without: Option<&'static str>,
}

/// What the tests of real programs run, too.
const ROWS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/real-programs/payloads/rows.sql"));

/// The recipe of `name`, with the files that it needs in `folder`.
pub(crate) fn find(name: &str, folder: &Path) -> Result<Recipe, String> {
    match name {
        "redis" => redis(),
        "sqlite" => {
            let program = needed(&["sqlite3"], "sqlite3")?;
            let script = payload(folder, "rows.sql", ROWS)?;
            let read = format!(".read {}", script.display());
            Ok(batch(program, ["-batch", "-bail", ":memory:", &read]))
        }
        "python" => python(folder),
        "cc" => cc(folder),
        "lua" => {
            let program = needed(&["lua5.4", "lua54", "lua"], "lua5.4")?;
            let script = payload(folder, "tables.lua", include_str!("payload/tables.lua"))?;
            Ok(batch(program, [script]))
        }
        "rust" => rust(folder),
        _ => Err(format!("{name}: no such program; known: redis, sqlite, python, cc, lua, rust")),
    }
}

fn batch(program: PathBuf, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Recipe {
    let arguments = arguments.into_iter().map(Into::into).collect();
    Recipe { program, arguments, env: &[], kind: Kind::Batch, preload_without: None }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn needed(names: &[&str], package: &str) -> Result<PathBuf, String> {
    names
        .iter()
        .find_map(|name| on_path(name))
        .ok_or_else(|| format!("{} is not installed; apt-get install {package}", names[0]))
}

fn payload(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, text)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(path)
}

/// The one line that a command prints.
fn asked(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// Debian links redis-server with jemalloc as a shared library, so a run on the C library's
/// malloc has to name that one first.
fn redis() -> Result<Recipe, String> {
    let program = needed(&["redis-server"], "redis-server")?;
    let benchmark = needed(&["redis-benchmark"], "redis-tools")?;
    let arguments = ["--port", "0", "--unixsocket", super::redis::SOCKET, "--daemonize", "no"];
    let arguments = arguments.into_iter().chain(["--save", "", "--appendonly", "no"]);
    let recipe = batch(program, arguments);
    Ok(Recipe { kind: Kind::Server { benchmark }, preload_without: Some("libc.so.6"), ..recipe })
}

/// The interpreter itself: what is on the path may be a script that looks for it.
fn python(folder: &Path) -> Result<Recipe, String> {
    let debian = PathBuf::from("/usr/bin/python3");
    let found = if debian.exists() { debian } else { needed(&["python3"], "python3")? };
    let ask = ["-c", "import os, sys; print(os.path.realpath(sys.executable))"];
    let program = asked(&found, &ask)
        .ok_or_else(|| format!("{} does not run; apt-get install python3", found.display()))?;
    let script = payload(folder, "text.py", include_str!("payload/text.py"))?;
    let mut recipe = batch(program.into(), [OsString::from("-SB"), script.into()]);
    recipe.env = &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")];
    Ok(recipe)
}

fn cc(folder: &Path) -> Result<Recipe, String> {
    let driver = needed(&["g++"], "g++")?;
    let program = asked(&driver, &["-print-prog-name=cc1plus"])
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .ok_or_else(|| format!("{} has no cc1plus; apt-get install g++", driver.display()))?;
    let source = payload(folder, "library.cpp", include_str!("payload/library.cpp"))?;
    let preprocessed = folder.join("library.ii");
    let status = Command::new(&driver)
        .args(["-std=c++17", "-E", "-P", "-o"])
        .args([&preprocessed, &source])
        .status()
        .map_err(|error| format!("{} cannot be run: {error}", driver.display()))?;
    if !status.success() {
        return Err("g++ finds no standard library; apt-get install g++ libc6-dev".to_owned());
    }
    let flags = ["-quiet", "-fpreprocessed", "-std=c++17", "-O1", "-frandom-seed=1", "-o", "-"];
    let mut recipe = batch(program, flags);
    recipe.arguments.push(preprocessed.into());
    Ok(recipe)
}

fn rust(folder: &Path) -> Result<Recipe, String> {
    let missing =
        "rustfmt is not installed; rustup component add rustfmt, or apt-get install rustfmt";
    // The one on the path may be rustup's, which starts another.
    let program = on_path("rustc")
        .and_then(|rustc| asked(&rustc, &["--print", "sysroot"]))
        .map(|sysroot| Path::new(&sysroot).join("bin/rustfmt"))
        .filter(|path| path.is_file())
        .or_else(|| on_path("rustfmt"))
        .ok_or(missing)?;
    payload(folder, "rustfmt.toml", "edition = \"2021\"\n")?;
    let source = payload(folder, "generic.rs", &generic_source())?;
    Ok(batch(program, [OsString::from("--emit=stdout"), source.into()]))
}

/// Rust that nobody formatted: generics, derives, bounds, matches, closures and macros.
fn generic_source() -> String {
    let mut text = String::new();
    for i in 0..ITEMS {
        // A `String` takes all that is written.
        let _ = write!(
            text,
            "#[derive(Clone,Debug,PartialEq,Eq,Hash,PartialOrd,Ord)] pub struct Pair{i}<A,B=Vec<A>> \
             where A:Clone+Ord,B:IntoIterator<Item=A>+Clone{{pub first:A,pub rest:B,count:[u8;{i}]}}\n\
             #[derive(Debug,Clone)]enum Shape{i}<'a,T:'a>{{Empty,One(&'a T),Many{{left:Box<Shape{i}<'a,T>>,\
             right:Box<Shape{i}<'a,T>>,weight:u64}}}}\n\
             impl<'a,T:'a+Copy+Into<u64>>Shape{i}<'a,T>{{pub fn weight(&self)->u64{{match self{{Shape{i}::Empty=>0,\
             Shape{i}::One(x)if (**x).into()>{i}=>(**x).into()*{i}+0x{i:x},Shape{i}::One(_)=>1,\
             Shape{i}::Many{{left,right,weight}}=>left.weight().wrapping_add(right.weight()).wrapping_mul(*weight)}}}}\n\
             pub fn visit<F>(&self,f:&mut F)where F:FnMut(&T)->Option<u64>{{if let Shape{i}::One(x)=self{{\
             let _=f(x).map(|y|y+{i}).and_then(|y|if y%2==0{{Some(y)}}else{{None}}).unwrap_or_else(||self.weight());}}\
             else if let Shape{i}::Many{{left,right,..}}=self{{left.visit(f);right.visit(f)}}}}}}\n\
             pub fn table{i}<K:Ord+Clone,V:Default>(keys:&[K])->std::collections::BTreeMap<K,(V,usize)>{{\
             keys.iter().cloned().enumerate().map(|(n,k)|(k,(V::default(),n*{i}))).collect()}}\n"
        );
    }
    text
}

const ITEMS: usize = 700;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let error = needed(&["no-such-program-here"], "the-package").unwrap_err();
        assert_eq!(error, "no-such-program-here is not installed; apt-get install the-package");
    }

    #[test]
    fn the_generated_source_is_the_same_every_time() {
        assert_eq!(generic_source(), generic_source());
        assert!(generic_source().len() > 100_000);
    }
}
