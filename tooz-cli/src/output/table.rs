//! A table with aligned columns.

use std::fmt::Write;

/// A table: the heads of its columns, and rows of as many cells.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    heads: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: &'static [&'static str]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    pub(crate) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The text of the table. With `colours`, the heads are bold.
    pub(crate) fn render(&self, colours: bool) -> String {
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&heads]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let mut text = format!("{bold}{}{plain}\n", line(&heads, &widths));
        self.rows.iter().for_each(|row| text += &(line(row, &widths) + "\n"));
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        // Writing to a string cannot fail.
        let _ = write!(line, "{cell:width$}  ");
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "N"]);
        table.push(["a".to_owned(), "1".to_owned()]);
        table.push(["longer".to_owned(), "2".to_owned()]);
        assert_eq!(table.render(false), "NAME    N\na       1\nlonger  2\n");
    }
}
