//! Types the commands of a document on a machine of its own, as somebody would who reads it: what a
//! command takes for granted is there before it, and what stands for something is something.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::documents::{self, blocks};
use crate::known::{AS_ROOT, ELSEWHERE, LEFT_OUT, SHORT, STAND_INS, TARGETS, expands};
use crate::machine::{Machine, Said, Terminal};

/// In the place of a document's line: what a command takes for granted.
const BEFORE: &str = "before it";

/// Words that stand for something.
const PLACES: [&str; 6] = ["F", "FILE", "ID", "LEVEL", "SUBJECT", "URL"];

/// How many commands ran as they stand, ran with a stand-in, or were left to others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ran: usize,
    pub(crate) stood_in: usize,
    pub(crate) elsewhere: usize,
    /// How often the application was opened through what the document had started.
    pub(crate) pages: usize,
}

/// What a machine has before the first command.
pub(crate) enum Before {
    /// Nothing: the document says it all, with the configurations that this one shows.
    Nothing { shown_in: &'static str },
    /// The program, and these two configurations.
    Program { gateway: String, connector: String },
    /// The package, and this for the editor.
    Package { connector: String },
    /// The package, with these; and services that run.
    Services { gateway: String, connector: String },
}

/// A program that goes on.
struct Running {
    terminal: usize,
    command: String,
    in_background: bool,
}

/// A machine with what runs there.
pub(crate) struct Stand {
    document: &'static str,
    /// Before its machine: a terminal ends first.
    terminals: Vec<Terminal>,
    machine: Machine,
    /// The terminal that the last block's commands are typed on, and which block that is.
    at: (usize, usize),
    gateway: Option<Running>,
    connector: Option<Running>,
    is_registered: bool,
    /// The document starts what it needs by itself.
    looks_after_itself: bool,
    pub(crate) provider: Option<String>,
    pub(crate) count: Count,
}

/// The first configuration of a document of this kind.
pub(crate) fn configuration(document: &str, kind: &str) -> String {
    let text = fs::read_to_string(document).expect(document);
    let mut all = blocks(&text, "yaml").into_iter();
    let kind = format!("kind: {kind}");
    all.find(|block| block.lines().any(|line| line == kind))
        .unwrap_or_else(|| panic!("{document} has no {kind}"))
        + "\n"
}

impl Stand {
    /// Runs every command of a document.
    pub(crate) fn run(document: &'static str, before: Before) -> Count {
        let text = fs::read_to_string(document).expect(document);
        let mut stand = Self::new(document, before);
        for command in documents::commands(&text) {
            stand.execute(&command);
        }
        // Services go on; what a terminal holds was looked at when it began.
        if stand.gateway.is_none() && stand.looks_after_itself {
            stand.open_page();
        }
        stand.count
    }

    /// What all of it is for: somebody opens the application.
    fn open_page(&mut self) {
        let curl = "curl --silent --show-error --fail --cacert /harness/ca.pem";
        let page = self.desk(&format!("{curl} https://wiki.example.com/"));
        assert_eq!(page, "This is the wiki.", "{}", self.document);
        self.count.pages += 1;
    }

