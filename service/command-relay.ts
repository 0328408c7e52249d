// The way back, joined: what workers publish for the shards of this task's group is admitted, waits for its shard, and is
// sent over its gateway connection. It consumes only while this task owns the group; what it has not acknowledged the
// broker delivers to the next owner. It consumes on a connection of its own: what a worker writes can end it, and neither
// the lease nor the events must end with it. A memory alarm blocks it once it has published a dead letter; workers cannot
// publish commands then either.

import type { Delivery, QueueConsumer } from './amqp/queue-consumer.ts';
import { admit, type Shards } from './commands/admit.ts';
import { Presence } from './commands/command.ts';
import { type Outcome, type Send, ShardCommands } from './commands/shard-commands.ts';
import { commandQueue } from './contract/names.ts';
import type { SendPort } from './gateway/shard-options.ts';
import type { StoredPresence } from './lease/group-record.ts';
import type { ShardGroup } from './lease/take-over.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { OutageLog } from './outage-log.ts';

export interface CommandRelayOptions {
  readonly consumer: Pick<QueueConsumer, 'consuming' | 'problem' | 'start' | 'stop'>;
  readonly initialPresence: Presence | undefined;
  /** Bit field. */
  readonly intents: number;
  readonly metrics: Pick<Metrics, 'add'>;
  readonly log: Log;
}

interface Line {
  readonly commands: ShardCommands;
  readonly send: Send;
  timer: NodeJS.Timeout | undefined;
}

export class CommandRelay {
  readonly #options: CommandRelayOptions;
  readonly #refusals: OutageLog;
  /** By shard, of the group that this task has, or had last. */
  #lines = new Map<number, Line>();
  #stored = new Map<number, Presence>();

  constructor(options: CommandRelayOptions) {
    this.#options = options;
    this.#refusals = new OutageLog(options.log, 'warn', 'refused a command of a worker: dead-letters has it');
  }

  /** The presences of the shards for the group record; shards with the same presence share an entry. */
  get presences(): readonly StoredPresence[] {
    const withPresence = [...this.#lines].filter(([, { commands }]) => commands.presence !== undefined);
    const alike = Map.groupBy(withPresence, ([, { commands }]) => JSON.stringify(commands.presence));
    return [...alike].map(([text, lines]) => ({ data: JSON.parse(text), shards: lines.map(([id]) => id) }));
  }

  /** For /health. */
  get detail() {
    const { consuming, problem } = this.#options.consumer;
    const waiting = [...this.#lines.values()].reduce((sum, { commands }) => sum + commands.open, 0);
    return { consuming, waiting, problem };
  }

  /** Before the shards of a new group ask for their ports. */
  restore(presences: readonly StoredPresence[]): void {
    this.#lines = new Map();
    this.#stored = new Map();
    for (const { data, shards } of presences) {
      const presence = Presence.safeParse(data).data;
      if (presence !== undefined) for (const id of shards) this.#stored.set(id, presence);
      else this.#options.log.warn({ shards }, 'a stored presence is faulty: these shards have none now');
    }
  }

  /** Through it the shard sends commands, and gets its presence for IDENTIFY. */
  portOf(id: number, send: Send): SendPort {
    const { initialPresence, log, metrics } = this.#options;
    const commands = new ShardCommands(this.#stored.get(id), initialPresence, () =>
      log.error({ shard: id }, 'Discord closed the connection over the presence of this shard: it is sent no more'),
    );
    const line: Line = {
      commands,
      send: (payload) => {
        const waitMs = send(payload);
        if (waitMs === 0) metrics.add('commandsSent');
        return waitMs;
      },
      timer: undefined,
    };
    this.#lines.set(id, line);
    return {
      identify: () => commands.identify() as ReturnType<SendPort['identify']>,
      connected: () => {
        commands.connected();
        this.#turn(line);
      },
      ended: (reason, closeCode) => {
        commands.ended(reason, closeCode);
        this.#turn(line);
      },
    };
  }

  start({ group, shardIds, shardCount }: Pick<ShardGroup, 'group' | 'shardIds' | 'shardCount'>): void {
    const shards = { shardIds, shardCount, intents: this.#options.intents };
    this.#options.consumer.start({
      queue: commandQueue(group),
      onMessage: (delivery) => this.#receive(delivery, shards),
      onLost: () => {
        for (const { commands } of this.#lines.values()) commands.forget();
      },
    });
  }

  /** While the shards are still connected. Their presences stay, for the last record. */
  async stop(): Promise<void> {
    for (const { commands, timer } of this.#lines.values()) {
      clearTimeout(timer);
      commands.stop();
    }
    await this.#options.consumer.stop();
  }

  #receive(delivery: Delivery, shards: Shards): void {
    const admitted = admit(delivery, shards, Date.now());
    if (typeof admitted === 'string') return void this.#refuse(delivery, admitted);
    const { payload, expiresAt, shardIds } = admitted;
    const refused: string[] = [];
    let open = shardIds.length;
    const settle = (id: number) => (outcome: Outcome) => {
      if (outcome.how === 'refused') refused.push(`shard ${id}: ${outcome.reason}`);
      open -= 1;
      if (open > 0) return;
      const [first] = refused;
      if (first === undefined) delivery.ack();
      else this.#refuse(delivery, refused.length === 1 ? first : `${first}; and ${refused.length - 1} other shards`);
    };
    for (const id of shardIds) {
      const line = this.#lines.get(id);
      line?.commands.add({ payload, expiresAt, settle: settle(id) });
      if (line !== undefined) this.#turn(line);
    }
  }

  #refuse(delivery: Delivery, reason: string): void {
    this.#options.metrics.add('commandsRefused');
    this.#refusals.failed(reason);
    delivery.deadLetter(reason);
  }

  #turn(line: Line): void {
    clearTimeout(line.timer);
    const ms = line.commands.update(Date.now(), line.send);
    line.timer = ms === undefined ? undefined : setTimeout(() => this.#turn(line), ms).unref();
  }
}
