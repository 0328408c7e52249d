// What one event costs the events room: from a parsed dispatch to a payload, and to the bytes of a message. To compare:
// a gateway frame costs 8 to 10 µs to receive, a confirmed message 18 to 21 µs to publish. `npm run bench:events`

import { Buffer } from 'node:buffer';
import { samplePayloads } from '../local/discord/payloads/samples.ts';
import { DEFAULT_EVENTS, parseEvents } from '../service/events/choice.ts';
import { eventId } from '../service/events/event-id.ts';
import type { DispatchContext } from '../service/events/outcome.ts';
import { type Dispatch, toPayload } from '../service/events/to-payload.ts';
import { GuildPresence } from '../service/session/guild-presence.ts';
import { quantile } from './bench.ts';

const ROUNDS = 5;
const ROUND_MS = 1000;

const context: DispatchContext = {
  sessionId: 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90',
  shardId: 0,
  shardCount: 1,
  choice: parseEvents(DEFAULT_EVENTS.join()),
  optIns: { messageContent: false, botMessages: false, directMessages: false },
  sequence: 0,
  receivedAt: Date.now(),
  guilds: new GuildPresence(0),
};

/** Seen by every round, so that no call is optimised away as unused. */
let seen = 0;

function payload(dispatch: Dispatch): (sequence: number) => void {
  return (sequence) => {
    if (toPayload(dispatch, { ...context, sequence }).kind === 'event') seen++;
  };
}

function bytes(dispatch: Dispatch): (sequence: number) => void {
  return (sequence) => {
    const outcome = toPayload(dispatch, { ...context, sequence });
    if (outcome.kind === 'event') seen += Buffer.from(JSON.stringify(outcome.payload)).length;
  };
}

/** Of this process, so that what else runs on the machine does not count. */
const cpuMs = (): number => process.cpuUsage().user / 1000;

/** In µs of CPU for each call, after a warm-up. */
function measure(call: (sequence: number) => void): { median: number; best: number } {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => {
    let calls = 0;
    const start = cpuMs();
    let now = start;
    while (now - start < ROUND_MS) {
      for (let each = 0; each < 1000; each++) call(calls++);
      now = cpuMs();
    }
    return ((now - start) * 1000) / calls;
  }).slice(1);
  return { median: quantile(rounds, 0.5), best: Math.min(...rounds) };
}

/** As the gateway's frames are read. */
function parsed(name: string): Dispatch {
  return JSON.parse(JSON.stringify(samplePayloads(1).find((sample) => sample.name === name)?.dispatch));
}
const messageCreate = parsed('message.mention');
const interactionCreate = parsed('command.plain');
const botMessage = parsed('message.by-bot');

const cases: Record<string, (sequence: number) => void> = {
  'MESSAGE_CREATE to payload': payload(messageCreate),
  'MESSAGE_CREATE to bytes': bytes(messageCreate),
  'MESSAGE_CREATE of a bot, filtered': payload(botMessage),
  'TYPING_START, filtered': payload({ t: 'TYPING_START', d: {} }),
  'INTERACTION_CREATE to payload': payload(interactionCreate),
  'INTERACTION_CREATE to bytes': bytes(interactionCreate),
  'event id alone': (sequence) => {
    seen += eventId(context.sessionId, sequence).length;
  },
};

console.log(`Node ${process.versions.node}, ${ROUNDS} rounds of ${ROUND_MS} ms of CPU`);
console.table(
  Object.fromEntries(
    Object.entries(cases).map(([name, call]) => {
      const { best, median } = measure(call);
      return [
        name,
        { 'µs (median)': median.toFixed(2), 'µs (best)': best.toFixed(2), 'per second': Math.round(1e6 / median) },
      ];
    }),
  ),
);
if (seen === 0) throw new Error('nothing was measured: no dispatch became an event');
