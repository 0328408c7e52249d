// `npm run simulator`: the simulator by itself, with a line that says what it is doing. Ctrl-C ends it.

import { parseArgs } from 'node:util';
import { DEFAULTS, type SimulatorOptions } from './options.ts';
import { FAULT_KINDS, type FaultKind, startRandomFaults } from './random-faults.ts';
import { DiscordSimulator } from './simulator.ts';

const HELP = `A simulated Discord: REST /gateway/bot and a gateway, on 127.0.0.1.

  npm run simulator -- --guilds 1000 --rate 500

  --guilds N              guilds that the bot is in (${DEFAULTS.guilds})
  --rate N                events a second over all shards (10)
  --seed N                same seed, same events (${DEFAULTS.seed})
  --port N                0 for whatever is free (${DEFAULTS.port})
  --token TEXT            the bot's token
  --shards N              what /gateway/bot recommends (one for each 1,000 guilds)
  --max-concurrency N     IDENTIFY buckets (${DEFAULTS.maxConcurrency})
  --daily-identifies N    IDENTIFYs of a day (${DEFAULTS.dailyIdentifies})
  --identify-every S      seconds between two IDENTIFYs of a bucket (5)
  --heartbeat S           heartbeat interval in seconds (41.25)
  --session-ttl S         seconds that a session lives without a connection (300)
  --replay-buffer N       dispatches kept for a RESUME, for each session (${DEFAULTS.replayBufferEvents})
  --trim-on-heartbeat     a heartbeat drops what it acknowledges from the replay buffer
  --keep-older-socket     a RESUME leaves the socket open that the session had before
  --ready-delay S         seconds from IDENTIFY to READY (0)
  --large-guild N         members that the first guild's GUILD_CREATE quotes (0; 2000 exceed 512 KiB)
  --mix KIND=N,…          kinds of events and their shares, instead of the usual ones
  --burst N  --burst-every S   N more events at once, every S seconds
  --faults KIND,…|all     faults by chance: ${FAULT_KINDS.join(', ')}
  --fault-every S         seconds between two faults (30)
  --marker TEXT           stands in everything that people write
  --help
`;

interface Command {
  readonly options: Partial<SimulatorOptions>;
  readonly rate: number;
  readonly faults: { readonly kinds: readonly [FaultKind, ...FaultKind[]]; readonly everyMs: number } | undefined;
}

const EXIT_USAGE = 2;
const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  let simulator: DiscordSimulator;
  let command: Command;
  try {
    const read = readCommand(args);
    if (read === 'help') {
      console.log(HELP);
      return;
    }
    command = read;
    simulator = await DiscordSimulator.start(command.options);
    simulator.startTraffic(command.rate);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    console.error('See npm run simulator -- --help');
    process.exitCode = EXIT_USAGE;
    return;
  }
  run(simulator, command);
}

/** @throws a sentence for what cannot be understood */
function readCommand(args: readonly string[]): Command | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      guilds: text,
      rate: text,
      seed: text,
      port: text,
      token: text,
      shards: text,
      'max-concurrency': text,
      'daily-identifies': text,
      'identify-every': text,
      heartbeat: text,
      'session-ttl': text,
      'replay-buffer': text,
      'trim-on-heartbeat': flag,
      'keep-older-socket': flag,
      'ready-delay': text,
      'large-guild': text,
      mix: text,
      burst: text,
      'burst-every': text,
      faults: text,
      'fault-every': text,
      marker: text,
      help: flag,
    },
  });
  if (values.help) return 'help';
  const number = (name: keyof typeof values): number | undefined => {
    const value = values[name];
    if (value === undefined) return undefined;
    if (typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))) return Number(value);
    throw new Error(`--${name}: expected a number, got '${value}'`);
  };
  const ms = (name: keyof typeof values): number | undefined => {
    const seconds = number(name);
    return seconds === undefined ? undefined : Math.round(seconds * 1_000);
  };
  const burst = number('burst');
  return {
    rate: number('rate') ?? 10,
    faults:
      values.faults === undefined
        ? undefined
        : { kinds: faultKinds(values.faults), everyMs: ms('fault-every') ?? 30_000 },
    options: given({
      guilds: number('guilds'),
      seed: number('seed'),
      port: number('port'),
      token: values.token,
      shards: number('shards'),
      maxConcurrency: number('max-concurrency'),
      dailyIdentifies: number('daily-identifies'),
      identifyEveryMs: ms('identify-every'),
      heartbeatIntervalMs: ms('heartbeat'),
      sessionTtlMs: ms('session-ttl'),
      replayBufferEvents: number('replay-buffer'),
      trimReplayOnHeartbeat: values['trim-on-heartbeat'],
      closeOlderSocket: values['keep-older-socket'] === undefined ? undefined : !values['keep-older-socket'],
      readyDelayMs: ms('ready-delay'),
      largeGuildMembers: number('large-guild'),
      marker: values.marker,
      mix: values.mix === undefined ? undefined : readMix(values.mix),
      bursts: burst === undefined ? undefined : { events: burst, everyMs: ms('burst-every') ?? 10_000 },
    }),
  };
}

