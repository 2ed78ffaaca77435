//! The editor for weekly hours: a grid of 7 days × 24 hours, edited with mouse or keyboard. This is the data;
//! `pages::grid` draws it.
//!
//! A cell is one hour, which is two half-hours of [`Week`]. An hour that is half open counts as closed, and painting it
//! opens all of it.

use banyan_proto::schedule::Week;

/// Hours in a day.
pub(crate) const HOURS: usize = 24;
/// Days in a week.
pub(crate) const DAYS: usize = 7;

/// A cell: day (0 = Monday) and hour (0 to 23).
pub(crate) type Cell = (usize, usize);

/// A week being edited, with the keyboard cursor and the state of the mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WeekEditor {
    pub(crate) week: Week,
    pub(crate) cursor: Cell,
    /// Set while the mouse button is down: whether it opens or closes the cells it touches.
    brush: Option<bool>,
}

impl WeekEditor {
    pub(crate) fn new(week: Week) -> Self {
        Self { week, cursor: (0, 0), brush: None }
    }
    /// Returns whether all of the hour is open.
    pub(crate) fn is_open(&self, (day, hour): Cell) -> bool {
        self.week.is_open(day, hour * 2) && self.week.is_open(day, hour * 2 + 1)
    }
    fn set(&mut self, (day, hour): Cell, open: bool) {
        self.week.set(day, hour * 2, open);
        self.week.set(day, hour * 2 + 1, open);
    }
    /// Handles the mouse button going down on a cell: toggles it, and sets the following cells to the same value.
    pub(crate) fn press(&mut self, cell: Cell) {
        let open = !self.is_open(cell);
        self.brush = Some(open);
        self.set(cell, open);
        self.cursor = cell;
    }
    /// Handles the mouse moving over a cell with its button down.
    pub(crate) fn drag(&mut self, cell: Cell) {
        if let Some(open) = self.brush {
            self.set(cell, open);
            self.cursor = cell;
        }
    }
    /// Handles the mouse button going up.
    pub(crate) fn release(&mut self) {
        self.brush = None;
    }
    /// Toggles the cell at the cursor (the space key).
    pub(crate) fn toggle(&mut self) {
        self.set(self.cursor, !self.is_open(self.cursor));
    }
    /// Moves the cursor (an arrow key); stops at the edges.
    pub(crate) fn move_cursor(&mut self, days: isize, hours: isize) {
        let step = |at: usize, by: isize, of: usize| at.saturating_add_signed(by).min(of - 1);
        self.cursor = (step(self.cursor.0, days, DAYS), step(self.cursor.1, hours, HOURS));
    }
}

/// A predefined selection of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preset {
    Nights,
    NightsAndWeekends,
    OutsideWork,
    All,
    None,
}

impl Preset {
    pub(crate) const ALL: [Self; 5] = [Self::Nights, Self::NightsAndWeekends, Self::OutsideWork, Self::All, Self::None];

    pub(crate) fn week(self) -> Week {
        let open = |day: usize, hour: usize| {
            let (night, weekend) = (!(6..22).contains(&hour), day >= 5);
            match self {
                Self::Nights => night,
                Self::NightsAndWeekends => night || weekend,
                Self::OutsideWork => weekend || !(8..18).contains(&hour),
                Self::All => true,
                Self::None => false,
            }
        };
        let mut week = Week::NEVER;
        for day in 0..DAYS {
            (0..HOURS * 2).for_each(|half| week.set(day, half, open(day, half / 2)));
        }
        week
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cell_decides_whether_the_mouse_opens_or_closes() {
        let mut editor = WeekEditor::new(Preset::Nights.week());
        editor.press((0, 12));
        editor.drag((0, 13));
        editor.drag((0, 23));
        assert!(editor.is_open((0, 12)) && editor.is_open((0, 13)) && editor.is_open((0, 23)));
        editor.release();
        editor.drag((0, 14));
        assert!(!editor.is_open((0, 14)), "the button is up");
        editor.press((0, 23));
        editor.drag((0, 9));
        editor.drag((0, 12));
        assert!(!editor.is_open((0, 23)) && !editor.is_open((0, 9)) && !editor.is_open((0, 12)));
    }

    #[test]
    fn arrows_stop_at_the_edges_and_space_turns() {
        let mut editor = WeekEditor::new(Week::NEVER);
        editor.move_cursor(-1, -1);
        assert_eq!(editor.cursor, (0, 0));
        editor.move_cursor(9, 40);
        assert_eq!(editor.cursor, (6, 23));
        editor.toggle();
        assert_eq!((editor.week.open_half_hours(), editor.is_open((6, 23))), (2, true));
        editor.toggle();
        assert_eq!(editor.week, Week::NEVER);
    }

    #[test]
    fn an_hour_that_is_half_open_is_opened_whole() {
        let mut week = Week::NEVER;
        week.set(2, 17, true);
        let mut editor = WeekEditor::new(week);
        assert!(!editor.is_open((2, 8)));
        editor.press((2, 8));
        assert!(editor.is_open((2, 8)));
    }

    #[test]
    fn presets_open_what_they_say() {
        let hours = Preset::ALL.map(|preset| preset.week().open_half_hours() / 2);
        assert_eq!(hours, [7 * 8, 5 * 8 + 2 * 24, 5 * 14 + 2 * 24, 168, 0]);
    }
}