    pub(crate) fn new(document: &'static str, before: Before) -> Self {
        let mut machine = Machine::start();
        let names = ["wiki", "login", "gw1"].map(|name| format!("{name}.example.com"));
        let leaf = rcgen::generate_simple_self_signed(names).unwrap();
        let (chain, key) = (leaf.cert.pem(), leaf.signing_key.serialize_pem());
        fs::write(machine.shared("ca.pem"), &chain).unwrap();
        for folder in ["drafts", "certificates"] {
            fs::create_dir(machine.shared(folder)).unwrap();
        }
        for name in ["wiki", "example", "example.com"] {
            let file = |end: &str| machine.shared(&format!("certificates/{name}.{end}"));
            fs::write(file("pem"), &chain).unwrap();
            fs::write(file("key"), &key).unwrap();
        }
        let draft = |machine: &Machine, gateway: &str, connector: &str| {
            fs::write(machine.shared("drafts/gateway.yaml"), gateway).unwrap();
            fs::write(machine.shared("drafts/connector.yaml"), connector).unwrap();
        };
        let desk = machine.terminal();
        let mut stand = Self {
            document,
            terminals: vec![desk],
            machine,
            at: (0, 0),
            gateway: None,
            connector: None,
            is_registered: false,
            looks_after_itself: false,
            provider: None,
            count: Count::default(),
        };
        match before {
            Before::Nothing { shown_in } => {
                let [gateway, connector] =
                    ["gateway", "connector"].map(|kind| configuration(shown_in, kind));
                draft(&stand.machine, &gateway, &connector);
                stand.looks_after_itself = true;
                if shown_in != document {
                    // Files that it has by their names alone.
                    stand.desk("mv /harness/certificates/wiki.* . && rm -r /harness/certificates");
                    stand.desk("mkdir gateway connector && cp /harness/drafts/* gateway/");
                }
            }
            Before::Program { gateway, connector } => {
                draft(&stand.machine, &gateway, &connector);
                stand.desk("ln -s /host/appproxy /usr/bin/appproxy");
                stand.desk(
                    "mkdir -p /etc/appproxy /var/lib/appproxy /var/log/appproxy /run/appproxy",
                );
                stand.desk("cp /harness/drafts/* /harness/certificates/* /etc/appproxy/");
            }
            Before::Package { connector } => {
                draft(&stand.machine, "", &connector);
                stand.looks_after_itself = true;
                stand.desk("rm -r /harness/certificates");
                stand.package();
            }
            Before::Services { gateway, connector } => {
                draft(&stand.machine, &gateway, &connector);
                stand.looks_after_itself = true;
                stand.package();
                // The document says which connectors run.
                stand.desk("systemctl stop appproxy-connector.path");
                stand.desk("cp /harness/drafts/* /etc/appproxy/");
                stand.desk("install -m 640 -g appproxy /harness/certificates/* /etc/appproxy/");
                stand.desk("systemctl start appproxy-gateway");
                stand
                    .desk("sudo -u appproxy appproxy gateway token create --group default > token");
                stand.desk("sudo -u appproxy appproxy connector register < token");
            }
        }
        stand
    }

    pub(crate) fn shared(&self, name: &str) -> PathBuf {
        self.machine.shared(name)
    }

    /// Runs a command that is no document's, and returns what it printed.
    pub(crate) fn desk(&mut self, command: &str) -> String {
        self.terminals[0].run(command).success()
    }

    fn package(&mut self) {
        let version = env!("CARGO_PKG_VERSION");
        self.desk(&format!(
            "apt install ./target/x86_64-unknown-linux-gnu/debian/appproxy_{version}-1_amd64.deb"
        ));
    }

    /// The package where registering starts nothing, because terminals do.
    fn package_alone(&mut self) {
        self.package();
        self.desk("systemctl stop appproxy-connector.path");
    }

    /// Runs a command of the document as somebody types it who is asked for more; it has to go well.
    pub(crate) fn typed(&mut self, command: &documents::Command, typed: &str) -> Said {
        let said = self.terminals[0].run(typed);
        assert!(said.code == 0, "{}:{}: {said}", self.document, command.line);
        self.count.stood_in += 1;
        let text = command.text.as_str();
        let bare = AS_ROOT.iter().find_map(|words| text.strip_prefix(words));
        self.remember(bare.unwrap_or(text));
        said
    }

    pub(crate) fn counted(self) -> Count {
        self.count
    }

