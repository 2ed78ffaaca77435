//! The tray as comparable data: icon, tooltip and menu, as a pure function of the agent's data. Tests compare it;
//! [`crate::status_notifier`] draws it.

use banyan_proto::{
    local::{Headline, Request, Right, Snapshot, Update, UpdateState, When},
    schedule::{Kind, Stage, Why, Window, Wish},
};
use banyan_ui_common::{
    Clock, Page, View,
    schedule_choices::pauses,
    texts,
    tray_icon::{Crown, Sign},
    update_summary::glance,
};

/// Everything that the tray shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tray {
    pub(crate) icon: Crown,
    /// The icon asks for attention.
    pub(crate) attention: bool,
    /// The tooltip, which is also the first line of the menu.
    pub(crate) status: String,
    pub(crate) menu: Vec<Item>,
}

/// One entry of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Text that cannot be pressed.
    Text(String),
    Line,
    Do {
        label: String,
        action: Action,
    },
    Sub {
        label: String,
        items: Vec<Item>,
    },
    /// A group of radio items.
    Choice {
        selected: usize,
        options: Vec<(String, Action)>,
    },
}

/// The effect of pressing an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Ask(Request),
    Open(Page),
    Quit,
}

/// The most updates that the menu lists; the window lists all.
const UPDATES: usize = 6;

/// Returns the tray for the current data. `own_agent`: the agent ends with the tray.
pub(crate) fn tray(view: &View, notice: Option<&str>, own_agent: bool, clock: &Clock) -> Tray {
    let quit = if own_agent { texts::QUIT_ALL } else { texts::QUIT };
    let Some(snapshot) = &view.snapshot else {
        return Tray {
            icon: Crown { filled: None, sign: Some(Sign::Crossed) },
            attention: false,
            status: texts::NO_AGENT.to_owned(),
            menu: framed(texts::NO_AGENT, notice, Vec::new(), quit),
        };
    };
    let headline = snapshot.headline();
    let status = texts::headline(snapshot, clock);
    let may = view.may(Right::Choose);
    let mut groups = vec![updates(snapshot, clock, may)];
    if may {
        groups.push(choices(snapshot));
    }
    if let Some(refusal) = &view.refusal {
        groups.insert(0, vec![Item::Text(texts::sentence(refusal))]);
    }
    Tray {
        icon: icon(snapshot, &headline),
        attention: matches!(headline, Headline::NeedsYou(_) | Headline::Problem(_) | Headline::NotEnrolled),
        menu: framed(&status, notice, groups, quit),
        status,
    }
}

/// Returns the menu: status first, then the groups, then opening the window and quitting, with lines between them.
fn framed(status: &str, notice: Option<&str>, groups: Vec<Vec<Item>>, quit: &str) -> Vec<Item> {
    let mut menu = vec![Item::Text(status.to_owned())];
    menu.extend(notice.map(|notice| Item::Text(notice.to_owned())));
    let open = |label: &str, page| Item::Do { label: label.to_owned(), action: Action::Open(page) };
    let last = vec![
        open(texts::OPEN, Page::Updates),
        open(texts::ABOUT, Page::Computer),
        Item::Do { label: quit.to_owned(), action: Action::Quit },
    ];
    for group in groups.into_iter().chain([last]).filter(|group| !group.is_empty()) {
        menu.push(Item::Line);
        menu.extend(group);
    }
    menu
}

fn icon(snapshot: &Snapshot, headline: &Headline) -> Crown {
    let percent = |order| snapshot.updates.iter().find(|update| update.order == order).map(|u| u.progress.percent());
    let (filled, sign) = match headline {
        Headline::NotEnrolled | Headline::NeedsYou(_) => (None, Some(Sign::Dot)),
        Headline::Problem(_) => (None, Some(Sign::Mark)),
        Headline::Receiving(order) => (percent(*order), None),
        Headline::Installing(_) => (Some(100), None),
        Headline::Forwarding(_) => (Some(100), Some(Sign::Arrow)),
        Headline::NotConnected => (None, Some(Sign::Crossed)),
        Headline::Paused { .. } => (None, Some(Sign::Pause)),
        Headline::Waiting { because: Why::Paused { .. }, .. } => (None, Some(Sign::Pause)),
        Headline::Waiting { order, .. } => (percent(*order).filter(|percent| *percent > 0), Some(Sign::Moon)),
        Headline::Working(order) => (percent(*order), None),
        Headline::Idle => (None, None),
    };
    Crown { filled, sign }
}

fn updates(snapshot: &Snapshot, clock: &Clock, may: bool) -> Vec<Item> {
    let open = |update: &&Update| !matches!(update.state, UpdateState::Installed { .. });
    snapshot.updates.iter().filter(open).take(UPDATES).map(|update| one_update(update, clock, may)).collect()
}

fn one_update(update: &Update, clock: &Clock, may: bool) -> Item {
    let glance = glance(update, clock);
    let ask = |label: String, request| Item::Do { label, action: Action::Ask(request) };
    let mut items = Vec::new();
    if may {
        items.extend(glance.offers.into_iter().map(|offer| ask(offer.label, offer.request)));
        let tomorrow = update.later.iter().find(|later| later.when == When::Tomorrow);
        if let (UpdateState::Receiving, Some(tomorrow)) = (&update.state, tomorrow) {
            let wish = Wish::After(tomorrow.at);
            items.push(ask(
                texts::NOT_TODAY.to_owned(),
                Request::Wish { order: update.order, stage: Stage::Install, wish },
            ));
        }
    }
    items.push(Item::Do { label: texts::DETAILS.to_owned(), action: Action::Open(Page::Updates) });
    let state = match glance.percent {
        Some(percent) if update.progress.down > 0 => format!("{percent}%"),
        _ => texts::lower_if(true, &glance.state),
    };
    Item::Sub { label: format!("{} – {state}", glance.title), items }
}

/// Returns the entries for download hours and pauses that the policy allows.
fn choices(snapshot: &Snapshot) -> Vec<Item> {
    let scheduling = &snapshot.scheduling;
    let (effective, bounds) = (scheduling.effective(), &scheduling.policy.bounds);
    let mut options: Vec<(String, Action)> =
        [(Kind::Night, Window::Night), (Kind::Idle, Window::Idle), (Kind::Any, Window::Any)]
            .into_iter()
            .filter(|(kind, _)| bounds.windows.contains(kind) || *kind == Kind::of(&effective.window))
            .map(|(kind, window)| {
                let hours =
                    if kind == Kind::Night { format!(" ({})", texts::night(effective.night)) } else { String::new() };
                (format!("{}{hours}", texts::window(&window)), Action::Ask(Request::SetWindow { window, night: None }))
            })
            .collect();
    options.push((texts::MY_SCHEDULE.to_owned(), Action::Open(Page::Schedule)));
    let now = texts::window(&effective.window);
    let selected = options.iter().position(|(label, _)| label.starts_with(now)).unwrap_or(options.len() - 1);
    let mut items =
        vec![Item::Sub { label: texts::WHEN_TRANSFER.to_owned(), items: vec![Item::Choice { selected, options }] }];
    let ask = |label, request| Item::Do { label, action: Action::Ask(request) };
    let mut pauses: Vec<_> = pauses(scheduling).into_iter().map(|offer| ask(offer.label, offer.request)).collect();
    match (&effective.pause, pauses.len()) {
        (Some(_), _) => items.append(&mut pauses),
        (None, 0) => {}
        (None, _) => items.push(Item::Sub { label: texts::PAUSE.to_owned(), items: pauses }),
    }
    items
}

#[cfg(test)]
mod tests;
