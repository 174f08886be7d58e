use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::client::{AskError, ask};
use super::*;
use crate::observe::board::Fixed;
use crate::observe::health::Health;
use crate::observe::metrics::MetricsCollector;

/// A folder of its own, with the path of a socket in it.
struct Place {
    path: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            path: folder.path().join("control.sock"),
            _folder: folder,
        }
    }
}

fn bind(path: &Path, pause: &PauseSwitch) -> io::Result<(ControlServer, ControlSocket)> {
    let metrics = Arc::new(MetricsCollector::new(8001, &["invalid_json"]));
    let health = Arc::new(Health::new(Instant::now(), Duration::from_secs(60)));
    let board = Arc::new(StatusBoard::new(metrics, health, Fixed::default()));
    ControlServer::bind(path, board, pause.clone(), StopSignal::new())
}

fn running() -> (Place, PauseSwitch) {
    let (place, pause) = (Place::new(), PauseSwitch::default());
    let (server, socket) = bind(&place.path, &pause).unwrap();
    thread::spawn(move || {
        let _socket = socket;
        server.run();
    });
    (place, pause)
}

#[test]
fn status_pause_and_resume() {
    let (place, pause) = running();
    let path = &place.path;
    let Reply::Status(status) = ask(path, &Request::Status).unwrap() else {
        panic!("not a status");
    };
    assert_eq!(status.worker.instance, "");
    let order = Request::Pause {
        by: "alice\u{1b}[2J".to_owned(),
        reason: Some("x".repeat(1000)),
    };
    let before = |request: &Request| match ask(path, request).unwrap() {
        Reply::Ordered { before } => before,
        other => panic!("{other:?}"),
    };
    assert_eq!(before(&order), None);
    let ordered = pause.pause().unwrap();
    assert_eq!(ordered.by, "alice [2J");
    assert_eq!(ordered.reason.as_ref().unwrap().len(), MAX_WORDS);
    assert_eq!(before(&order), Some(ordered.clone()));
    let resume = Request::Resume {
        by: "bob".to_owned(),
    };
    assert_eq!(before(&resume), Some(ordered));
    assert!(!pause.is_on());
}

#[test]
fn only_the_owner_may_use_it() {
    let place = Place::new();
    let path = &place.path;
    let _server = bind(path, &PauseSwitch::default()).unwrap();
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_not_a_request_is_refused_and_the_next_client_is_served() {
    let (place, pause) = running();
    let path = &place.path;
    for bytes in [
        &b"\n"[..],
        b"no json\n",
        b"{\"command\":\"delete\"}\n",
        b"{\"command\":\"pause\"}\n",
        b"\xff\n",
    ] {
        let mut client = UnixStream::connect(path).unwrap();
        client.write_all(bytes).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let reply: Reply = serde_json::from_str(&answer).unwrap();
        assert!(matches!(reply, Reply::Refused(_)), "{answer}");
    }
    assert!(!pause.is_on());
    assert!(matches!(ask(path, &Request::Status), Ok(Reply::Status(_))));
}

#[test]
fn a_client_that_says_nothing_or_too_much_does_not_hold_up_the_others() {
    let (place, _) = running();
    let path = &place.path;
    let silent = UnixStream::connect(path).unwrap();
    let mut endless = UnixStream::connect(path).unwrap();
    let _ = endless.write_all(&[b'x'; MAX_REQUEST * 4]);
    assert!(matches!(ask(path, &Request::Status), Ok(Reply::Status(_))));
    drop(silent);
}

#[test]
fn a_socket_in_use_and_another_file_are_left_alone() {
    let (place, _) = running();
    let path = &place.path;
    let error = bind(path, &PauseSwitch::default()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let file = path.with_file_name("file");
    fs::write(&file, "precious").unwrap();
    assert!(bind(&file, &PauseSwitch::default()).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let place = Place::new();
    let path = &place.path;
    drop(UnixListener::bind(path).unwrap());
    assert!(matches!(
        ask(path, &Request::Status),
        Err(AskError::NotRunning(_))
    ));
    let server = bind(path, &PauseSwitch::default()).unwrap();
    drop(server);
    assert!(!path.exists());
}
