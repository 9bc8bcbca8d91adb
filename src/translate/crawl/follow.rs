//! Which pages may be asked for next.

use crate::http::canonical;

/// What is the gateway's own on every host.
const OURS: &str = "/.appproxy";

/// The longest path that is asked for.
const LONGEST: usize = 1000;

/// Where they stand in a path, asking may do more than show something.
const EFFECTS: [&str; 37] = [
    "logout",
    "logoff",
    "signout",
    "signoff",
    "delete",
    "remove",
    "destroy",
    "unsubscribe",
    "unregister",
    "uninstall",
    "unlink",
    "revoke",
    "cancel",
    "disable",
    "deactivate",
    "terminate",
    "discard",
    "shutdown",
    "restart",
    "reboot",
    "approve",
    "reject",
    "publish",
    "impersonate",
    "activate",
    "enable",
    "promote",
    "confirm",
    "install",
    "upgrade",
    "toggle",
    "unlock",
    "rollback",
    "execute",
    "trigger",
    "transfer",
    "archive",
];

/// The same as whole words: as a part of others they mean nothing.
const WORDS: [&str; 28] = [
    "exit", "quit", "kill", "stop", "run", "drop", "reset", "clear", "purge", "empty", "ban",
    "block", "trash", "leave", "del", "rm", "vote", "grant", "add", "create", "send", "accept",
    "lock", "close", "merge", "sync", "import", "pay",
];

/// Files that are no pages; to ask for them would be a waste.
const FILES: [&str; 36] = [
    "7z", "avi", "bin", "bmp", "bz2", "css", "csv", "deb", "dmg", "doc", "docx", "exe", "gif",
    "gz", "ico", "iso", "jar", "jpeg", "jpg", "js", "json", "mov", "mp3", "mp4", "msi", "pdf",
    "png", "ppt", "pptx", "rpm", "svg", "tar", "webp", "xls", "xlsx", "zip",
];

/// Whether a path is the gateway's own.
pub(super) fn is_ours(path: &str) -> bool {
    let rest = path.strip_prefix(OURS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a page may be asked for because a link leads there. SECURITY: the links are an application's, which may be
/// made to say anything; a path that servers read differently, or a query, might do what nobody wanted.
pub(super) fn may(path: &str) -> bool {
    if path.len() > LONGEST || path.contains('?') || is_ours(path) || hides(path) {
        return false;
    }
    let Ok(canonical) = canonical(path, true) else {
        return false;
    };
    let folded = canonical.folded();
    let last = folded.rsplit('/').next().unwrap_or_default();
    let is_file = last
        .rsplit_once('.')
        .is_some_and(|(_, end)| FILES.contains(&end));
    let mut segments = folded.split('/').filter(|segment| !segment.is_empty());
    !is_file && !segments.any(has_effects)
}

/// Whether an escape stands for what needs none: it might be another application's path by its plain form.
fn hides(path: &str) -> bool {
    path.split('%').skip(1).any(|after| {
        let code = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        code.is_none_or(|octet| octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet))
    })
}

fn has_effects(segment: &str) -> bool {
    let letters: String = segment
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let mut words = segment.split(|c: char| !c.is_ascii_alphanumeric());
    EFFECTS.iter().any(|effect| letters.contains(effect)) || words.any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_might_do_something_is_not_asked_for() {
        let mut seen = 0;
        for (path, is_asked) in [
            ("/", true),
            ("/wiki/Start", true),
            ("/wiki/Node.js/", true),
            ("/a/b/c.html", true),
            ("/report.php", true),
            ("/deleted/old/page", false),
            ("/delete/page/5/now", false),
            ("/users/5/grant", false),
            ("/%68r/x", false),
            ("/wiki/%C3%BC", true),
            ("/a%", false),
            ("/stopwatch", true),
            ("/running", true),
            ("/logout", false),
            ("/auth/LogOut/", false),
            ("/log-out", false),
            ("/sign_out", false),
            ("/j_spring_security_logout", false),
            ("/page/5/delete", false),
            ("/delete/5", false),
            ("/%64elete/5", false),
            ("/item/5/remove.do", false),
            ("/unsubscribe/abc", false),
            ("/jobs/5/stop", false),
            ("/a.pdf", false),
            ("/a/b.ZIP", false),
            ("/a?b", false),
            ("/.appproxy/logout", false),
            ("/.appproxy", false),
            ("/a%2fb", false),
            ("/a/../b", false),
            ("/a%00b", false),
        ] {
            assert_eq!(may(path), is_asked, "{path}");
            seen += 1;
        }
        assert_eq!(seen, 32);
        assert!(!may(&format!("/{}", "a".repeat(LONGEST))));
    }
}
