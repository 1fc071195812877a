//! A table of text cells, as plain text or Markdown.

use core::fmt::Write;

/// Title, header, rows (the first cell is the row's name) and lines below.
pub(crate) struct Grid {
    pub(crate) title: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) notes: Vec<String>,
}

impl Grid {
    fn widths(&self) -> Vec<usize> {
        (0..self.header.len())
            .map(|i| {
                let cells = self.rows.iter().chain([&self.header]).filter_map(|row| row.get(i));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect()
    }

    fn line(cells: &[String], widths: &[usize], between: &str) -> String {
        let padded: Vec<_> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(
                |(i, (cell, &width))| {
                    if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        padded.join(between)
    }

    /// Aligned columns, two blanks between.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = format!("\n{}\n", self.title);
        for row in [&self.header].into_iter().chain(&self.rows) {
            let _ = writeln!(out, "{}", Self::line(row, &widths, "  ").trim_end());
        }
        self.notes.iter().for_each(|note| {
            let _ = writeln!(out, "{note}");
        });
        out
    }

    /// A Markdown section.
    pub(crate) fn markdown(&self) -> String {
        let widths = self.widths();
        let mut out = format!("\n## {}\n\n", self.title);
        let _ = writeln!(out, "| {} |", Self::line(&self.header, &widths, " | "));
        let rule: Vec<_> = (0..widths.len()).map(|i| if i == 0 { "---" } else { "---:" }).collect();
        let _ = writeln!(out, "| {} |", rule.join(" | "));
        for row in &self.rows {
            let _ = writeln!(out, "| {} |", Self::line(row, &widths, " | "));
        }
        if !self.notes.is_empty() {
            out.push('\n');
        }
        self.notes.iter().for_each(|note| {
            let _ = writeln!(out, "- {}", note.trim());
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_markdown_has_as_many_cells() {
        let cells = |row: &[&str]| row.iter().map(|&c| c.to_owned()).collect::<Vec<_>>();
        let grid = Grid {
            title: "t".into(),
            header: cells(&["row", "a"]),
            rows: vec![cells(&["longer", "1.00"])],
            notes: vec!["n".into()],
        };
        assert_eq!(grid.text(), "\nt\nrow        a\nlonger  1.00\nn\n");
        assert!(
            grid.markdown()
                .lines()
                .filter(|l| l.starts_with('|'))
                .all(|l| l.matches('|').count() == 3)
        );
    }
}
