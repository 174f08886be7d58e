//! The worker's output, line by line, while the worker runs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Map, Value};

/// What the worker logs of a rejected record.
pub const REJECTION: &str = "a record goes to the dead letter topic";

/// One line of the log. A line that isn't JSON has its text in `msg` and no level.
#[derive(Debug, Clone)]
pub struct LogLine {
    pub raw: String,
    pub level: String,
    pub msg: String,
    pub fields: Map<String, Value>,
}

impl LogLine {
    fn parse(raw: String) -> Self {
        let fields: Map<String, Value> = serde_json::from_str(&raw).unwrap_or_default();
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            level: text("level").unwrap_or_default(),
            msg: text("msg").unwrap_or_else(|| raw.clone()),
            fields,
            raw,
        }
    }

    pub fn is_error(&self) -> bool {
        self.level == "ERROR"
    }

    /// Whether this line reports one rejected record, or how many of these lines were left out. It is of level
    /// ERROR, but the worker has done what it should.
    pub fn is_rejection(&self) -> bool {
        self.msg.contains(REJECTION)
    }

    /// The whole number in a field.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.fields.get(field)?.as_i64()
    }

    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }
}

/// A thread that reads a stream to its end, into memory and into a file.
pub(super) struct Capture {
    lines: Arc<Mutex<Vec<LogLine>>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    pub fn start(stream: impl Read + Send + 'static, file: &Path) -> Self {
        let mut file = File::create(file).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let captured = Arc::clone(&lines);
        let thread = thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut bytes = Vec::new();
                while reader.read_until(b'\n', &mut bytes).unwrap() > 0 {
                    file.write_all(&bytes).unwrap();
                    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    captured.lock().unwrap().push(LogLine::parse(text));
                    bytes.clear();
                }
            })
            .unwrap();
        Self {
            lines,
            thread: Some(thread),
        }
    }

    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap().clone()
    }

    /// The first result of `look`.
    pub fn find<T>(&self, look: impl FnMut(&LogLine) -> Option<T>) -> Option<T> {
        self.lines.lock().unwrap().iter().find_map(look)
    }

    /// The last result of `look`.
    pub fn find_last<T>(&self, look: impl FnMut(&LogLine) -> Option<T>) -> Option<T> {
        self.lines.lock().unwrap().iter().rev().find_map(look)
    }

    /// How many lines meet the condition.
    pub fn count(&self, mut condition: impl FnMut(&LogLine) -> bool) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| condition(line)).count()
    }

    /// Waits for the end of the stream: that is when the process has ended.
    pub fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
