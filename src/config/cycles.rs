//! Applications that lead into each other: where people find one, the next one is looked for.

use std::collections::{HashMap, HashSet};

use super::application::Draft;
use super::findings::Findings;
use crate::model::{
    Application, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, Place, Scheme,
};

/// Refuses applications whose links, and whose requests, would go round in a circle; whether there are none.
pub(super) fn are_none(drafts: &[Draft], findings: &Findings) -> bool {
    let all: Vec<(&Application, &Place)> = drafts
        .iter()
        .filter_map(|draft| Some((draft.application.as_ref()?, &draft.external.as_ref()?.1)))
        .collect();
    let inside = Inside::of(&all);
    let next: Vec<Vec<usize>> = all
        .iter()
        .enumerate()
        .map(|(own, (application, _))| {
            let urls = application.external_urls();
            let found: HashSet<usize> = urls.flat_map(|url| inside.at(url)).collect();
            let mut found: Vec<usize> = found.into_iter().filter(|one| *one != own).collect();
            found.sort_unstable();
            found
        })
        .collect();
    let cycles = cycles(&next);
    for cycle in &cycles {
        let Some((first, (_, place))) = cycle.first().and_then(|at| Some((*at, all.get(*at)?)))
        else {
            continue;
        };
        let round = cycle.iter().skip(1).chain([&first]);
        let steps: Vec<_> = cycle
            .iter()
            .zip(round)
            .map(|(from, to)| format!("`{}` where `{}` is", all[*from].0.name, all[*to].0.name))
            .collect();
        findings.error(
            "cycle",
            place,
            format!(
                "this is the internal URL of another application, and so it goes round: people find {} looked for",
                steps.join(", ")
            ),
            "change `internal_url` of one of them to the URL that leads to the application itself, not to the gateway",
        );
    }
    cycles.is_empty()
}

/// Scheme, port, and host; of a wildcard what follows `*.`.
type Key = (Scheme, u16, Box<str>);

/// Where applications are looked for.
#[derive(Default)]
struct Inside<'d> {
    exact: HashMap<Key, Vec<(usize, &'d InternalUrl)>>,
    /// By what follows the first dot.
    below: HashMap<Key, Vec<(usize, &'d InternalUrl)>>,
    wildcard: HashMap<Key, Vec<(usize, &'d InternalUrl)>>,
}

impl<'d> Inside<'d> {
    fn of(all: &[(&'d Application, &Place)]) -> Self {
        let mut inside = Self::default();
        for (at, (application, _)) in all.iter().enumerate() {
            for url in application.internal.all() {
                // The same inside and outside: nothing leads anywhere else.
                let text = url.to_string();
                if application
                    .external_urls()
                    .any(|outside| outside.to_string() == text)
                {
                    continue;
                }
                let key = |host: &str| (url.scheme, url.port, host.into());
                match &url.host {
                    InternalHost::Wildcard { suffix } => {
                        let all = inside.wildcard.entry(key(suffix)).or_default();
                        all.push((at, url));
                    }
                    InternalHost::Exact(host) => {
                        let all = inside.exact.entry(key(&host.to_string())).or_default();
                        all.push((at, url));
                        if let Some(parent) = parent(host) {
                            inside.below.entry(key(parent)).or_default().push((at, url));
                        }
                    }
                }
            }
        }
        inside
    }

    /// Which applications are looked for at, or above, an external URL.
    fn at(&self, url: &ExternalUrl) -> impl Iterator<Item = usize> {
        let key = |host: &str| (url.scheme, url.port, host.into());
        let found = match &url.host {
            HostPattern::Exact(host) => {
                let of_wildcard = parent(host).and_then(|parent| self.wildcard.get(&key(parent)));
                [self.exact.get(&key(&host.to_string())), of_wildcard]
            }
            HostPattern::Wildcard { suffix } => {
                let key = key(suffix);
                [self.below.get(&key), self.wildcard.get(&key)]
            }
        };
        let all = found.into_iter().flatten().flatten();
        let above = |internal: &InternalUrl| internal.path.rest(url.path.as_str()).is_some();
        all.filter(move |(_, internal)| above(internal))
            .map(|(at, _)| *at)
    }
}

fn parent(host: &Host) -> Option<&str> {
    Some(host.name()?.split_once('.')?.1)
}

/// Every circle once, as far as they have no edge in common with one that was found before.
fn cycles(next: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    let mut done = vec![false; next.len()];
    for start in 0..next.len() {
        if done[start] {
            continue;
        }
        // The way from the start, each with how many of its successors were tried.
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        let mut on_way = HashSet::from([start]);
        while let Some((at, tried)) = way.last_mut() {
            let Some(&to) = next[*at].get(*tried) else {
                done[*at] = true;
                on_way.remove(at);
                way.pop();
                continue;
            };
            *tried += 1;
            if on_way.contains(&to) {
                let from = way.iter().position(|(at, _)| *at == to).unwrap_or_default();
                found.push(way[from..].iter().map(|(at, _)| *at).collect());
            } else if !done[to] {
                on_way.insert(to);
                way.push((to, 0));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_once() {
        for (next, expected) in [
            (vec![vec![]], vec![]),
            (vec![vec![1], vec![]], vec![]),
            (vec![vec![1], vec![0]], vec![vec![0, 1]]),
            (vec![vec![1], vec![2], vec![1]], vec![vec![1, 2]]),
            (vec![vec![1, 2], vec![3], vec![3], vec![]], vec![]),
            (
                vec![vec![1], vec![2, 0], vec![0]],
                vec![vec![0, 1, 2], vec![0, 1]],
            ),
        ] {
            assert_eq!(cycles(&next), expected, "{next:?}");
        }
    }
}
