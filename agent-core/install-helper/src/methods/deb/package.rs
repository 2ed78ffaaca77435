//! One package as data: from a deb's control file, or from an entry of dpkg's database.

use crate::{
    methods::deb::relation::{self, Alternatives, Relation},
    package_state::{Status, Want},
};

/// `Multi-Arch:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MultiArch {
    #[default]
    No,
    Same,
    Foreign,
    Allowed,
}

/// A package, installed or in a deb.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) multi_arch: MultiArch,
    /// `Essential:` or `Protected:`. dpkg removes it only when it is forced to.
    pub(crate) is_essential: bool,
    pub(crate) want: Want,
    pub(crate) status: Status,
    /// `Depends:` and `Pre-Depends:`.
    pub(crate) depends: Vec<Alternatives>,
    pub(crate) conflicts: Vec<Relation>,
    pub(crate) breaks: Vec<Relation>,
    pub(crate) replaces: Vec<Relation>,
    pub(crate) provides: Vec<Relation>,
    /// Its settings, as dpkg's database knows them: absolute paths.
    pub(crate) settings: Vec<String>,
}

/// One paragraph: field names in lower case, values with their continuation lines.
pub(crate) struct Paragraph(Vec<(String, String)>);

impl Paragraph {
    pub(crate) fn parse(text: &str) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Self(fields)
    }
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }
}

/// Reads the path in a line of `Conffiles:`: ` /etc/with space 0123 obsolete`.
fn setting_in(line: &str) -> Option<String> {
    let line = line.trim();
    let line = ["obsolete", "remove-on-upgrade"].iter().find_map(|word| line.strip_suffix(word)).unwrap_or(line);
    let (path, _sum) = line.trim_end().rsplit_once(' ')?;
    path.starts_with('/').then(|| path.to_owned())
}

/// Splits a file into paragraphs.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph> {
    text.split("\n\n")
        .filter(|part| !part.trim().is_empty())
        .map(|part| Paragraph::parse(part.trim_start_matches('\n')))
}

impl Package {
    /// Reads a paragraph; `None` without a name.
    pub(crate) fn from_paragraph(from: &Paragraph) -> Option<Self> {
        let owned = |name: &str| from.field(name).to_owned();
        let groups = |name: &str| relation::parse_field(from.field(name));
        let relations = |name: &str| groups(name).into_iter().flat_map(|group| group.0).collect();
        let mut words = from.field("status").split_whitespace();
        let want = words.next().map_or(Want::Unknown, Want::parse);
        let mut depends = groups("pre-depends");
        depends.extend(groups("depends"));
        let yes = |name: &str| from.field(name).eq_ignore_ascii_case("yes");
        let package = Self {
            name: owned("package"),
            version: owned("version"),
            architecture: owned("architecture"),
            multi_arch: match from.field("multi-arch") {
                "same" => MultiArch::Same,
                "foreign" => MultiArch::Foreign,
                "allowed" => MultiArch::Allowed,
                _ => MultiArch::No,
            },
            is_essential: yes("essential") || yes("protected") || yes("important"),
            want,
            status: words.last().map_or(Status::NotInstalled, Status::parse),
            depends,
            conflicts: relations("conflicts"),
            breaks: relations("breaks"),
            replaces: relations("replaces"),
            provides: relations("provides"),
            settings: from.field("conffiles").lines().filter_map(setting_in).collect(),
        };
        (!package.name.is_empty()).then_some(package)
    }
    /// The name with its architecture, as dpkg's database knows it.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.name, self.architecture)
    }
    /// Whether it can be installed for several architectures at once.
    pub(crate) fn is_coinstallable(&self) -> bool {
        self.multi_arch == MultiArch::Same
    }
    /// Name and version, for people.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_database_is_read_whole() {
        let text = "Package: tool\nStatus: hold reinstreq half-configured\nEssential: yes\nMulti-Arch: same\n\
                    Version: 1:2-3\nArchitecture: amd64\nPre-Depends: x\nDepends: libc6 (>= 2.36),\n other | else\n\
                    Conffiles:\n /etc/a 0123\n /etc/b c 4567 obsolete\nDescription: one\n\n";
        let read: Vec<_> = paragraphs(text).filter_map(|part| Package::from_paragraph(&part)).collect();
        assert_eq!(read.len(), 1);
        let tool = &read[0];
        assert_eq!((tool.want, tool.status, tool.multi_arch), (Want::Hold, Status::HalfConfigured, MultiArch::Same));
        assert!(tool.is_essential && !tool.status.is_installed() && tool.status.has_files());
        let depends: Vec<String> = tool.depends.iter().map(ToString::to_string).collect();
        assert_eq!(depends, ["x", "libc6 (>= 2.36)", "other | else"]);
        assert_eq!(tool.settings, ["/etc/a", "/etc/b c"]);
        assert_eq!((tool.id(), tool.label()), ("tool:amd64".into(), "tool 1:2-3".into()));
    }
}
