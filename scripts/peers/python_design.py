"""The Python design that the worker is measured against. scripts/peers/python_design launches it.

The main thread consumes batches and commits; a pool of threads parses and inserts them. Offsets are
committed in order, behind what is stored or dead-lettered. Any other failure ends the process, uncommitted."""

import argparse
import logging
import platform
import signal
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from importlib.metadata import version

import orjson
from bson.errors import BSONError
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from prometheus_client import Counter, Gauge, Histogram, start_http_server
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

THREADS, OFFSET_COMMIT_FREQUENCY = 8, 1000
ATTEMPTS, RETRY_BACKOFF_SECONDS = 3, 1.0
POLL_SECONDS = 0.05  # The longest wait for a batch to fill.
WRITE_CONCERN = {"w": 1, "journal": True}
CONSUMER_PROPERTIES = {"enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 20,
                       "queued.min.messages": 20000, "queued.max.messages.kbytes": 16384}
REQUIRED_FIELDS = (("message_id", str), ("name", str), ("created_at", str), ("metadata", dict))
DUPLICATE_KEY = 11000


class MetricsCollector:
    def __init__(self):
        self.processed = Counter("consumer_messages_processed", "Messages settled")
        self.errors = Counter("consumer_processing_errors", "Messages not stored")
        self.batch_size = Histogram("consumer_batch_size", "Messages per batch", buckets=[1, 10, 100, 1000])
        self.processing_time = Histogram("consumer_processing_time_seconds", "One batch, parsed and stored")
        self.write_time = Histogram("consumer_mongodb_write_time_seconds", "One insert")
        self.commit_time = Histogram("consumer_offset_commit_time_seconds", "One commit")
        self.lag = Gauge("consumer_lag", "Messages not yet committed", ["partition"])
        logging.info("metrics on port %d", start_http_server(0, addr="127.0.0.1")[0].server_port)


class MessageProcessor:
    @staticmethod
    def document(value, received_at):
        """The document of one message; raises a ValueError if it can't be one."""
        message = orjson.loads(value or b"")
        if type(message) is not dict:
            raise ValueError("not an object")
        for field, kind in REQUIRED_FIELDS:
            if type(message.get(field)) is not kind:
                raise ValueError(f"field `{field}` is not as required")
        return {"_id": message["message_id"], **message, "received_at": received_at}


class MongoDBHandler:
    def __init__(self, uri, database, collection, metrics):
        self.metrics = metrics
        self.collection = MongoClient(uri, **WRITE_CONCERN)[database][collection]
        self.collection.create_index("created_at")

    def insert_batch(self, documents):
        """Stores a batch; returns what MongoDB refused, by index. What is there already is stored."""
        for attempt in range(ATTEMPTS):
            try:
                with self.metrics.write_time.time():
                    self.collection.insert_many(documents, ordered=False)
                return {}
            except BulkWriteError as error:
                if error.details["writeConcernErrors"]:
                    raise
                faults = error.details["writeErrors"]
                return {fault["index"]: fault["errmsg"] for fault in faults if fault["code"] != DUPLICATE_KEY}
            except AutoReconnect as error:
                logging.warning("attempt %d to insert failed: %s", attempt + 1, error)
                time.sleep(RETRY_BACKOFF_SECONDS * 2**attempt)
            except (BSONError, OperationFailure, OverflowError) as error:  # One spoils the batch: each alone.
                if len(documents) == 1:
                    return {0: str(error)}
                alone = enumerate(self.insert_batch([document]) for document in documents)
                return {index: refused[0] for index, refused in alone if refused}
        return dict.fromkeys(range(len(documents)), "MongoDB is unavailable")


class ErrorHandler:
    def __init__(self, brokers, topic, metrics):
        self.topic, self.metrics = topic, metrics
        self.producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})

    def send_to_dead_letter(self, failures):
        """Sends pairs of a message and its error, and returns when all are acknowledged."""
        undelivered = []
        for message, error in failures:
            self.metrics.errors.inc()
            headers = [*(message.headers() or []), ("dlq.error", error.encode())]
            heard = lambda fault, _: fault and undelivered.append(fault)
            self.producer.produce(self.topic, message.value(), message.key(), headers=headers, on_delivery=heard)
        if self.producer.flush(30) or undelivered:
            raise RuntimeError(f"dead letters were not delivered: {undelivered[:1]}")
        logging.warning("%d messages went to %s", len(failures), self.topic)


