//! What only a file can do; what every store must do is in `contract`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use sqlx::ConnectOptions;
use tempfile::TempDir;

use super::*;
use crate::owner::tests::{folder_of_an_account, owner};
use crate::store::contract::{NOW, contract, id, session_id, sign_in, spend, token};
use crate::store::seal::Purpose;
use crate::store::{SessionName, SessionStore as _};
use secrecy::ExposeSecret as _;

const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn keys(text: &str) -> StoreKeys {
    StoreKeys::parse(&text.into()).unwrap()
}

async fn open(folder: &TempDir) -> Result<Arc<dyn Store>, StoreError> {
    open_sqlite(&file(folder), keys(ONE)).await
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("gateway.db")
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Changes the file behind the store's back.
async fn execute(folder: &TempDir, sql: &'static str) {
    let connection = SqliteConnectOptions::new()
        .filename(file(folder))
        .create_if_missing(true);
    let mut connection = connection.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

fn authority() -> AuthorityRecord {
    AuthorityRecord {
        certificate_pem: "the certificate".into(),
        key_pem: "the very private key".into(),
        ends: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let folder = folder();
    let number = std::cell::Cell::new(0);
    contract(async || {
        number.set(number.get() + 1);
        let path = folder.path().join(format!("{}.db", number.get()));
        open_sqlite(&path, keys(ONE)).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_store_that_root_makes_is_for_the_account_whose_folder_it_is_in() {
    let (folder, account) = folder_of_an_account();
    let store = open(&folder).await.unwrap();
    store.create_token(token(1, 2)).await.unwrap();
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut all: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    // The log and its index are SQLite's own, which looks at the store's owner.
    let ends: Vec<_> = all.iter().map(|path| path.extension().unwrap()).collect();
    assert_eq!(ends, ["db", "db-shm", "db-wal"]);
    for path in all {
        assert_eq!(owner(&path), account, "{}", path.display());
    }
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart_and_for_its_owner_only() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    store.create_authority(authority()).await.unwrap();
    store.create_token(token(1, 2)).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
    store.remove_connector(&id(7), NOW).await.unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
    }
    drop(store);

    let store = open(&folder).await.unwrap();
    let stored = store.authorities().await.unwrap().remove(0);
    assert_eq!(stored.key_pem.expose_secret(), "the very private key");
    assert_eq!(store.last_change().await.unwrap(), 1);
    let repeat = store.spend_token(spend(1, 7)).await.unwrap();
    assert_eq!(repeat, Err(SpendRefusal::Removed));
    assert!(!format!("{store:?}").contains(ONE));
}

#[tokio::test]
async fn a_dump_does_not_hold_the_authoritys_key() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    store.create_authority(authority()).await.unwrap();
    let mut dump = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        dump.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| dump.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("the certificate"), "the dump is a real one");
    assert!(!holds("private key"));
}

#[tokio::test]
async fn a_wrong_key_shows_at_once_and_an_old_one_may_go_after_one_start() {
    let folder = folder();
    let open = async |text: &str| open_sqlite(&file(&folder), keys(text)).await;
    let store = open(ONE).await.unwrap();
    store.create_authority(authority()).await.unwrap();
    assert!(matches!(open(TWO).await, Err(StoreError::WrongKey)));
    open(&format!("{TWO}\n{ONE}")).await.unwrap();
    assert!(matches!(open(ONE).await, Err(StoreError::WrongKey)));
    let store = open(TWO).await.unwrap();
    let stored = store.authorities().await.unwrap().remove(0);
    assert_eq!(stored.key_pem.expose_secret(), "the very private key");
}

#[tokio::test]
async fn a_store_of_the_first_version_keeps_its_authority() {
    let folder = folder();
    let keys = keys(ONE);
    execute(&folder, include_str!("../migrations/sqlite/0001_first.sql")).await;
    let connection = SqliteConnectOptions::new().filename(file(&folder));
    let mut connection = connection.connect().await.unwrap();
    let sealed = |purpose, plain: &[u8]| keys.seal(purpose, plain).unwrap();
    sqlx::query("INSERT INTO meta (name, value) VALUES ('check', ?)")
        .bind(sealed(Purpose::Check, b"appproxy"))
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO authority (one, certificate_pem, key_sealed) VALUES (1, 'the old', ?)",
    )
    .bind(sealed(Purpose::AuthorityKey, b"its key"))
    .execute(&mut connection)
    .await
    .unwrap();
    drop(connection);

    let store = open(&folder).await.unwrap();
    let stored = store.authorities().await.unwrap().remove(0);
    assert_eq!(stored.certificate_pem, "the old");
    assert_eq!(stored.key_pem.expose_secret(), "its key");
    assert_eq!(stored.ends, None);
    let rotated = store.rotate_authority(authority(), NOW, NOW).await;
    assert!(rotated.unwrap());
}

#[tokio::test]
async fn handles_on_one_file_see_each_others_changes() {
    let folder = folder();
    let (one, other) = (open(&folder).await.unwrap(), open(&folder).await.unwrap());
    one.create_token(token(1, 5)).await.unwrap();
    for key in 1..=5 {
        one.spend_token(spend(1, key)).await.unwrap().unwrap();
    }
    let wait = async {
        let mut seen = 0;
        while seen < 5 {
            let changed = other.changed();
            let changes = other.changes(seen).await.unwrap();
            if let Some(last) = changes.last() {
                seen = last.number;
            } else {
                changed.await.unwrap();
            }
        }
    };
    let write = async {
        for key in 1..=5 {
            one.remove_connector(&id(key), NOW).await.unwrap();
        }
    };
    let both = async { tokio::join!(wait, write) };
    tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_newer_version_and_a_foreign_database_are_refused_and_left_alone() {
    let newer = folder();
    drop(open(&newer).await.unwrap());
    execute(&newer, "PRAGMA user_version = 99").await;
    let refused = open(&newer).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::TooNew {
                found: 99,
                known: 4
            })
        ),
        "{refused:?}"
    );

    let foreign = folder();
    execute(&foreign, "CREATE TABLE songs (title TEXT)").await;
    let before = fs::read(file(&foreign)).unwrap();
    let refused = open(&foreign).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert_eq!(fs::read(file(&foreign)).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_file_is_told_with_its_path() {
    let folder = folder();
    fs::write(file(&folder), "no database, but text ".repeat(400)).unwrap();
    let error = open(&folder).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(error.to_string().contains("gateway.db"), "{error}");

    let altered = self::folder();
    drop(open(&altered).await.unwrap());
    execute(&altered, "DELETE FROM meta").await;
    let error = open(&altered).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");

    let record = self::folder();
    let store = open(&record).await.unwrap();
    store.create_token(token(1, 1)).await.unwrap();
    execute(&record, "UPDATE tokens SET group_name = 'Not A Name'").await;
    let error = store.spend_token(spend(1, 7)).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert_eq!(store.connectors().await.unwrap(), [], "no half enrolment");
}

#[tokio::test]
async fn a_folder_that_is_missing_or_read_only_is_told_with_the_remedy() {
    let folder = folder();
    let missing = open_sqlite(&folder.path().join("no/a.db"), keys(ONE)).await;
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("install -d -m 700"), "{error}");
    // Nobody, root included, can make a file there.
    let read_only = open_sqlite(Path::new("/proc/a.db"), keys(ONE)).await;
    let error = read_only.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(
        error.to_string().contains("/proc/a.db: cannot create"),
        "{error}"
    );
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_never_half_an_enrolment() {
    let folder = folder();
    open(&folder).await.unwrap();
    // Raised to the pages there are: the file cannot grow.
    let full = |writer: SqliteConnectOptions| writer.pragma("max_page_count", "1");
    let store = SqliteStore::open(&file(&folder), keys(ONE), full)
        .await
        .unwrap();
    store.create_token(token(1, 10_000)).await.unwrap();
    let large = |key| SpendToken {
        name: "x".repeat(1000),
        ..spend(1, key)
    };
    let mut bought = 0;
    let first = loop {
        match store.spend_token(large(bought)).await {
            Ok(outcome) => outcome.unwrap(),
            Err(error) => break error,
        };
        bought += 1;
    };
    let second = store.spend_token(large(bought)).await.unwrap_err();
    for error in [first, second] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
    let connectors = store.connectors().await.unwrap();
    let used = store.tokens().await.unwrap()[0].used;
    assert_eq!(usize::try_from(used).unwrap(), connectors.len());
    assert!(store.connector(&id(bought)).await.unwrap().is_none());
    assert!(
        store.revoke_token("t1", NOW).await.unwrap(),
        "needs no room"
    );

    let store = open(&folder).await.unwrap();
    store.create_token(token(2, 1)).await.unwrap();
    store.spend_token(spend(2, bought)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_rolled_back_unnoticed_is_not_used_again() {
    let folder = folder();
    let store = SqliteStore::open(&file(&folder), keys(ONE), |writer| writer)
        .await
        .unwrap();
    let mut transaction = store.begin().await.unwrap();
    // As SQLite itself does on some errors.
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert!(transaction.rollback().await.is_err());
    store.create_token(token(1, 1)).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cancelled_write_leaves_the_store_usable() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    store.create_token(token(1, 200)).await.unwrap();
    for polls in 0..40 {
        let mut spending = store.spend_token(spend(1, polls));
        for _ in 0..polls {
            if futures_util::poll!(&mut spending).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    store.spend_token(spend(1, 200)).await.unwrap().unwrap();
    let used = store.tokens().await.unwrap()[0].used;
    let connectors = store.connectors().await.unwrap().len();
    assert_eq!(usize::try_from(used).unwrap(), connectors);
}

#[tokio::test]
async fn a_dump_says_nothing_of_who_signed_in_and_an_old_key_may_go() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let secret = zeroize::Zeroizing::new(*b"a secret of thirty-two octets...");
    store.secrets("tickets", secret, NOW).await.unwrap();
    store.create_session(sign_in(1)).await.unwrap().unwrap();
    let mut dump = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        dump.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| dump.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(holds("login.example.com"), "the dump is a real one");
    assert!(!holds("person 1") && !holds("a secret of"));
    drop(store);

    let path = file(&folder);
    let both = keys(&format!("{TWO}\n{ONE}"));
    drop(open_sqlite(&path, both).await.unwrap());
    let store = open_sqlite(&path, keys(TWO)).await.unwrap();
    assert_eq!(&store.sessions().await.unwrap()[0].shown[..], b"person 1");
    let secrets = store.secrets("tickets", Default::default(), NOW).await;
    assert_eq!(&secrets.unwrap()[0].octets[..8], b"a secret");
    // Rows that change their places open nothing.
    execute(&folder, "UPDATE secrets SET name = 'state'").await;
    let moved = store.secrets("state", Default::default(), NOW).await;
    assert!(matches!(moved, Err(StoreError::Damaged(_))), "{moved:?}");
    let moved = "PRAGMA foreign_keys = OFF; UPDATE sessions SET id = 's00'";
    execute(&folder, moved).await;
    let moved = store.sessions().await;
    assert!(matches!(moved, Err(StoreError::Damaged(_))), "{moved:?}");
}

#[tokio::test]
async fn codes_are_bounded() {
    let folder = folder();
    let store = open(&folder).await.unwrap();
    let fill: String = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO codes (hash, payload, expires) SELECT CAST(CAST(i AS TEXT) AS BLOB), x'', {} FROM n",
        codes::MOST,
        NOW.0 + 1
    );
    let connection = SqliteConnectOptions::new().filename(file(&folder));
    let mut connection = connection.connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill))
        .execute(&mut connection)
        .await
        .unwrap();
    let ends = NOW.plus(Duration::from_secs(60));
    let put = async |now| store.put_code([1; 32], vec![1], now, ends).await.unwrap();
    assert!(!put(NOW).await);
    assert!(
        put(NOW.plus(Duration::from_secs(1))).await,
        "they have ended"
    );
}

#[tokio::test]
async fn a_full_disk_keeps_what_was_acknowledged_and_revokes_all_the_same() {
    let folder = folder();
    open(&folder).await.unwrap();
    let full = |writer: SqliteConnectOptions| writer.pragma("max_page_count", "1");
    let store = SqliteStore::open(&file(&folder), keys(ONE), full)
        .await
        .unwrap();
    let mut stored = 0;
    loop {
        let mut new = sign_in(stored);
        new.shown = zeroize::Zeroizing::new(vec![b'x'; 3000]);
        match store.create_session(new).await {
            Ok(created) => created.unwrap(),
            Err(error) => break assert!(error.to_string().contains("disk is full"), "{error}"),
        }
        stored += 1;
    }
    assert_eq!(store.sessions().await.unwrap().len(), usize::from(stored));
    assert_eq!(store.session(&session_id(stored)).await.unwrap(), None);
    if stored > 0 {
        assert!(store.revoke_session(&session_id(0), NOW).await.unwrap());
    }
}

#[tokio::test]
async fn two_stores_on_one_file_agree_on_sessions() {
    let folder = folder();
    let (one, other) = (open(&folder).await.unwrap(), open(&folder).await.unwrap());
    let octets = |n| zeroize::Zeroizing::new([n; 32]);
    let (a, b) = tokio::join!(
        one.secrets("tickets", octets(1), NOW),
        other.secrets("tickets", octets(2), NOW)
    );
    assert_eq!(*a.unwrap()[0].octets, *b.unwrap()[0].octets);
    one.create_session(sign_in(1)).await.unwrap().unwrap();
    let changed = other.changed();
    other.revoke_session(&session_id(1), NOW).await.unwrap();
    changed.await.unwrap();
    let record = one.session(&session_id(1)).await.unwrap().unwrap();
    assert_eq!(record.revoked, Some(NOW));
    one.revoke_sessions(&[SessionName([1; 32])], None, NOW)
        .await
        .unwrap();
    let late = other.create_session(sign_in(2)).await.unwrap();
    assert_eq!(late, Ok(()), "another person");
    let ends = NOW.plus(Duration::from_secs(60));
    assert!(one.put_code([7; 32], vec![7], NOW, ends).await.unwrap());
    let (a, b) = tokio::join!(one.take_code([7; 32], NOW), other.take_code([7; 32], NOW));
    let taken = [a.unwrap(), b.unwrap()];
    assert_eq!(taken.iter().flatten().count(), 1);
}

#[tokio::test]
async fn a_store_that_is_read_only_or_closed_says_so() {
    let folder = folder();
    drop(open(&folder).await.unwrap());
    let read_only = |writer: SqliteConnectOptions| writer.pragma("query_only", "1");
    let store = SqliteStore::open(&file(&folder), keys(ONE), read_only)
        .await
        .unwrap();
    let error = store.create_session(sign_in(1)).await.unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert_eq!(store.session(&session_id(1)).await.unwrap(), None);
    store.readers.close().await;
    let gone = store.session(&session_id(1)).await.unwrap_err();
    assert!(matches!(gone, StoreError::Unavailable(_)), "{gone}");
}

const CHILD: &str = "APPPROXY_TEST_STORE";

#[tokio::test]
async fn processes_that_make_one_store_at_once_share_it() {
    let folder = folder();
    let children: Vec<_> = (0..4)
        .map(|number| {
            tokio::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "store::sqlite::tests::one_of_several_processes"])
                .arg("--ignored")
                .env(CHILD, file(&folder))
                .env("APPPROXY_TEST_NUMBER", number.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
    }
    let keys = StoreKeys::for_store(None, &file(&folder)).unwrap();
    let store = open_sqlite(&file(&folder), keys).await.unwrap();
    assert_eq!(store.tokens().await.unwrap()[0].used, 10);
    assert_eq!(store.connectors().await.unwrap().len(), 10);
    assert_eq!(store.authorities().await.unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "a part of processes_that_make_one_store_at_once_share_it, which starts it"]
async fn one_of_several_processes() {
    let path = PathBuf::from(std::env::var_os(CHILD).unwrap());
    let number: u8 = std::env::var("APPPROXY_TEST_NUMBER")
        .unwrap()
        .parse()
        .unwrap();
    let keys = StoreKeys::for_store(None, &path).unwrap();
    let store = open_sqlite(&path, keys).await.unwrap();
    store.create_authority(authority()).await.unwrap();
    // All but the first one are told that it exists.
    let _ = store.create_token(token(1, 10)).await;
    for key in 0..5 {
        match store.spend_token(spend(1, number * 5 + key)).await.unwrap() {
            Ok(_) | Err(SpendRefusal::Spent) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