function run(simulator: DiscordSimulator, { rate, faults }: Command): void {
  console.log(`Simulated Discord   DISCORD_API_URL=${simulator.apiUrl}`);
  console.log(`Token of the bot    DISCORD_BOT_TOKEN=${simulator.token}`);
  console.log(
    `${simulator.guildIds.length} guilds, ${rate} events a second, seed ${simulator.options.seed}. Ctrl-C ends it.`,
  );
  const say = (line: string) => console.log(`${process.stdout.isTTY ? '\r\u001b[K' : ''}${line}`);
  simulator.events.on('violation', ({ sentence, code, shardId }) =>
    say(`violation (${code === 9 ? 'op 9' : code})${shardId === undefined ? '' : ` on shard ${shardId}`}: ${sentence}`),
  );
  simulator.events.on('lost', ({ shardId, reason, lastSequence }) =>
    say(`session of shard ${shardId} lost after ${lastSequence} dispatches: ${reason}`),
  );
  simulator.events.on('tokenReset', ({ token }) => say(`the token was reset: DISCORD_BOT_TOKEN=${token}`));
  const stopFaults =
    faults &&
    startRandomFaults(simulator, faults.kinds, faults.everyMs, (kind, shard) => say(`${kind} on shard ${shard}`));
  const status = startStatus(simulator);
  const stop = () => {
    stopFaults?.();
    clearInterval(status);
    say(statusLine(simulator, 0));
    void simulator.stop();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

/** On a terminal one line that changes every second; elsewhere a line every ten. */
function startStatus(simulator: DiscordSimulator): NodeJS.Timeout {
  const everyMs = process.stdout.isTTY ? 1_000 : 10_000;
  let before = 0;
  return setInterval(() => {
    const { delivered } = simulator.counts;
    const line = statusLine(simulator, Math.round(((delivered - before) * 1_000) / everyMs));
    before = delivered;
    if (process.stdout.isTTY) process.stdout.write(`\r\u001b[K${line}`);
    else console.log(line);
  }, everyMs);
}

function statusLine(simulator: DiscordSimulator, perSecond: number): string {
  const { produced, delivered } = simulator.counts;
  const { sessions } = simulator;
  const attached = sessions.filter((session) => session.attached).length;
  return [
    `shards connected ${attached}`,
    `sessions ${sessions.length}`,
    `events ${produced}`,
    `sent ${delivered} (${perSecond}/s)`,
    `identifies ${simulator.count('identify')}`,
    `resumes ${simulator.count('resumed')}`,
    `lost ${simulator.count('lost')}`,
    `violations ${simulator.violations.length}`,
  ].join('  ');
}

function faultKinds(list: string): readonly [FaultKind, ...FaultKind[]] {
  if (list === 'all') return FAULT_KINDS;
  const [first, ...rest] = list.split(',').map((name) => {
    const kind = FAULT_KINDS.find((known) => known === name.trim());
    if (kind) return kind;
    throw new Error(`--faults: expected all or some of ${FAULT_KINDS.join(', ')}, got '${name.trim()}'`);
  });
  if (first === undefined) throw new Error('--faults: expected at least one kind');
  return [first, ...rest];
}

function readMix(list: string): Record<string, number> {
  return Object.fromEntries(
    list.split(',').map((part) => {
      const [name = '', share = ''] = part.split('=');
      if (share.trim() === '' || !Number.isFinite(Number(share)))
        throw new Error(`--mix: expected KIND=NUMBER, as in message.text=5,member.join=1, got '${part}'`);
      return [name.trim(), Number(share)];
    }),
  );
}

/** Only what was given: the rest keeps its default. */
function given(
  options: { [K in keyof SimulatorOptions]?: SimulatorOptions[K] | undefined },
): Partial<SimulatorOptions> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
