//! The statistics of librdkafka, which come as JSON, are read or refused.
#![no_main]

use kafka_mongo_consumer_fuzz::Budget;
use kafka_mongo_consumer_fuzz::kafka::read_statistics;
use libfuzzer_sys::fuzz_target;

/// `"":{},` is an entry of a map.
const BUDGET: Budget = Budget::of_memory(8 << 10, 64);

fuzz_target!(|json: &[u8]| BUDGET.check(json.len(), || read_statistics(json)));
