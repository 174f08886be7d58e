//! The head of a request: where it ends, and the few things in it that matter here.

use httparse::{Error, Header, Request, Status};

/// The most bytes of a head.
pub(super) const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

/// What is known of a request from the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Incomplete,
    Complete(RequestHead),
    /// It is answered with this status, and what comes after it isn't read as a request.
    Refused(u16),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// The path with its query, in ASCII.
    pub(super) target: String,
    /// How many bytes it has.
    pub(super) length: usize,
    /// The connection can't be used after the answer: its client says so, or sends a body, which nobody reads.
    pub(super) is_last: bool,
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => complete(&request, length),
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => Parsed::Incomplete,
        Ok(_) | Err(Error::TooManyHeaders) => Parsed::Refused(431),
        Err(Error::Version) => Parsed::Refused(505),
        Err(_) => Parsed::Refused(400),
    }
}

fn complete(request: &Request<'_, '_>, length: usize) -> Parsed {
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Parsed::Refused(400);
    };
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Parsed::Refused(400);
    }
    let is_last = has_body(request.headers) || !is_kept_open(version, request.headers);
    Parsed::Complete(RequestHead {
        method: method.to_owned(),
        target: target.to_owned(),
        length,
        is_last,
    })
}

fn has_body(headers: &[Header<'_>]) -> bool {
    headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("Transfer-Encoding")
            || header.name.eq_ignore_ascii_case("Upgrade")
            || header.name.eq_ignore_ascii_case("Content-Length") && header.value != b"0"
    })
}

fn is_kept_open(version: u8, headers: &[Header<'_>]) -> bool {
    let says = |word: &str| {
        headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case("Connection"))
            .flat_map(|header| header.value.split(|&byte| byte == b','))
            .any(|value| value.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    // A client of HTTP/1.0 that wants to go on expects to be told so, and isn't.
    version != 0 && !says("close")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> RequestHead {
        match parse(text.as_bytes()) {
            Parsed::Complete(head) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_is_complete_at_its_empty_line() {
        let text = "GET /metrics?name=up HTTP/1.1\r\nHost: x\r\n\r\n";
        let next = "GET / HTTP/1.1\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Incomplete, "{end}");
        }
        let expected = RequestHead {
            method: "GET".to_owned(),
            target: "/metrics?name=up".to_owned(),
            length: text.len(),
            is_last: false,
        };
        assert_eq!(head(text), expected);
        assert_eq!(head(&format!("{text}{next}")), expected);
    }

    #[test]
    fn a_client_that_closes_or_sends_a_body_gets_one_answer() {
        for (headers, is_last) in [
            ("HTTP/1.1\r\n", false),
            ("HTTP/1.1\r\nConnection: close\r\n", true),
            ("HTTP/1.1\r\nconnection: TE, Close\r\n", true),
            ("HTTP/1.0\r\n", true),
            ("HTTP/1.0\r\nConnection: keep-alive\r\n", true),
            ("HTTP/1.1\r\nContent-Length: 0\r\n", false),
            ("HTTP/1.1\r\nContent-Length: 4\r\n", true),
            ("HTTP/1.1\r\ncontent-length: 4611686018427387904\r\n", true),
            ("HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", true),
            ("HTTP/1.1\r\nUpgrade: websocket\r\n", true),
        ] {
            let head = head(&format!("POST /x {headers}\r\n"));
            assert_eq!(head.is_last, is_last, "{headers}");
        }
    }

    #[test]
    fn what_is_no_head_or_too_long_is_refused() {
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD));
        let many = format!(
            "GET / HTTP/1.1\r\n{}\r\n",
            "X: y\r\n".repeat(MAX_HEADERS + 1)
        );
        for (text, status) in [
            ("GET\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
            ("GET /\u{fc} HTTP/1.1\r\n\r\n", 400),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (&*endless, 431),
            (&*many, 431),
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Parsed::Refused(status),
                "{text:.40}"
            );
        }
    }
}
