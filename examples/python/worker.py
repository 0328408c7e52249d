"""A worker in Python, with pika: answers each interaction once by Discord's REST API. ../worker does more."""

import json
import os
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pika

API = os.environ.get("DISCORD_API_URL", "https://discord.com/api")
TRIES, REFUSE_AFTER_S, MOST_IDS, ALREADY_ACKNOWLEDGED = 3, 2.5, 10_000, 40060
answered = {}


def answer(event):
    is_autocomplete = event["eventType"].startswith("interaction.autocomplete.")
    reply = {"type": 8, "data": {"choices": []}} if is_autocomplete else {"type": 4, "data": {"content": "Hello!"}}
    url = f"{API}/v10/interactions/{event['interactionId']}/{event['interactionToken']}/callback"
    # Discord refuses the user agent of urllib.
    headers = {"Content-Type": "application/json", "User-Agent": "DiscordBot (https://example.org, 1.0)"}
    urlopen(Request(url, json.dumps(reply).encode(), headers), timeout=3).close()


def answer_in_time(event):
    for tries in range(1, TRIES + 1):
        if time.time() - event["timestamp"] / 1000 > REFUSE_AFTER_S:
            raise TimeoutError("Discord takes no answer any more")
        try:
            return answer(event)
        except OSError as error:  # Another worker answered, and ended before its acknowledgement?
            if isinstance(error, HTTPError) and json.load(error).get("code") == ALREADY_ACKNOWLEDGED:
                return
            print(f"try {tries} failed: {error}", flush=True)
            time.sleep(0.2 * tries)
    raise TimeoutError("not answered")


while True:
    try:  # The login is read each time, because it is rotated: amqps://user:password@host:5671/discord
        login = Path(os.environ["RABBITMQ_URL_FILE"]).read_text().strip()
        channel = pika.BlockingConnection(pika.URLParameters(login)).channel()
        channel.basic_qos(prefetch_count=10)
        print("consuming", flush=True)
        for method, _, body in channel.consume("interactions"):
            try:
                event = json.loads(body)
                if event["eventId"] not in answered:
                    answer_in_time(event)
                answered[event["eventId"]] = True
                if len(answered) > MOST_IDS:
                    answered.pop(next(iter(answered)))
                channel.basic_ack(method.delivery_tag)
            except Exception as error:
                print(f"to dead-letters: {error!r}", flush=True)
                channel.basic_nack(method.delivery_tag, requeue=False)  # to dead-letters
    except pika.exceptions.AMQPError as error:
        print(f"no connection: {error!r}", flush=True)
        time.sleep(1)
