//! Somebody who is signed in, for commands about sessions: the demo's identity provider knows people, and
//! curl is their browser.

use std::fs;

use crate::stand::{Stand, configuration};

/// A browser that opens a page.
const OPEN: &str = "curl --silent --show-error --header 'Sec-Fetch-Mode: navigate' --header 'Sec-Fetch-Dest: document'";

/// Where the page leads that has one way on.
fn link(page: &str) -> String {
    let main = page.split_once("<main").map(|(_, main)| main);
    let link = main.and_then(|main| main.split_once(" href=\""));
    let (_, link) = link.unwrap_or_else(|| panic!("no way on: {page}"));
    link.split('"').next().unwrap().replace("&amp;", "&")
}

impl Stand {
    /// Where an answer leads.
    fn led(&mut self, open: &str, url: &str) -> String {
        let to = self.desk(&format!(
            "{open} --output /dev/null --write-out '%{{redirect_url}}' '{url}'"
        ));
        assert!(to.starts_with("http"), "{url} leads nowhere: {to:?}");
        to
    }

    /// The issuer of a demo that runs from now on.
    pub(crate) fn provider_of_the_demo(&mut self) -> String {
        let staff = self.demo_with_people();
        let open = format!("{OPEN} --insecure");
        let page = self.desk(&format!("{open} '{staff}'"));
        let ask = self.led(&open, &link(&page));
        let (issuer, _) = ask.split_once("/authorize?").unwrap();
        issuer.to_owned()
    }

    /// A gateway with the configuration of docs/sign-in.md, but for the provider.
    pub(crate) fn need_people(&mut self) {
        if self.provider.is_none() {
            let issuer = self.provider_of_the_demo();
            let real = configuration("docs/sign-in.md", "gateway");
            let lines = real
                .lines()
                .filter(|line| !line.contains("client_secrets:"));
            let lines = lines.map(|line| match line.trim_start().starts_with("issuer:") {
                true => format!("    issuer: {issuer}\n"),
                false => format!("{line}\n"),
            });
            let text: String = lines.collect();
            assert_eq!(text.lines().count() + 1, real.lines().count(), "{text}");
            fs::write(self.shared("drafts/gateway.yaml"), text).unwrap();
            self.desk("cp /harness/drafts/gateway.yaml /harness/certificates/* /etc/appproxy/");
            self.provider = Some(issuer);
            self.restart_gateway();
        }
        self.need_gateway();
    }

    /// Signs Alice in there.
    pub(crate) fn need_session(&mut self) {
        self.need_people();
        let (open, back) = self.alice("/harness/ca.pem");
        let status = "--output /dev/null --write-out '%{http_code}'";
        let code = self.desk(&format!("{open} {status} '{back}'"));
        assert_eq!(code, "200", "{back}");
    }

    /// Alice opens the application, signs in, and sees it.
    pub(crate) fn see_the_wiki(&mut self, authority: &str) {
        let (open, back) = self.alice(authority);
        // Its page leads to what was opened, once there is a session.
        self.desk(&format!("{open} --output /dev/null '{back}'"));
        let page = self.desk(&format!("{open} https://wiki.example.com/"));
        assert_eq!(page, "This is the wiki.");
        self.count.pages += 1;
    }

    /// How Alice opens pages once she has signed in, and where that has led her.
    fn alice(&mut self, authority: &str) -> (String, String) {
        self.desk("rm -f /tmp/cookies");
        let open =
            format!("{OPEN} --cacert {authority} --cookie /tmp/cookies --cookie-jar /tmp/cookies");
        let page = self.desk(&format!("{open} https://wiki.example.com/"));
        let ask = self.led(&open, &link(&page));
        let callback = self.led(&open, &format!("{ask}&login_hint=alice"));
        let back = self.led(&open, &callback);
        (open, back)
    }
}
