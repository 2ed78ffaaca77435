//! Finds cycles between the folders of one crate, so that imports keep pointing one way.
//!
//! A folder is a top-level module of a crate: `src/net/`, or `src/cli.rs`. The crate's root (`lib.rs`, `main.rs`) may
//! use all of them and counts as none; a name that it re-exports counts as an import of the folder that has it. Tests
//! may import what they like.

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Who imports whom: folder → imported folder → the first place where it does, as `file:line`.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// Checks every crate below `root`.
///
/// # Errors
/// Names the folders of the first cycle of each crate, with a place for each import.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut cycles = Vec::new();
    for source in sources(root)? {
        let imports = imports(&source)?;
        cycles.extend(cycle(&imports).map(|folders| describe(root, &source, &imports, &folders)));
    }
    if cycles.is_empty() { Ok(()) } else { bail!("{}", cycles.join("\n")) }
}

/// Returns the `src` folders of all crates: folders beside a `Cargo.toml`.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for path in entries(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name == "src" && folder.join("Cargo.toml").is_file() {
                found.push(path);
            } else if path.is_dir() && !name.starts_with('.') && name != "target" {
                open.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>();
    let mut paths: Vec<PathBuf> = read().with_context(|| format!("reading the folder {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// Returns the imports between the folders of one crate.
fn imports(source: &Path) -> Result<Imports> {
    let folders: BTreeSet<String> = entries(source)?
        .iter()
        .filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !["lib", "main", "bin", "tests"].contains(&name.as_str()))
        .collect();
    let mut exports = BTreeMap::new();
    for root in ["lib.rs", "main.rs"].map(|name| source.join(name)).iter().filter(|root| root.is_file()) {
        exported(&tokens_of(root)?, None, &mut exports);
    }
    let mut imports = Imports::new();
    let mut open = vec![source.to_owned()];
    while let Some(folder) = open.pop() {
        for path in entries(&folder)? {
            let Some(module) = module_of(source, &path) else { continue };
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let Some(from) = module.first().filter(|from| folders.contains(*from)) else { continue };
            for (name, line) in used(&tokens_of(&path)?, &module) {
                let to = if folders.contains(&name) { Some(&name) } else { exports.get(&name) };
                if let Some(to) = to.filter(|to| *to != from && folders.contains(*to)) {
                    let place = || format!("{}:{line}", path.display());
                    imports.entry(from.clone()).or_default().entry(to.clone()).or_insert_with(place);
                }
            }
        }
    }
    Ok(imports)
}

fn tokens_of(path: &Path) -> Result<Vec<TokenTree>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let tokens: TokenStream =
        text.parse().map_err(|error| anyhow::anyhow!("{} is not Rust: {error}", path.display()))?;
    Ok(tokens.into_iter().collect())
}

/// Finds the names that a crate's root re-exports (`pub use folder::{Name, …}`), each with its folder.
fn exported(tokens: &[TokenTree], folder: Option<&str>, exports: &mut BTreeMap<String, String>) {
    let mut rest = tokens;
    while let [token, behind @ ..] = rest {
        rest = behind;
        match (token, folder) {
            (TokenTree::Ident(word), None) if word == "use" => {
                let mut path = behind.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'));
                if let Some([TokenTree::Ident(folder), inner @ ..]) = path.next() {
                    exported(inner, Some(&folder.to_string()), exports);
                }
            }
            (TokenTree::Ident(name), Some(folder)) => {
                exports.insert(name.to_string(), folder.to_owned());
            }
            (TokenTree::Group(group), Some(folder)) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                exported(&inner, Some(folder), exports);
            }
            _ => {}
        }
    }
}

/// Returns the module path of a file or folder below `src`; none for tests, for `bin` and for anything but Rust.
fn module_of(source: &Path, path: &Path) -> Option<Vec<String>> {
    if path.is_file() && path.extension().is_none_or(|ending| ending != "rs") {
        return None;
    }
    let inner = path.strip_prefix(source).ok()?.with_extension("");
    let mut module: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.is_file() && module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    let is_test = |part: &String| part == "tests" || part.ends_with("_tests");
    (!module.iter().any(is_test) && module.first().is_none_or(|first| first != "bin")).then_some(module)
}

