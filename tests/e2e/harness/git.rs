//! A git server: `git http-backend`, run for every request as RFC 3875 (CGI) has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::backend::ResponseBody;
use super::process;
use super::{Backend, body};

impl Backend {
    /// Serves the repositories below a folder; anybody may push.
    pub(crate) async fn git(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self::answering(move |request| {
            let folder = folder.clone();
            async move {
                serve(folder, request).await.unwrap_or_else(|e| {
                    let mut response = Response::new(body(e.to_string()));
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    response
                })
            }
        })
        .await
    }
}

/// Runs git to its end, untouched by whoever's configuration is on the machine.
pub(crate) async fn git(folder: &Path, arguments: &[&str]) -> process::Output {
    git_with(&[], folder, arguments).await
}

/// The same with these variables beside those that make it nobody's git.
pub(crate) async fn git_with(
    environment: &[(&str, &str)],
    folder: &Path,
    arguments: &[&str],
) -> process::Output {
    let folder = folder.display().to_string();
    let mut all = vec!["-C", &folder];
    all.extend(arguments);
    let mut variables = vec![
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_AUTHOR_NAME", "Test"),
        ("GIT_AUTHOR_EMAIL", "test@example.com"),
        ("GIT_COMMITTER_NAME", "Test"),
        ("GIT_COMMITTER_EMAIL", "test@example.com"),
    ];
    variables.extend(environment);
    process::run("git", &all, &variables, "").await
}

/// Makes an empty repository that takes pushes.
pub(crate) async fn repository(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(&path).expect("a folder");
    for arguments in [
        &["init", "--bare", "--quiet", "--initial-branch=main"][..],
        &["config", "http.receivepack", "true"],
    ] {
        git(&path, arguments).await.success();
    }
    path
}

async fn serve(
    folder: PathBuf,
    request: Request<Incoming>,
) -> std::io::Result<Response<ResponseBody>> {
    let (head, mut incoming) = request.into_parts();
    let field = |name: &str| {
        let value = head.headers.get(name).map(HeaderValue::to_str);
        value.and_then(Result::ok).unwrap_or_default().to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", field("content-type"))
        .env("CONTENT_LENGTH", field("content-length"))
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("both are piped"));
    };
    // Beside reading the answer, which may begin before the request has ended.
    tokio::spawn(async move {
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Some(data) = frame.data_ref()
                && stdin.write_all(data).await.is_err()
            {
                return;
            }
        }
    });
    let mut stdout = BufReader::new(stdout);
    let mut response = Response::builder();
    let mut line = String::new();
    while stdout.read_line(&mut line).await? > 0 && !line.trim_end().is_empty() {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        if name.eq_ignore_ascii_case("status") {
            response = response.status(value.split(' ').next().unwrap_or_default());
        } else if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
        {
            response = response.header(name, value);
        }
        line.clear();
    }
    // The child lives as long as its output is read.
    let chunks = futures_util::stream::unfold((stdout, child), |(mut stdout, child)| async move {
        let mut chunk = vec![0; 16 * 1024];
        match stdout.read(&mut chunk).await {
            Ok(0) => None,
            Ok(n) => {
                chunk.truncate(n);
                Some((Ok(Frame::data(Bytes::from(chunk))), (stdout, child)))
            }
            Err(e) => Some((Err(e.into()), (stdout, child))),
        }
    });
    response
        .body(StreamBody::new(chunks.boxed()).boxed_unsync())
        .map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_pushed_can_be_cloned() {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        repository(&served, "notes.git").await;
        let backend = Backend::git(&served).await;
        let url = format!("http://{}/notes.git", backend.address());

        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        fs::write(work.join("note.txt"), "hello\n").unwrap();
        // Larger than git's buffer, so that the push is chunked.
        fs::write(work.join("noise.bin"), noise(3 << 20)).unwrap();
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "."],
            &["commit", "--quiet", "-m", "first"],
            &["push", "--quiet", &url, "main"],
        ] {
            git(&work, arguments).await.success();
        }
        let cloned = git(folder.path(), &["clone", "--quiet", &url, "clone"]).await;
        cloned.success();
        let text = fs::read_to_string(folder.path().join("clone/note.txt")).unwrap();
        assert_eq!(text, "hello\n");
        let sizes = fs::metadata(folder.path().join("clone/noise.bin")).unwrap();
        assert_eq!(sizes.len(), 3 << 20);
    }

    /// Octets that do not compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut octets = vec![0; length];
        aws_lc_rs::rand::fill(&mut octets).unwrap();
        octets
    }
}
