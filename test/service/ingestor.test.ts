// What the ingestor joins: the positions of a session with what is sent to Discord, and the shards with whoever owns them.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LastEnd } from '../../service/last-end.ts';
import { listening } from '../support/fake-servers.ts';
import { eventually } from '../support/log-lines.ts';
import { HostileGateway, startClient, unhurried } from './gateway/hostile-gateway.ts';

vi.setConfig({ testTimeout: 30_000 });

type Client = ReturnType<typeof startClient>;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const sequenceIn = (client: Client, sequence: number) =>
  eventually(`sequence ${sequence}`, () => client.sequences().includes(sequence));
const sent = ({ received }: HostileGateway, op: number) =>
  received.flatMap(({ op: sentOp, d }) => (sentOp === op ? [d] : []));

/** A connected client with events 2 to 4 of its session. */
async function connected(options: Parameters<typeof startClient>[1], compressed = false) {
  const gateway = await HostileGateway.start(compressed);
  const client = startClient(gateway.url, { ...options, ...(compressed && { compression: 'zlib-stream' }) });
  await eventually('READY', () => client.shard.connected);
  for (let each = 2; each <= 4; each += 1) gateway.dispatch();
  await sequenceIn(client, 4);
  return { gateway, client };
}

it('heartbeats carry what is stored, and nothing before a session', async () => {
  const { gateway, client } = await connected({});
  await eventually('two heartbeats', () => gateway.count(1) >= 2);
  expect(sent(gateway, 1)).toEqual(sent(gateway, 1).map(() => 1));
  client.ingestor.stored({ '0': { ...client.session.resumeState, sequence: 3 } as never, '7': {} as never });
  await eventually('what is stored', () => sent(gateway, 1).includes(3));
  expect(sent(gateway, 1)).not.toContain(4);
});

