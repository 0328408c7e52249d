// What one event costs the events room: from a parsed dispatch to a payload, and to the bytes of a message. To compare:
// a gateway frame costs 8 to 10 µs to receive, a confirmed message 18 to 21 µs to publish. `npm run bench:events`

import { Buffer } from 'node:buffer';
import * as guild from '../local/discord/payloads/guild.ts';
import { samplePayloads } from '../local/discord/payloads/samples.ts';
import { LARGE, World } from '../local/discord/payloads/world.ts';
import { MAX_MESSAGE_BYTES } from '../service/contract/limits.ts';
import { DEFAULT_EVENTS, parseEvents } from '../service/events/choice.ts';
import { eventId } from '../service/events/event-id.ts';
import type { DispatchContext } from '../service/events/outcome.ts';
import { type Dispatch, toOutcomes, toPayload } from '../service/events/to-payload.ts';
import { parseFrame } from '../service/gateway/frame.ts';
import { smaller } from '../service/publisher/smaller.ts';
import { GuildPresence } from '../service/session/guild-presence.ts';
import { toMessage } from '../service/to-message.ts';
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

const presence = {
  ...{ guild_id: '1040319360238878720', status: 'online', client_status: { desktop: 'online' } },
  user: { id: '1040319360238878722' },
  activities: [{ id: 'custom', type: 4, name: 'Custom Status', state: 'away', created_at: 1_795_500_000_000 }],
};
const frame = `{"t":"PRESENCE_UPDATE","s":123456,"op":0,"d":${JSON.stringify(presence)}}`;
const UNWANTED = new Set(['PRESENCE_UPDATE']);

function received(unwanted?: ReadonlySet<string>): () => void {
  return () => {
    const parsed = parseFrame(frame, unwanted);
    if ('t' in parsed && toPayload(parsed, context).kind === 'filtered') seen++;
  };
}

const cases: Record<string, (sequence: number) => void> = {
  'MESSAGE_CREATE to payload': payload(messageCreate),
  'MESSAGE_CREATE to bytes': bytes(messageCreate),
  'MESSAGE_CREATE of a bot, filtered': payload(botMessage),
  'PRESENCE_UPDATE from its frame, not wanted': received(UNWANTED),
  'the same, read as a whole': received(),
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

// What is larger than most: its bytes, the CPU's time for it, and how many messages are published in its place.
const world = new World({ seed: 1 });
const { quotedMembers, ...size } = LARGE;
const emptied = { ...world.guild(2), ...size };
const large: Readonly<Record<string, Dispatch>> = {
  'guild of 250 channels, 200 roles': { t: 'GUILD_CREATE', d: guild.create(world, emptied, 0) },
  'the same with 5,000 members': { t: 'GUILD_CREATE', d: guild.create(world, { ...emptied, quotedMembers }, 0) },
  'command of 25 options of 6,000 characters': parsed('command.large'),
};
const choice = parseEvents('all,guilds.full');
const rows: Record<string, object> = {};
for (const [name, dispatch] of Object.entries(large)) {
  const start = cpuMs();
  const [event] = toOutcomes(dispatch, { ...context, choice });
  if (event?.kind !== 'event') throw new Error(`${name} became no event`);
  const message = toMessage(event, context.sessionId, 1);
  const made = cpuMs();
  // In a thread of its own.
  const parts = await smaller(message, MAX_MESSAGE_BYTES);
  rows[name] = {
    KiB: Math.round(message.body.length / 1024),
    'ms to message': (made - start).toFixed(0),
    'KiB compressed': Math.round(parts.reduce((sum, { body }) => sum + body.length, 0) / 1024),
    'ms to compress': (cpuMs() - made).toFixed(0),
    'needs it': message.body.length > MAX_MESSAGE_BYTES,
    messages: parts.length,
  };
}
console.table(rows);
