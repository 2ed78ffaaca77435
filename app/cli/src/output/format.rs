//! Formats text for people: cleans what others wrote, and aligns columns, counts and ages.

use banyan_proto::text::is_hidden;

/// Replaces hidden characters in untrusted text, such as control characters and marks that change the writing direction.
/// Line feeds stay.
pub(crate) fn sanitise(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Formats rows as aligned columns. The last column is not padded.
pub(crate) fn format_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| sanitise(cell).replace('\n', " ")).collect()).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None).into_owned());
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Formats a number of things, in the singular or plural.
pub(crate) fn format_count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Formats in how many seconds something will happen.
pub(crate) fn format_remaining(seconds: u64) -> String {
    match seconds {
        0..120 => format!("in {seconds} s"),
        120..7200 => format!("in {} min", seconds / 60),
        7200..172_800 => format!("in {} h", seconds / 3600),
        _ => format!("in {} days", seconds / 86_400),
    }
}

/// Formats how many seconds ago something happened.
pub(crate) fn format_age(seconds: u64) -> String {
    match seconds {
        0..5 => "just now".into(),
        5..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_labels_are_cleaned() {
        let rows = [vec!["a".into(), "b".into()], vec!["l\u{1b}ng".into(), "\u{202e}c".into()]];
        assert_eq!(format_table(&rows), "a     b\nl\u{fffd}ng  \u{fffd}c\n");
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!([0, 1, 2].map(|number| format_count(number, "machine")), ["0 machines", "1 machine", "2 machines"]);
    }

    #[test]
    fn ages_are_in_the_unit_people_would_use() {
        let told: Vec<_> = [0, 59, 600, 10_000, 1_000_000].map(format_age).to_vec();
        assert_eq!(told, ["just now", "59 s ago", "10 min ago", "2 h ago", "11 days ago"]);
        let told: Vec<_> = [59, 600, 10_000, 1_000_000].map(format_remaining).to_vec();
        assert_eq!(told, ["in 59 s", "in 10 min", "in 2 h", "in 11 days"]);
    }
}
