//! Checks the control file of a Debian package with dpkg's rules: dpkg refuses the whole package for one wrong field.

/// Fields with relations to other packages.
const RELATIONS: [&str; 9] =
    ["pre-depends", "depends", "recommends", "suggests", "enhances", "breaks", "conflicts", "replaces", "provides"];
/// Relations in which `|` separates alternatives.
const WITH_ALTERNATIVES: [&str; 5] = ["pre-depends", "depends", "recommends", "suggests", "enhances"];
/// Fields of dpkg's own database, which a package must not have.
const OF_DATABASE: [&str; 6] =
    ["status", "conffiles", "config-version", "configversion", "triggers-pending", "triggers-awaited"];

/// A control file in which dpkg finds nothing wrong.
#[derive(Debug, Default)]
pub(super) struct ControlFile(Vec<(String, String)>);

impl ControlFile {
    /// Parses a control file.
    ///
    /// # Errors
    /// Says what dpkg would refuse.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !text.ends_with('\n') {
            return Err("its last line does not end with a newline".into());
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut is_ended = false;
        for line in text.lines().map(str::trim_end) {
            if line.is_empty() {
                is_ended |= !fields.is_empty();
                continue;
            }
            if is_ended {
                return Err("it has more than one paragraph".into());
            }
            if line.starts_with([' ', '\t']) {
                let (_, value) = fields.last_mut().ok_or("it begins with a continued line")?;
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.is_empty() || name.starts_with(['#', '-']) || name.contains(char::is_whitespace) {
                return Err(format!("{line:?} is not a field"));
            }
            let name = name.to_ascii_lowercase();
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(format!("it has the field {name} twice"));
            }
            fields.push((name, value.trim().to_owned()));
        }
        let control = Self(fields);
        control.check()?;
        Ok(control)
    }

    /// Returns a field; `None` if it is missing or empty.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn check(&self) -> Result<(), String> {
        let required = |name: &str| self.field(name).ok_or_else(|| format!("it has no field {name}"));
        check_name(required("package")?)?;
        check_version(required("version")?)?;
        required("architecture")?;
        for (name, value) in &self.0 {
            let wrong = |why: String| format!("its field {name} is wrong: {why}");
            match name.as_str() {
                name if OF_DATABASE.contains(&name) => return Err(format!("it has the field {name}")),
                name if RELATIONS.contains(&name) => check_relations(name, value).map_err(wrong)?,
                "essential" | "protected" if !["yes", "no"].contains(&value.as_str()) => {
                    return Err(wrong(format!("{value:?} is neither yes nor no")));
                }
                "multi-arch" if !["same", "foreign", "allowed", "no"].contains(&value.as_str()) => {
                    return Err(wrong(format!("{value:?} is not same, foreign, allowed or no")));
                }
                _ => {}
            }
        }
        if self.field("architecture") == Some("all") && self.field("multi-arch") == Some("same") {
            return Err("a package for all architectures cannot be Multi-Arch: same".into());
        }
        Ok(())
    }
}

/// Checks the name of a package. dpkg itself reads upper case as lower case, under which no machine would find it.
fn check_name(name: &str) -> Result<(), String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric();
    if !name.starts_with(is_letter) || !name.chars().all(|c| is_letter(c) || "-+._".contains(c)) {
        return Err(format!("{name:?} is not the name of a package"));
    }
    Ok(())
}

fn check_version(version: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("the version {version:?} {why}"));
    let (epoch, rest) = version.split_once(':').map_or((None, version), |(epoch, rest)| (Some(epoch), rest));
    let is_epoch = |epoch: &str| !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) && epoch.len() < 10;
    if epoch.is_some_and(|epoch| !is_epoch(epoch)) {
        return wrong("has an epoch that is not a number");
    }
    let (upstream, revision) = rest.rsplit_once('-').map_or((rest, None), |(rest, revision)| (rest, Some(revision)));
    if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
        return wrong("does not begin with a digit");
    }
    if revision == Some("") {
        return wrong("ends with an empty revision");
    }
    let may_contain = |c: char, others: &str| c.is_ascii_alphanumeric() || others.contains(c);
    let is_known = upstream.chars().all(|c| may_contain(c, "-+.~:"))
        && revision.unwrap_or_default().chars().all(|c| may_contain(c, "+.~"));
    if is_known { Ok(()) } else { wrong("has a character that is not allowed in versions") }
}

