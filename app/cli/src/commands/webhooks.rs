//! `banyan webhooks`: the receivers to which the server posts its events.

use crate::{
    commands::connect,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_age, format_table, print_note, sanitise},
    profile::ProfileArg,
};
use banyan_proto::{
    UnixSeconds,
    server_events::EventKind,
    webhooks::{Delivery, DeliveryResult, DeliveryState, NewWebhook, Webhook, WebhookSecret},
};

/// Post what happens to other programs: add, test and watch webhooks
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
                  # Tickets for halted deployments\n  \
                  banyan webhooks add https://desk.example.org/banyan --kind deployment.halted\n  \
                  banyan webhooks test 4f2a\n  \
                  banyan webhooks deliveries 4f2a\n  \
                  banyan webhooks resend 4f2a 1207\n\n\
                  Posts follow the Standard Webhooks specification: receivers check the\n\
                  signature with the secret that `add` prints. docs/events.md lists the kinds.",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Add(AddArgs),
    /// List the webhooks
    #[command(after_help = "Example:\n  banyan webhooks list")]
    List(ListArgs),
    /// Remove a webhook; what waits for it is not delivered
    #[command(after_help = "Example:\n  banyan webhooks remove 4f2a")]
    Remove(OneArgs),
    /// Make a new secret; for a day, both secrets sign
    #[command(after_help = "Example:\n  banyan webhooks secret 4f2a")]
    Secret(SecretArgs),
    /// Post a test event to one receiver
    #[command(after_help = "Example:\n  banyan webhooks test 4f2a")]
    Test(OneArgs),
    /// Post again to a webhook that is paused
    #[command(after_help = "Example:\n  banyan webhooks resume 4f2a")]
    Resume(OneArgs),
    /// List the newest deliveries of a webhook
    #[command(after_help = "Example:\n  banyan webhooks deliveries 4f2a")]
    Deliveries(DeliveriesArgs),
    /// Deliver an event to a webhook again
    #[command(after_help = "Example:\n  banyan webhooks resend 4f2a 1207")]
    Resend(ResendArgs),
}

/// Add a receiver, and print its secret
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan webhooks add https://desk.example.org/banyan\n  \
    banyan webhooks add https://chat.example.org/b --kind deployment.halted --kind machine.failed\n  \
    # A receiver in the server's own network\n  \
    banyan webhooks add http://10.0.0.7:9000/banyan --private\n\n\
    The secret is shown once. Handle it like a password.")]
struct AddArgs {
    /// Where to post
    #[arg(value_name = "URL")]
    url: String,
    /// Kind of event to post; give it again for more [default: all]
    #[arg(long = "kind", value_name = "KIND", value_parser = parse_kind)]
    kinds: Vec<EventKind>,
    /// Also connect to addresses in private networks and on the server itself
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_kind(text: &str) -> Result<EventKind, String> {
    text.parse()
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// Webhook's identifier, or the beginning of it
    #[arg(value_name = "WEBHOOK")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct SecretArgs {
    /// Webhook's identifier, or the beginning of it
    #[arg(value_name = "WEBHOOK")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct DeliveriesArgs {
    /// Webhook's identifier, or the beginning of it
    #[arg(value_name = "WEBHOOK")]
    id: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Args)]
