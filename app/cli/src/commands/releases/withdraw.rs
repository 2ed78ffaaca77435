//! `banyan releases withdraw`: removes a release from the publisher's signed list.
//!
//! The server says which sequence a version has. A compromised server could name a different release and so have it
//! withdrawn. The manifest is therefore fetched and compared with the publisher's own signed list first.

use crate::{
    api_client::ApiClient,
    commands::{
        connect,
        deploy::ReleaseSelector,
        keys::complete_request::{SigningArgs, fetch_verified_state, repeat_if_overtaken, sign_and_submit},
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_note, sanitise},
    profile::ProfileArg,
};
use banyan_proto::{Manifest, Reason, UnixSeconds};
use banyan_publisher::{ReleaseList, SigningRequest, release_list, verified_state::VerifiedState};

/// Withdraw a release so it can no longer be installed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan releases withdraw hello@1.2 --key keys\n  \
    # For scripts\n  \
    banyan releases withdraw hello@1.2 --key keys --json\n\n\
    Its deployments are stopped, and machines that are still receiving it discard\n\
    it. A machine that was off learns of the withdrawal before it installs anything.\n\
    Machines that have installed it keep it: publish and deploy another release to\n\
    replace it. The sequence is never used again. The server deletes the release's\n\
    files.")]
pub(super) struct Args {
    /// Release to withdraw: PACKAGE@VERSION
    #[arg(value_name = "PACKAGE@VERSION")]
    release: ReleaseSelector,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let ReleaseSelector { package, version } = &args.release;
    let action = || match version {
        Some(version) => format!("withdraw {package} {version}"),
        None => format!("withdraw {package}"),
    };
    let Some(version) = version else {
        let next = format!("name the version: banyan releases withdraw {package}@VERSION --key DIR");
        return Err(Failure::new(action(), "only a single release can be withdrawn", next).with_exit(Exit::Usage));
    };
    let client = connect(profile, action)?;
    let mut is_announced = args.output.json;
    let withdraw = async || {
        let state = fetch_verified_state(&client, &args.signing, action).await?;
        let names = verified_target_names(&client, &state, package, version).await?;
        if !is_announced {
            print_note(&sanitise(&format!("withdrawing {}", names.join(", "))));
            is_announced = true;
        }
        let list = release_list::withdraw_releases(&state, &names, UnixSeconds::now()).with_context(action)?;
        let request = SigningRequest::for_changes(&state, None, Some(list)).with_context(action)?;
        sign_and_submit(&client, request, &args.signing, action).await
    };
    let done = repeat_if_overtaken(action, withdraw).await?;
    done.print(args.output, &format!("{package} {version} is withdrawn"))
}

/// Returns the target names of all releases with this version, after checking each against the publisher's list.
async fn verified_target_names(
    client: &ApiClient,
    state: &VerifiedState,
    package: &str,
    version: &str,
) -> Result<Vec<String>, Failure> {
    let action = || format!("withdraw {package} {version}");
    let releases = client.releases().await.with_context(action)?;
    let mut names = vec![];
    for release in releases.iter().filter(|release| release.package == package && release.version == version) {
        let text = client.manifest(package, release.sequence).await.with_context(action)?;
        let Some(name) = name_on_the_list(&state.published, (package, version), &text) else {
            let wrong = format!("the server's manifest of {package} {version} differs from what the publisher signed");
            let next = "investigate the server before you sign anything else";
            return Err(Failure { reason: Some(Reason::MetadataForged), ..Failure::new(action(), wrong, next) });
        };
        names.push(name);
    }
    if names.is_empty() {
        let wrong = format!("{package} {version} is not on the publisher's list of releases");
        let missing = Failure::new(action(), wrong, "list the published releases with `banyan releases`");
        return Err(Failure { reason: Some(Reason::NotPublished), ..missing });
    }
    Ok(names)
}

/// Returns the target name of a manifest, if the publisher's list contains this exact text and it is the requested
/// release.
fn name_on_the_list(list: &ReleaseList, wanted: (&str, &str), text: &str) -> Option<String> {
    let manifest = Manifest::parse(text.as_bytes()).ok()?;
    let name = manifest.target_name();
    ((manifest.package.as_str(), manifest.version.as_str()) == wanted && list.lists(&name, text)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;
    use banyan_trust::Target;
    use banyan_tuf_signing::sha256;

    #[test]
    fn a_server_cannot_have_another_release_withdrawn_than_the_one_named() {
        let manifest = |version: &str, sequence: u64| {
            let artifact = r#"{"platform":"any","file_name":"a.tar","size":1,"digest":"D","chunk_size":16384,"chunks":"C","install":{"kind":"archive"}}"#;
            let artifact = artifact.replace('D', &"00".repeat(32)).replace('C', &format!("{}=", "A".repeat(43)));
            format!(
                r#"{{"format":2,"package":"hello","version":"{version}","sequence":{sequence},"min_sequence":0,"artifacts":[{artifact}]}}"#
            )
        };
        let texts = [manifest("1.0", 1), manifest("1.1", 2)];
        let target = |text: &String| Target {
            length: text.len() as u64,
            sha256: data_encoding::HEXLOWER.encode(&sha256(text.as_bytes())),
        };
        let targets = ["hello/1.json", "hello/2.json"].map(str::to_owned).into_iter().zip(texts.iter().map(target));
        let list = ReleaseList { targets: targets.collect(), ..ReleaseList::default() };
        let name = |text: &str| name_on_the_list(&list, ("hello", "1.1"), text);
        assert_eq!(name(&texts[1]).as_deref(), Some("hello/2.json"));
        assert_eq!(name(&texts[0]), None, "another version");
        assert_eq!(name(&manifest("1.1", 1)), None, "an unsigned manifest with the sequence of another release");
    }

    #[tokio::test]
    async fn a_version_has_to_be_named() {
        assert!(parse::<Args>("hello@1.2").is_err(), "without keys nothing can be signed");
        let args: Args = parse("hello --key k").unwrap();
        let failure = run(&args, &ProfileArg { profile: Some("nowhere".into()) }).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{failure}");
    }
}