fn check_relations(field: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    let separators: &[char] = if WITH_ALTERNATIVES.contains(&field) { &[',', '|'] } else { &[','] };
    value.split(separators).try_for_each(|relation| check_relation(relation.trim()))
}

fn check_relation(relation: &str) -> Result<(), String> {
    let wrong = || format!("{relation:?} is not a package with a version");
    let (named, version) = match relation.split_once('(') {
        Some((named, rest)) => (named.trim(), Some(rest.trim().strip_suffix(')').ok_or_else(wrong)?)),
        None => (relation, None),
    };
    let (name, architecture) = named.split_once(':').map_or((named, None), |(name, own)| (name, Some(own)));
    check_name(name)?;
    if architecture.is_some_and(|own| check_name(own).is_err()) {
        return Err(wrong());
    }
    let Some(version) = version.map(str::trim) else { return Ok(()) };
    let start = version.find(|c: char| !"<>=".contains(c)).ok_or_else(wrong)?;
    if !["", "<<", "<=", "=", ">=", ">>", "<", ">"].contains(&&version[..start]) {
        return Err(wrong());
    }
    check_version(version[start..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Package: tool\nVersion: 1:2.0~rc1-1+b1\nArchitecture: amd64\nPre-Depends: x\n\
                        Depends: libc6 (>= 2.36), python3:any | python (<< 3),\n other (=1-1)\nBreaks: old (<< 2~)\n\
                        Provides: api (= 2), abi\nEssential: no\nMulti-Arch: foreign\nDescription: one\n two\n .\n";

    #[test]
    fn a_control_file_is_read() {
        let control = ControlFile::parse(GOOD).unwrap();
        assert_eq!(control.field("version"), Some("1:2.0~rc1-1+b1"));
        assert_eq!(control.field("homepage"), None);
        // dpkg takes lines that end as on Windows.
        assert!(ControlFile::parse(&GOOD.replace('\n', "\r\n")).is_ok());
    }

    #[test]
    fn what_dpkg_refuses_is_named() {
        for (found, replaced, says) in [
            ("2.0~rc1-1+b1", "v2.0", "does not begin with a digit"),
            ("2.0~rc1-1+b1", "2_0", "not allowed in versions"),
            ("2.0~rc1-1+b1", "2.0-", "empty revision"),
            ("2.0~rc1-1+b1", "2.0 beta", "not allowed in versions"),
            ("1:2.0", "a:2.0", "an epoch that is not a number"),
            ("Package: tool", "Package: to ol", "not the name of a package"),
            ("libc6 (>= 2.36)", "libc6 (=> 2.36)", "its field depends is wrong"),
            ("libc6 (>= 2.36)", "libc6 (>= )", "its field depends is wrong"),
            ("libc6 (>= 2.36)", "${shlibs:Depends}", "not the name of a package"),
            ("libc6 (>= 2.36)", "", "not the name of a package"),
            ("old (<< 2~)", "old | older", "its field breaks is wrong"),
            ("Essential: no", "Essential: maybe", "neither yes nor no"),
            ("foreign", "yes", "is not same, foreign"),
            ("Essential: no", "Status: install ok installed", "it has the field status"),
            ("Essential: no", "Version: 2", "twice"),
            ("Essential: no", "Essential", "\"Essential\" is not a field"),
            ("Essential: no", "", "more than one paragraph"),
            (" .\n", " .", "does not end with a newline"),
            ("Architecture: amd64\n", "", "it has no field architecture"),
        ] {
            let text = GOOD.replacen(found, replaced, 1);
            let why = ControlFile::parse(&text).expect_err(says);
            assert!(why.contains(says), "{replaced:?}: {why}");
        }
    }
}
