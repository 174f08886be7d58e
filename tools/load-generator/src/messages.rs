//! The messages, valid and faulty. Pure: message `i` of a seed is the same on every run.

use std::fmt::Write as _;

/// More than the 16 MiB that one MongoDB document may have.
const HUGE: usize = 16 * 1024 * 1024 + 4096;

/// 2023-07-15T12:34:56.789Z; each message is a millisecond younger than the one before.
const FIRST_CREATED_AT: i64 = 1_689_424_496_789;

const REQUIRED: [&str; 4] = ["message_id", "name", "created_at", "metadata"];

/// One way in which a message alone can be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Empty,
    Tombstone,
    CutOff,
    BadUtf8,
    ByteOrderMark,
    TrailingBytes,
    Array,
    Missing(&'static str),
    EmptyId,
    NumberAsId,
    NumberAsName,
    BadTime,
    TextAsMetadata,
    NameTwice,
    NestedNameTwice,
    ForeignId,
    ReceivedAt,
    NulInName,
    BigInteger,
    BigFloat,
    Deep,
    Huge,
}

impl Fault {
    /// Every fault but the huge document, which most brokers refuse.
    pub const SMALL: [Self; 24] = [
        Self::Empty,
        Self::CutOff,
        Self::Array,
        Self::Missing("message_id"),
        Self::EmptyId,
        Self::NameTwice,
        Self::ForeignId,
        Self::NulInName,
        Self::BigInteger,
        Self::Deep,
        Self::Tombstone,
        Self::BadUtf8,
        Self::Missing("name"),
        Self::NumberAsId,
        Self::NestedNameTwice,
        Self::ReceivedAt,
        Self::BigFloat,
        Self::ByteOrderMark,
        Self::Missing("created_at"),
        Self::NumberAsName,
        Self::TrailingBytes,
        Self::Missing("metadata"),
        Self::BadTime,
        Self::TextAsMetadata,
    ];

    /// The reason for which the worker must dead-letter it, as `dlq.reason` has it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty | Self::Tombstone => "empty_payload",
            Self::CutOff | Self::BadUtf8 | Self::ByteOrderMark | Self::TrailingBytes => {
                "invalid_json"
            }
            Self::Array => "not_an_object",
            Self::Missing(_) => "missing_field",
            Self::EmptyId
            | Self::NumberAsId
            | Self::NumberAsName
            | Self::BadTime
            | Self::TextAsMetadata => "invalid_field",
            Self::NameTwice | Self::NestedNameTwice => "duplicate_field",
            Self::ForeignId | Self::ReceivedAt => "reserved_field",
            Self::NulInName => "invalid_field_name",
            Self::BigInteger | Self::BigFloat => "unsupported_number",
            Self::Deep => "nesting_too_deep",
            Self::Huge => "document_too_large",
        }
    }
}

/// How many messages to send, and how many of them are faulty; the faulty ones are spread evenly.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub count: u64,
    pub bad: u64,
    pub huge: bool,
    /// Valid messages are filled up to so many bytes.
    pub size: usize,
    pub id_prefix: String,
}

#[derive(Debug)]
pub struct Message {
    pub id: String,
    pub payload: Option<Vec<u8>>,
    pub fault: Option<Fault>,
}

impl Plan {
    pub fn message(&self, index: u64) -> Message {
        let mut random = Random::new(self.seed, index);
        let mut fields = Fields::new(&mut random, index, &self.id_prefix);
        let id = fields.id.clone();
        let fault = self.fault(index);
        let payload = if let Some((fault, round)) = fault {
            fields.faulty(fault, round)
        } else {
            fields.pad(self.size);
            Some(fields.json().into_bytes())
        };
        Message {
            id,
            payload,
            fault: fault.map(|(fault, _)| fault),
        }
    }

    /// The fault of a message, and how often each fault was used before it.
    fn fault(&self, index: u64) -> Option<(Fault, u64)> {
        let faulty_before =
            |index: u64| u128::from(index) * u128::from(self.bad) / u128::from(self.count.max(1));
        let turn = faulty_before(index);
        if faulty_before(index + 1) == turn {
            return None;
        }
        let small = Fault::SMALL.len();
        let kinds = small + usize::from(self.huge);
        let kind = usize::try_from(turn % kinds as u128).expect("invariant: a small remainder");
        let round = u64::try_from(turn / kinds as u128).expect("invariant: below `count`");
        // The huge document comes first, so that `--bad 1 --huge` sends it.
        let fault = match kind.checked_sub(usize::from(self.huge)) {
            Some(kind) => Fault::SMALL[kind],
            None => Fault::Huge,
        };
        Some((fault, round))
    }
}

/// A message's fields: the texts, and the whole of `metadata` as JSON.
#[derive(Debug, Clone)]
struct Fields {
    id: String,
    name: String,
    created_at: String,
    metadata: String,
}