describe('a RESUME', () => {
  it('waits until what was received is confirmed, and only then for permission', async () => {
    const asked: LastEnd[] = [];
    const permission = async (_: AbortSignal, end: LastEnd) => {
      asked.push(end);
      return 'proven' as const;
    };
    const { gateway, client } = await connected({ holds: true, permission });
    gateway.live?.send('{"op":7}');
    await eventually('the end', () => client.ends().length === 1);
    await sleep(1_000);
    expect([asked.length, gateway.count(6), client.ingestor.connected, client.ingestor.untaken]).toEqual([1, 0, 0, 1]);
    client.confirm();
    await eventually('RESUME', () => gateway.count(6) === 1);
    expect([asked.length, sent(gateway, 6)]).toEqual([2, [expect.objectContaining({ seq: 4 })]]);
  });

  it('waits for confirms 5 s at most, and begins after what was received', async () => {
    let asked = 0;
    const permission = async () => {
      asked += 1;
      return 'proven' as const;
    };
    const { client, gateway } = await connected({ holds: true, permission });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
    onTestFinished(() => void vi.useRealTimers());
    gateway.live?.send('{"op":7}');
    while (client.ends().length === 0) await new Promise(setImmediate);
    let waits = false;
    vi.spyOn(client.publisher, 'flowing', 'get').mockImplementation(() => (waits = true));
    while (!waits) await vi.advanceTimersByTimeAsync(1);
    await vi.advanceTimersByTimeAsync(4_999);
    expect([asked, gateway.count(6)]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toBe(2);
    vi.useRealTimers();
    await eventually('RESUME', () => gateway.count(6) === 1);
    expect(sent(gateway, 6)).toMatchObject([{ seq: 4 }]);
  });

  it('does not wait for confirms where the broker takes nothing, and begins after what was received', async () => {
    const { client, gateway } = await connected({ holds: true });
    client.publisher.flowing = false;
    const endedAt = Date.now();
    gateway.live?.send('{"op":7}');
    await eventually('RESUME', () => gateway.count(6) === 1);
    expect(sent(gateway, 6)).toMatchObject([{ seq: 4 }]);
    expect(Date.now() - endedAt).toBeLessThan(4_000);
  });

  it('asks for permission with what is known of the end before, and how often it went without proof', async () => {
    const asked: LastEnd[] = [];
    const answers = ['proven', 'unproven', 'unproven', 'unproven', 'proven', 'proven'] as const;
    let proof = Promise.withResolvers<'proven'>();
    const whileItWorks: AbortSignal[] = [];
    const permission = async (signal: AbortSignal, end: LastEnd) => {
      // While a connection works that went without.
      if (!end.resumable && end.unproven > 0) {
        whileItWorks.push(signal);
        return await proof.promise;
      }
      return answers[asked.push(end) - 1] ?? 'proven';
    };
    const { gateway, client } = await connected({ permission });
    for (const op of ['{"op":7}', '{"op":7}', 'a proof', '{"op":7}', 'a close', '{"op":9,"d":true}']) {
      if (op === 'a proof') {
        proof.resolve('proven');
        await sleep(50);
        proof = Promise.withResolvers();
        continue;
      }
      const ended = client.ends().length;
      if (op === 'a close') gateway.live?.close(4000);
      else gateway.live?.send(op);
      await eventually('the next RESUMED', () => client.ends().length > ended && client.shard.connected);
    }
    const endedAt = expect.any(Number);
    expect(asked).toEqual([
      { resumable: false, endedAt: undefined, unproven: 0, perhapsTaken: true },
      { resumable: true, endedAt, unproven: 0, perhapsTaken: false },
      { resumable: true, endedAt, unproven: 1, perhapsTaken: false },
      { resumable: true, endedAt, unproven: 0, perhapsTaken: false },
      { resumable: true, endedAt, unproven: 1, perhapsTaken: true },
      { resumable: false, endedAt, unproven: 0, perhapsTaken: true },
    ]);
    // These connections have ended, whatever is left of them in memory.
    collectGarbage();
    expect(whileItWorks.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });
});

describe('a session with other intents', () => {
  const NOISE = randomBytes(1_000_000).toString('hex');
  const OTHERS = { intents: 3, session: { intents: 1 } };
  const replaced = ({ published }: Client) =>
    published.flatMap(({ type, body }) =>
      type === 'gateway.session-replaced' ? [(JSON.parse(String(body)) as { data: object }).data] : [],
    );

  it.each([false, true])(
    'is resumed, then ended, and all that Discord sent is taken (compressed: %s)',
    async (compressed) => {
      let gateway: HostileGateway | undefined;
      let acquired = 0;
      const acquire = async () => {
        // On the way when the client closes.
        acquired += 1;
        for (let each = 1; each < 500; each += 1) gateway?.dispatch();
        // Some time passes until it is inflated.
        gateway?.dispatch('GUILD_MEMBER_ADD', { guild_id: '1', user: { id: '1' }, noise: NOISE });
        await gateway?.flushed();
      };
      gateway = await HostileGateway.start(compressed);
      gateway.instead = unhurried;
      const compression = compressed ? 'zlib-stream' : 'none';
      const client = startClient(gateway.url, { ...OTHERS, acquire, compression });
      await eventually('the next session', () => client.session.id === 's1');
      expect(client.sequences('s0')).toEqual(Array.from({ length: 500 }, (_, index) => index + 3));
      expect(replaced(client)).toEqual([
        { sessionId: 's0', lastSequence: 502, reason: 'intents changed from Guilds to Guilds, GuildMembers' },
      ]);
      expect(sent(gateway, 2)).toMatchObject([{ intents: 3 }]);
      expect(acquired, 'the lock is taken once').toBe(1);
      // The next shard may replace its session.
      (await client.gate.replacing.lock(AbortSignal.timeout(5_000)))();
      expect([client.reported(), client.counted.gatewayGaps, client.session.resumeState?.intents]).toEqual([
        [],
        undefined,
        3,
      ]);
    },
  );

  it('whose connection ends while it waits for its turn is resumed, and replaced later', async () => {
    let open: () => void = () => undefined;
    const waits = new Promise<void>((resolve) => {
      open = resolve;
    });
    const gateway = await HostileGateway.start();
    const client = startClient(gateway.url, { ...OTHERS, acquire: () => waits });
    for (const connections of [1, 2]) {
      await eventually('RESUMED', () => client.shard.connected && gateway.connections.length === connections);
      if (connections === 1) gateway.live?.send('{"op":7}');
    }
    expect([gateway.count(2), replaced(client)]).toEqual([0, []]);
    open();
    await eventually('the next session', () => client.session.id === 's1');
    expect([gateway.count(2), replaced(client).length]).toEqual([1, 1]);
  });

  it('that is ended is a gap of the next owner, until all of its events are confirmed', async () => {
    let gateway: HostileGateway | undefined;
    const acquire = async () => void gateway?.dispatch();
    gateway = await HostileGateway.start();
    const client = startClient(gateway.url, { ...OTHERS, acquire, holds: true });
    await eventually('the end of the session', () => replaced(client).length === 1);
    const reason = 'intents changed from Guilds to Guilds, GuildMembers';
    expect(client.gaps.unreportedGaps).toMatchObject([{ sessionId: 's0', lastSequence: 2, reason }]);
    client.confirm();
    await eventually('nothing', () => client.gaps.unreportedGaps.length === 0);
    expect(client.reported()).toEqual([]);
  });

  it('is not ended while a refused IDENTIFY of another shard is about to be tried again', async () => {
    const acquired = Promise.withResolvers<void>();
    const { client, gateway } = await connected({ ...OTHERS, acquire: () => acquired.promise });
    vi.spyOn(Date, 'now').mockReturnValueOnce(Date.now() - 61_000);
    client.gate.close('Discord has not granted one of the intents (4014)');
    acquired.resolve();
    await sleep(500);
    expect([gateway.count(2), client.shard.connected]).toEqual([0, true]);
    client.gate.accepted();
    await eventually('the next session', () => client.session.id === 's1');
  });

  it('is not ended without proof of the lease', async () => {
    let proof: 'proven' | 'unproven' = 'unproven';
    const { client, gateway } = await connected({ ...OTHERS, permission: async () => proof });
    await sleep(500);
    expect([client.session.id, gateway.count(2)]).toEqual(['s0', 0]);
    proof = 'proven';
    await eventually('the next session', () => client.session.id === 's1');
  });

  it.each([undefined, 3])('is none where the record has %s of 3', async (intents) => {
    const { client, gateway } = await connected({ intents: 3, session: { intents } });
    await sleep(500);
    expect([client.session.id, gateway.count(2), client.session.resumeState?.intents]).toEqual(['s0', 0, 3]);
  });
});

describe('commands', () => {
  const voice = {
    command: 'update_voice_state',
    data: { guild_id: '1', channel_id: null, self_mute: true, self_deaf: true },
  };

  it('leave room for heartbeats: regular ones always, those that Discord asks for while there is room', async () => {
    const { client, gateway } = await connected({});
    for (let n = 0; n < 150; n += 1) client.command(voice);
    const sends = () => gateway.received.length;
    await eventually('what the minute takes', () => sends() >= 110);
    const commands = gateway.count(4);
    expect(commands).toBeGreaterThan(100);
    // The heartbeats here come once a second.
    await eventually('the room is used up', () => sends() >= 117);
    const beats = gateway.count(1);
    await eventually('a regular one', () => gateway.count(1) > beats);
    gateway.live?.send('{"op":1}');
    await sleep(400);
    expect([gateway.count(4), gateway.count(1)]).toEqual([commands, beats + 1]);
    expect(client.answers.filter((each) => each === 'ack')).toHaveLength(commands);
  });

  it('wait until RESUMED', async () => {
    const { client, gateway } = await connected({});
    let answer = () => undefined as unknown;
    gateway.answer = (op, socket) => {
      const answered = { op: 0, t: 'RESUMED', s: 5, d: {} };
      answer = () => socket.send(JSON.stringify(answered));
      return op === 6;
    };
    gateway.live?.send('{"op":7}');
    await eventually('RESUME', () => gateway.count(6) === 1);
    client.command(voice);
    await sleep(500);
    expect([gateway.count(4), client.answers]).toEqual([0, []]);
    answer();
    await eventually('the command', () => client.answers.includes('ack'));
    expect(gateway.count(4)).toBe(1);
  });

  it('a presence that Discord cannot read is in one IDENTIFY only', async () => {
    const gateway = await HostileGateway.start();
    gateway.answer = (op, socket) => {
      const d = gateway.received.at(-1)?.d as { readonly presence?: object } | undefined;
      const refused = op === 2 && d?.presence !== undefined;
      if (refused) socket.close(4002);
      return refused;
    };
    const presence = { since: null, activities: [], status: 'idle', afk: false };
    const presences = [
      { data: presence, shards: [0] },
      { data: { status: 'busy' }, shards: [1] },
    ];
    const client = startClient(gateway.url, { presences });
    await eventually('READY', () => client.shard.connected);
    expect(sent(gateway, 2)).toMatchObject([
      { presence },
      expect.not.objectContaining({ presence: expect.anything() }),
    ]);
    expect(client.ingestor.presences).toEqual([]);
    await client.lines.line('Discord closed the connection over the presence of this shard');
    await client.lines.line('a stored presence is faulty');
  });
});

it('has not reached Discord only if none of its shards has', async () => {
  const { client, gateway } = await connected({});
  const { ingestor } = client;
  await ingestor.stepDown();
  expect([ingestor.connected, ingestor.unreachableSince]).toEqual([0, undefined]);
  const { port, close } = await listening(createServer((socket) => void socket.destroy()));
  onTestFinished(close);
  const refused = `ws://127.0.0.1:${port}`;
  const own = async (...resumeUrls: string[]) => {
    const stateOf = (resumeUrl: string, id: number) =>
      [id, { sessionId: `s${id}`, resumeUrl, sequence: 1, shardCount: 2, startedAt: 0 }] as const;
    const sessions = new Map(resumeUrls.map(stateOf));
    const shardIds = [...sessions.keys()];
    ingestor.own({ group: 0, presences: [], shardIds, shardCount: 2, sessions, storedAt: 0, takenOverAt: 0 });
    const tries = resumeUrls.filter((url) => url === refused).length;
    await eventually('each is connected or tries', () => {
      const trying = ingestor.members.filter(({ shard }) => shard.unreachableSince);
      return ingestor.connected === resumeUrls.length - tries && trying.length === tries;
    });
  };
  await own(gateway.url, refused);
  await expect(own(refused, refused)).rejects.toThrow('expected no shards before another group is taken over');
  expect([ingestor.connected, ingestor.unreachableSince, ingestor.untaken]).toEqual([1, undefined, 1]);
  await ingestor.stepDown();
  await own(refused);
  const [only] = ingestor.members.map(({ shard }) => shard);
  expect([ingestor.unreachableSince, only?.unreachableSince]).toEqual([only?.unreachableSince, expect.any(Number)]);
  await expect(own(refused)).rejects.toThrow('expected no shards before another group is taken over');
  await ingestor.stepDown();
  await own(refused, refused);
  const [first, second] = ingestor.members.map(({ shard }) => shard);
  // When it was the first, the second had not tried.
  if (first) vi.spyOn(first, 'unreachableSince', 'get').mockReturnValueOnce(1);
  expect(ingestor.unreachableSince).toBe(second?.unreachableSince);
  // The general address is tried too.
  await eventually('one is connected', () => ingestor.connected > 0);
  expect(ingestor.unreachableSince).toBeUndefined();
});

describe('stepping down', () => {
  it('reports also that one event is dropped', async () => {
    const gateway = await HostileGateway.start();
    const client = startClient(gateway.url, { holds: true });
    await eventually('READY', () => client.shard.connected);
    gateway.dispatch();
    await sequenceIn(client, 2);
    await client.ingestor.stepDown({ '0': { sessionId: 's1' } } as never);
    expect(await client.lines.line('dropped events')).toMatchObject({ events: 1 });
  });

  it.each([
    ['drops what the new owner has replayed, and its gap', { '0': { sessionId: 's1' } }, 4],
    ['publishes what the new owner cannot resume', { '0': { sessionId: 'other' } }, 0],
    ['publishes what another shard has in its record', { '1': { sessionId: 's1' } }, 0],
    ['publishes everything where no later record was seen', undefined, 0],
  ])('%s', async (_, later, dropped) => {
    const { client } = await connected({ holds: true });
    const gap = { shardId: 0, sessionId: 's1', lastSequence: 1, lastReceivedAt: 0, lostAt: 0, reason: 'a hole' };
    void client.gaps.report([gap]);
    await client.ingestor.stepDown(later as never);
    const lines = client.lines.lines.filter(({ msg }) => msg.startsWith('dropped events'));
    expect(lines.map(({ events }) => events)).toEqual(dropped > 0 ? [dropped] : []);
    // The new owner reports those of the session that it resumes.
    expect(client.gaps.unreportedGaps).toEqual(dropped > 0 ? [] : [gap]);
    expect([client.ingestor.members, client.shard.state]).toEqual([[], 'stopped']);
  });
});
