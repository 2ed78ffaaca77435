//! The tray as comparable data: icon, tooltip and menu, as a pure function of the agent's data. Tests compare it;
//! [`crate::status_notifier`] draws it.

use banyan_proto::{
    local::{Headline, Request, Right, Snapshot, Update, UpdateState, When},
    schedule::{Kind, Stage, Why, Window, Wish},
};
use banyan_ui_common::{
    AgentView, Clock, Page,
    schedule_choices::pause_actions,
    texts,
    tray_icon::{Badge, TrayIcon},
    update_summary::summarise_update,
};

/// Everything that the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrayModel {
    pub(crate) icon: TrayIcon,
    /// The icon asks for attention.
    pub(crate) needs_attention: bool,
    /// The tooltip. It is also the first line of the menu, unless the menu lists the update that it is about.
    pub(crate) status: String,
    pub(crate) menu: Vec<MenuEntry>,
}

/// One entry of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MenuEntry {
    /// Text that cannot be pressed.
    Text(String),
    AgentClient,
    Button {
        label: String,
        action: TrayAction,
    },
    Submenu {
        label: String,
        items: Vec<MenuEntry>,
    },
    /// A group of radio items.
    RadioGroup {
        selected: usize,
        options: Vec<(String, TrayAction)>,
    },
}

/// The effect of pressing an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrayAction {
    Send(Request),
    OpenPage(Page),
    Quit,
}

/// The most updates that the menu lists; the window lists all.
const UPDATES: usize = 6;

/// Returns the tray for the current data. `is_personal`: the agent ends with the tray.
pub(crate) fn build_tray(view: &AgentView, notice: Option<&str>, is_personal: bool, clock: &Clock) -> TrayModel {
    let quit = if is_personal { texts::tray_menu::QUIT_BANYAN } else { texts::tray_menu::HIDE_ICON };
    let Some(snapshot) = &view.snapshot else {
        return TrayModel {
            icon: TrayIcon { filled_percent: None, badge: Some(Badge::Crossed) },
            needs_attention: false,
            status: texts::status::NO_AGENT.to_owned(),
            menu: build_menu(texts::status::NO_AGENT, notice, Vec::new(), quit),
        };
    };
    let headline = snapshot.headline();
    let status = texts::status::headline(snapshot, clock);
    let may = view.may(Right::Choose);
    let mut groups = vec![update_entries(snapshot, clock, may)];
    if may {
        groups.push(schedule_entries(snapshot));
    }
    if let Some(refusal) = &view.refusal {
        groups.insert(0, vec![MenuEntry::Text(texts::format::capitalise(refusal))]);
    }
    TrayModel {
        icon: tray_icon(snapshot, &headline),
        needs_attention: matches!(headline, Headline::NeedsYou(_) | Headline::Problem(_) | Headline::NotEnrolled),
        menu: build_menu(&menu_title(snapshot, &headline, &status, clock), notice, groups, quit),
        status,
    }
}

/// Returns the first line of the menu. An update that is listed below says its own state, so this line does not.
fn menu_title(snapshot: &Snapshot, headline: &Headline, status: &str, clock: &Clock) -> String {
    let about = match headline {
        Headline::Problem(order)
        | Headline::NeedsYou(order)
        | Headline::Installing(order)
        | Headline::Receiving(order)
        | Headline::Forwarding(order)
        | Headline::Waiting { order, .. }
        | Headline::Working(order) => Some(*order),
        Headline::NotEnrolled | Headline::NotConnected | Headline::Paused { .. } | Headline::Idle => None,
    };
    if about.is_some_and(|order| listed_updates(snapshot).take(UPDATES).any(|update| update.order == order)) {
        texts::status::above_updates(snapshot.link, listed_updates(snapshot).count(), clock)
    } else {
        status.to_owned()
    }
}

/// Returns the menu: status first, then the groups, then opening the window and quitting, with lines between them.
fn build_menu(status: &str, notice: Option<&str>, groups: Vec<Vec<MenuEntry>>, quit: &str) -> Vec<MenuEntry> {
    let mut menu = vec![MenuEntry::Text(status.to_owned())];
    menu.extend(notice.map(|notice| MenuEntry::Text(notice.to_owned())));
    let open = |label: &str, page| MenuEntry::Button { label: label.to_owned(), action: TrayAction::OpenPage(page) };
    let last = vec![
        open(texts::tray_menu::OPEN_BANYAN, Page::Updates),
        open(texts::tray_menu::ABOUT_COMPUTER, Page::Computer),
        MenuEntry::Button { label: quit.to_owned(), action: TrayAction::Quit },
    ];
    for group in groups.into_iter().chain([last]).filter(|group| !group.is_empty()) {
        menu.push(MenuEntry::AgentClient);
        menu.extend(group);
    }
    menu
}

