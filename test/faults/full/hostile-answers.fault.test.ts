// Discord, or a proxy in front of it, sends wrong answers: a page instead of JSON, a field that is missing or of another type, a
// frame that is cut, repeated, swapped or enormous, a close at any moment. One shard of four gets these answers. The task goes
// on, its other shards receive without a pause, the number of attempts is bounded, /health reports a problem while the shard is
// not connected, and no log line is malformed or contains the token. When the answers are correct again, the shard connects,
// and every event is read or reported by a gap event.
// FAULTS_HOSTILE_SEED=<seed> uses only the random answers of that seed.

import type { ConsumeMessage } from 'amqplib';
import { expect, onTestFinished } from 'vitest';
import type { AnswerChange } from '../../../local/discord/gateway-connection.ts';
import { type HostileAnswer, hostileAnswers } from '../../../local/discord/hostile-answers.ts';
import { asAdministrator } from '../../../local/rabbitmq/administrator.ts';
import { ENV, EXCHANGES, leaseQueue } from '../../../service/contract/names.ts';
import { attack, badLines, type Observed } from '../attack.ts';
import { type Fault, faultsOn, seed } from '../fault.ts';
import { resumes, stored } from '../tasks.ts';
import { startThief } from '../thief.ts';

const SHARDS = 4;
const LEASE_QUEUE = leaseQueue(0);
/** The answers cost more IDENTIFYs than Discord allows in a day. */
const SIMULATOR = { heartbeatIntervalMs: 2_000, dailyIdentifies: 100_000 };
/** The longest time without an event of the other shards, each with 50 events a second. */
const MOST_SILENT_MS = 5_000;
const EACH_MS = 3_000;
/** A task in production has 1,024 MiB by default. */
const MOST_RESIDENT_BYTES = 700 * 1_048_576;
/** The service waits at least a minute after a REST rate limit without a duration. */
const RECOVERED_WITHIN_MS = 120_000;

/** The most attempts that one answer may cause in `EACH_MS`. */
const MOST = { rest: 4, connections: 5, identifies: 3, resumes: 5 };

/** Each answer for `EACH_MS`, then correct answers again. */
function hostile(
  answers: Iterable<HostileAnswer>,
  { gaps = 'any', shard, mostSilentMs, ...fault }: HostileFault = {},
): Fault {
  return {
    rate: 200,
    gaps,
    // After a wrong answer a client may break Discord's rules.
    mayViolate: /./,
    ...fault,
    async inject(stage) {
      const tasks = stage.living;
      const played: string[] = [];
      const sent: number[] = [];
      for (const answer of answers) {
        if (shard === undefined) await stage.ready(undefined, RECOVERED_WITHIN_MS);
        played.push(answer.what);
        const observed = await attack(stage, shard ?? played.length % SHARDS, answer, EACH_MS);
        judge(observed, played, mostSilentMs);
        sent.push(observed.sent);
      }
      // A shard that is not connected first may pause for longer than an answer is waited for.
      const [least, most] = [Math.min(...sent), Math.max(...sent)];
      expect(shard === undefined ? least : most, `sent: ${sent.join(', ')}`).toBeGreaterThan(0);
      await stage.ready(undefined, RECOVERED_WITHIN_MS);
      expect(stage.living, 'no task ended').toEqual(tasks);
      const secrets = [stage.simulator.token];
      for (const { output } of tasks) expect(badLines(output, secrets)).toEqual([]);
    },
  };
}

interface HostileFault extends Partial<Fault> {
  /** The shard that gets all answers, without a pause. @default - the shards in turn, after all are connected again */
  readonly shard?: number;
  readonly mostSilentMs?: number;
}

/** @param played the answers until now, for the message of a failed test */
function judge(observed: Observed, played: readonly string[], mostSilentMs = MOST_SILENT_MS): void {
  const { harm, othersSilentMs, mostResidentBytes, state, sentences, ...tries } = observed;
  const about = [...played, JSON.stringify(observed)].join('\n');
  expect(harm, about).toEqual([]);
  expect(othersSilentMs, about).toBeLessThan(mostSilentMs);
  expect(mostResidentBytes, about).toBeLessThan(MOST_RESIDENT_BYTES);
  if (state !== 'ready') expect(sentences, about).not.toEqual([]);
  for (const [name, most] of Object.entries(MOST))
    expect(tries[name as keyof typeof MOST], `${name}: ${about}`).toBeLessThanOrEqual(most);
}

const change = (name: HostileAnswer['name'], how: string, to: AnswerChange): HostileAnswer => ({
  name,
  what: `${name}: ${how}`,
  change: to,
});
/** Changes only the first answer. */
function once(name: HostileAnswer['name'], how: string, to: AnswerChange): HostileAnswer {
  let done = false;
  return change(name, `${how}, once`, (answer, receiver) => {
    if (done) return answer;
    done = true;
    return to(answer, receiver);
  });
}

/** Sends the second answer before the first. */
function overtaken(): AnswerChange {
  const held: object[] = [];
  return (answer) => {
    if (held.length > 1) return answer;
    held.unshift(answer);
    return held.length > 1 ? held : undefined;
  };
}

