// The commands of one shard: order, expiry, what a connection that ends means for them, and the shard's presence.

import { GatewayOpcodes } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import type { Presence } from '../../../service/commands/command.ts';
import { type Outcome, ShardCommands } from '../../../service/commands/shard-commands.ts';

const LIFE_MS = 30_000;
const presence = (status: string) => ({ since: null, activities: [], status, afk: false }) as Presence;

function line(stored?: Presence, initial?: Presence) {
  const outcomes: Record<string, string> = {};
  const sent: string[] = [];
  let refused = 0;
  const commands = new ShardCommands(stored, initial, () => {
    refused += 1;
  });
  let [now, waitMs]: [number, number | undefined] = [0, undefined];
  const nameOf = (d: object) => ('status' in d ? String(d.status) : String('channel_id' in d && d.channel_id));
  const turn = () => commands.update(now, ({ d }) => waitMs ?? sent.push(nameOf(d)) * 0);
  return {
    commands,
    outcomes,
    sent,
    refused: () => refused,
    add(name: string, d: object = { channel_id: name }, life = LIFE_MS) {
      const op = 'status' in d ? GatewayOpcodes.PresenceUpdate : GatewayOpcodes.VoiceStateUpdate;
      const settle = (outcome: Outcome) => {
        expect(outcomes[name], `${name} is settled once`).toBeUndefined();
        outcomes[name] = 'reason' in outcome ? outcome.reason : outcome.how;
      };
      commands.add({ payload: { op, d } as never, expiresAt: now + life, settle });
    },
    /** @param ms since the turn before @param wait of the connection; 0: it takes everything */
    at(ms: number, wait: number | undefined = 0) {
      now += ms;
      waitMs = wait === 0 ? undefined : wait;
      return turn();
    },
    away(ms: number) {
      now += ms;
      return commands.update(now, () => undefined);
    },
  };
}

it('sends in order, and settles a second after: not before', () => {
  const { commands, add, at, sent, outcomes } = line();
  commands.connected();
  add('a');
  add('b');
  expect([at(0), sent, outcomes]).toEqual([1_000, ['a', 'b'], {}]);
  expect([at(999), outcomes]).toEqual([1, {}]);
  expect([at(1), outcomes]).toEqual([undefined, { a: 'sent', b: 'sent' }]);
});

it('waits for the connection, and for its rate, until a command expires', () => {
  const { commands, add, at, away, sent, outcomes } = line();
  add('a');
  expect(away(0)).toBe(LIFE_MS);
  add('b', { channel_id: 'b' }, LIFE_MS + 5);
  expect([away(LIFE_MS), outcomes]).toEqual([5, { a: 'expired: the shard is not connected to Discord' }]);
  commands.connected();
  expect([at(0, 4), at(4, 700), sent]).toEqual([4, 1, []]);
  at(1, 700);
  expect(outcomes.b).toBe('expired: more commands wait for the shard than Discord takes (120 sends in 60 s)');
});

it('refuses at once what Discord would not take within the life of a command; a presence is none of these', () => {
  const { commands, add, away, outcomes } = line();
  for (let number = 0; number < 111; number += 1) add(String(number));
  expect(outcomes).toEqual({ 110: 'more commands wait for the shard than Discord takes (120 sends in 60 s)' });
  add('p', presence('idle'));
  away(0);
  expect([Object.keys(outcomes), commands.open]).toEqual([['110'], 111]);
});

describe('when the connection ends within the second', () => {
  it('all are sent once more, together where Discord blames nothing, and are then refused', () => {
    const { commands, add, at, sent, outcomes } = line();
    commands.connected();
    add('a');
    add('b');
    at(0);
    commands.ended('op 7', undefined);
    add('c');
    commands.connected();
    at(10);
    expect(sent).toEqual(['a', 'b', 'a', 'b', 'c']);
    commands.ended('close code 4000', 4_000);
    const reason = 'the connection ended each time it had been sent, twice (close code 4000)';
    expect(outcomes).toEqual({ a: reason, b: reason });
    commands.connected();
    at(0);
    at(1_000);
    expect([sent.slice(5), outcomes.c]).toEqual([['c'], 'sent']);
  });

  it('each is sent alone where Discord could not read one', () => {
    const { commands, add, at, sent, outcomes } = line();
    commands.connected();
    for (const each of ['a', 'b', 'c']) add(each);
    at(0);
    commands.ended('close code 4002', 4_002);
    add('d');
    commands.connected();
    for (const [ms, expected] of [
      [0, 'a'],
      [999, 'a'],
      [1, 'ab'],
    ] as const) {
      at(ms);
      expect(sent.slice(3).join('')).toBe(expected);
    }
    commands.ended('close code 4002', 4_002);
    commands.connected();
    at(0);
    expect(sent.slice(5)).toEqual(['c']);
    at(1_000);
    at(1_000);
    expect(outcomes).toMatchObject({ a: 'sent', b: expect.stringContaining('twice'), c: 'sent', d: 'sent' });
    expect(sent.slice(5).join('')).toBe('cd');
  });
});

