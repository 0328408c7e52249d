// A gateway that sends what Discord never should, over real sockets: nothing that it sends ends the process or loses an
// event, and all of it is logged or counted.

import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { WebSocket } from 'ws';
import type { Transport } from '../../../local/discord/transport.ts';
import { listening } from '../../support/fake-servers.ts';
import { eventually } from '../../support/log-lines.ts';
import { connect, HostileGateway, type Sent, startClient, unhurried, withInterval } from './hostile-gateway.ts';

vi.setConfig({ testTimeout: 60_000 });

/** What the process would end with. */
let unowned: unknown[] = [];
const keep = (error: unknown) => void unowned.push(error);
beforeEach(() => {
  unowned = [];
  process.on('unhandledRejection', keep);
  process.on('uncaughtException', keep);
});
afterEach(async () => {
  await sleep(20);
  process.off('unhandledRejection', keep);
  process.off('uncaughtException', keep);
  expect(unowned).toEqual([]);
});

const noText = (socket: WebSocket, transport: Transport) =>
  transport.flushed(() => socket.send(Buffer.from([0xff]), { binary: false }));

/** frame.test.ts has all that is malformed. */
const HOSTILE = [
  ...['', 'null', '"text"', '[]', '{}', '<html><title>520</title>', '\uFEFF{"op":11}', '{"op":0', '{"op":-1}'],
  ...[undefined, null, 'x', 0, 200_000].map((s) => JSON.stringify({ op: 0, t: 'GUILD_MEMBER_ADD', s, d: {} })),
  ...['{"op":10}', '{"op":9}', '{"op":0,"t":"READY","s":1}', '{"op":0,"t":null,"s":3,"d":{}}'],
  ...[Buffer.from([1, 2, 3]), gzipSync('{"op":11}')],
];

describe.each(['none', 'zlib-stream'] as const)('with compression %s', (compression) => {
  it('hostile frames end that connection only, and nothing is lost or repeated', async () => {
    await Promise.all(
      HOSTILE.map(async (frame) => {
        const gateway = await HostileGateway.start(compression === 'zlib-stream');
        gateway.instead = (each, connection) => (each.t === 'RESUMED' && connection === 1 ? [each, frame] : each);
        gateway.events = [
          { t: 'READY', d: {} },
          { t: 'GUILD_MEMBER_ADD', d: { guild_id: '1', user: { id: '2' } } },
        ];
        const client = startClient(gateway.url, { session: {}, compression });
        await eventually('it is ready again', () => gateway.connections.length === 2 && client.shard.connected);
        gateway.dispatch();
        await eventually('the last event', () => client.sequences().length >= 2);
        expect(client.ends()).toMatchObject([
          { verdict: 'malformed', reason: expect.stringMatching(/^malformed frame: /) },
        ]);
        expect([client.counted.invalidFrames, client.sequences('s0')]).toEqual([1, [2, 5]]);
        expect([gateway.count(2), client.reported()]).toEqual([0, []]);
        await client.ingestor.stopReceiving();
      }),
    );
  });
});

it.each<[string, unknown]>([
  ['HELLO without d', { op: 10, d: null }],
  ['an HTML page', '<html>'],
  ['a dispatch before READY', { op: 0, t: 'GUILD_MEMBER_ADD', s: 1, d: {} }],
  ['RESUMED before RESUME', { op: 0, t: 'RESUMED', s: 1, d: {} }],
])('%s instead of HELLO: resumed with backoff', async (_, first) => {
  const { gateway, client } = await connect({
    session: {},
    instead: (frame, connection) => (connection === 1 && frame.op === 10 ? first : frame),
  });
  expect(client.ends().map(({ verdict }) => verdict)).toEqual(['malformed']);
  expect(gateway.count(1)).toBeLessThan(3);
});

