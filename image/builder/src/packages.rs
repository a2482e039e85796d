//! Debian's package index: what `lock update` chooses from. The only code that reads metadata of an archive.
//!
//! Decides: which packages a list of names needs in one suite. Trusts the index it is given: the caller has checked it against the
//! suite's signed release file.

use std::collections::{BTreeMap, BTreeSet};

/// One paragraph of a `Packages` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub arch: String,
    /// Path below the archive.
    pub filename: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Alternatives of each dependency, names only.
    depends: Vec<Vec<String>>,
    provides: Vec<String>,
}

/// An index by name; of several versions the newest counts.
#[derive(Debug, Default)]
pub struct Index {
    by_name: BTreeMap<String, Package>,
    providers: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    /// Reads a `Packages` file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut index = Self::default();
        for paragraph in text.split("\n\n") {
            let Some(package) = package(paragraph) else { continue };
            for name in &package.provides {
                index.providers.entry(name.clone()).or_default().insert(package.name.clone());
            }
            let newer = index
                .by_name
                .get(&package.name)
                .is_none_or(|known| compare_versions(&package.version, &known.version).is_gt());
            if newer {
                index.by_name.insert(package.name.clone(), package);
            }
        }
        index
    }

    /// The package `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.by_name.get(name)
    }

    /// `names` and everything they depend on, by name. Of alternatives the first that exists is taken; of several providers of a
    /// virtual package the first by name.
    ///
    /// # Errors
    /// The name, of `names` or of a dependency, that nothing in the index satisfies.
    pub fn closure(&self, names: &[String], leave_out: &BTreeSet<String>) -> Result<Vec<&Package>, String> {
        let mut chosen = BTreeMap::new();
        let mut waiting: Vec<String> = names.to_vec();
        while let Some(name) = waiting.pop() {
            if chosen.contains_key(&name) || leave_out.contains(&name) {
                continue;
            }
            let package = self.satisfier(&name).ok_or(name.clone())?;
            if chosen.contains_key(&package.name) || leave_out.contains(&package.name) {
                continue;
            }
            chosen.insert(package.name.clone(), package);
            for alternatives in &package.depends {
                if alternatives.iter().any(|name| chosen.contains_key(name)) {
                    continue;
                }
                let first = alternatives.iter().find(|name| self.satisfier(name).is_some());
                match first {
                    Some(name) => waiting.push(name.clone()),
                    None => return Err(alternatives.join(" | ")),
                }
            }
        }
        Ok(chosen.into_values().collect())
    }

    fn satisfier(&self, name: &str) -> Option<&Package> {
        self.by_name.get(name).or_else(|| {
            let provider = self.providers.get(name)?.first()?;
            self.by_name.get(provider)
        })
    }
}

fn package(paragraph: &str) -> Option<Package> {
    let field = |name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::trim).map(str::to_owned))
    };
    let names = |list: String| -> Vec<Vec<String>> {
        let bare = |entry: &str| entry.split([' ', '(', ':']).next().unwrap_or_default().to_owned();
        list.split(',').map(|entry| entry.split('|').map(|name| bare(name.trim())).collect()).collect()
    };
    let mut depends: Vec<_> = field("Pre-Depends").map(names).unwrap_or_default();
    depends.extend(field("Depends").map(names).unwrap_or_default());
    Some(Package {
        name: field("Package")?,
        version: field("Version")?,
        arch: field("Architecture")?,
        filename: field("Filename")?,
        size: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?,
        depends,
        provides: field("Provides").map(names).unwrap_or_default().into_iter().flatten().collect(),
    })
}

/// Order of two Debian versions (Debian Policy §5.6.12): epoch, then parts that are compared as text and as numbers in turn, with `~`
/// before the end.
#[must_use]
pub fn compare_versions(left: &str, right: &str) -> std::cmp::Ordering {
    let split = |version: &str| -> (u64, String, String) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        (epoch.parse().unwrap_or(0), upstream.to_owned(), revision.to_owned())
    };
    let (left, right) = (split(left), split(right));
    left.0.cmp(&right.0).then_with(|| compare_part(&left.1, &right.1)).then_with(|| compare_part(&left.2, &right.2))
}

fn compare_part(left: &str, right: &str) -> std::cmp::Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = take(left, |c| !c.is_ascii_digit());
        let (right_text, right_rest) = take(right, |c| !c.is_ascii_digit());
        let weight = |text: &str| -> Vec<u32> {
            let rank = |c: char| match c {
                '~' => 0,
                'a'..='z' | 'A'..='Z' => u32::from(c) + 2,
                other => u32::from(other) + 1000,
            };
            // 1 stands for the end, which is after `~` and before everything else.
            text.chars().map(rank).chain([1]).collect()
        };
        let by_text = weight(left_text).cmp(&weight(right_text));
        let (left_number, left_next) = take(left_rest, |c| c.is_ascii_digit());
        let (right_number, right_next) = take(right_rest, |c| c.is_ascii_digit());
        let number = |text: &str| text.parse::<u128>().unwrap_or(0);
        let order = by_text.then_with(|| number(left_number).cmp(&number(right_number)));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_next, right_next);
    }
    std::cmp::Ordering::Equal
}

fn take(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::collections::BTreeSet;

    use super::{Index, compare_versions};

    #[test]
    fn versions_have_debians_order() {
        let rows = [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.9", "1.10"),
            ("9", "1:1"),
            ("6.12.9-1", "6.12.118-1"),
            ("1.0-1", "1.0-1+b1"),
            ("2.26.4-1", "2.26.4+dfsg-1"),
        ];
        for (older, newer) in rows {
            assert_eq!(compare_versions(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare_versions(newer, older), Ordering::Greater, "{newer} {older}");
        }
    }

    #[test]
    fn a_closure_follows_alternatives_and_providers() {
        let paragraph = |name: &str, extra: &str| {
            format!(
                "Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: p/{name}.deb\nSize: 1\nSHA256: 00\n{extra}\n"
            )
        };
        let text = [
            paragraph("top", "Depends: gone | here (>= 1), virtual"),
            paragraph("here", "Pre-Depends: deep:any"),
            paragraph("deep", ""),
            paragraph("real", "Provides: virtual (= 2)"),
        ]
        .join("\n");
        let index = Index::parse(&text);
        let names = |found: Vec<&super::Package>| found.iter().map(|package| package.name.clone()).collect::<Vec<_>>();
        let found = index.closure(&["top".to_owned()], &BTreeSet::new()).unwrap();
        assert_eq!(names(found), ["deep", "here", "real", "top"]);
        assert_eq!(index.closure(&["absent".to_owned()], &BTreeSet::new()).unwrap_err(), "absent");
    }
}
