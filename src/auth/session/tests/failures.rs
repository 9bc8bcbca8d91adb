//! The store is gone, cannot be written, is full, or was tampered with.

use super::*;

#[tokio::test]
async fn what_is_in_memory_never_waits_and_a_forgery_never_reaches_the_store() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (known, session) = one.sign_in("alice").await;
    let (unknown, _) = bed.process().await.sign_in("bob").await;
    one.store.close().await;
    for _ in 0..3 {
        let found = one.live(&login(), &known).await;
        assert!(Arc::ptr_eq(&found, &session));
        let found = one.find(&login(), unknown.as_bytes()).await;
        assert!(matches!(found, Found::Unavailable), "{found:?}");
        let forged = unknown.replace('.', ".A");
        assert_eq!(one.none(&login(), &forged).await, NoSession::Forged);
        let forged = one.redeem_code("AAAA.BBBB", &wiki(), b"nonce").await;
        assert!(matches!(forged, Err(CodeError::Unknown)), "{forged:?}");
    }
    let error = one.try_sign_in("carol", one.mark()).await.unwrap_err();
    assert!(matches!(error, SessionError::Store(_)), "{error}");
    assert!(
        one.mint_code(&session, to_wiki(), CODE_LIVES)
            .await
            .is_err()
    );
    // It cannot be on the disk, so it is not said to be done.
    assert!(one.revoke(session.id()).await.is_err());
    // What could not be told is told later.
    bed.clock.advance(MINUTE);
    one.live(&login(), &known).await;
    follow::tell(&one.shared).await;
    assert_eq!(one.shared.memory.take_used(10).len(), 1);
}

#[tokio::test]
async fn without_the_log_for_too_long_nothing_is_served() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (ticket, session) = one.sign_in("alice").await;
    one.store.close().await;
    one.live(&login(), &ticket).await;
    one.set(SessionSettings {
        store_grace: Duration::ZERO,
        ..SessionSettings::default()
    });
    let found = one.find(&login(), ticket.as_bytes()).await;
    assert!(matches!(found, Found::Unavailable), "{found:?}");
    // Nor goes on what lived on it. A change that cannot be read is as good as none.
    bed.process().await.sign_in("bob").await;
    cut(&session).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_serves_what_is_there() {
    let bed = Bed::new();
    let (ticket, session) = bed.process().await.sign_in("alice").await;
    let one = bed.process_on(Fragile::read_only(&bed.path()).await).await;
    let found = one.live(&login(), &ticket).await;
    assert_eq!(found.id(), session.id());
    let error = one.try_sign_in("bob", one.mark()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert!(one.revoke(session.id()).await.is_err());
    one.live(&login(), &ticket).await;
}

#[tokio::test]
async fn a_full_disk_lets_nobody_in_by_halves() {
    let bed = Bed::new();
    bed.process().await;
    let one = bed.process_on(Fragile::full(&bed.path()).await).await;
    let mut tickets = Vec::new();
    let error = loop {
        match one.try_sign_in("alice", one.mark()).await {
            Ok((ticket, _)) => tickets.push(ticket),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("the disk is full"), "{error}");
    let again = bed.process().await;
    assert_eq!(again.list().await.unwrap().len(), tickets.len());
    for ticket in &tickets {
        again.live(&login(), ticket).await;
    }
}

#[tokio::test]
async fn records_that_were_tampered_with_open_nothing() {
    for (sql, why) in [
        (
            "UPDATE sessions SET opener = zeroblob(60)",
            NoSession::Forged,
        ),
        ("UPDATE sessions SET opener = x''", NoSession::Forged),
        (
            "UPDATE sessions SET record = zeroblob(400)",
            NoSession::Unknown,
        ),
        ("UPDATE sessions SET record = x''", NoSession::Unknown),
        // Somebody else's row under this ticket's identifier.
        (
            "UPDATE sessions SET opener = (SELECT opener FROM sessions ORDER BY rowid DESC)",
            NoSession::Forged,
        ),
        (
            "UPDATE sessions SET record = (SELECT record FROM sessions ORDER BY rowid DESC)",
            NoSession::Unknown,
        ),
        (
            "UPDATE sessions SET host = 'https://wiki.example.com'",
            NoSession::OtherHost,
        ),
        ("DELETE FROM sessions", NoSession::Unknown),
    ] {
        let bed = Bed::new();
        let first = bed.process().await;
        let (ticket, _) = first.sign_in("alice").await;
        first.sign_in("bob").await;
        first.store.execute(sql).await;
        let one = bed.process().await;
        assert_eq!(one.none(&login(), &ticket).await, why, "{sql}");
    }
    // Moved to another host with its row: what opens it is bound to the first one.
    let bed = Bed::new();
    let first = bed.process().await;
    let (ticket, _) = first.sign_in("alice").await;
    let moved = "UPDATE sessions SET host = 'https://wiki.example.com'";
    first.store.execute(moved).await;
    let one = bed.process().await;
    assert_eq!(one.none(&wiki(), &ticket).await, NoSession::Forged);
}