it('a second HELLO ends the connection, and its heartbeats', async () => {
  const { gateway, client } = await connect({
    session: {},
    instead: (frame, connection) =>
      connection === 1 && frame.op === 10 ? [{ op: 10, d: { heartbeat_interval: 500 } }, frame] : frame,
  });
  expect(client.ends()).toMatchObject([{ verdict: 'malformed', reason: 'malformed frame: HELLO came twice' }]);
  await sleep(1_200);
  expect(gateway.received.filter(({ op, connection }) => op === 1 && connection === 1)).toEqual([]);
});

it('a connection that ends right behind HELLO leaves no timer of its heartbeats', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
  const before = timers();
  const { client } = await connect({
    session: {},
    instead: (frame, connection) => {
      if (frame.op !== 10 || connection > 3) return frame;
      return [{ op: 10, d: { heartbeat_interval: 300_000 } }, { op: 7 }];
    },
  });
  expect(client.ends()).toHaveLength(3);
  await client.ingestor.stopReceiving();
  await eventually('none is left', () => timers() <= before, 3_000);
});

it('a frame that is too large in its fragments together ends that connection only', async () => {
  const { gateway, client } = await connect({ session: {} });
  for (const fin of [false, true]) gateway.live?.send('x'.repeat(9_000_000), { fin });
  await eventually('RESUMED again', () => client.shard.connected && gateway.connections.length === 2);
  expect(client.ends()).toMatchObject([
    { verdict: 'malformed', reason: expect.stringMatching(/Max payload size exceeded/) },
  ]);
});

describe('a connection that ends on RESUME without op 9', () => {
  const ENDS: readonly ((socket: WebSocket) => void)[] = [
    ...[1000, 1001, 4000, 4001, 4009].map((code) => (socket: WebSocket) => socket.close(code)),
    (socket) => socket.terminate(),
    (socket) => socket.send('{"op":7}'),
  ];

  /** The session's own address ends so always, the general one `generalEnds` times. */
  const play = (generalEnds: number) =>
    ENDS.map(async (end) => {
      const [own, general] = [await HostileGateway.start(), await HostileGateway.start()];
      own.answer = (_, socket) => {
        end(socket);
        return true;
      };
      let left = generalEnds;
      general.answer = (op, socket) => {
        if (op !== 6 || left === 0) return false;
        left -= 1;
        end(socket);
        return true;
      };
      const client = startClient(general.url, { session: { resumeUrl: own.url, sequence: 7 } });
      await eventually('it is ready', () => client.shard.connected, 50_000);
      expect(client.shard.problem).toBeUndefined();
      const reported = client.reported().map(({ sessionId }) => sessionId);
      await client.ingestor.stopReceiving();
      return { own: own.count(6), general: general.count(6), reported, identifies: general.count(2) };
    });

  it('is tried at the general address after three, and one there keeps the session', async () => {
    for (const each of await Promise.all(play(1)))
      expect(each).toEqual({ own: 3, general: 2, reported: [], identifies: 0 });
  });

  it('is a refusal there after 15 s: the second loses the session, with one gap and one IDENTIFY', async () => {
    for (const { general, ...each } of await Promise.all(play(9))) {
      expect(each).toEqual({ own: 3, reported: ['s0'], identifies: 1 });
      expect([3, 4, 5]).toContain(general);
    }
  });
});