    pub(crate) fn execute(&mut self, command: &documents::Command) {
        let place = format!("{}:{}", self.document, command.line);
        let text = command.text.split(" #").next().unwrap().trim();
        let bare = AS_ROOT
            .iter()
            .find_map(|words| text.strip_prefix(words))
            .unwrap_or(text);
        let is_elsewhere = ELSEWHERE.iter().any(|(known, _)| bare.starts_with(known));
        if is_elsewhere || LEFT_OUT.iter().any(|(known, _)| *known == text) {
            self.count.elsewhere += 1;
            return;
        }
        if let Some(target) = text.strip_prefix("make ") {
            assert!(
                TARGETS.iter().any(|(known, _)| *known == target),
                "{place}: where does `{text}` run?"
            );
            expands(&place, target);
            self.count.elsewhere += 1;
            return;
        }
        match STAND_INS.iter().any(|(known, _)| text.starts_with(known)) {
            true => self.count.stood_in += 1,
            false => self.count.ran += 1,
        }
        let mut typed = command.text.clone();
        if let Some((_, more)) = SHORT.iter().find(|(short, _)| *short == bare) {
            typed = format!("{typed} {more}");
        }
        let terminal = self.terminal_of(command);
        if let Some(what) = goes_on(bare) {
            self.begin(&place, what, terminal, &typed);
            return;
        }
        if bare == "appproxy demo" {
            self.demo(terminal, &typed);
            return;
        }
        if bare == "systemctl start appproxy-connector@b" {
            self.desk("systemctl start appproxy-connector@a");
        }
        let is_told = command.block.is_some() && self.looks_after_itself;
        let typed = match is_told {
            true => typed,
            false => self.prepared(bare, typed),
        };
        let left = typed.split_whitespace().find(|word| PLACES.contains(word));
        assert_eq!(left, None, "{place}: what is it in `{typed}`?");
        let said = self.terminals[terminal].run(&typed);
        assert!(said.code == 0, "{place}: {said}");
        self.remember(bare);
    }

    /// The terminal for a command: one for each block, since each is on a host of its own, and another
    /// one where something goes on there.
    fn terminal_of(&mut self, command: &documents::Command) -> usize {
        let block = command.block.unwrap_or_default();
        if block == 0 {
            if goes_on(&command.text).is_none() && command.text != "appproxy demo" {
                return 0;
            }
        } else if self.at.1 == block {
            return self.at.0;
        }
        self.terminals.push(self.machine.terminal());
        let terminal = self.terminals.len() - 1;
        if block != 0 {
            self.at = (terminal, block);
        }
        terminal
    }

    /// Starts a gateway or a connector in the place of the one that runs.
    fn begin(&mut self, place: &str, what: What, terminal: usize, typed: &str) {
        let typed = typed.replace(
            "--config F",
            &format!("--config /etc/appproxy/{}.yaml", what.word()),
        );
        let plain = typed.split(" #").next().unwrap().trim();
        match what {
            What::Gateway => self.stop_gateway(),
            What::Connector => {
                self.need_registered();
                self.stop_connector();
            }
        }
        let in_background = plain.ends_with('&');
        let at = &mut self.terminals[terminal];
        if in_background {
            let said = at.run(&typed);
            assert!(said.code == 0, "{place}: {said}");
        } else {
            at.type_in(&typed);
            // What follows in its block is typed elsewhere.
            self.at = (0, 0);
        }
        self.terminals[terminal].is_ready(&format!("{place}: {plain}"));
        let running = Running {
            terminal,
            command: format!("{place}: {plain}"),
            in_background,
        };
        match what {
            What::Gateway => self.gateway = Some(running),
            What::Connector => {
                self.connector = Some(running);
                if place != BEFORE && self.is_published() {
                    self.open_page();
                }
            }
        }
    }

    /// Whether the gateway's configuration lets everybody reach the wiki.
    fn is_published(&self) -> bool {
        let text = fs::read_to_string(self.shared("drafts/gateway.yaml")).unwrap();
        text.contains("pre_authentication: [passthrough]")
    }

