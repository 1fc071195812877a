//! Colours: one slot for each allocator, the same in every chart, and the steps of the heat
//! map; each in a light and a dark form.
//!
//! ```text
//!   slot   0 ours   1 the C library   2, 3 mimalloc   4 jemalloc   5 snmalloc   6 rpmalloc
//!          7, 8 tcmalloc   9… others; two versions of one allocator share a hue
//!   step   0 best … 3 │ 4 … 7 far behind     blue │ orange: apart for the colour-blind too
//! ```
//!
//! Colour alone never tells allocators apart: slots also have markers and dashes, lines have
//! names at their ends, and cells have numbers.

use core::fmt::Write;

use crate::results::{Kind, Results};

/// How many colours there are for allocators.
const SLOTS: usize = 12;

/// Upper bounds of the heat map's steps; the last step has none.
pub(crate) const STEPS: [f64; 7] = [1.025, 1.10, 1.25, 1.5, 2.0, 3.0, 5.0];

struct Theme {
    paper: &'static str,
    panel: &'static str,
    ink: &'static str,
    soft: &'static str,
    rule: &'static str,
    slots: [&'static str; SLOTS],
    /// Background and text.
    heat: [(&'static str, &'static str); 8],
}

const LIGHT: Theme = Theme {
    paper: "#fdfcfa",
    panel: "#f4f2ed",
    ink: "#1c2126",
    soft: "#5b646d",
    rule: "#e0dcd3",
    slots: [
        "#c2185b", "#6d7680", "#1a5fb4", "#3f90d0", "#26834a", "#a07400", "#8c5638", "#5e44b0",
        "#9079d6", "#007f88", "#6b7a1e", "#b4532f",
    ],
    heat: [
        ("#17658f", "#ffffff"),
        ("#7fb7d6", "#06202e"),
        ("#bcdbea", "#0b2a3a"),
        ("#e4eff4", "#22343e"),
        ("#fbe8c9", "#3b2a10"),
        ("#f6c583", "#382206"),
        ("#e38f45", "#2a1500"),
        ("#a4480f", "#ffffff"),
    ],
};

const DARK: Theme = Theme {
    paper: "#14181b",
    panel: "#1c2226",
    ink: "#e8eaec",
    soft: "#9fa9b2",
    rule: "#2e363c",
    slots: [
        "#ff6fa5", "#a7b0b9", "#5a9ff0", "#9ccbf3", "#62c585", "#dcb23d", "#cc9b79", "#a78cf2",
        "#cfc0f8", "#4cc2cb", "#b7c55b", "#ea8d73",
    ],
    heat: [
        ("#53b4e6", "#04161f"),
        ("#2c749d", "#ffffff"),
        ("#1f4c66", "#dcebf3"),
        ("#22323c", "#c8d2d9"),
        ("#3c3122", "#eaddc8"),
        ("#6d4819", "#fff0dc"),
        ("#a2601b", "#ffffff"),
        ("#f39a4a", "#231000"),
    ],
};

/// Stroke patterns of the slots; the C library and second versions are dashed.
const DASHES: [&str; SLOTS] =
    ["none", "2 3", "none", "6 3", "none", "none", "none", "none", "6 3", "8 2 2 2", "4 2", "1 2"];

fn theme(theme: &Theme) -> String {
    let mut out = format!(
        "--paper:{};--panel:{};--ink:{};--soft:{};--rule:{};",
        theme.paper, theme.panel, theme.ink, theme.soft, theme.rule
    );
    for (i, colour) in theme.slots.iter().enumerate() {
        let _ = write!(out, "--a{i}:{colour};");
    }
    for (i, (back, text)) in theme.heat.iter().enumerate() {
        let _ = write!(out, "--h{i}:{back};--t{i}:{text};");
    }
    out
}

/// The colours as CSS variables, and a class for each slot and each step.
pub(crate) fn css() -> String {
    let mut out = format!(
        ":root{{color-scheme:light dark;{}}}\n@media(prefers-color-scheme:dark){{:root{{{}}}}}\n",
        theme(&LIGHT),
        theme(&DARK)
    );
    for (i, dash) in DASHES.iter().enumerate() {
        let _ = writeln!(out, ".s{i}{{--c:var(--a{i});--d:{dash}}}");
    }
    for i in 0..=STEPS.len() {
        let _ = writeln!(
            out,
            ".h{i}{{background:var(--h{i});color:var(--t{i})}}.h{i}>rect{{fill:var(--h{i})}}\
             .h{i}>text{{fill:var(--t{i})}}"
        );
    }
    out
}

/// Step of the heat map for a ratio to the best.
pub(crate) fn step(ratio: f64) -> usize {
    STEPS.iter().position(|bound| ratio <= *bound).unwrap_or(STEPS.len())
}

/// What a step stands for.
pub(crate) fn step_name(step: usize) -> String {
    match step {
        0 => format!("≤ {}", STEPS[0]),
        i if i == STEPS.len() => format!("> {}", STEPS[i - 1]),
        i => format!("≤ {}", STEPS[i]),
    }
}

/// Slots that a name would like, the first one first.
fn wanted(name: &str, kind: Kind) -> &'static [usize] {
    let name = name.to_lowercase();
    match kind {
        Kind::Ours => &[0],
        Kind::System => &[1],
        _ if name.contains("mimalloc") && name.contains('2') => &[3, 2],
        _ if name.contains("mimalloc") => &[2, 3],
        _ if name.contains("jemalloc") => &[4],
        _ if name.contains("snmalloc") => &[5],
        _ if name.contains("rpmalloc") => &[6],
        _ if name.contains("tcmalloc") && name.contains("minimal") => &[8, 7],
        _ if name.contains("tcmalloc") => &[7, 8],
        _ => &[],
    }
}