impl Fields {
    fn new(random: &mut Random, index: u64, id_prefix: &str) -> Self {
        let (high, low) = (random.next(), random.next());
        // The bits of a random UUID (version 4, variant 1).
        let id = format!(
            "{id_prefix}{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        );
        let milliseconds = FIRST_CREATED_AT + i64::try_from(index % (1 << 40)).unwrap_or(0);
        let created_at = jiff::Timestamp::from_millisecond(milliseconds)
            .expect("invariant: within a few decades of 2023");
        let choice = random.next();
        let source = ["system-a", "system-b", "system-c"][usize::from(choice.to_le_bytes()[0]) % 3];
        Self {
            id,
            name: format!("item_{:08x}", choice >> 32),
            created_at: format!("{created_at:.3}"),
            metadata: format!(r#"{{"source":"{source}","version":"1.0.0"}}"#),
        }
    }

    /// Adds `members` at the end of the metadata.
    fn extend_metadata(&mut self, members: &str) {
        self.metadata.pop();
        self.metadata.push_str(members);
        self.metadata.push('}');
    }

    fn pad(&mut self, size: usize) {
        const OVERHEAD: usize = r#","padding":"""#.len();
        let length = self.json().len() + OVERHEAD;
        if size > length {
            let padding = "x".repeat(size - length);
            self.extend_metadata(&format!(r#","padding":"{padding}""#));
        }
    }

    /// The value of a field as JSON.
    fn value(&self, field: &str) -> String {
        match field {
            "message_id" => format!(r#""{}""#, self.id),
            "name" => format!(r#""{}""#, self.name),
            "created_at" => format!(r#""{}""#, self.created_at),
            _ => self.metadata.clone(),
        }
    }

    fn json(&self) -> String {
        format!(
            r#"{{"message_id":"{}","name":"{}","created_at":"{}","metadata":{}}}"#,
            self.id, self.name, self.created_at, self.metadata
        )
    }

    /// The object with one field replaced, or left out.
    fn json_with(&self, field: &str, value: Option<&str>) -> String {
        let mut json = String::from("{");
        for name in REQUIRED {
            let own = self.value(name);
            let value = if name == field { value } else { Some(&*own) };
            if let Some(value) = value {
                let comma = if json.len() > 1 { "," } else { "" };
                let _infallible = write!(json, r#"{comma}"{name}":{value}"#);
            }
        }
        json.push('}');
        json
    }

    /// The object with a further member in front.
    fn json_after(&self, member: &str) -> String {
        self.json().replacen('{', &format!("{{{member},"), 1)
    }

    fn faulty(&mut self, fault: Fault, round: u64) -> Option<Vec<u8>> {
        let json = self.json();
        let text = match fault {
            Fault::Tombstone => return None,
            Fault::BadUtf8 => {
                let mut bytes = json.into_bytes();
                // A byte within the name that occurs in no UTF-8 text.
                let at = bytes.windows(5).position(|part| part == b"item_");
                bytes[at.expect("invariant: every name has it")] = 0xff;
                return Some(bytes);
            }
            Fault::Empty => String::new(),
            Fault::CutOff => json[..json.len() - 2].to_owned(),
            Fault::ByteOrderMark => format!("\u{feff}{json}"),
            Fault::TrailingBytes => format!("{json} {json}"),
            Fault::Array => format!("[{json}]"),
            Fault::Missing(field) => self.json_with(field, None),
            Fault::EmptyId => self.json_with("message_id", Some(r#""""#)),
            Fault::NumberAsId => self.json_with("message_id", Some("12345678")),
            Fault::NumberAsName => self.json_with("name", Some("12345678")),
            Fault::BadTime => self.json_with("created_at", Some(r#""yesterday""#)),
            Fault::TextAsMetadata => self.json_with("metadata", Some(r#""system-a""#)),
            Fault::NameTwice => self.json_after(r#""name":"item_00000000""#),
            Fault::NestedNameTwice => {
                self.extend_metadata(r#","source":"system-d""#);
                self.json()
            }
            Fault::ForeignId => self.json_after(r#""_id":"another""#),
            Fault::ReceivedAt => self.json_after(r#""received_at":"2023-07-15T12:35:01.234Z""#),
            Fault::NulInName => {
                self.extend_metadata(r#","a\u0000b":1"#);
                self.json()
            }
            Fault::BigInteger => {
                self.extend_metadata(r#","total":18446744073709551616"#);
                self.json()
            }
            Fault::BigFloat => {
                self.extend_metadata(r#","total":1e999"#);
                self.json()
            }
            Fault::Deep => {
                // Beyond MongoDB's limit of 100 levels, and every second time beyond that of JSON parsers, too.
                let levels = if round.is_multiple_of(2) { 110 } else { 300 };
                let (open, close) = ("[".repeat(levels), "]".repeat(levels));
                self.extend_metadata(&format!(r#","nested":{open}{close}"#));
                self.json()
            }
            Fault::Huge => {
                self.pad(HUGE);
                self.json()
            }
        };
        Some(text.into_bytes())
    }
}

/// The `SplitMix64` generator (Steele, Lea and Flood, 2014), which can begin anywhere in its sequence.
#[derive(Debug)]
struct Random(u64);

impl Random {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new(seed: u64, index: u64) -> Self {
        // Neighbouring seeds must not share messages, so the seed is mixed once before.
        let start = Self(seed).next();
        // Each message takes fewer than eight numbers.
        Self(start.wrapping_add(index.wrapping_mul(Self::STEP.wrapping_mul(8))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