/// Returns the top-level modules that these tokens name by `crate::…` or `super::…`, each with its line.
fn used(tokens: &[TokenTree], module: &[String]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(&tokens[at..]) {
            at += 2 + tokens[at + 2..].iter().take_while(|token| !ends_item(token)).count();
        } else if let Some(start) = start_of_path(&tokens[at..]) {
            let line = tokens[at].span().start().line;
            let base = match start {
                "crate" => Vec::new(),
                "self" => module.to_vec(),
                // The first `super` of a file leads to the module above the file's own.
                _ => module[..module.len().saturating_sub(1)].to_vec(),
            };
            named(&tokens[at + 3..], base, &mut |to| found.push((to, line)));
            at += 2;
        } else if let TokenTree::Group(group) = &tokens[at] {
            // An inner module's `super` leads to this file's module: then the path only gets shorter, never wrong.
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            found.extend(used(&inner, module));
        }
        at += 1;
    }
    found
}

fn is_cfg_test(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(group), ..] = tokens else { return false };
    hash.as_char() == '#' && group.stream().to_string().replace(' ', "").starts_with("cfg(test")
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

/// Returns the first word of a path inside this crate, if one starts here.
fn start_of_path(tokens: &[TokenTree]) -> Option<&'static str> {
    let [TokenTree::Ident(first), TokenTree::Punct(colon), TokenTree::Punct(_), ..] = tokens else { return None };
    ["crate", "self", "super"].into_iter().find(|word| colon.as_char() == ':' && first == word)
}

/// Reports the top-level module of each path that begins with `base` and goes on with these tokens.
fn named(tokens: &[TokenTree], mut base: Vec<String>, report: &mut impl FnMut(String)) {
    match tokens {
        [TokenTree::Ident(word), rest @ ..] if word == "super" && rest.len() > 2 => {
            base.pop();
            named(&rest[2..], base, report);
        }
        [TokenTree::Ident(word), ..] => report(base.first().cloned().unwrap_or_else(|| word.to_string())),
        [TokenTree::Group(group), ..] => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            inner.split(comma).for_each(|path| named(path, base.clone(), report));
        }
        _ => {}
    }
}

/// Returns the folders of one cycle, in the order in which they import each other.
fn cycle(imports: &Imports) -> Option<Vec<String>> {
    fn walk<'a>(at: &'a str, imports: &'a Imports, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        if let Some(start) = way.iter().position(|folder| *folder == at) {
            way.drain(..start);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        way.push(at);
        let found = imports.get(at).into_iter().flat_map(BTreeMap::keys).any(|to| walk(to, imports, way, done));
        if !found {
            way.pop();
        }
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| {
        let mut way = Vec::new();
        walk(start, imports, &mut way, &mut done).then(|| way.into_iter().map(str::to_owned).collect())
    })
}

fn describe(root: &Path, source: &Path, imports: &Imports, folders: &[String]) -> String {
    let mut lines = vec![format!("folders of {} import each other in a circle:", relative(root, source))];
    for (at, from) in folders.iter().enumerate() {
        let to = &folders[(at + 1) % folders.len()];
        let place = &imports[from][to];
        lines.push(format!("  {from} imports {to} at {}", relative(root, Path::new(place))));
    }
    lines.push("  move what both need into a folder below both".to_owned());
    lines.join("\n")
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        for (path, text) in files {
            let path = folder.path().join("src").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn folders_that_import_downwards_pass() {
        let folder = crate_of(&[
            ("lib.rs", "mod net; mod store; mod top;"),
            ("top.rs", "use crate::{net::Socket, store::{self, Row}};"),
            ("net/mod.rs", "pub struct Socket; mod part;"),
            ("net/part.rs", "use super::Socket; use crate::store::Row;"),
            ("store.rs", "pub struct Row; #[cfg(test)] mod tests { use crate::top::Top; } // crate::top"),
            ("net/tests.rs", "use crate::top::Top;"),
        ]);
        check(folder.path()).unwrap();
    }

    #[test]
    fn a_cycle_is_reported_with_both_places() {
        for back in [
            "use crate::{store::Row};",
            "fn f() { drop(crate::store::Row) }",
            "use super::super::store::Row;",
            "fn f() { print!(\"{:?}\", crate::store::Row) }",
            "use crate::{Other, Row};",
        ] {
            let folder = crate_of(&[
                ("lib.rs", "mod net; mod store; pub use store::{self, Row}; pub(crate) use net::Socket;"),
                ("net/mod.rs", "mod part;"),
                ("net/part.rs", back),
                ("store.rs", "\nuse crate::net::Socket;"),
            ]);
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains("net imports store at src/net/part.rs:1"), "{back}: {error}");
            assert!(error.contains("store imports net at src/store.rs:2"), "{back}: {error}");
        }
    }
}
