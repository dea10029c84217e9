"""A queue of jobs in a topic, with a topic of dead letters.

    python job_queue.py submit thumbnails '["convert", "a.png", "-resize", "64", "a-64.png"]'
    python job_queue.py work thumbnails          # as many of these as the topic has partitions
    python job_queue.py dead thumbnails          # what failed, and why

A job is a command as a JSON list. A worker runs it and commits its offset afterwards: a job whose
worker dies is run again by another one. A job that fails is tried again up to --attempts times, and
then goes to `<queue>.dead` with what it said, so that it does not hold up those behind it.
"""

import argparse
import json
import signal
import subprocess
import uuid

from confluent_kafka import Consumer, KafkaException, Message, Producer

POLL_S = 0.5
ERROR_CHARS_MAX = 1000


def submit(args: argparse.Namespace) -> None:
    """Adds a job; returns once it is acknowledged."""
    try:
        command = json.loads(args.command)
    except ValueError:
        command = None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise SystemExit("a job is a JSON list of strings")
    producer = make_producer(args)
    job = uuid.uuid4().hex  # as the key, it spreads jobs over the partitions
    send(producer, args.queue, job, json.dumps(command).encode(), {})
    print(job)


def work(args: argparse.Namespace) -> None:
    """Runs jobs until SIGTERM, Ctrl-C or, with --until-empty, the end of the queue."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    producer = make_producer(args)
    consumer = make_consumer(args, f"{args.queue}.workers")
    consumer.subscribe([args.queue])
    idle_s = 0.0
    while not stopping and not (args.until_empty and idle_s >= args.until_empty):
        message = consumer.poll(POLL_S)
        if message is None:
            idle_s += POLL_S
            continue
        idle_s = 0.0
        check(message)
        run(message, producer, args)
        consumer.commit(message=message, asynchronous=False)
    consumer.close()


def run(message: Message, producer: Producer, args: argparse.Namespace) -> None:
    """Does the job, or makes a dead letter of it."""
    job, value = message.key() or b"", message.value() or b""
    error = ""
    for _ in range(args.attempts):
        error = attempt(value)
        if not error:
            print(f"{job.decode()} done", flush=True)
            return
    headers = {"error": error, "attempts": str(args.attempts), "offset": str(message.offset())}
    send(producer, f"{args.queue}.dead", job.decode(), value, headers)
    print(f"{job.decode()} dead: {error.splitlines()[0]}", flush=True)


def attempt(value: bytes) -> str:
    """Runs the command; why it failed, or nothing."""
    try:
        command = json.loads(value)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except (ValueError, TypeError, OSError) as error:
        return str(error) or type(error).__name__
    if done.returncode == 0:
        return ""
    return f"exit code {done.returncode}\n{done.stderr}"[:ERROR_CHARS_MAX]


def dead(args: argparse.Namespace) -> None:
    """Prints the dead letters there are, as JSON lines."""
    consumer = make_consumer(args, f"{args.queue}.undertaker-{uuid.uuid4().hex}")
    consumer.subscribe([f"{args.queue}.dead"])
    while (message := consumer.poll(args.wait)) is not None:
        check(message)
        headers = {name: text(value) for name, value in headers_of(message)}
        letter = {"job": text(message.key()), "command": text(message.value()), **headers}
        print(json.dumps(letter))
    consumer.close()


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Those of a record, in its order."""
    # The stubs allow a dict as well, which only a producer may give.
    return list(message.headers() or [])  # type: ignore[arg-type]


def text(data: bytes | None) -> str:
    """Bytes for people to read."""
    return (data or b"").decode(errors="replace")


def make_producer(args: argparse.Namespace) -> Producer:
    """One that is sure of what it has sent."""
    return Producer({"bootstrap.servers": args.bootstrap_server, "enable.idempotence": True})


def make_consumer(args: argparse.Namespace, group: str) -> Consumer:
    """One that starts at the beginning and commits only what it is told to."""
    return Consumer(
        {
            "bootstrap.servers": args.bootstrap_server,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )


def send(producer: Producer, topic: str, key: str, value: bytes, headers: dict[str, str]) -> None:
    """Returns once the record is acknowledged."""
    failures = []
    producer.produce(
        topic,
        value,
        key=key,
        headers=[(name, text.encode()) for name, text in headers.items()],
        on_delivery=lambda error, _: failures.append(error) if error else None,
    )
    producer.flush()
    if failures:
        raise KafkaException(failures[0])


def check(message: Message) -> None:
    """Raises what the client has to say instead of a record."""
    if (error := message.error()) is not None:
        raise KafkaException(error)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(required=True)
    for action in (submit, work, dead):
        command = actions.add_parser(action.__name__, help=action.__doc__)
        command.set_defaults(run=action)
        command.add_argument("queue")
        command.add_argument("-b", "--bootstrap-server", default="127.0.0.1:9092")
        if action is submit:
            command.add_argument("command")
        elif action is work:
            command.add_argument("--attempts", type=int, default=3)
            command.add_argument("--until-empty", type=float, metavar="SECONDS", default=0.0)
        else:
            command.add_argument("--wait", type=float, metavar="SECONDS", default=5.0)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