struct ResendArgs {
    /// Webhook's identifier, or the beginning of it
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// Event's number
    #[arg(value_name = "EVENT")]
    event: u64,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::Add(args) => {
            let action = || format!("add the webhook {:?}", args.url);
            let new = NewWebhook { url: args.url.clone(), kinds: args.kinds.clone(), private: args.private };
            let added = connect(given, action)?.add_webhook(&new).await.with_context(action)?;
            print_secret(&args.output, &added)?;
            print_note(&format!("added webhook {}; its secret is not shown again", short(&added.id)));
        }
        Command::List(args) => {
            let action = || "list the webhooks".to_owned();
            let all = connect(given, action)?.webhooks().await.with_context(action)?;
            args.output.print(&all, |all| format_webhooks(all, UnixSeconds::now()))?;
        }
        Command::Remove(args) => {
            let action = || format!("remove the webhook {:?}", args.id);
            connect(given, action)?.change_webhook(&args.id, "remove").await.with_context(action)?;
            print_note("removed the webhook");
        }
        Command::Secret(args) => {
            let action = || format!("make a new secret for the webhook {:?}", args.id);
            let changed = connect(given, action)?.change_webhook_secret(&args.id).await.with_context(action)?;
            print_secret(&args.output, &changed)?;
            print_note("the old secret also signs for a day");
        }
        Command::Test(args) => {
            let action = || format!("test the webhook {:?}", args.id);
            connect(given, action)?.change_webhook(&args.id, "test").await.with_context(action)?;
            print_note(&format!("posting a test; `banyan webhooks deliveries {}` shows the result", args.id));
        }
        Command::Resume(args) => {
            let action = || format!("resume the webhook {:?}", args.id);
            connect(given, action)?.change_webhook(&args.id, "resume").await.with_context(action)?;
            print_note("deliveries go on, beginning with those that wait");
        }
        Command::Deliveries(args) => {
            let action = || format!("list the deliveries of the webhook {:?}", args.id);
            let all = connect(given, action)?.deliveries(&args.id).await.with_context(action)?;
            args.output.print(&all, |all| format_deliveries(all, UnixSeconds::now()))?;
        }
        Command::Resend(args) => {
            let action = || format!("deliver event {} again", args.event);
            let what = format!("deliveries/{}/resend", args.event);
            connect(given, action)?.change_webhook(&args.id, &what).await.with_context(action)?;
            print_note("the event waits for its delivery");
        }
    }
    Ok(Exit::Success)
}

fn print_secret(output: &OutputArgs, secret: &WebhookSecret) -> Result<(), Failure> {
    let stays = |failure: Failure| {
        let advice = format!("make another one with `banyan webhooks secret {}`", short(&secret.id));
        failure.after_success("the secret was made", advice)
    };
    output.print(secret, |secret| format!("{}\n", secret.secret.expose())).map_err(stays)
}

/// Returns the part of an identifier that people type.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

fn format_result(result: Option<&DeliveryResult>, now: UnixSeconds) -> String {
    result.map_or_else(
        || "-".into(),
        |last| format!("{}, {}", sanitise(&last.what), format_age(now.0.saturating_sub(last.at.0))),
    )
}

fn format_webhooks(all: &[Webhook], now: UnixSeconds) -> String {
    let mut rows = vec![["WEBHOOK", "URL", "KINDS", "WAITING", "LAST ATTEMPT", "STATE"].map(str::to_owned).to_vec()];
    for one in all {
        let kinds: Vec<&str> = one.kinds.iter().map(|kind| kind.name()).collect();
        rows.push(vec![
            short(&one.id),
            sanitise(&one.url),
            if kinds.is_empty() { "all".into() } else { kinds.join(", ") },
            one.waiting.to_string(),
            format_result(one.last.as_ref(), now),
            one.paused.as_ref().map_or_else(|| "active".into(), |why| format!("paused: {}", sanitise(why))),
        ]);
    }
    format_table(&rows)
}

fn format_deliveries(all: &[Delivery], now: UnixSeconds) -> String {
    let mut rows = vec![["EVENT", "KIND", "STATE", "ATTEMPTS", "LAST ATTEMPT", "NEXT"].map(str::to_owned).to_vec()];
    for one in all {
        let state = match one.state {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::GivenUp => "given up",
        };
        let next = one.next.map_or_else(
            || "-".into(),
            |next| match next.0.saturating_sub(now.0) {
                0 => "now".into(),
                seconds => format!("in {seconds} s"),
            },
        );
        rows.push(vec![
            one.event.to_string(),
            one.kind.name().into(),
            state.into(),
            one.attempts.to_string(),
            format_result(one.last.as_ref(), now),
            next,
        ]);
    }
    format_table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn arguments() {
        let args: AddArgs = parse("https://a.example/ --kind machine.failed --kind deployment.halted").unwrap();
        assert_eq!((args.kinds.len(), args.private), (2, false));
        for wrong in ["", "https://a.example/ --kind moon.risen"] {
            assert!(parse::<AddArgs>(wrong).is_err(), "{wrong}");
        }
        assert!(parse::<ResendArgs>("4f2a").is_err() && parse::<ResendArgs>("4f2a 12").is_ok());
    }
}
