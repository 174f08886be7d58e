//! Joins the original record's headers and the worker's own. Names and values of the original may be any bytes.

use rdkafka::message::{Header, Headers, OwnedHeaders};

use super::quiet::quietly;
use crate::core::dead_letter::is_dead_letter_header;
use crate::core::record::OpaqueHeaders;

/// The original's headers, without those of an earlier dead letter, followed by `ours`.
pub(super) fn joined(original: Option<&OpaqueHeaders>, ours: &[(&str, String)]) -> OwnedHeaders {
    let original = original.and_then(OpaqueHeaders::downcast_ref::<OwnedHeaders>);
    let kept = original.map_or_else(OwnedHeaders::new, without_earlier_ones);
    ours.iter().fold(kept, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value.as_bytes()),
        })
    })
}

/// The original's headers without those of an earlier dead letter. A header whose name isn't UTF-8 can be copied, but
/// not read. If there is one, all headers stay, and a reader takes the last of two headers with the same name.
fn without_earlier_ones(original: &OwnedHeaders) -> OwnedHeaders {
    let rebuilt = quietly(|| {
        let earlier = original
            .iter()
            .any(|header| is_dead_letter_header(header.key));
        earlier.then(|| {
            original
                .iter()
                .filter(|header| !is_dead_letter_header(header.key))
                .fold(OwnedHeaders::new(), OwnedHeaders::insert)
        })
    });
    rebuilt.flatten().unwrap_or_else(|| original.clone())
}

/// The number of bytes of all names and values; an estimate for a header that can't be read.
pub(super) fn size_of<H: Headers>(headers: &H) -> usize {
    each(headers)
        .map(|header| match header {
            Some((name, value)) => name.len() + value.map_or(0, <[u8]>::len) + HEADER_OVERHEAD,
            None => UNREADABLE_SIZE,
        })
        .sum()
}

/// What librdkafka needs for a header beside its name and value, in bytes.
const HEADER_OVERHEAD: usize = 64;
/// The assumed size of a header that can't be read, in bytes.
const UNREADABLE_SIZE: usize = 4096;

/// Reads each header by itself, so that the others can be read even if one can't.
pub(super) fn each<H: Headers>(headers: &H) -> impl Iterator<Item = Option<(&str, Option<&[u8]>)>> {
    (0..headers.count()).map(|index| {
        let header = quietly(|| headers.try_get(index)).flatten()?;
        Some((header.key, header.value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_values(headers: &OwnedHeaders) -> Vec<(String, Option<Vec<u8>>)> {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    }

    #[test]
    fn the_workers_headers_follow_the_originals_and_replace_earlier_ones() {
        let original = OwnedHeaders::new()
            .insert(Header {
                key: "trace",
                value: Some("1"),
            })
            .insert(Header {
                key: "dlq.reason",
                value: Some("old"),
            })
            .insert(Header::<&str> {
                key: "trace",
                value: None,
            })
            .insert(Header {
                key: "",
                value: Some(""),
            });
        let original = OpaqueHeaders::new(original, 0);
        let joined = joined(Some(&original), &[("dlq.reason", "new".to_owned())]);
        let expected = vec![
            ("trace".to_owned(), Some(b"1".to_vec())),
            ("trace".to_owned(), None),
            (String::new(), Some(Vec::new())),
            ("dlq.reason".to_owned(), Some(b"new".to_vec())),
        ];
        assert_eq!(names_and_values(&joined), expected);
    }

    #[test]
    fn a_record_without_headers_gets_only_the_workers() {
        let joined = joined(None, &[("dlq.reason", "x".to_owned())]);
        assert_eq!(
            names_and_values(&joined),
            vec![("dlq.reason".to_owned(), Some(b"x".to_vec()))]
        );
    }

    /// A record whose second header has a name that isn't UTF-8, as the client reads it.
    struct Foreign;

    impl Headers for Foreign {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            let name = [&b"trace"[..], b"\xff", b"dlq.reason"][index];
            Some(Header {
                key: std::str::from_utf8(name).unwrap(),
                value: Some(b"1"),
            })
        }
    }

    #[test]
    fn the_other_headers_are_read_if_one_can_not_be_read() {
        let seen: Vec<_> = each(&Foreign).collect();
        let expected = [
            Some(("trace", Some(&b"1"[..]))),
            None,
            Some(("dlq.reason", Some(&b"1"[..]))),
        ];
        assert_eq!(seen, expected);
    }
}