describe('the presence', () => {
  const [idle, dnd, online] = [presence('idle'), presence('dnd'), presence('online')];

  it.each<[string, Presence | undefined, Presence | undefined, Presence | null, string[]]>([
    ['of the record', dnd, online, dnd, ['dnd']],
    ['of INITIAL_PRESENCE', undefined, online, online, ['online']],
    ['none', undefined, undefined, null, []],
  ])('%s is in the IDENTIFY, or sent once after the first RESUME', (_, stored, initial, identified, resumed) => {
    const first = line(stored, initial);
    expect(first.commands.identify()).toEqual(identified);
    first.commands.connected();
    first.at(0);
    expect([first.sent, first.commands.presence]).toEqual([[], stored]);
    const second = line(stored, initial);
    second.commands.connected();
    second.at(0);
    second.at(1_000);
    second.commands.ended('op 7', undefined);
    second.commands.connected();
    second.at(0);
    expect(second.sent).toEqual(resumed);
  });

  it('of a command replaces that of the record before it is sent, and commands wait behind an IDENTIFY', () => {
    const { commands, add, at, sent } = line(dnd);
    add('p', idle);
    add('a');
    commands.connected();
    at(0);
    expect(sent).toEqual(['idle', 'a']);
    add('b');
    commands.ended('op 9', undefined);
    expect(commands.identify()).toEqual(idle);
    commands.connected();
    at(0);
    expect(sent.slice(2)).toEqual(['a', 'b']);
  });

  it('of a command expires only while the shard is away', () => {
    const { commands, add, at, away, sent, outcomes } = line();
    commands.connected();
    add('p', idle, 5);
    at(5, 700);
    expect(outcomes).toEqual({});
    at(0);
    expect(sent).toEqual(['idle']);
    at(1_000);
    commands.ended('op 7', undefined);
    add('q', dnd, 5);
    away(5);
    expect(outcomes).toEqual({ p: 'sent', q: 'kept' });
  });

  it.each([
    [4_002, null],
    [4_004, idle],
  ])('with which the connection ended twice, with code %d: the next IDENTIFY has %j', (closeCode, expected) => {
    const { commands, add, at } = line();
    add('p', idle);
    for (let times = 0; times < 2; times += 1) {
      commands.connected();
      at(0);
      commands.ended(`close code ${closeCode}`, closeCode);
    }
    expect(commands.identify()).toEqual(expected);
  });

  it('of a command is sent, and in each IDENTIFY from then on', () => {
    const { commands, add, at, sent, outcomes } = line(undefined, online);
    commands.connected();
    add('p', idle);
    at(0);
    at(1_000);
    expect([sent, outcomes, commands.presence, commands.identify()]).toEqual([['idle'], { p: 'sent' }, idle, idle]);
  });

  it('that comes while the shard identifies is in the IDENTIFY, or waits for the next one', () => {
    const { commands, add, at, sent, outcomes } = line();
    add('p', idle);
    expect(commands.identify()).toEqual(idle);
    commands.ended('no READY', undefined);
    add('q', dnd);
    expect([commands.identify(), outcomes]).toEqual([dnd, { p: 'kept' }]);
    add('r', online);
    commands.connected();
    expect(outcomes).toEqual({ p: 'kept', q: 'sent' });
    at(0);
    expect(sent).toEqual(['online']);
  });

  it.each([false, true])(
    'is a state: it does not expire, and is sent after READY (behind an IDENTIFY: %j)',
    (behind) => {
      const { commands, add, at, away, sent, outcomes } = line();
      if (behind) expect(commands.identify()).toBeNull();
      add('p', idle);
      add('q', dnd);
      away(LIFE_MS);
      expect([outcomes, commands.presence]).toEqual([{ p: 'kept', q: 'kept' }, dnd]);
      commands.connected();
      at(0);
      expect(sent).toEqual(['dnd']);
    },
  );

  it('replaces those that wait, also one that would be sent again', () => {
    const { commands, add, at, away, sent, outcomes } = line();
    add('p', online);
    add('q', idle, 5);
    expect(outcomes).toEqual({ p: 'kept' });
    away(5);
    commands.connected();
    at(0);
    expect(sent).toEqual(['idle']);
    add('r', online);
    at(0);
    add('s', dnd);
    commands.ended('op 7', undefined);
    commands.connected();
    at(0);
    expect([sent, outcomes.r]).toEqual([['idle', 'online', 'dnd'], 'kept']);
  });

  it('is sent although the consumer was lost while it waited, or was on its way', () => {
    for (const [connects, before] of [
      [false, []],
      [true, ['idle']],
    ] as const) {
      const { commands, add, at, away, sent } = line();
      if (connects) commands.connected();
      add('p', idle);
      (connects ? at : away)(0);
      commands.forget();
      if (!connects) commands.connected();
      at(0);
      expect(sent).toEqual([...before, 'idle']);
    }
  });

  it('that Discord cannot read in an IDENTIFY is sent no more; then INITIAL_PRESENCE is, until it cannot be read either', () => {
    const { commands, add, outcomes, refused } = line(dnd, online);
    add('p', idle);
    commands.identify();
    commands.ended('close code 4002', 4_002);
    expect([refused(), commands.identify(), commands.presence]).toEqual([1, online, undefined]);
    expect(outcomes.p).toBe('Discord closed the connection over it (close code 4002)');
    commands.ended('close code 4002', 4_002);
    expect([refused(), commands.identify()]).toEqual([2, null]);
    commands.ended('close code 4002', 4_002);
    expect(refused()).toBe(2);
  });

  it.each<[string, number, ('identify' | 'connected' | 'ended')[], string[]]>([
    ['cannot read a RESUME', 4_002, [], ['dnd']],
    ['cannot read what follows the READY', 4_002, ['identify', 'connected'], []],
    ['cannot read a RESUME after an IDENTIFY without an answer', 4_002, ['identify', 'ended'], ['dnd']],
    ['closes an IDENTIFY for another reason', 4_000, ['identify'], ['dnd']],
  ])('stays where Discord %s, and is sent unless Discord has it', (_, closeCode, before, expected) => {
    const { commands, at, sent, refused } = line(dnd, online);
    for (const each of before) commands[each]('no READY', undefined);
    commands.ended(`close code ${closeCode}`, closeCode);
    commands.connected();
    at(0);
    expect([refused(), sent, commands.presence, commands.identify()]).toEqual([0, expected, dnd, dnd]);
  });
});

it('what is not acknowledged when the consumer is lost comes again: it is forgotten, but for the own presence', () => {
  const { commands, add, at, sent, outcomes } = line(presence('dnd'));
  commands.connected();
  add('a');
  commands.forget();
  at(0);
  expect([sent, outcomes, commands.open]).toEqual([['dnd'], {}, 1]);
  add('b');
  at(0);
  commands.forget();
  at(1_000);
  expect([sent, outcomes, commands.open]).toEqual([['dnd', 'b'], {}, 0]);
});

it('a presence in an IDENTIFY without an answer is forgotten as well', () => {
  const { commands, add, outcomes } = line();
  add('p', presence('dnd'));
  commands.identify();
  commands.forget();
  commands.connected();
  expect([outcomes, commands.open]).toEqual([{}, 0]);
});

it('stopped, what was sent is settled and what waits is left to the next owner', () => {
  const { commands, add, at, outcomes } = line();
  commands.connected();
  add('a');
  at(0);
  add('b');
  commands.stop();
  expect([outcomes, commands.open]).toEqual([{ a: 'sent' }, 0]);
  add('p', presence('dnd'));
  commands.identify();
  commands.stop();
  expect([outcomes, commands.open]).toEqual([{ a: 'sent' }, 0]);
});