describe('heartbeats', () => {
  it('op 1 shortly before the regular beat is no zombie', async () => {
    const { gateway, client } = await connect({ session: {} });
    // The acknowledgement of what was asked for comes 600 ms late.
    let asked = false;
    gateway.instead = (frame) => {
      if (frame.op === 11 && asked) {
        asked = false;
        setTimeout(() => gateway.live?.send(JSON.stringify(frame)), 600);
        return undefined;
      }
      return frame;
    };
    for (let round = 0; round < 5; round += 1) {
      const beats = gateway.count(1);
      await eventually('a regular beat', () => gateway.count(1) > beats);
      await sleep(850);
      asked = true;
      gateway.live?.send('{"op":1}');
      await sleep(100);
    }
    expect(client.ends()).toEqual([]);
  });

  it('that are not acknowledged for an interval are one', async () => {
    const gateway = await HostileGateway.start();
    gateway.instead = (frame, connection) => (frame.op === 11 && connection === 1 ? undefined : frame);
    const client = startClient(gateway.url, { session: {} });
    await eventually('the end', () => client.ends().length === 1);
    expect(client.ends()).toMatchObject([
      { verdict: 'resume', reason: 'no heartbeat was acknowledged for an interval' },
    ]);
    expect(gateway.received.filter(({ op, connection }) => op === 1 && connection === 1)).toHaveLength(1);
    await eventually('RESUMED', () => client.shard.connected);
  });

  it('that were not sent but are acknowledged do not change the latency', async () => {
    const { gateway, client } = await connect({ session: {}, instead: withInterval(300_000) });
    gateway.live?.send('{"op":11}');
    gateway.dispatch();
    await eventually('what came after it', () => client.sequences().length > 0);
    expect(client.shard.latencyMs).toBeUndefined();
  });

  it.each([
    ['answers to heartbeats', 500, () => undefined],
    ['dispatches', 300_000, (gateway: HostileGateway) => gateway.dispatch()],
  ])('and dispatches are heard: %s', async (_, intervalMs, send) => {
    const { gateway, client } = await connect({ session: {}, instead: withInterval(intervalMs) });
    const { heardAt = Number.NaN } = client.shard;
    await eventually('something later is heard', () => {
      send(gateway);
      return (client.shard.heardAt ?? 0) > heardAt;
    });
  });
});

