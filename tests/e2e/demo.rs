//! `appproxy demo`, as somebody sees it who has read two lines of the README.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Demo, names, run, temporary, until, words};

/// The text with REF in place of references, which are 16 hexadecimal digits.
fn without_reference(text: &str) -> String {
    let Some(at) = text.find("reference ") else {
        return text.to_owned();
    };
    let (before, rest) = text.split_at(at + "reference ".len());
    let (reference, after) = rest.split_at(16);
    assert!(
        reference.bytes().all(|octet| octet.is_ascii_hexdigit()),
        "{reference}"
    );
    format!("{before}REF{after}")
}

fn refuses(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn the_screen_says_what_to_open_and_each_key_what_it_did() {
    let folder = temporary();
    let mut demo = Demo::start(folder.path(), &[]).await;
    assert!(demo.ready < Duration::from_secs(3), "{:?}", demo.ready);
    let internal = demo.word("http://").trim_end_matches(',').to_owned();
    let application: u16 = {
        let port = internal.trim_end_matches('/').rsplit(':').next();
        port.unwrap().parse().unwrap()
    };
    let own = names(folder.path());
    assert_eq!(own.len(), 1, "{own:?}");
    let url = demo.url().to_owned();
    assert_eq!(url, format!("https://demo.localhost:{}/", demo.port()));
    assert_eq!(
        demo.introduction,
        format!(
            "\
appproxy demo: a gateway, a connector that enrolled and dialled out to it, and a
private application, {internal} (it listens on 127.0.0.1:{application}).

  Open   {url}
         (its certificate is a throw-away: let the browser go on, this once)
  Or     curl --cacert {folder}/{own}/ca.pem {url}request
  Try    the links there: form, upload, cookie, redirect, WebSocket, events
  Or     https://staff.localhost:{port}/ asks who you are: Alice may, Bob may not

  Keys   k  kill the connector, or start it again
         a  stop the application, or start it again
         s  slow the application down, or heal it
         o  sign out who signed in last: WebSockets there end too
         q  quit; so does Ctrl-C
",
            port = demo.port(),
            folder = folder.path().display(),
            own = own[0],
        )
    );
    assert!(demo.introduction.lines().count() <= 15);
    let page = demo.curl_as_printed().await.success();
    assert!(page.contains("<pre>GET /request HTTP/1.1</pre>"), "{page}");

    let killed = "
[k] The connector is killed.
    The visitor sees: 503 Service Unavailable, reference REF
      This application cannot be reached at the moment.
    Code:   no_connector
    Remedy: start the connector; its log says why it has no tunnel. Here: k\n"
        .to_owned();
    let healed = "    The visitor sees: 200 OK\n";
    let no_key = "\nThe keys are k, a, s, o and q.\n".to_owned();
    let cases: [(&[u8], String); 11] = [
        (b"k", killed.clone()),
        (
            b"k",
            format!("\n[k] The connector runs, its tunnels are open.\n{healed}"),
        ),
        (
            b"a",
            "
[a] The application is stopped.
    The visitor sees: 502 Bad Gateway, reference REF
      This application is not running.
    Code:   backend_refused
    Remedy: start the application, or correct internal_url. Here: a\n"
                .to_owned(),
        ),
        (b"a", format!("\n[a] The application runs.\n{healed}")),
        (
            b"s",
            "
[s] The application takes 5 s for every answer; the gateway waits 3 s.
    The visitor sees: 504 Gateway Timeout, reference REF
      This application took too long to answer.
    Code:   backend_first_byte_timeout
    Remedy: make the application faster, or raise timeouts.first_byte. Here: s\n"
                .to_owned(),
        ),
        (
            b"s",
            format!("\n[s] The application is as fast as before.\n{healed}"),
        ),
        (b"o", format!("\n[o] Nobody is signed in.\n{healed}")),
        (b"x", no_key.clone()),
        (b"\n1", no_key),
        // Capitals are keys too.
        (b"K", killed.clone()),
        (b"q", "\nStopped; nothing is left behind.\n".to_owned()),
    ];
    let mut seen = 0;
    for (key, expected) in &cases {
        demo.press(key);
        let end = expected.lines().last().unwrap().to_owned() + "\n";
        let shown = without_reference(&demo.shows(&end).await);
        assert_eq!(&shown, expected);
        seen += 1;
    }
    assert_eq!(seen, 11);
    assert_eq!(demo.process.ended().await.code(), Some(0));
    assert_eq!(names(folder.path()), Vec::<String>::new());
    // Somebody else may have got such a port for a moment.
    until("both ports are closed", || {
        refuses(demo.port()) && refuses(application)
    })
    .await;
    assert_eq!(demo.process.log(), Vec::<String>::new());
}

#[tokio::test]
async fn whatever_ends_it_nothing_is_left() {
    enum End {
        Signal(Signal),
        Keys(&'static [u8]),
    }
    let unread = [b'x'; 4000];
    // Before the end, keys: a slow answer that is waited for, and more words than a pipe holds.
    let cases: [(&str, &[u8], End); 9] = [
        ("SIGTERM", b"", End::Signal(Signal::TERM)),
        ("SIGINT", b"", End::Signal(Signal::INT)),
        ("SIGHUP", b"", End::Signal(Signal::HUP)),
        ("SIGQUIT", b"", End::Signal(Signal::QUIT)),
        ("q", b"", End::Keys(b"q")),
        ("Ctrl-D", b"", End::Keys(b"\x04")),
        ("connector gone", b"k", End::Signal(Signal::TERM)),
        ("application slow", b"s", End::Signal(Signal::TERM)),
        ("words unread", &unread, End::Signal(Signal::TERM)),
    ];
    let mut seen = 0;
    for (name, before, end) in cases {
        let folder = temporary();
        let mut demo = Demo::start(folder.path(), &[]).await;
        demo.press(before);
        if before.len() == 1 {
            demo.shows("]").await;
        }
        match end {
            End::Signal(signal) => demo.process.signal(signal),
            End::Keys(keys) => demo.press(keys),
        }
        assert_eq!(demo.process.ended().await.code(), Some(0), "{name}");
        assert_eq!(names(folder.path()), Vec::<String>::new(), "{name}");
        // Somebody else may have got such a port for a moment.
        until(name, || refuses(demo.port())).await;
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[tokio::test]
async fn what_a_killed_demo_leaves_goes_with_the_next_one_and_nothing_else_does() {
    let folder = temporary();
    let killed = Demo::start(folder.path(), &[]).await;
    killed.process.kill();
    killed.process.ended().await;
    let left = names(folder.path());
    assert_eq!(left.len(), 1, "{left:?}");
    fs::create_dir(folder.path().join("other")).unwrap();
    std::os::unix::fs::symlink("other", folder.path().join("appproxy-demo-link")).unwrap();

    let first = Demo::start(folder.path(), &[]).await;
    let second = Demo::start(folder.path(), &[]).await;
    let now = names(folder.path());
    assert_eq!(now.len(), 4, "two demos, a folder and a link: {now:?}");
    assert!(!now.contains(&left[0]), "{now:?}");
    assert_ne!(first.port(), second.port());
    for demo in [&first, &second] {
        let page = demo.curl_as_printed().await.success();
        assert!(page.contains("GET /request"), "{page}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let folder = temporary();
    let demo = Demo::start(folder.path(), &[]).await;
    let port = demo.port().to_string();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let taken = format!(
        "appproxy: cannot listen on 127.0.0.1:{port}: Address already in use (os error 98); \
         another program listens there, or this one already runs (see: ss -ltnp 'sport = :{port}')\n"
    );
    let at_home = folder.path().display().to_string();
    let cases = [
        (&at_home, vec!["demo", "--port", &port], 1, taken),
        (
            &file,
            vec!["demo"],
            1,
            format!(
                "appproxy: cannot make a folder in {file}: Not a directory (os error 20); \
                 TMPDIR can name another place\n"
            ),
        ),
        (
            &at_home,
            vec!["demo", "--port", "65536"],
            64,
            "error: invalid value '65536' for '--port <PORT>': 65536 is not in 0..=65535\n\n\
             For more information, try '--help'.\n"
                .to_owned(),
        ),
    ];
    let mut seen = 0;
    for (temporary, arguments, code, said) in &cases {
        let environment = [("TMPDIR", temporary.as_str())];
        let output = run(words::PROGRAM, arguments, &environment, "").await;
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}");
        assert_eq!(&output.stderr, said);
        assert_eq!(output.stdout, "");
        seen += 1;
    }
    assert_eq!(seen, 3);
    assert_eq!(names(folder.path()).len(), 2, "one demo and the file");
}

#[tokio::test]
async fn the_line_for_curl_works_from_a_folder_with_an_odd_name() {
    let folder = temporary();
    let odd = folder.path().join("it's \"odd\" here");
    fs::create_dir(&odd).unwrap();
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o700)).unwrap();
    let demo = Demo::start(&odd, &["--port", "0"]).await;
    let page = demo.curl_as_printed().await.success();
    assert!(page.contains("GET /request"), "{page}");
}

#[tokio::test]
async fn on_a_terminal_a_key_counts_without_enter_and_the_terminal_is_as_it_was() {
    let folder = temporary();
    let script = format!(
        "trap : INT; stty -g; {} demo; echo ended $?; stty -g",
        words::PROGRAM
    );
    let mut demo = Demo::on_a_terminal(folder.path(), &script).await;
    let before = demo.introduction.lines().next().unwrap().to_owned();
    demo.press(b"k");
    let shown = demo.shows("Here: k\n").await;
    assert!(
        shown.starts_with("\n[k] The connector is killed.\n"),
        "{shown}"
    );
    // Ctrl-C.
    demo.press(b"\x03");
    demo.shows("\nStopped; nothing is left behind.\nended 0\n")
        .await;
    let after = demo.shows("\n").await;
    assert_eq!(after.trim_end(), before);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