/// A slot for each allocator; none twice as long as there are enough.
pub(crate) fn slots(results: &Results) -> Vec<usize> {
    let mut taken = [false; SLOTS];
    let mut slots = vec![None; results.allocators.len()];
    for (slot, a) in slots.iter_mut().zip(&results.allocators) {
        *slot = wanted(&a.name, a.kind).iter().copied().find(|s| !taken[*s]);
        if let Some(slot) = *slot {
            taken[slot] = true;
        }
    }
    // Others begin at 9, so that a known name keeps its colour from run to run; ours and the
    // C library's are nobody else's.
    let mut rest = (9..SLOTS).chain(2..9).filter(|s| !taken[*s]);
    let mut again = (2..SLOTS).cycle();
    slots
        .into_iter()
        .map(|s| s.or_else(|| rest.next()).or_else(|| again.next()).unwrap_or(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// WCAG's relative luminance of `#rrggbb`.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_stands_out_from_what_is_behind_it() {
        for theme in [&LIGHT, &DARK] {
            for (back, text) in theme.heat {
                assert!(contrast(back, text) >= 4.5, "{text} on {back}: {}", contrast(back, text));
            }
            for text in [theme.ink, theme.soft, theme.slots[0]] {
                for back in [theme.paper, theme.panel] {
                    assert!(contrast(back, text) >= 4.5, "{text} on {back}");
                }
            }
        }
    }

    #[test]
    fn lines_stand_out_from_the_paper() {
        for theme in [&LIGHT, &DARK] {
            for line in theme.slots {
                assert!(contrast(line, theme.paper) >= 3.0, "{line} on {}", theme.paper);
            }
        }
    }

    #[test]
    fn a_known_name_keeps_its_colour_and_no_colour_comes_twice() {
        let mut results = fixture::results();
        let all = slots(&results);
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        results.allocators.remove(2);
        results.allocators.insert(1, results.allocators[8].clone());
        results.allocators[1].name = "mystery".into();
        assert_eq!(slots(&results), [0, 9, 1, 3, 4, 5, 6, 7, 8, 10]);
        // More columns than colours: colours repeat, but not ours.
        for _ in 0..9 {
            results.allocators.push(results.allocators[1].clone());
        }
        assert_eq!(slots(&results).iter().filter(|s| **s == 0).count(), 1);
    }

    #[test]
    fn a_ratio_on_a_bound_belongs_to_the_lower_step() {
        assert_eq!([1.0, 1.025, 1.03, 5.0, 5.01].map(step), [0, 0, 1, 6, 7]);
    }
}