describe('sequences', () => {
  const until = (sequence: number, client: ReturnType<typeof startClient>) =>
    eventually(`sequence ${sequence}`, () => client.sequences().includes(sequence));

  it('a frame that is dropped once comes with one RESUME: nothing lost, nothing repeated', async () => {
    const { gateway, client } = await connect({
      instead: (frame, connection) => (connection === 1 && (frame.s === 4 || frame.s === 5) ? undefined : frame),
    });
    for (let each = 2; each <= 8; each += 1) gateway.dispatch();
    await until(8, client);
    await eventually('RESUMED', () => client.shard.connected);
    gateway.dispatch();
    await until(10, client);
    // 9 is RESUMED.
    expect(client.sequences()).toEqual([2, 3, 4, 5, 6, 7, 8, 10]);
    expect(client.counted).toMatchObject({ resumes: 1, sequenceHoles: 1 });
    expect([client.reported(), client.counted.gatewayGaps]).toEqual([[], undefined]);
    expect(gateway.received.find(({ op }) => op === 6)?.d).toMatchObject({ seq: 3 });
    expect(client.lines.lines.filter(({ msg }) => msg === 'sequences are missing')).toMatchObject([
      { first: 4, last: 5, outcome: 'resume' },
    ]);
  });

  it.each([
    ['without permission', 2_000],
    ['with permission that is not proven', 0],
  ])(
    '%s to RESUME the connection is kept: the hole is reported, and what came behind it is not lost',
    async (_, askedMs) => {
      let permitted = true;
      const permission = async (signal: AbortSignal) => {
        if (permitted) return 'proven';
        if (askedMs > 0) await once(signal, 'abort').then(() => signal.throwIfAborted());
        return 'unproven';
      };
      const { gateway, client } = await connect({
        permission,
        instead: (frame) => (frame.s === 4 ? undefined : frame),
      });
      permitted = false;
      for (let each = 2; each <= 8; each += 1) gateway.dispatch();
      await until(3, client);
      // A cut-off task asks for two seconds.
      if (askedMs > 0) expect(client.sequences()).toEqual([2, 3]);
      await until(8, client);
      expect(client.sequences()).toEqual([2, 3, 5, 6, 7, 8]);
      expect(client.reported()).toMatchObject([{ lastSequence: 3, reason: 'sequences 4 to 4 did not come' }]);
      expect([client.ends(), client.counted.resumes, gateway.connections.length]).toEqual([[], undefined, 1]);
    },
  );

  it.each<[string, (frame: Sent) => unknown]>([
    ['no JSON', () => '<html>'],
    ['s null', (frame) => ({ ...frame, s: null })],
    ['s too high', (frame) => ({ ...frame, s: 500_000 })],
    ['no op', ({ op: _, ...frame }) => frame],
  ])('a dispatch that no replay has readable (%s) costs one RESUME, and only itself is missing', async (_, broken) => {
    const { gateway, client } = await connect({ instead: (frame) => (frame.s === 4 ? broken(frame) : frame) });
    for (let each = 2; each <= 6; each += 1) gateway.dispatch();
    await until(6, client);
    await eventually('RESUMED', () => client.shard.connected);
    gateway.dispatch();
    await until(8, client);
    // 7 is RESUMED.
    expect(client.sequences()).toEqual([2, 3, 5, 6, 8]);
    expect(client.reported()).toMatchObject([
      { sessionId: 's1', lastSequence: 3, reason: 'sequences 4 to 4 did not come' },
    ]);
    expect(client.counted).toMatchObject({ resumes: 1, invalidFrames: 2, sequenceHoles: 1 });
    expect(client.counted).not.toHaveProperty('gatewayGaps');
    expect(client.lines.lines.filter(({ msg }) => /^skipped a frame/.test(String(msg)))).toHaveLength(1);
  });

  const ENDING: readonly (readonly [what: string, compression: 'none' | 'zlib-stream', unknown])[] = [
    ['no UTF-8', 'none', noText],
    ['too large', 'none', 'x'.repeat(17_000_000)],
    ['binary', 'none', Buffer.from([0x22, 0xff, 0x22])],
    ['no UTF-8 in zlib', 'zlib-stream', (_: WebSocket, zlib: Transport) => zlib.send(Buffer.from([0xff]) as never)],
    ['no zlib', 'zlib-stream', Buffer.from([0, 1, 2, 0, 0, 0xff, 0xff])],
    ['text in a zlib stream', 'zlib-stream', noText],
  ];

  it('a dispatch that ends each connection is given up after three, and only itself is missing', async () => {
    await Promise.all(
      ENDING.map(async ([what, compression, broken]) => {
        const gateway = await HostileGateway.start(compression === 'zlib-stream');
        // Two in a row, and one later.
        gateway.instead = (frame) => ([4, 5, 7].includes(frame.s ?? 0) ? broken : unhurried(frame));
        const client = startClient(gateway.url, { compression });
        await eventually('READY', () => client.shard.connected);
        for (let each = 2; each <= 8; each += 1) gateway.dispatch();
        await eventually(
          `RESUMED after ${what}`,
          () => client.sequences().includes(8) && client.shard.connected,
          55_000,
        );
        expect(client.sequences(), what).toEqual([2, 3, 6, 8]);
        const at = (sequence: number) => ({ sessionId: 's1', reason: `sequence ${sequence} cannot be decoded` });
        expect(client.reported(), what).toMatchObject([at(4), at(5), at(7)]);
        const verdicts = Array(3).fill(['malformed', 'malformed', 'resume']).flat();
        expect(client.ends(), what).toMatchObject(verdicts.map((verdict) => ({ verdict })));
        const counts = { resumes: 9, invalidFrames: 9, sequenceHoles: 3, identifies: 1 };
        expect(client.counted, what).toMatchObject(counts);
        expect(client.counted).not.toHaveProperty('gatewayGaps');
      }),
    );
  });

  it('ten such frames are skipped on a connection, and the eleventh ends it', async () => {
    const html = (count: number) => Array(count).fill('<html>');
    const { gateway, client } = await connect({
      instead: (frame, connection) => (frame.s === 4 ? [...html(connection === 2 ? 11 : 10), frame] : frame),
    });
    for (let each = 2; each <= 6; each += 1) gateway.dispatch();
    await until(6, client);
    expect(client.ends().map(({ verdict }) => verdict)).toEqual(['malformed', 'malformed']);
    expect(client.counted).toMatchObject({ resumes: 2, invalidFrames: 22 });
    expect([client.sequences(), client.reported()]).toEqual([[2, 3, 4, 5, 6], []]);
  });

  it('a frame that comes twice is dropped and logged; its sequence with something else is malformed', async () => {
    const { gateway, client } = await connect({
      instead: (frame, connection) => {
        if (frame.s === 3 || frame.s === 4) return [frame, frame];
        return frame.s === 5 && connection === 1 ? [frame, { ...frame, d: {} }] : frame;
      },
    });
    for (let each = 2; each <= 6; each += 1) gateway.dispatch();
    await until(6, client);
    await eventually('RESUMED', () => client.shard.connected);
    expect(client.sequences()).toEqual([2, 3, 4, 5, 6]);
    expect(client.lines.lines.filter(({ msg }) => /^dropped a frame that came twice/.test(String(msg)))).toMatchObject([
      { sequence: 3 },
    ]);
    expect(client.ends()).toMatchObject([
      { verdict: 'malformed', reason: 'malformed frame: expected sequence 6, got 5 again' },
    ]);
  });
});

