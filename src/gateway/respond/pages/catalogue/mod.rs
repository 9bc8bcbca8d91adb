//! Every sentence of our pages, in each language, from files that are part of the program.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::language::Language;
use super::markup::Markup;

macro_rules! catalogue {
    ($($word:ident = $key:literal;)*) => {
        /// A sentence, whatever the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::gateway::respond) enum Word { $($word,)* }

        impl Word {
            /// All of them, in the order of the files.
            const ALL: &'static [Self] = &[$(Self::$word,)*];

            /// How it is called in the files.
            const fn key(self) -> &'static str {
                match self { $(Self::$word => $key,)* }
            }
        }
    };
}

catalogue! {
    KeepTitle = "keep.title";
    KeepLink = "keep.link";
    ReturnTitle = "return.title";
    ReturnLink = "return.link";
    FrameTitle = "frame.title";
    FrameText = "frame.text";
    FrameLink = "frame.link";
    ChooserTitle = "chooser.title";
    EnterTitle = "enter.title";
    EnterText = "enter.text";
    EnterButton = "enter.button";
    ConfirmTitle = "confirm.title";
    ConfirmText = "confirm.text";
    ConfirmYes = "confirm.yes";
    ConfirmNo = "confirm.no";
    LauncherTitle = "launcher.title";
    LauncherPerson = "launcher.person";
    LauncherSearch = "launcher.search";
    LauncherFound = "launcher.found";
    LauncherEmpty = "launcher.empty";
    LauncherEmptyRemedy = "launcher.empty_remedy";
    SignOutTitle = "sign_out.title";
    SignOutText = "sign_out.text";
    SignOutButton = "sign_out.button";
    SignedOutTitle = "signed_out.title";
    SignedOutEnded = "signed_out.ended";
    SignedOutKept = "signed_out.kept";
    SignedOutLink = "signed_out.link";
    StoppedNoCookieTitle = "stopped.no_cookie.title";
    StoppedNoCookieText = "stopped.no_cookie.text";
    StoppedNoCookieRemedy = "stopped.no_cookie.remedy";
    StoppedLoopTitle = "stopped.loop.title";
    StoppedLoopText = "stopped.loop.text";
    StoppedLoopRemedy = "stopped.loop.remedy";
    StoppedExpiredTitle = "stopped.expired.title";
    StoppedExpiredText = "stopped.expired.text";
    StoppedExpiredRemedy = "stopped.expired.remedy";
    StoppedOtherPersonTitle = "stopped.other_person.title";
    StoppedOtherPersonText = "stopped.other_person.text";
    StoppedOtherPersonRemedy = "stopped.other_person.remedy";
    StoppedProviderTitle = "stopped.provider.title";
    StoppedProviderText = "stopped.provider.text";
    StoppedProviderRemedy = "stopped.provider.remedy";
    StoppedCancelledTitle = "stopped.cancelled.title";
    StoppedCancelledText = "stopped.cancelled.text";
    StoppedCancelledRemedy = "stopped.cancelled.remedy";
    StoppedRefusedTitle = "stopped.refused.title";
    StoppedRefusedText = "stopped.refused.text";
    StoppedRefusedRemedy = "stopped.refused.remedy";
    StoppedAgain = "stopped.again";
    StoppedOther = "stopped.other";
    ExpiredTitle = "expired.title";
    ExpiredText = "expired.text";
    ExpiredStepSignIn = "expired.step_sign_in";
    ExpiredSignIn = "expired.sign_in";
    ExpiredStepSend = "expired.step_send";
    ExpiredSend = "expired.send";
    ExpiredInexact = "expired.inexact";
    ExpiredCaption = "expired.caption";
    ExpiredField = "expired.field";
    ExpiredValue = "expired.value";
    ExpiredMasked = "expired.masked";
    FooterHelp = "footer.help";
    DetailsWhere = "details.where";
    DetailsError = "details.error";
    DetailsReference = "details.reference";
    SideClient = "side.client";
    SideGateway = "side.gateway";
    SideProvider = "side.provider";
    SideConnector = "side.connector";
    SideApplication = "side.application";
    ErrorBadRequest = "error.bad_request";
    ErrorNoRoute = "error.no_route";
    ErrorMisdirected = "error.misdirected";
    ErrorDenied = "error.denied";
    ErrorCrossOrigin = "error.cross_origin";
    ErrorSignInRequired = "error.sign_in_required";
    ErrorTokenRequired = "error.token_required";
    ErrorCertificateRequired = "error.certificate_required";
    ErrorTooLarge = "error.too_large";
    ErrorBodyTooLarge = "error.body_too_large";
    ErrorRequestTimeout = "error.request_timeout";
    ErrorThrottled = "error.throttled";
    ErrorSignInFailed = "error.sign_in_failed";
    ErrorProviderUnavailable = "error.provider_unavailable";
    ErrorMaintenance = "error.maintenance";
    ErrorNoConnector = "error.no_connector";
    ErrorTunnelBusy = "error.tunnel_busy";
    ErrorStoreUnavailable = "error.store_unavailable";
    ErrorTunnelLost = "error.tunnel_lost";
    ErrorTargetRefused = "error.target_refused";
    ErrorBackendDns = "error.backend_dns";
    ErrorBackendRefused = "error.backend_refused";
    ErrorBackendTlsName = "error.backend_tls_name";
    ErrorBackendTlsTrust = "error.backend_tls_trust";
    ErrorBackendBadResponse = "error.backend_bad_response";
    ErrorBackendConnectTimeout = "error.backend_connect_timeout";
    ErrorBackendFirstByteTimeout = "error.backend_first_byte_timeout";
    ErrorBackendIdleTimeout = "error.backend_idle_timeout";
    ErrorInternal = "error.internal";
    RemedyGoBack = "remedy.go_back";
    RemedyCheckAddress = "remedy.check_address";
    RemedyNewTab = "remedy.new_tab";
    RemedyAskAccess = "remedy.ask_access";
    RemedyStartThere = "remedy.start_there";
    RemedyOwnWindow = "remedy.own_window";
    RemedyToken = "remedy.token";
    RemedyCertificate = "remedy.certificate";
    RemedyDeleteCookies = "remedy.delete_cookies";
    RemedySendLess = "remedy.send_less";
    RemedyCheckConnection = "remedy.check_connection";
    RemedyWaitMoment = "remedy.wait_moment";
    RemedyOnceMore = "remedy.once_more";
    RemedyLater = "remedy.later";
    RemedyMinutesSite = "remedy.minutes_site";
    RemedyCheckForm = "remedy.check_form";
    RemedyMinutesApplication = "remedy.minutes_application";
    RemedyNoUse = "remedy.no_use";
}

