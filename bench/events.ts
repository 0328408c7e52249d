// What one event costs the events room: from a parsed dispatch to a payload, and to the bytes of a message. The figures
// to hold it against: a gateway frame costs 8 to 10 µs to receive, a confirmed message 18 to 21 µs to publish.
// Run: node bench/events.ts

import { Buffer } from 'node:buffer';
import { eventId } from '../service/events/event-id.ts';
import type { DispatchContext } from '../service/events/outcome.ts';
import { type Dispatch, toPayload } from '../service/events/to-payload.ts';
import { GuildPresence } from '../service/session/guild-presence.ts';

const ROUNDS = 5;
const ROUND_MS = 1000;

const user = {
  id: '53908232506183680',
  username: 'mason',
  discriminator: '0',
  global_name: 'Mason',
  avatar: 'a_bab14f271d565501444b2ca3be944b25',
  public_flags: 4194304,
  avatar_decoration_data: null,
  collectibles: null,
  primary_guild: null,
};

const message = {
  id: '1034567890123456789',
  channel_id: '278325129692446722',
  guild_id: '197038439483310086',
  author: user,
  member: {
    roles: ['298027345678901234', '539082325061836999', '539082325061837000'],
    premium_since: null,
    pending: false,
    nick: null,
    mute: false,
    joined_at: '2017-03-13T19:19:14.040000+00:00',
    flags: 8,
    deaf: false,
    communication_disabled_until: null,
    banner: null,
    avatar: null,
  },
  content: 'Words of a usual length, as people write them, about this and that.',
  timestamp: '2026-11-20T10:00:00.000000+00:00',
  edited_timestamp: null,
  tts: false,
  mention_everyone: false,
  mentions: [user],
  mention_roles: [],
  attachments: [],
  embeds: [],
  components: [],
  pinned: false,
  type: 0,
  flags: 0,
  channel_type: 0,
};

const command = {
  id: '846462639134605312',
  application_id: '775799577604522054',
  type: 2,
  token: 'x'.repeat(200),
  version: 1,
  guild_id: '197038439483310086',
  guild: { id: '197038439483310086', locale: 'en-US', features: [] },
  channel_id: '278325129692446722',
  channel: { id: '278325129692446722', type: 0, name: 'general', permissions: '2248473465835073' },
  member: { ...message.member, user, permissions: '2248473465835073' },
  app_permissions: '442368',
  locale: 'de',
  guild_locale: 'en-US',
  entitlements: [],
  authorizing_integration_owners: { 0: '197038439483310086' },
  context: 0,
  attachment_size_limit: 10485760,
  data: { id: '771825006014889984', name: 'ban', type: 1, options: [{ name: 'why', type: 3, value: 'spam' }] },
};

const context: DispatchContext = {
  sessionId: 'fd4f4f6e8d9e4a0c8a3f3d1b2c5e7a90',
  shardId: 0,
  sequence: 0,
  receivedAt: Date.now(),
  guilds: new GuildPresence(0),
};

/** Seen by every round, so that nothing measured can be left out as unused. */
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

/** Best and median of the rounds after a warm-up, in µs of CPU for each call. */
function measure(call: (sequence: number) => void): { best: number; median: number } {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => {
    let calls = 0;
    const start = cpuMs();
    let now = start;
    while (now - start < ROUND_MS) {
      for (let each = 0; each < 1000; each++) call(calls++);
      now = cpuMs();
    }
    return ((now - start) * 1000) / calls;
  });
  const [best = Number.NaN, ...rest] = rounds.slice(1).toSorted((a, b) => a - b);
  return { best, median: rest[Math.floor(ROUNDS / 2) - 1] ?? best };
}

/** As the gateway's frames are read. */
const parsed = (t: string, d: object): Dispatch => JSON.parse(JSON.stringify({ t, d }));
const messageCreate = parsed('MESSAGE_CREATE', message);
const interactionCreate = parsed('INTERACTION_CREATE', command);
const botMessage = parsed('MESSAGE_CREATE', { ...message, author: { ...user, bot: true } });

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