const PAGE = { headers: { 'content-type': 'text/html' }, body: '<html><title>Maintenance</title></html>' };
const d = (of: object): Record<string, unknown> => ({ ...(of as { d: object }).d });

const { fullRun } = faultsOn({ shards: SHARDS, simulator: SIMULATOR });

fullRun(
  'answers without required fields: a lost session is reported, and no other shard pauses',
  hostile(
    [
      change('REST', 'a page', () => ({ status: 200, ...PAGE })),
      change('Hello', 'd is null', (hello) => ({ ...hello, d: null })),
      change('READY', 'no resume_gateway_url', (ready) => ({ ...ready, d: { ...d(ready), resume_gateway_url: null } })),
      change('RESUMED', 'op 9 without d in its place', () => ({ op: 9 })),
    ],
    { gaps: 2 },
  ),
);

fullRun(
  'op 9 with d true instead of RESUMED: no session is lost',
  hostile([change('RESUMED', 'op 9 true in its place', () => ({ t: null, s: null, op: 9, d: true }))], { gaps: 0 }),
);

fullRun(
  'a dispatch that is skipped, cut off or overtaken once is replayed in order',
  hostile(
    [
      once('Dispatch', 'skipped', () => undefined),
      once('Dispatch', 'cut off', (answer) => JSON.stringify(answer).slice(0, 40)),
      change('Dispatch', 'overtaken, once', overtaken()),
    ],
    { gaps: 0, mostRepeats: 0 },
  ),
);

for (const each of seeds())
  fullRun(`random answers of the seed ${each}`, hostile(some(each, 8), { shard: each % SHARDS }));

const strict = faultsOn({ shards: SHARDS });

strict.fullRun(
  'a foreign address in Get Gateway Bot, READY or the group record gets neither the token nor a connection',
  {
    gaps: 'any',
    async inject(stage) {
      const { simulator } = stage;
      const { stolen, url, close } = await startThief();
      onTestFinished(close);
      const named = [
        change('REST', 'its url', (answer) => ({ ...answer, body: { ...(answer.body as object), url } })),
        change('READY', 'its url', (ready) => ({ ...ready, d: { ...d(ready), resume_gateway_url: url } })),
      ];
      for (const answer of named) {
        const observed = await attack(stage, 0, answer, EACH_MS);
        judge(observed, [answer.what]);
        expect(observed.sent, answer.what).toBeGreaterThan(0);
      }
      await stage.ready();
      // The next RESUME uses READY's address.
      await resumes(stage, SHARDS, () => simulator.dropConnections());
      await stored(stage);
      await Promise.all(stage.living.map((task) => task.kill()));
      let left = 0;
      await stage.until('no task consumes the record', 30_000, async () => {
        const queue = await asAdministrator(stage.broker, (channel) => channel.checkQueue(LEASE_QUEUE));
        left = queue.messageCount;
        return left > 0 && queue.consumerCount === 0;
      });
      await asAdministrator(stage.broker, async (channel) => {
        // Two records, if the task was killed before it acknowledged the older one.
        const records: ConsumeMessage[] = [];
        const keep = (record: ConsumeMessage | null) => void (record && records.push(record));
        const { consumerTag } = await channel.consume(LEASE_QUEUE, keep);
        await stage.until('every record is taken', 10_000, () => records.length === left);
        await channel.cancel(consumerTag);
        for (const record of records) {
          const text = record.content.toString().replaceAll(simulator.gatewayUrl, url);
          expect(text, 'the record names the address').toContain(url);
          channel.publish(EXCHANGES.leases, LEASE_QUEUE, Buffer.from(text), record.properties);
          channel.ack(record);
        }
      });
      await resumes(stage, SHARDS, async () => await stage.startTask());
      expect(stolen).toEqual([]);
    },
  },
);

const zlib = faultsOn({
  shards: SHARDS,
  // The simulator answers no heartbeat while it writes 200 MB: Discord's own interval.
  simulator: { ...SIMULATOR, heartbeatIntervalMs: 41_250 },
  env: { [ENV.gatewayCompression]: 'zlib-stream' },
});

zlib.fullRun(
  'compressed: a frame that is not zlib, and one that inflates to 200 MB',
  hostile(
    [
      once('Dispatch', 'no zlib', () => Buffer.from([0x78, 0x9c, 0xff, 0x00, 0x00, 0xff, 0xff])),
      once('Dispatch', '200 MB in one frame', (answer) => ({ ...answer, d: ' '.repeat(200_000_000) })),
    ],
    // On a slow machine the simulator itself is silent while it writes the 200 MB.
    { gaps: 0, mostSilentMs: 20_000 },
  ),
);

/** Seeds of the random answers. */
function seeds(): readonly number[] {
  const only = process.env.FAULTS_HOSTILE_SEED;
  return only === undefined ? [seed, seed + 1, seed + 2] : [Number(only)];
}

function* some(from: number, answers: number): Generator<HostileAnswer> {
  const hostiles = hostileAnswers(from);
  for (let n = 0; n < answers; n += 1) yield hostiles.next().value;
}