    /// Ends a program as a service manager does, and says how it ended.
    fn end(&mut self, running: &Running) -> Said {
        let terminal = running.terminal;
        let Running {
            command,
            in_background,
            ..
        } = running;
        if *in_background {
            let id = self.terminals[terminal].run("echo $!").success();
            self.desk(&format!("kill {id} || true"));
            return self.terminals[terminal].run("wait $!");
        }
        let shell = &self.terminals[terminal].shell;
        let kill = format!("kill $(cat /proc/{shell}/task/{shell}/children) || true");
        self.desk(&kill);
        self.terminals[terminal].ended(command)
    }

    fn stop_connector(&mut self) {
        if let Some(running) = self.connector.take() {
            let said = self.end(&running);
            // One that was removed has ended in its own way.
            assert!(said.code == 0 || !self.is_registered, "{said}");
        }
    }

    fn stop_gateway(&mut self) {
        self.stop_connector();
        if let Some(running) = self.gateway.take() {
            self.end(&running).success();
        }
    }

    pub(crate) fn restart_gateway(&mut self) {
        self.stop_gateway();
        self.need_gateway();
    }

    pub(crate) fn need_gateway(&mut self) {
        if self.gateway.is_none() {
            self.terminals.push(self.machine.terminal());
            let terminal = self.terminals.len() - 1;
            self.begin(BEFORE, What::Gateway, terminal, "appproxy gateway");
        }
    }

    fn need_token(&mut self) {
        self.need_gateway();
        self.desk("(umask 077; appproxy gateway token create --group default > token)");
    }

    fn need_registered(&mut self) {
        if !self.is_registered {
            self.forget();
            self.need_token();
            self.desk("appproxy connector register --token-file token");
            self.is_registered = true;
        }
    }

    fn need_connector(&mut self) {
        self.need_gateway();
        self.need_registered();
        if self.connector.is_none() {
            self.terminals.push(self.machine.terminal());
            let terminal = self.terminals.len() - 1;
            self.begin(BEFORE, What::Connector, terminal, "appproxy connector");
        }
    }

    /// A connector's host as if nobody had registered.
    fn forget(&mut self) {
        self.is_registered = false;
        self.stop_connector();
        self.desk("rm -rf /var/lib/appproxy/connector");
    }

    /// The `id` of the first of a list, for programs, that `wanted` takes.
    fn id_of(&mut self, list: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let listed: Value = serde_json::from_str(&self.desk(list)).unwrap();
        let found = listed.as_array().unwrap().iter().find(|one| wanted(one));
        let found = found.unwrap_or_else(|| panic!("{list}: {listed:#}"));
        found["id"].as_str().unwrap().to_owned()
    }