it.each([undefined, 5, 'wss://thief.example', 'x'.repeat(10_000)])(
  'READY with the address %j, which cannot be used: the general one is used',
  async (address) => {
    const gateway = await HostileGateway.start();
    gateway.resumeUrl = address;
    const client = startClient(gateway.url);
    await eventually('READY', () => client.shard.connected);
    expect(client.ingestor.sessions['0']?.resumeUrl).toBe(gateway.url);
    expect(client.counted.addressesRefused).toBe(1);
    gateway.live?.close(4000);
    await eventually('RESUMED', () => client.counted.resumes === 1 && client.shard.connected);
    expect(gateway.connections).toHaveLength(2);
    const refused = client.lines.lines.filter(({ msg }) => /not sent to this address/.test(msg));
    expect(refused).toMatchObject([{ level: 'error', from: 'READY' }]);
    expect(JSON.stringify(refused).length).toBeLessThan(500);
  },
);

it('a stored session whose address may not get the token is resumed at the general one, and never there', async () => {
  const [thief, gateway] = [await HostileGateway.start(), await HostileGateway.start()];
  const resumeUrl = thief.url.replace('127.0.0.1', 'localhost');
  const client = startClient(gateway.url, { session: { resumeUrl, sequence: 5 } });
  await eventually('RESUMED', () => client.shard.connected);
  expect(gateway.received.find(({ op }) => op === 6)?.d).toMatchObject({ session_id: 's0', seq: 5 });
  expect([client.counted.addressesRefused, thief.connections]).toEqual([1, []]);
});

it('4014 on a ready shard costs a RESUME; in answer to RESUME the shard is failed', async () => {
  const { gateway, client } = await connect();
  gateway.live?.close(4014);
  await eventually('RESUMED', () => client.counted.resumes === 1 && client.shard.connected);
  gateway.answer = (_, socket) => {
    socket.close(4014);
    return true;
  };
  gateway.live?.close(4014);
  await eventually('it is failed', () => client.shard.state === 'failed');
  expect(client.counted).toMatchObject({ identifies: 1, resumes: 2 });
  expect(client.shard.problem).toMatch(/\(4014\)/);
});

describe('the cause of a failed connection', () => {
  async function upgradeWith(answer: string) {
    const server = createServer((socket) => void socket.once('data', () => socket.end(answer)));
    const { port, close } = await listening(server);
    onTestFinished(close);
    return `ws://127.0.0.1:${port}`;
  }

  it.each<[string, () => Promise<string>, RegExp]>([
    ['refused', async () => 'ws://127.0.0.1:1', /ECONNREFUSED/],
    ['DNS', async () => 'ws://gateway.invalid', /ENOTFOUND|EAI_AGAIN/],
    ['429', () => upgradeWith('HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\n\r\n'), /429/],
    ['TLS', async () => (await upgradeWith('HTTP/1.1 400 Bad Request\r\n\r\n')).replace('ws:', 'wss:'), /SSL|EPROTO/],
    ['closed', () => upgradeWith(''), /socket hang up/],
  ])('%s is in the log line, and after two in a row in the problem', async (_, address, cause) => {
    const client = startClient(await address(), { session: {} });
    await eventually('one end', () => client.ends().length === 1);
    expect(client.shard.problem).toBeUndefined();
    await eventually('two ends', () => client.ends().length === 2);
    for (const end of client.ends())
      expect(end).toMatchObject({ verdict: 'unreachable', reason: expect.stringMatching(cause) });
    expect(client.shard.problem).toMatch(cause);
    expect(client.shard.problem).toMatch(/2 connections in a row ended/);
  });
});

