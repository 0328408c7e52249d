// Answers that Discord should never give, at random: the same seed gives the same ones. Each is for
// `DiscordSimulator.changeAnswer`. Fields are missing, null, of another type or out of range; bodies and frames are of
// another kind, cut, repeated or absent; connections are closed at any moment.
// What a client cannot know to be wrong is left out: another text in the place of one, an empty object as the data of a
// dispatch, another sequence.

import { Readable } from 'node:stream';
import { GatewayOpcodes } from 'discord-api-types/v10';
import type { AnswerChange } from './gateway-connection.ts';
import { Random } from './random.ts';

export interface HostileAnswer {
  /** Which answer is changed. */
  readonly name: (typeof NAMES)[number];
  /** The change in words, for the message of a failed test. */
  readonly what: string;
  readonly change: AnswerChange;
}

const NAMES = ['REST', 'Upgrade', 'Hello', 'READY', 'RESUMED', 'HeartbeatAck', 'Dispatch'] as const;

/** An endless sequence. */
export function* hostileAnswers(seed: number): Generator<HostileAnswer, never> {
  const random = new Random(seed, 16);
  for (;;) {
    const name = random.pick(NAMES);
    const kinds = name === 'REST' || name === 'Upgrade' ? HTTP : name === 'Dispatch' ? DISPATCHES : FRAMES;
    const [what, change] = random.pick(kinds)(random);
    yield { name, what: `${name}: ${what}`, change };
  }
}

type Kind = (random: Random) => readonly [what: string, change: AnswerChange];

const HTML = '<!DOCTYPE html><html><head><title>Just a moment…</title></head><body>1020</body></html>';
const TEXTS = ['', 'null', '[]', '{}', '"ok"', '0', '{"op":', HTML] as const;
const WRONG = [undefined, null, '', 0, -1, 0.5, 1e15, 1e300, true, [], {}, 'x'] as const;
const STATUSES = [200, 204, 301, 304, 400, 401, 403, 404, 500, 502, 520] as const;
const RETRY_AFTER = [undefined, '0', '1', '-1', 'soon', 'Wed, 21 Oct 2015 07:28:00 GMT', '1e9'] as const;
const CLOSE_CODES = [1000, 1001, 1011, 3000, 4000, 4001, 4002, 4003, 4005, 4007, 4008, 4009, 4900] as const;
const INSTEAD = [1, 7, 9, 10, 11, 0, 6, 99] as const;
const RANGE: readonly [unknown, ...unknown[]] = [0, -1, 0.5, 1e15, '7', null, undefined];

const text: Kind = (random) => {
  const instead = random.pick(TEXTS);
  return [`the text ${JSON.stringify(instead)}`, () => instead];
};

const nothing: Kind = () => ['not sent', () => undefined];
const reset: Kind = () => ['a reset in its place', (_, to) => to.terminate()];

/** One of the fields that the answer has then. @param deep at any depth */
const field =
  (deep: boolean): Kind =>
  (random) => {
    const [at, value] = [random.next(), random.pick(WRONG)];
    return [
      `a field (${at.toFixed(3)} of the way) is ${JSON.stringify(value)}`,
      (answer) => {
        const fields = deep && at < 0.5 ? below(answer) : Object.keys(answer).map((key) => ({ holder: answer, key }));
        const { holder, key } = fields[Math.floor((at % 0.5) * 2 * fields.length)] ?? { holder: answer, key: 'd' };
        // A text stays one: the client cannot know that it is wrong.
        const kept = typeof holder[key] === 'string' && typeof value === 'string' && value !== '';
        holder[key] = kept ? null : value;
        return answer;
      },
    ];
  };

const HTTP: readonly [Kind, ...Kind[]] = [
  field(true),
  field(true),
  nothing,
  reset,
  (random) => {
    const body = random.pick(TEXTS);
    return [`the body ${JSON.stringify(body)}`, () => ({ status: 200, body })];
  },
  (random) => {
    const status = random.pick(STATUSES);
    return [`status ${status} with a page`, () => ({ status, headers: { 'content-type': 'text/html' }, body: HTML })];
  },
  (random) => {
    const retryAfter = random.pick(RETRY_AFTER);
    const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
    return [`429 with Retry-After ${retryAfter}`, () => ({ status: 429, headers, body: 'error code: 1015' })];
  },
  () => ['a body that breaks off', () => ({ status: 200, body: Readable.from(broken()) })],
  () => ['a body without an end', () => ({ status: 200, body: Readable.from(endless()) })],
];

const ANY_FRAME: readonly Kind[] = [
  text,
  nothing,
  reset,
  (random) => {
    const code = random.pick(CLOSE_CODES);
    return [`closed with ${code} in its place`, (_, to) => to.close(code)];
  },
  (random) => {
    const keep = random.next();
    return ['cut off', (answer) => JSON.stringify(answer).slice(0, Math.floor(keep * JSON.stringify(answer).length))];
  },
  () => ['bytes that are no text', () => Buffer.from([0xff, 0xfe, 0x00, 0x78, 0x9c, 0xff])],
  () => ['twice', (answer) => [answer, answer]],
  (random) => {
    const [op, d] = [random.pick(INSTEAD), random.pick([true, false, null, 0, {}])];
    return [`opcode ${op} with ${JSON.stringify(d)} in its place`, () => ({ t: null, s: null, op, d })];
  },
  (random) => {
    const s = random.pick(RANGE);
    return [`s is ${JSON.stringify(s)}`, (answer) => ({ ...answer, s })];
  },
  () => ['after many heartbeat requests', (answer) => [...Array(50).fill(HEARTBEAT_REQUEST), answer]],
];
const FRAMES: readonly [Kind, ...Kind[]] = [field(true), field(true), ...ANY_FRAME];
/** What is wrong within `d` is for the worker to find. */
const DISPATCHES: readonly [Kind, ...Kind[]] = [field(false), ...ANY_FRAME];

const HEARTBEAT_REQUEST = { t: null, s: null, op: GatewayOpcodes.Heartbeat, d: null };

interface Field {
  readonly holder: Record<string, unknown>;
  readonly key: string;
}

function below(holder: object): Field[] {
  return Object.entries(holder).flatMap(([key, value]) => [
    { holder: holder as Record<string, unknown>, key },
    ...(typeof value === 'object' && value !== null ? below(value) : []),
  ]);
}

function* broken(): Generator<string> {
  yield '{"url":"';
  throw new Error('the connection breaks');
}

async function* endless(): AsyncGenerator<string> {
  for (;;) {
    yield ' '.repeat(65_536);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
