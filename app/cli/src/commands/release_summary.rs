//! Describes a release before it is signed: what machines will do with it.

use crate::output::{format_count, sanitise};
use banyan_proto::{
    format_size,
    manifest::{CommandSpec, Manifest},
};

/// Describes a release: what machines will do with it.
pub(crate) fn describe_release(manifest: &Manifest, derived: bool) -> String {
    let how = if derived { "derived from the file" } else { "as described" };
    let mut lines = vec![format!("{} {}, sequence {} ({how})", manifest.package, manifest.version, manifest.sequence)];
    if !manifest.title.is_empty() {
        lines.push(format!("  title: {}", manifest.title));
    }
    for artifact in &manifest.artifacts {
        let kind = artifact.install.kind.name();
        let chunks = format_count(artifact.chunks.0.len(), "chunk");
        lines.push(format!(
            "  {}: {} ({kind}, {}, {chunks})",
            artifact.platform,
            artifact.file_name,
            format_size(artifact.size)
        ));
        let commands = [
            ("detect", &artifact.install.detect),
            ("probe", &artifact.install.probe),
            ("undo", &artifact.install.undo),
        ];
        for (name, command) in commands {
            if let Some(CommandSpec { argv, timeout_seconds }) = command {
                lines.push(format!("    {name}: {} (at most {timeout_seconds} s)", argv.join(" ")));
            }
        }
        if artifact.install.probe.is_none() {
            lines.push("    no probe: nothing will check that the new version works".into());
        }
    }
    if manifest.min_sequence > 0 {
        lines.push(format!("  from then on machines refuse anything below sequence {}", manifest.min_sequence));
    }
    if let Some(back) = manifest.rollback_to {
        lines.push(format!("  this release restores the content of sequence {back}"));
    }
    sanitise(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{
        Digest, Format,
        manifest::{Artifact, ChunkHashes, InstallSpec, Kind},
    };

    #[test]
    fn the_description_shows_what_will_run_on_machines() {
        let probe = CommandSpec { argv: vec!["{dir}/tool".into(), "--version".into()], timeout_seconds: 60 };
        let mut manifest = Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            title: "The Tool".into(),
            package: "tool".into(),
            version: "1.4".into(),
            sequence: 14,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![Artifact {
                must_understand: vec![],
                platform: "any".into(),
                file_name: "tool.tar.gz".into(),
                size: 2048,
                digest: Digest([0; 32]),
                chunk_size: 16384,
                chunks: ChunkHashes(vec![Digest([0; 32])]),
                install: InstallSpec { probe: Some(probe), ..InstallSpec::new(Kind::Archive) },
            }],
        };
        let text = describe_release(&manifest, true);
        assert!(text.contains("probe: {dir}/tool --version (at most 60 s)") && text.contains("2.0 kB"), "{text}");
        manifest.artifacts[0].install.probe = None;
        assert!(describe_release(&manifest, false).contains("no probe"));
    }
}
