//! A quota for a producer, which Kafka's client library can't set.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::waiting::SHORT;

/// The request `AlterClientQuotas`, in its first version: <https://kafka.apache.org/protocol>.
const ALTER_CLIENT_QUOTAS: i16 = 49;
const VERSION: i16 = 0;

/// From now on, the broker at `kafka` takes so many bytes in a second from producers with this client id, on average
/// over about ten seconds. Answers to what is beyond that are sent at once, and the next request waits.
pub fn limit_producer(kafka: &str, client_id: &str, bytes_per_second: u32) {
    let mut request = Vec::new();
    request.extend(ALTER_CLIENT_QUOTAS.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    let correlation_id = 7_i32.to_be_bytes();
    request.extend(correlation_id);
    string(&mut request, "test");
    let one = 1_i32.to_be_bytes();
    // One entry, whose entity has one part.
    request.extend(one);
    request.extend(one);
    string(&mut request, "client-id");
    string(&mut request, client_id);
    // One quota; it is set, and not removed. The request is meant, and no trial.
    request.extend(one);
    string(&mut request, "producer_byte_rate");
    request.extend(f64::from(bytes_per_second).to_be_bytes());
    request.extend([0, 0]);

    let mut connection = TcpStream::connect(kafka).unwrap();
    connection.set_read_timeout(Some(SHORT)).unwrap();
    let length = i32::try_from(request.len()).unwrap();
    connection.write_all(&length.to_be_bytes()).unwrap();
    connection.write_all(&request).unwrap();
    // The length, the correlation id, the throttle time, the number of entries and the first entry's error.
    let mut answer = [0; 18];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4..8], correlation_id);
    assert_eq!(answer[16..18], [0, 0], "Kafka refuses the quota");
}

fn string(request: &mut Vec<u8>, text: &str) {
    request.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    request.extend(text.as_bytes());
}