class DataConsumer:
    def __init__(self, options):
        self.topic, self.batch_size = options.topic, options.batch
        self.metrics = MetricsCollector()
        self.mongodb = MongoDBHandler(options.mongodb, options.database, options.collection, self.metrics)
        self.errors = ErrorHandler(options.brokers, f"{options.topic}-dead-letters", self.metrics)
        # Batches on their way, oldest first: the future, the next offsets behind it, its size.
        self.pool, self.in_flight = ThreadPoolExecutor(THREADS), deque()
        self.committable, self.uncommitted, self.running = {}, 0, True
        connection = {"bootstrap.servers": options.brokers, "group.id": options.group}
        self.consumer = Consumer(connection | CONSUMER_PROPERTIES)
        self.consumer.subscribe([self.topic], on_revoke=lambda *_: self.drain())

    def store_batch(self, messages):
        received_at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        documents, sources, failures = [], [], []
        with self.metrics.processing_time.time():
            for message in messages:
                try:
                    documents.append(MessageProcessor.document(message.value(), received_at))
                    sources.append(message)
                except ValueError as error:
                    failures.append((message, str(error)))
            refused = self.mongodb.insert_batch(documents) if documents else {}
            failures += [(sources[index], error) for index, error in refused.items()]
            if failures:
                self.errors.send_to_dead_letter(failures)
        self.metrics.processed.inc(len(messages))
        self.metrics.batch_size.observe(len(messages))

    def settle_oldest(self):
        future, offsets, size = self.in_flight.popleft()
        future.result()
        self.committable |= offsets
        self.uncommitted += size
        if self.uncommitted >= OFFSET_COMMIT_FREQUENCY:
            self.commit_offsets()

    def commit_offsets(self):
        offsets = [TopicPartition(self.topic, *place) for place in self.committable.items()]
        with self.metrics.commit_time.time():
            self.consumer.commit(offsets=offsets, asynchronous=False)
        for place in offsets:
            _, end = self.consumer.get_watermark_offsets(place, cached=True)
            self.metrics.lag.labels(place.partition).set(max(0, end - place.offset))
        self.committable, self.uncommitted = {}, 0

    def drain(self):
        while self.in_flight:
            self.settle_oldest()
        if self.committable:
            self.commit_offsets()

    def run(self):
        while self.running:
            messages = self.consumer.consume(self.batch_size, POLL_SECONDS)
            if fault := next(filter(None, map(Message.error, messages)), None):
                raise RuntimeError(f"cannot consume: {fault}")
            if messages:
                offsets = {message.partition(): message.offset() + 1 for message in messages}
                self.in_flight.append((self.pool.submit(self.store_batch, messages), offsets, len(messages)))
            else:
                self.drain()
            # One batch more than threads, so that none of them waits for the next consume.
            while len(self.in_flight) > THREADS or (self.in_flight and self.in_flight[0][0].done()):
                self.settle_oldest()
        self.drain()
        self.consumer.close()


def settings(batch):
    return {
        "system": f"the specification's design in Python {platform.python_version()}",
        "libraries": {name: version(name) for name in ("confluent-kafka", "pymongo", "orjson", "prometheus_client")},
        "batch_size": batch, "insert_many": {"ordered": False, **WRITE_CONCERN}, "threads": THREADS,
        "poll_seconds": POLL_SECONDS, "offset_commit_frequency": OFFSET_COMMIT_FREQUENCY, **CONSUMER_PROPERTIES,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int)
    for option in ("brokers", "mongodb", "topic", "group", "database", "collection"):
        parser.add_argument(f"--{option}")
    options = parser.parse_args()
    if not options.brokers:
        return print(orjson.dumps(settings(options.batch)).decode())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    consumer = DataConsumer(options)
    signal.signal(signal.SIGTERM, lambda *_: setattr(consumer, "running", False))
    consumer.run()


if __name__ == "__main__":
    main()
