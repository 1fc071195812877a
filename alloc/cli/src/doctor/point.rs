//! One thing that the doctor looked at.

/// What there is, in a form for machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A word or a few.
    Word(String),
    /// A count.
    Number(u64),
    /// A number of bytes.
    Bytes(u64),
}

/// Why a point is worse than it could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Degraded {
    /// What that costs.
    pub(crate) cost: String,
    /// How to mend it.
    pub(crate) mend: String,
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// Its name, of at most 15 letters, which stays from version to version.
    pub(crate) name: &'static str,
    /// What there is.
    pub(crate) value: Value,
    /// The same for people, and why.
    pub(crate) remark: String,
    /// Set where it costs something.
    pub(crate) degraded: Option<Degraded>,
}

impl Point {
    /// A fact in a word.
    pub(crate) fn word(
        name: &'static str,
        word: impl Into<String>,
        remark: impl Into<String>,
    ) -> Self {
        Self::new(name, Value::Word(word.into()), remark)
    }

    /// A count.
    pub(crate) fn number(
        name: &'static str,
        number: impl Into<u64>,
        remark: impl Into<String>,
    ) -> Self {
        Self::new(name, Value::Number(number.into()), remark)
    }

    /// A number of bytes.
    pub(crate) fn bytes(name: &'static str, bytes: u64, remark: impl Into<String>) -> Self {
        Self::new(name, Value::Bytes(bytes), remark)
    }

    fn new(name: &'static str, value: Value, remark: impl Into<String>) -> Self {
        Self { name, value, remark: remark.into(), degraded: None }
    }

    /// The same point, degraded.
    pub(crate) fn costs(mut self, cost: impl Into<String>, mend: impl Into<String>) -> Self {
        self.degraded = Some(Degraded { cost: cost.into(), mend: mend.into() });
        self
    }
}

/// The value of `key` in a text of lines `key: value`, as in `/proc/self/status`.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    values.map(str::trim).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Seccomp_filters:\t3\nSeccomp:\t2\nName: a: b\n";
        assert_eq!(field(text, "Seccomp"), Some("2"));
        assert_eq!(field(text, "Name"), Some("a: b"));
        assert_eq!(field(text, "Secc"), None);
    }
}
