//! Git over HTTPS: long bodies both ways, chunked where git does not know their length.

use std::fs;

use crate::harness::{Backend, Stand, git, git_with, repository};

#[tokio::test]
async fn a_repository_is_pushed_to_and_cloned_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    repository(&served, "notes.git").await;
    let backend = Backend::git(&served).await;
    let stand = Stand::new().application("git", &backend).start().await;
    let url = stand.url("git", "/notes.git");
    let authority = stand.folder().join("ca.pem").display().to_string();
    // Not by configuration: a developer's environment would win over it.
    let trust = [("GIT_SSL_CAINFO", authority.as_str())];

    // More than git's buffer of 1 MiB, so that the push is chunked; and it does not compress.
    let mut noise = vec![0; 5 << 20];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("note.txt"), "hello\n").unwrap();
    fs::write(work.join("noise.bin"), &noise).unwrap();
    // git resolves no `*.localhost` name by itself.
    let here = format!("http.curloptResolve={}", resolve(&url));
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &["commit", "--quiet", "-m", "first"],
        &["-c", &here, "push", "--quiet", &url, "main"],
    ] {
        git_with(&trust, &work, arguments).await.success();
    }
    for version in ["HTTP/1.1", "HTTP/2"] {
        let name = version.replace('/', "-");
        let speak = format!("http.version={version}");
        let clone = ["-c", &here, "-c", &speak];
        let arguments = [&clone[..], &["clone", "--quiet", &url, &name]].concat();
        git_with(&trust, folder.path(), &arguments).await.success();
        let cloned = folder.path().join(&name);
        assert_eq!(fs::read(cloned.join("note.txt")).unwrap(), b"hello\n");
        assert!(fs::read(cloned.join("noise.bin")).unwrap() == noise);
    }

    // What was fetched can be changed, and pushed small: with a length.
    let cloned = folder.path().join("HTTP-2");
    fs::write(cloned.join("note.txt"), "hello again\n").unwrap();
    for arguments in [
        &["commit", "--quiet", "-am", "second"][..],
        &["-c", &here, "push", "--quiet", "origin", "main"],
    ] {
        git_with(&trust, &cloned, arguments).await.success();
    }
    let log = git(&served.join("notes.git"), &["log", "--format=%s", "main"]).await;
    assert_eq!(log.success(), "second\nfirst\n");
}

/// `host:port:address`, as curl is told of a name.
fn resolve(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    format!("{host}:{port}:127.0.0.1")
}