it('a dispatch that is not wanted is settled without a look at it, in order; a hole is found there too', async () => {
  let left = 1;
  const { gateway, client } = await connect({
    holds: true,
    instead: (frame) => {
      if (frame.s === 5 && left-- > 0) return undefined;
      // As Discord writes it, with a `d` that cannot be read.
      return frame.t === 'TYPING_START' ? `{"t":"TYPING_START","s":${frame.s},"op":0,"d":{ not JSON }}` : frame;
    },
  });
  client.confirm();
  for (const t of ['TYPING_START', 'GUILD_MEMBER_ADD', 'TYPING_START', 'TYPING_START', 'TYPING_START'])
    gateway.dispatch(t);
  await eventually('RESUMED', () => client.counted.resumes === 1 && client.shard.connected);
  await eventually('all', () => client.counted.eventsFiltered === 4);
  expect(gateway.received.find(({ op }) => op === 6)?.d).toMatchObject({ seq: 4 });
  // What is wanted is unconfirmed.
  expect(client.ingestor.sessions['0']?.sequence).toBe(2);
  client.confirm();
  expect(client.ingestor.sessions['0']?.sequence).toBe(7);
  expect([client.sequences(), client.reported(), client.counted.invalidFrames]).toEqual([[3], [], undefined]);
});

it('the token of a voice server is for workers, and in no line', async () => {
  const { gateway, client } = await connect({ events: 'voice' });
  const d = { token: 'VOICE-SECRET', guild_id: '1', endpoint: 'voice.example:443' };
  for (const each of [d, { ...d, guild_id: 5 }, [d], { ...d, deep: { token: 'VOICE-SECRET' } }])
    gateway.dispatch('VOICE_SERVER_UPDATE', each);
  await eventually('all', () => client.counted.eventsUnknown === 2 && client.sequences().length === 2);
  const [published] = client.published.filter(({ type }) => type === 'dispatch.voice_server_update');
  expect(JSON.parse(String(published?.body))).toMatchObject({ guildId: '1', data: d });
  // As somebody may log it by mistake.
  client.lines.log.error({ err: new Error(JSON.stringify(d)), d }, `lost ${JSON.stringify(d)}`);
  expect(client.lines.text).toContain('cannot read');
  expect(client.lines.text).not.toContain('VOICE-SECRET');
});

it('an error of the publisher costs that dispatch only', async () => {
  const { gateway, client } = await connect();
  const push = client.published.push.bind(client.published);
  client.published.push = (message) => {
    if (message.headers['x-sequence'] === 2) throw new TypeError('SECRET');
    return push(message);
  };
  gateway.dispatch();
  gateway.dispatch();
  await eventually('the next', () => client.sequences().includes(3));
  expect([client.counted.eventsUnknown, client.ingestor.sessions['0']?.sequence, client.ends()]).toEqual([1, 3, []]);
  expect(client.lines.text).not.toContain('SECRET');
});

it('READY in place of RESUMED begins a session, and reports the other', async () => {
  const gateway = await HostileGateway.start();
  gateway.answer = (op, socket) => {
    if (op !== 6) return false;
    socket.send(
      JSON.stringify({ op: 0, t: 'READY', s: 1, d: { session_id: 'other', resume_gateway_url: gateway.url } }),
    );
    return true;
  };
  const client = startClient(gateway.url, { session: { sequence: 9 } });
  await eventually('READY', () => client.shard.connected);
  expect(client.reported()).toMatchObject([{ sessionId: 's0', lastSequence: 9 }]);
  expect(client.ingestor.sessions['0']).toMatchObject({ sessionId: 'other', sequence: 1 });
});
