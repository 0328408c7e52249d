"""A worker in Python, with pika: answers each interaction once by Discord's REST API. ../worker does more."""

import json
import os
import time
from collections import deque
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import pika

API = os.environ.get("DISCORD_API_URL", "https://discord.com/api")
TRIES, REFUSE_AFTER_S, MOST_IDS, ALREADY_ACKNOWLEDGED = 3, 2.5, 10_000, b"40060"
answered = deque(maxlen=MOST_IDS)


def log(what, error):  # The text of other errors may be an address, with a token or a password in it.
    print(what, repr(error) if isinstance(error, (OSError, pika.exceptions.AMQPError)) else type(error), flush=True)


def answer(event):
    is_autocomplete = event["eventType"].startswith("interaction.autocomplete.")
    reply = {"type": 8, "data": {"choices": []}} if is_autocomplete else {"type": 4, "data": {"content": "Hello!"}}
    url = f"{API}/v10/interactions/{event['interactionId']}/{event['interactionToken']}/callback"
    # Discord refuses the user agent of urllib.
    headers = {"Content-Type": "application/json", "User-Agent": "DiscordBot (https://example.org, 1.0)"}
    for tries in range(1, TRIES + 1):
        if time.time() - event["timestamp"] / 1000 > REFUSE_AFTER_S:
            raise TimeoutError("Discord takes no answer any more, or the clock is not synchronised (NTP)")
        try:
            return urlopen(Request(url, json.dumps(reply).encode(), headers), timeout=3).close()
        except (OSError, HTTPException) as error:  # Another worker answered, and ended before its acknowledgement?
            if getattr(error, "code", None) == 400 and ALREADY_ACKNOWLEDGED in error.read():
                return
            log(f"try {tries} failed:", error)
            time.sleep(0.2 * tries)
    raise TimeoutError("not answered")


while True:
    try:  # The login is read each time, because it is rotated: amqps://user:password@host:5671/discord
        login = pika.URLParameters(Path(os.environ["RABBITMQ_URL_FILE"]).read_text().strip())
        with pika.BlockingConnection(login) as connection, connection.channel() as channel:
            channel.basic_qos(prefetch_count=10)
            print("consuming", flush=True)
            for method, _, body in channel.consume("interactions"):
                try:
                    event = json.loads(body)
                    if event["eventId"] not in answered:
                        answer(event)
                        answered.append(event["eventId"])
                except Exception as error:
                    log("to dead-letters:", error)
                    channel.basic_nack(method.delivery_tag, requeue=False)
                else:
                    channel.basic_ack(method.delivery_tag)
    except (pika.exceptions.AMQPError, OSError, ValueError) as error:
        log("no connection:", error)
    time.sleep(1)