    /// Sees to what a command takes for granted; returns it with what its words stand for.
    fn prepared(&mut self, bare: &str, typed: String) -> String {
        let words: Vec<&str> = bare.split_whitespace().skip(1).collect();
        let starts = |with: &str| bare.starts_with(&format!("appproxy {with}"));
        if bare == "systemctl reload appproxy-connector" {
            self.need_connector();
            self.stop_connector();
            self.package_alone();
            self.desk("systemctl start appproxy-connector");
        } else if bare.starts_with("systemctl kill ") {
            self.need_gateway();
            self.stop_gateway();
            self.package_alone();
            self.desk("systemctl start appproxy-gateway");
        } else if starts("gateway restore") {
            self.need_gateway();
            self.desk("[ -f /tmp/store.backup ] || appproxy gateway backup /tmp/store.backup");
            self.stop_gateway();
            self.desk("rm /var/lib/appproxy/gateway.db*");
            return typed.replace("FILE", "/tmp/store.backup");
        } else if starts("gateway backup") {
            self.need_gateway();
            return typed.replace("FILE", "/tmp/store.backup");
        } else if starts("gateway plan") {
            self.need_gateway();
            self.desk(
                "(cat /etc/appproxy/gateway.yaml; echo 'maintenance: true') > /tmp/next.yaml",
            );
            return typed.replace("FILE", "/tmp/next.yaml");
        } else if starts("gateway explain") {
            self.need_gateway();
            return typed.replace(" URL", " https://wiki.example.com/");
        } else if starts("gateway log-level") {
            self.need_gateway();
            return typed.replace("LEVEL", "debug");
        } else if starts("gateway token revoke") {
            self.need_token();
            let id = self.id_of("appproxy gateway token list --json", |one| {
                one["state"] == "valid"
            });
            return typed.replace("ID", &id);
        } else if starts("gateway connector remove") {
            self.need_connector();
            let status = self.desk("appproxy connector status --json");
            let status: Value = serde_json::from_str(&status).unwrap();
            let id = status["id"].as_str().unwrap().to_owned();
            return typed.replace("ID", &id);
        } else if starts("gateway session create") {
            // Nobody has to be signed in for that.
            self.need_people();
            return typed.replace("SUBJECT", "alice");
        } else if starts("gateway session") {
            self.need_session();
            let list = "appproxy gateway session list --json";
            let open = |one: &Value| one["parent"].is_null() && one["revoked"].is_null();
            let id = self.id_of(list, open);
            return typed.replace("ID", &id).replace("SUBJECT", "alice");
        } else if starts("connector register") || starts("register") {
            let replaces = words.contains(&"--replace");
            if replaces {
                self.need_registered();
                self.stop_connector();
            } else {
                self.forget();
            }
            // In a block a token has been made before.
            if !bare.contains("token") {
                self.need_token();
                return typed + " < token";
            }
        } else if ["gateway connector", "gateway ca", "connector"]
            .into_iter()
            .any(starts)
        {
            self.need_connector();
        } else if starts("gateway") {
            self.need_gateway();
        }
        typed
    }

    /// What is different after a command.
    fn remember(&mut self, bare: &str) {
        // What is typed next may be there before the gateway has heard of it.
        if bare.starts_with("appproxy gateway ca rotate")
            && let Some(Running { terminal, .. }) = self.gateway
        {
            self.terminals[terminal].tells(bare, "the authorities have changed");
        }
        let gone = [
            "appproxy gateway connector remove",
            "appproxy connector unregister",
            "appproxy gateway restore",
        ];
        if gone.iter().any(|gone| bare.starts_with(gone)) {
            self.is_registered = false;
        }
        if bare.starts_with("appproxy connector register") || bare.starts_with("appproxy register")
        {
            self.is_registered = true;
        }
        if bare == "systemctl reload appproxy-connector" {
            self.desk("systemctl stop appproxy-connector");
        }
        if bare.starts_with("systemctl kill ") {
            self.desk("systemctl stop appproxy-gateway");
        }
    }

    fn demo(&mut self, terminal: usize, typed: &str) {
        self.terminals[terminal].type_in(typed);
        self.terminals[terminal].shows(typed, "quit; so does Ctrl-C");
        let running = Running {
            terminal,
            command: typed.to_owned(),
            in_background: false,
        };
        self.end(&running).success();
    }

    /// Starts the demo and returns what it says where somebody is asked who they are.
    pub(crate) fn demo_with_people(&mut self) -> String {
        let mut terminal = self.machine.terminal();
        let typed = "appproxy demo --port 0";
        terminal.type_in(typed);
        let line = terminal.shows(typed, "https://staff.localhost:");
        self.terminals.push(terminal);
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("https://"));
        url.unwrap().to_owned()
    }
}

#[derive(Clone, Copy)]
enum What {
    Gateway,
    Connector,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Connector => "connector",
        }
    }
}

/// Whether a command is one that goes on until it is stopped.
fn goes_on(bare: &str) -> Option<What> {
    let words: Vec<&str> = bare.split_whitespace().collect();
    let words = words.strip_prefix(&["appproxy"])?;
    let what = match *words.first()? {
        "gateway" => What::Gateway,
        "connector" => What::Connector,
        _ => return None,
    };
    let verb = words.get(1);
    verb.is_none_or(|word| word.starts_with('-') || *word == "&")
        .then_some(what)
}
