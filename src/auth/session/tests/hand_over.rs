//! Codes: for one host, one browser, one minute, once.

use super::*;

#[tokio::test]
async fn a_code_becomes_a_session_below_the_persons() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let (_, root) = one.sign_in("alice").await;
    let code = one.mint_code(&root, to_wiki(), CODE_LIVES).await.unwrap();
    let code = code.expose_secret();
    // Any process may redeem it.
    let redeemed = other.redeem_code(code, &wiki(), b"nonce").await.unwrap();
    assert_eq!(redeemed.target, "/page?x=1");
    assert_eq!(redeemed.sign_in().person, root.person());
    assert!(!format!("{redeemed:?}").contains("alice"));
    let (ticket, below) = other.create_below(redeemed, &device()).await.unwrap();
    assert_eq!(below.sign_in_id(), root.id());
    assert_ne!(below.id(), root.id());
    let found = one.live(&wiki(), ticket.expose_secret()).await;
    assert_eq!(found.person(), root.person());
    let why = one.none(&login(), ticket.expose_secret()).await;
    assert_eq!(why, NoSession::OtherHost);
    // It has none below it.
    let error = one
        .mint_code(&found, to_wiki(), CODE_LIVES)
        .await
        .unwrap_err();
    assert!(matches!(error, SessionError::Misuse(_)), "{error}");
    let listed = one.list().await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .any(|one| one.parent.as_ref() == Some(root.id()))
    );
}

#[tokio::test]
async fn a_code_burns_right_or_wrong() {
    let bed = Bed::new();
    let one = bed.process().await;
    let (_, root) = one.sign_in("alice").await;
    let mint = async || {
        let code = one.mint_code(&root, to_wiki(), CODE_LIVES).await.unwrap();
        code.expose_secret().to_owned()
    };
    let redeem = async |code: &str, to: &SessionHost, nonce: &[u8]| {
        let redeemed = one.redeem_code(code, to, nonce).await;
        redeemed.map(|redeemed| redeemed.target)
    };
    let other_port = host("https://wiki.example.com:8443/");
    let plain = host("http://wiki.example.com/");
    for (to, nonce, fails) in [
        (&wiki(), &b"nonce"[..], None),
        (&wiki(), b"another", Some("another browser")),
        (&wiki(), b"", Some("another browser")),
        (&other_port, b"nonce", Some("another host")),
        (&plain, b"nonce", Some("another host")),
        (&login(), b"nonce", Some("another host")),
    ] {
        let code = mint().await;
        match (redeem(&code, to, nonce).await, fails) {
            (Ok(target), None) => assert_eq!(target, "/page?x=1"),
            (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
            (other, _) => panic!("{other:?}"),
        }
        let again = redeem(&code, &wiki(), b"nonce").await;
        assert!(matches!(again, Err(CodeError::Unknown)), "{again:?}");
    }
    let late = mint().await;
    bed.clock.advance(MINUTE);
    let late = redeem(&late, &wiki(), b"nonce").await;
    assert!(matches!(late, Err(CodeError::Unknown)), "{late:?}");
    let good = mint().await;
    for made_up in [
        "",
        ".",
        &good[1..],
        &good.replace('.', ""),
        &format!("{good}A"),
    ] {
        let error = redeem(made_up, &wiki(), b"nonce").await;
        assert!(matches!(error, Err(CodeError::Unknown)), "{made_up}");
    }
    // None of those burnt it; of twenty at once one has it.
    let at_wiki = wiki();
    let twenty = (0..20).map(|_| redeem(&good, &at_wiki, b"nonce"));
    let all = futures_util::future::join_all(twenty).await;
    assert_eq!(all.iter().filter(|redeemed| redeemed.is_ok()).count(), 1);
    let long = HandOver {
        target: "/".repeat(20_000),
        ..to_wiki()
    };
    assert!(one.mint_code(&root, long, CODE_LIVES).await.is_err());
}

#[tokio::test]
async fn a_sign_out_under_way_ends_the_hand_over_at_every_step() {
    let bed = Bed::new();
    let (one, other) = (bed.process().await, bed.process().await);
    let wiki = wiki();
    let (_, root) = one.sign_in("alice").await;
    let code = one.mint_code(&root, to_wiki(), CODE_LIVES).await.unwrap();
    other.revoke(root.id()).await.unwrap();
    let redeemed = one.redeem_code(code.expose_secret(), &wiki, b"nonce");
    assert!(matches!(redeemed.await, Err(CodeError::Ended)));

    let (_, root) = one.sign_in("alice").await;
    let code = one.mint_code(&root, to_wiki(), CODE_LIVES).await.unwrap();
    let redeemed = one.redeem_code(code.expose_secret(), &wiki, b"nonce");
    let redeemed = redeemed.await.unwrap();
    other.revoke(root.id()).await.unwrap();
    let error = one.create_below(redeemed, &device()).await.unwrap_err();
    let ended = matches!(error, SessionError::Refused(SessionRefusal::ParentEnded));
    assert!(ended, "{error}");
    cut(&root).await;
    let error = one
        .mint_code(&root, to_wiki(), CODE_LIVES)
        .await
        .unwrap_err();
    assert!(matches!(error, SessionError::Refused(_)), "{error}");
}