fn tray_icon(snapshot: &Snapshot, headline: &Headline) -> TrayIcon {
    let percent = |order| snapshot.updates.iter().find(|update| update.order == order).map(|u| u.progress.percent());
    let (filled_percent, badge) = match headline {
        Headline::NotEnrolled | Headline::NeedsYou(_) => (None, Some(Badge::Dot)),
        Headline::Problem(_) => (None, Some(Badge::Mark)),
        Headline::Receiving(order) => (percent(*order), None),
        Headline::Installing(_) => (Some(100), None),
        Headline::Forwarding(_) => (Some(100), Some(Badge::Arrow)),
        Headline::NotConnected => (None, Some(Badge::Crossed)),
        Headline::Paused { .. } => (None, Some(Badge::Pause)),
        Headline::Waiting { because: Why::Paused { .. }, .. } => (None, Some(Badge::Pause)),
        Headline::Waiting { order, .. } => (percent(*order).filter(|percent| *percent > 0), Some(Badge::Moon)),
        Headline::Working(order) => (percent(*order), None),
        Headline::Idle => (None, None),
    };
    TrayIcon { filled_percent, badge }
}

fn update_entries(snapshot: &Snapshot, clock: &Clock, may: bool) -> Vec<MenuEntry> {
    listed_updates(snapshot).take(UPDATES).map(|update| update_entry(update, clock, may)).collect()
}

/// Returns the updates that are not installed.
fn listed_updates(snapshot: &Snapshot) -> impl Iterator<Item = &Update> {
    snapshot.updates.iter().filter(|update| !matches!(update.state, UpdateState::Installed { .. }))
}

fn update_entry(update: &Update, clock: &Clock, may: bool) -> MenuEntry {
    let summary = summarise_update(update, clock);
    let ask = |label: String, request| MenuEntry::Button { label, action: TrayAction::Send(request) };
    let mut items = Vec::new();
    if let UpdateState::Failed { reason, .. } = &update.state {
        items.push(MenuEntry::Text(texts::format::capitalise(reason.for_user().what)));
    }
    if may {
        items.extend(summary.actions.into_iter().map(|action| ask(action.label, action.request)));
        let tomorrow = update.later.iter().find(|later| later.when == When::Tomorrow);
        if let (UpdateState::Receiving, Some(tomorrow)) = (&update.state, tomorrow) {
            let wish = Wish::After(tomorrow.at);
            items.push(ask(
                texts::updates::NOT_TODAY.to_owned(),
                Request::Wish { order: update.order, stage: Stage::Install, wish },
            ));
        }
    }
    items.push(MenuEntry::Button {
        label: texts::updates::DETAILS.to_owned(),
        action: TrayAction::OpenPage(Page::Updates),
    });
    let state = match summary.percent {
        Some(percent) if update.progress.down > 0 => format!("{percent}%"),
        _ => texts::format::lowercase_if(true, &summary.state),
    };
    MenuEntry::Submenu { label: format!("{} – {state}", summary.title), items }
}

/// Returns the entries for download hours and pauses that the policy allows.
fn schedule_entries(snapshot: &Snapshot) -> Vec<MenuEntry> {
    let scheduling = &snapshot.scheduling;
    let (effective, bounds) = (scheduling.effective(), &scheduling.policy.bounds);
    let mut options: Vec<(String, TrayAction)> =
        [(Kind::Night, Window::Night), (Kind::Idle, Window::Idle), (Kind::Any, Window::Any)]
            .into_iter()
            .filter(|(kind, _)| bounds.windows.contains(kind) || *kind == Kind::of(&effective.window))
            .map(|(kind, window)| {
                let hours = if kind == Kind::Night {
                    format!(" ({})", texts::schedule::night_hours(effective.night))
                } else {
                    String::new()
                };
                (
                    format!("{}{hours}", texts::schedule::window_name(&window)),
                    TrayAction::Send(Request::SetWindow { window, night: None }),
                )
            })
            .collect();
    options.push((texts::tray_menu::EDIT_MY_SCHEDULE.to_owned(), TrayAction::OpenPage(Page::Schedule)));
    let now = texts::schedule::window_name(&effective.window);
    let selected = options.iter().position(|(label, _)| label.starts_with(now)).unwrap_or(options.len() - 1);
    let mut items = vec![MenuEntry::Submenu {
        label: texts::tray_menu::TRANSFER_HOURS.to_owned(),
        items: vec![MenuEntry::RadioGroup { selected, options }],
    }];
    let ask = |label, request| MenuEntry::Button { label, action: TrayAction::Send(request) };
    let mut pauses: Vec<_> =
        pause_actions(scheduling).into_iter().map(|action| ask(action.label, action.request)).collect();
    match (&effective.pause, pauses.len()) {
        (Some(_), _) => items.append(&mut pauses),
        (None, 0) => {}
        (None, _) => items.push(MenuEntry::Submenu { label: texts::schedule::PAUSE.to_owned(), items: pauses }),
    }
    items
}

#[cfg(test)]
mod tests;