/// The files, in the order of [`Language::ALL`].
const FILES: [&str; Language::ALL.len()] = [
    include_str!("en.json"),
    include_str!("de.json"),
    include_str!("fr.json"),
    include_str!("es.json"),
    include_str!("ja.json"),
];

type Sentences = Vec<String>;

/// The sentences of each file, in the order of [`Word::ALL`]. Tests hold every file to have every
/// word; where one had not, its key would be shown.
static CATALOGUES: LazyLock<Vec<Sentences>> = LazyLock::new(|| {
    let read =
        |file: &str| -> BTreeMap<String, String> { serde_json::from_str(file).unwrap_or_default() };
    let sentences = |mut of: BTreeMap<String, String>| {
        let sentence = |word: &Word| {
            let key = word.key();
            of.remove(key).unwrap_or_else(|| key.to_owned())
        };
        Word::ALL.iter().map(sentence).collect()
    };
    FILES.map(read).into_iter().map(sentences).collect()
});

impl Language {
    /// A sentence in this language, as plain text; placeholders such as `{host}` stand as they are.
    pub(in crate::gateway::respond) fn say(self, word: Word) -> &'static str {
        let sentences = CATALOGUES.get(self as usize);
        sentences
            .and_then(|sentences| sentences.get(word as usize))
            .map_or_else(|| word.key(), String::as_str)
    }

    /// A sentence without a placeholder, for an element or a quoted attribute.
    pub(super) fn words(self, word: Word) -> Markup {
        Markup::words(self.say(word))
    }

    /// A sentence whose placeholder `{name}` gives way to `value`.
    pub(super) fn words_with(self, word: Word, name: &str, value: &Markup) -> Markup {
        let sentence = Markup::words(self.say(word));
        sentence.replacing(&format!("{{{name}}}"), value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(language: Language) -> BTreeMap<String, String> {
        serde_json::from_str(FILES[language as usize]).unwrap()
    }

    /// What stands between braces.
    fn placeholders(sentence: &str) -> BTreeSet<&str> {
        let parts = sentence.split('{').skip(1);
        parts.map(|part| part.split_once('}').unwrap().0).collect()
    }

    /// Words that are the same in English.
    const SAME: [(Language, &str); 2] = [
        (Language::French, "launcher.title"),
        (Language::Spanish, "details.error"),
    ];

    #[test]
    fn every_language_says_everything_with_the_same_placeholders() {
        let english = of(Language::English);
        let keys: BTreeSet<_> = Word::ALL.iter().map(|word| word.key().to_owned()).collect();
        assert_eq!(keys.len(), Word::ALL.len(), "a key twice");
        let mut same = Vec::new();
        for language in Language::ALL {
            let sentences = of(language);
            let tag = language.tag();
            assert_eq!(
                sentences.keys().cloned().collect::<BTreeSet<_>>(),
                keys,
                "{tag}"
            );
            for (key, sentence) in &sentences {
                assert!(!sentence.trim().is_empty(), "{tag}: {key}");
                assert_eq!(sentence.trim(), sentence, "{tag}: {key}");
                let odd = ['<', '>', '&', '"', '\'', '\u{2014}'];
                assert!(!sentence.contains(odd), "{tag}: {key}: {sentence}");
                assert!(!sentence.contains(char::is_control), "{tag}: {key}");
                let expected = placeholders(&english[key]);
                assert_eq!(placeholders(sentence), expected, "{tag}: {key}");
                if language != Language::English && *sentence == english[key] {
                    same.push((language, key.clone()));
                }
            }
        }
        let expected = SAME.map(|(language, key)| (language, key.to_owned()));
        assert_eq!(same, expected);
    }

    /// A file with a key twice would be read all the same.
    #[test]
    fn every_key_stands_once_and_in_order() {
        for (file, language) in FILES.iter().zip(Language::ALL) {
            let keys: Vec<_> = file
                .lines()
                .filter_map(|line| line.trim_start().split('"').nth(1))
                .collect();
            let expected: Vec<_> = Word::ALL.iter().map(|word| word.key()).collect();
            assert_eq!(keys, expected, "{}", language.tag());
        }
    }

    #[test]
    fn words_are_found_and_placeholders_filled() {
        assert_eq!(Language::English.say(Word::SideGateway), "This site");
        assert_eq!(Language::Japanese.say(Word::FooterHelp), "ヘルプ");
        for word in Word::ALL {
            for language in Language::ALL {
                assert_ne!(language.say(*word), word.key());
            }
        }
        let said = Language::German.words_with(
            Word::LauncherPerson,
            "person",
            &Markup::foreign("<{person}>"),
        );
        assert_eq!(
            said.to_string(),
            "Angemeldet als <bdi>&lt;{person}&gt;</bdi>"
        );
    }
}
