//! Progress bars for reading, packing and uploading files.

use banyan_proto::format_size;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Whether to show progress. Bars are drawn on a terminal only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// Show bars, and the derived properties.
    Shown,
    /// Show neither.
    Hidden,
}

/// Creates a progress bar on standard error. Nothing is drawn without a terminal.
pub(crate) fn progress_bar(progress: ProgressMode, doing: &'static str) -> ProgressBar {
    let target = match progress {
        ProgressMode::Shown => ProgressDrawTarget::stderr(),
        ProgressMode::Hidden => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target).with_message(doing);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:30} {done} of {size}  {eta}") {
        let write = |out: &mut dyn std::fmt::Write, bytes| out.write_str(&format_size(bytes)).unwrap_or(());
        let style =
            style.with_key("done", move |state: &ProgressState, out: &mut dyn std::fmt::Write| write(out, state.pos()));
        let size =
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| write(out, state.len().unwrap_or_default());
        bar.set_style(style.with_key("size", size));
    }
    bar
}
