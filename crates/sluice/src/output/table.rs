//! Tables for people: a header, columns, no frame.

use comfy_table::{CellAlignment, ColumnConstraint, Width, presets};

/// A column: its header and the side that its cells keep to.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// A number, to the right.
    Number(&'static str),
}

/// A table that is printed in one or several parts: later parts keep the widths of the earlier ones,
/// so that a list of any length is printed as it comes.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    rows: Vec<Vec<String>>,
    widths: Vec<u16>,
    headed: bool,
}

impl Table {
    /// An empty table.
    pub fn new(columns: &'static [Column]) -> Table {
        Table {
            columns,
            rows: Vec::new(),
            widths: vec![0; columns.len()],
            headed: false,
        }
    }

    /// Adds a row; an empty cell is printed as `-`.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.row_of(cells.into());
    }

    /// Adds a row with as many cells as there are columns.
    pub fn row_of(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        let dash = |cell: String| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        };
        self.rows.push(cells.into_iter().map(dash).collect());
    }

    /// Whether rows wait to be printed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows since the last part as lines, the header before the first part.
    pub fn part(&mut self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if !self.headed {
            table.set_header(self.columns.iter().map(|column| match column {
                Column::Text(name) | Column::Number(name) => *name,
            }));
            self.headed = true;
        }
        table.add_rows(self.rows.drain(..));
        table.discover_columns();
        for (column, (kind, width)) in table
            .column_iter_mut()
            .zip(self.columns.iter().zip(&self.widths))
        {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
            if matches!(kind, Column::Number(_)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for (widest, now) in self
            .widths
            .iter_mut()
            .zip(table.column_max_content_widths())
        {
            // The bounds count the padding, the measured widths do not.
            *widest = (*widest).max(now + 2);
        }
        table.trim_fmt() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::Text("NAME"),
        Column::Number("PACKETS"),
        Column::Text("STATE"),
    ];

    fn cells(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn has_a_header_aligned_columns_and_no_frame() {
        let mut table = Table::new(COLUMNS);
        table.row(cells(["web-1", "12", "established"]));
        table.row(cells(["a-longer-name", "1,234,567", ""]));
        assert_eq!(
            table.part(),
            "NAME             PACKETS  STATE\n\
             web-1                 12  established\n\
             a-longer-name  1,234,567  -\n"
        );
    }

    #[test]
    fn later_parts_keep_the_widths_and_have_no_header() {
        let mut table = Table::new(COLUMNS);
        table.row(cells(["a-longer-name", "1,234,567", "established"]));
        table.part();
        assert!(table.is_empty());
        table.row(cells(["b", "1", "closed"]));
        assert_eq!(table.part(), "b                      1  closed\n");
        table.row(cells(["c", "10,000,000,000", "closed"]));
        assert_eq!(table.part(), "c              10,000,000,000  closed\n");
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(Table::new(COLUMNS).part(), "NAME  PACKETS  STATE\n");
    }
}
