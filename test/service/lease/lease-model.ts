// A small, faithful model of what the lease runs on: a RabbitMQ with one quorum queue of a single active consumer for
// each group, connections that lose what is on the way, and tasks that carry out the law of lease.ts as the keeper
// does. Whatever can happen next is a move; who plays chooses the moves. Each promise is checked after every move.
//
// Of the broker: a delivery goes to the active consumer only; what a lost connection held goes to the front of the
// queue again, in its order; a publish and an ack travel on different channels, so either may come first; a confirm
// says that the message is in the queue. A connection ends for its two sides at different moments. What a task sends on
// one channel in one turn is taken together: it is one packet, and the shortest timer is longer than its way.

import { type GroupRecord, isNewer } from '../../../service/lease/group-record.ts';
import {
  type Delivery,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  startingLease,
} from '../../../service/lease/lease.ts';

type Body =
  | { readonly kind: 'claim' }
  | { readonly kind: 'record'; readonly record: GroupRecord }
  | { readonly kind: 'unreadable' };

interface Message {
  readonly id: number;
  readonly body: Body;
  /** The move at which it came into the queue. */
  readonly at: number;
}

interface Consumer {
  readonly connection: Connection;
}

interface Unacked {
  readonly connection: Connection;
  readonly message: Message;
}

interface Queue {
  readonly group: number;
  ready: Message[];
  /** In the order of their coming: the first is the active one. */
  consumers: Consumer[];
  /** By delivery tag. */
  readonly unacked: Map<number, Unacked>;
}

type Command =
  | { readonly kind: 'consume' | 'cancel'; readonly group: number }
  | {
      readonly kind: 'answer';
      readonly group: number;
      readonly tag: number;
      readonly how: 'ack' | 'requeue' | 'reject';
    }
  | { readonly kind: 'publish'; readonly group: number; readonly body: Body; readonly confirm: number };

interface Sent {
  readonly command: Command;
  /** The move in which it was sent. */
  readonly sentAt: number;
}

type Frame =
  | { readonly kind: 'consuming'; readonly group: number }
  | { readonly kind: 'delivery'; readonly group: number; readonly tag: number; readonly body: Body }
  | { readonly kind: 'confirm'; readonly confirm: number }
  | { readonly kind: 'consumer cancelled' };

interface Connection {
  readonly task: Task;
  /** As the broker sees it, and as the task does. */
  brokerSees: boolean;
  taskSees: boolean;
  readonly consuming: Sent[];
  readonly publishing: Sent[];
  readonly toTask: Frame[];
}

interface Tag {
  readonly connection: Connection;
  readonly group: number;
  readonly tag: number;
}

interface Timer {
  readonly event: Extract<LeaseEvent<Tag>, { kind: 'ripe' | 'unanswered' }>;
}

interface Session {
  readonly id: number;
  /** What this task knows to be confirmed, and what it has received beyond. */
  confirmed: number;
  received: number;
}

interface Task {
  readonly name: string;
  life: 'running' | 'releasing' | 'gone';
  state: LeaseState<Tag>;
  connection: Connection | undefined;
  timers: Timer[];
  /** Groups still to be consumed, one after the other. */
  toConsume: number[];
  consumed: Set<number>;
  session: Session | undefined;
  /** What the last takeover began from, and at which move. */
  basis: { readonly epoch: number; readonly commit: number };
  ownedAt: number;
  /** A confirm that a store waits for. */
  storing: number | undefined;
  claiming: number | undefined;
  storeAgain: boolean;
  stored: string;
}

export interface Move {
  readonly name: string;
  readonly kind: 'work' | 'timer' | 'fault';
  readonly play: () => void;
}

export class LeaseModel {
  readonly groups: number;
  readonly trace: string[] = [];
  readonly deadLetters: Message[] = [];
  readonly #queues: Queue[];
  readonly #connections: Connection[] = [];
  readonly #tasks: Task[] = [];
  /** By session id: what the broker has confirmed of its events, by whomever they were published. */
  readonly #confirmed = new Map<number, number>();
  /** Groups that have had a stored record since their queue was made: from then on it has one. */
  readonly #recorded = new Set<number>();
  #unreadable = 0;
  #moves = 0;
  #names = 0;
  #ids = 0;

  constructor(groups: number) {
    this.groups = groups;
    this.#queues = Array.from({ length: groups }, (_, group) => ({
      group,
      ready: [],
      consumers: [],
      unacked: new Map(),
    }));
  }

  /** Plays one move and checks the promises. @throws with the trace when one is broken */
  play(move: Move): void {
    this.#moves += 1;
    this.trace.push(move.name);
    try {
      move.play();
      this.#check();
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\nafter:\n${this.trace.slice(-80).join('\n')}`);
    }
  }

  /** All that can happen now. */
  moves({ faults }: { faults: boolean }): Move[] {
    const moves: Move[] = [];
    const add = (kind: Move['kind'], name: string, play: () => void) => moves.push({ kind, name, play });
    for (const connection of this.#connections) {
      const { task } = connection;
      if (connection.brokerSees) {
        for (const commands of [connection.consuming, connection.publishing]) {
          const [first] = commands;
          if (first === undefined) continue;
          const packet = commands.filter(({ sentAt }) => sentAt === first.sentAt);
          const what = packet.map(({ command }) => `${command.kind} ${command.group}`).join(', ');
          add('work', `broker takes of ${task.name}: ${what}`, () => {
            commands.splice(0, packet.length);
            for (const { command } of packet) this.#take(connection, command);
          });
        }
        if (!connection.taskSees)
          add('work', `broker notices the end of ${task.name}`, () => this.#brokerLoses(connection));
      } else if (connection.taskSees) add('work', `${task.name} notices the end`, () => this.#taskLoses(connection));
    }
    for (const queue of this.#queues)
      if (queue.ready.length > 0 && activeOf(queue) !== undefined)
        add('work', `broker delivers of ${queue.group}`, () => this.#deliver(queue));
    for (const task of this.#living) {
      const { connection } = task;
      const frame = connection?.toTask[0];
      if (connection !== undefined && frame !== undefined)
        add('work', `${task.name} receives '${frame.kind}'`, () => {
          connection.toTask.shift();
          this.#receive(task, frame);
        });
      if (connection === undefined) add('work', `${task.name} connects`, () => this.#connect(task));
      for (const timer of task.timers)
        add('timer', `${task.name}: ${timer.event.kind}`, () => {
          task.timers = task.timers.filter((each) => each !== timer);
          this.#step(task, timer.event);
        });
      if (task.session !== undefined) {
        const { session } = task;
        if (session.received < session.confirmed + 3)
          add('timer', `${task.name} receives an event`, () => {
            session.received += 1;
          });
        if (session.confirmed < session.received)
          add('timer', `${task.name} has an event confirmed`, () => {
            session.confirmed += 1;
            this.#confirmed.set(session.id, Math.max(this.#confirmed.get(session.id) ?? 0, session.confirmed));
          });
      }
      if (this.#mayStore(task)) add('timer', `${task.name} stores`, () => this.#store(task));
      if (task.life === 'releasing' && this.#mayEnd(task)) add('work', `${task.name} ends`, () => this.#end(task));
    }
    if (!faults) return moves;
    for (const task of this.#living) {
      add('fault', `kill -9 ${task.name}`, () => this.#kill(task));
      if (task.connection !== undefined) {
        const { connection } = task;
        add('fault', `${task.name} loses its connection`, () => this.#taskLoses(connection));
        if (connection.brokerSees) add('fault', `broker drops ${task.name}`, () => this.#brokerLoses(connection));
      }
      if (task.life === 'running') {
        add('fault', `SIGTERM ${task.name}`, () => {
          task.life = 'releasing';
          task.storeAgain = true;
        });
        // Its drain took too long, or its final record is not delivered: it ends without.
      } else add('fault', `${task.name} ends early`, () => this.#end(task));
    }
    if (this.#living.length < this.groups + 2) add('fault', 'a task starts', () => this.startTask());
    for (const queue of this.#queues) {
      if (this.#unreadable < 3)
        add('fault', `something unreadable in ${queue.group}`, () => {
          this.#unreadable += 1;
          this.#enqueue(queue, { kind: 'unreadable' });
        });
      add('fault', `queue ${queue.group} is deleted`, () => this.#delete(queue));
    }
    return moves;
  }

  startTask(): void {
    this.#names += 1;
    this.#tasks.push({
      name: `T${this.#names}`,
      life: 'running',
      state: startingLease(),
      connection: undefined,
      timers: [],
      toConsume: [],
      consumed: new Set(),
      session: undefined,
      basis: { epoch: 0, commit: 0 },
      ownedAt: 0,
      storing: undefined,
      claiming: undefined,
      storeAgain: false,
      stored: '',
    });
  }

  /**
   * No more faults, and a task for each group: plays what is left, the network before the timers.
   * @throws when the groups are not all owned then, or something is left over
   */
  comeToRest(): void {
    while (this.#tasks.filter(({ life }) => life === 'running').length < this.groups)
      this.play({ kind: 'fault', name: 'a task starts', play: () => this.startTask() });
    for (let played = 0; played < 5_000; played += 1) {
      const moves = this.moves({ faults: false }).filter(({ name }) => !/an event/.test(name));
      const move = moves.find(({ kind }) => kind === 'work') ?? moves[0];
      if (move === undefined) {
        this.#checkRest();
        return;
      }
      this.play(move);
    }
    throw new Error(`it does not come to rest\nafter:\n${this.trace.slice(-60).join('\n')}`);
  }

  get #living(): Task[] {
    return this.#tasks.filter(({ life }) => life !== 'gone');
  }

  // ---- the broker

  #take(connection: Connection, command: Command): void {
    const queue = this.#queue(command.group);
    switch (command.kind) {
      case 'consume':
        queue.consumers.push({ connection });
        connection.toTask.push({ kind: 'consuming', group: command.group });
        return;
      case 'cancel':
        // What it holds stays its own until it answers or is gone.
        queue.consumers = queue.consumers.filter((each) => each.connection !== connection);
        return;
      case 'answer': {
        const held = queue.unacked.get(command.tag);
        if (held === undefined) throw new Error(`a delivery of queue ${queue.group} is answered twice`);
        queue.unacked.delete(command.tag);
        if (command.how === 'requeue') this.#requeue(queue, [held.message]);
        else if (command.how === 'reject') this.deadLetters.push(held.message);
        else this.#acked(queue, held);
        return;
      }
      case 'publish':
        this.#enqueue(queue, command.body);
        connection.toTask.push({ kind: 'confirm', confirm: command.confirm });
    }
  }

  #enqueue(queue: Queue, body: Body): void {
    this.#ids += 1;
    queue.ready.push({ id: this.#ids, body, at: this.#moves });
    if (body.kind === 'record') this.#recorded.add(queue.group);
  }

  #requeue(queue: Queue, messages: Message[]): void {
    queue.ready = [...messages.toSorted((a, b) => a.id - b.id), ...queue.ready];
  }

  #deliver(queue: Queue): void {
    const active = activeOf(queue);
    const message = queue.ready.shift();
    if (active === undefined || message === undefined) return;
    this.#ids += 1;
    const tag = this.#ids;
    queue.unacked.set(tag, { connection: active.connection, message });
    active.connection.toTask.push({ kind: 'delivery', group: queue.group, tag, body: message.body });
  }

  #brokerLoses(connection: Connection): void {
    connection.brokerSees = false;
    connection.consuming.length = 0;
    connection.publishing.length = 0;
    for (const queue of this.#queues) {
      queue.consumers = queue.consumers.filter((each) => each.connection !== connection);
      const held = [...queue.unacked].filter(([, each]) => each.connection === connection);
      for (const [tag] of held) queue.unacked.delete(tag);
      this.#requeue(
        queue,
        held.map(([, { message }]) => message),
      );
    }
  }

  /** By hand: its messages are gone, its consumers are cancelled. */
  #delete(queue: Queue): void {
    for (const { connection } of queue.consumers) connection.toTask.push({ kind: 'consumer cancelled' });
    // Answers on the way find nothing; that is no mistake of who sent them.
    for (const [tag, { connection }] of queue.unacked)
      for (const [index, { command }] of connection.consuming.entries())
        if (command.kind === 'answer' && command.tag === tag) connection.consuming.splice(index, 1);
    const holders = new Set([...queue.unacked.values()].map(({ connection }) => connection));
    queue.ready = [];
    queue.consumers = [];
    queue.unacked.clear();
    this.#recorded.delete(queue.group);
    // The task must not be blamed for answering what it still believes to hold: for it the channel is gone.
    for (const connection of holders) this.#brokerLoses(connection);
  }

  #acked(queue: Queue, { connection, message }: Unacked): void {
    const { body } = message;
    if (body.kind === 'unreadable') throw new Error('something unreadable was acknowledged, not set aside');
    if (body.kind === 'claim') {
      if (queue.ready.length + queue.unacked.size === 0)
        throw new Error(`${connection.task.name} acknowledges the last message of queue ${queue.group}`);
      return;
    }
    const { record } = body;
    const newer = recordsOf(queue).filter((other) => isNewer(other, record));
    if (newer.length === 0)
      throw new Error(`${connection.task.name} acknowledges ${nameOf(record)}, and nothing newer is in the queue`);
    const { task } = connection;
    if (record.owner !== task.name && message.at < task.ownedAt && isNewer(record, task.basis))
      throw new Error(
        `${task.name} acknowledges ${nameOf(record)}, which is newer than what it took over from (${task.basis.epoch}.${task.basis.commit})`,
      );
  }

  // ---- the tasks: what lease-keeper.ts does

  #connect(task: Task): void {
    const connection: Connection = {
      task,
      brokerSees: true,
      taskSees: true,
      consuming: [],
      publishing: [],
      toTask: [],
    };
    this.#connections.push(connection);
    task.connection = connection;
    task.consumed = new Set();
    task.toConsume = task.state.kind === 'uncertain' ? [task.state.group] : this.#allGroups;
    this.#consumeNext(task);
  }

  get #allGroups(): number[] {
    return Array.from({ length: this.groups }, (_, group) => group);
  }

  #consumeNext(task: Task): void {
    const group = task.toConsume.shift();
    if (group === undefined) return;
    task.connection?.consuming.push({ command: { kind: 'consume', group }, sentAt: this.#moves });
    task.consumed.add(group);
  }

  #receive(task: Task, frame: Frame): void {
    const { connection } = task;
    if (connection === undefined) return;
    switch (frame.kind) {
      case 'consuming':
        if (task.state.kind === 'standby' || task.state.kind === 'uncertain') {
          const confirm = this.#publish(task, frame.group, { kind: 'claim' });
          if (task.state.kind === 'uncertain') task.claiming = confirm;
          this.#consumeNext(task);
        } else {
          task.toConsume = [];
          // It became an owner while this consumer was on its way.
          if (task.state.kind === 'owner' && task.state.group !== frame.group) this.#cancel(task, frame.group);
        }
        return;
      case 'delivery': {
        task.timers = task.timers.filter(({ event }) => event.kind !== 'unanswered');
        const { group, tag, body } = frame;
        const content: Delivery<Tag>['content'] =
          body.kind === 'unreadable' ? { kind: 'unreadable', reason: 'it is no JSON' } : body;
        this.#step(task, { kind: 'delivered', delivery: { group, tag: { connection, group, tag }, content } });
        return;
      }
      case 'confirm':
        if (frame.confirm === task.storing) task.storing = undefined;
        if (frame.confirm === task.claiming) {
          task.claiming = undefined;
          if (task.state.kind === 'uncertain') task.timers.push({ event: { kind: 'unanswered' } });
        }
        return;
      case 'consumer cancelled':
        this.#taskLoses(connection);
    }
  }

  #publish(task: Task, group: number, body: Body): number {
    this.#ids += 1;
    task.connection?.publishing.push({
      command: { kind: 'publish', group, body, confirm: this.#ids },
      sentAt: this.#moves,
    });
    return this.#ids;
  }

  #cancel(task: Task, group: number): void {
    task.consumed.delete(group);
    task.connection?.consuming.push({ command: { kind: 'cancel', group }, sentAt: this.#moves });
  }

  #taskLoses(connection: Connection): void {
    const { task } = connection;
    connection.taskSees = false;
    connection.toTask.length = 0;
    if (task.connection !== connection) return;
    task.connection = undefined;
    task.timers = [];
    task.toConsume = [];
    if (task.storing !== undefined) task.storeAgain = true;
    task.storing = undefined;
    task.claiming = undefined;
    this.#step(task, { kind: 'lost' });
  }

  #kill(task: Task): void {
    task.life = 'gone';
    const { connection } = task;
    task.connection = undefined;
    task.timers = [];
    task.session = undefined;
    if (connection !== undefined) {
      connection.taskSees = false;
      connection.toTask.length = 0;
    }
  }

  #mayStore(task: Task): boolean {
    if (task.state.kind !== 'owner' || task.connection === undefined || task.storing !== undefined) return false;
    return task.storeAgain || this.#contentsOf(task) !== task.stored;
  }

  #contentsOf(task: Task): string {
    return JSON.stringify([task.state.kind === 'owner' && task.state.epoch, task.session?.id, task.session?.confirmed]);
  }

  #store(task: Task): void {
    const { state } = task;
    if (state.kind !== 'owner') return;
    task.storeAgain = false;
    task.stored = this.#contentsOf(task);
    const { group, epoch } = state;
    const commit = state.commit + 1;
    this.#step(task, { kind: 'storing', commit });
    task.storing = this.#publish(task, group, { kind: 'record', record: this.#recordOf(task, group, epoch, commit) });
  }

  #recordOf({ name, session }: Task, group: number, epoch: number, commit: number): GroupRecord {
    const sessions =
      session === undefined
        ? {}
        : {
            [group]: {
              sessionId: String(session.id),
              resumeUrl: 'wss://gateway.discord.gg',
              sequence: session.confirmed,
              shardCount: this.groups,
              startedAt: 0,
            },
          };
    return { version: 1, group, owner: name, epoch, commit, storedAt: 0, sessions, untoldGaps: [] };
  }

  /** A task that drains waits for its last record to be held, unless it has none to wait for. */
  #mayEnd({ state, storeAgain, storing, connection }: Task): boolean {
    if (state.kind !== 'owner') return state.kind === 'standby';
    if (connection === undefined) return false;
    return !storeAgain && storing === undefined && state.heldCommit >= state.commit;
  }

  #end(task: Task): void {
    this.#step(task, { kind: 'release' });
    this.#kill(task);
  }

  #step(task: Task, event: LeaseEvent<Tag>): void {
    const { state, actions } = leaseStep(task.state, event, task.name);
    task.state = state;
    for (const action of actions) this.#act(task, action);
  }

  #act(task: Task, action: LeaseAction<Tag>): void {
    switch (action.kind) {
      case 'ack':
      case 'give back':
      case 'set aside': {
        const { connection, group, tag } = action.tag;
        const how = action.kind === 'ack' ? 'ack' : action.kind === 'give back' ? 'requeue' : 'reject';
        if (!connection.taskSees) throw new Error(`${task.name} answers on a connection that it has lost`);
        // On a connection that the broker has given up the answer goes nowhere.
        if (connection.brokerSees)
          connection.consuming.push({ command: { kind: 'answer', group, tag, how }, sentAt: this.#moves });
        return;
      }
      case 'await':
        task.timers.push({ event: { kind: 'ripe', group: action.group } });
        return;
      case 'consume only':
        task.toConsume = [];
        for (const group of task.consumed) if (group !== action.group) this.#cancel(task, group);
        return;
      case 'consume all':
        task.toConsume = this.#allGroups.filter((group) => !task.consumed.has(group));
        this.#consumeNext(task);
        return;
      case 'own': {
        const { group, record } = action;
        const known = record?.sessions[String(group)];
        this.#ids += 1;
        const sequence = known?.sequence ?? 1;
        const id = known === undefined ? this.#ids : Number(known.sessionId);
        if (known === undefined) this.#confirmed.set(id, 1);
        if (sequence > (this.#confirmed.get(id) ?? 0))
          throw new Error(
            `${task.name} resumes session ${id} from ${sequence}, and only ${this.#confirmed.get(id)} is confirmed`,
          );
        if (task.session !== undefined) throw new Error(`${task.name} takes over without having given up what it had`);
        task.session = { id, confirmed: sequence, received: sequence };
        task.basis = record ?? { epoch: 0, commit: 0 };
        task.ownedAt = this.#moves;
        return;
      }
      case 'leave word': {
        const { group, epoch } = action;
        if (task.session === undefined) throw new Error(`${task.name} leaves word of sessions that it does not have`);
        this.#publish(task, group, { kind: 'record', record: this.#recordOf(task, group, epoch, 0) });
        return;
      }
      case 'disown':
        task.session = undefined;
        return;
      case 'store':
        task.storeAgain = true;
        return;
      case 'regain':
        if (task.session === undefined) throw new Error(`${task.name} regains a group without having its sessions`);
    }
  }

  // ---- the promises

  #check(): void {
    for (const { name, state, session } of this.#living)
      if (state.kind === 'standby' && session !== undefined)
        throw new Error(`${name} stands by and still has sessions`);
    for (const queue of this.#queues) {
      const { group } = queue;
      const owners = this.#living.filter(
        ({ state, connection }) =>
          state.kind === 'owner' &&
          state.group === group &&
          [...queue.unacked.values()].some((held) => held.connection === connection),
      );
      if (owners.length > 1)
        throw new Error(
          `${owners.map(({ name }) => name).join(' and ')} both own group ${group}, and the broker agrees`,
        );
      if (this.#recorded.has(group) && recordsOf(queue).length === 0)
        throw new Error(`the record of group ${group} is lost`);
    }
  }

  #checkRest(): void {
    const fail = (what: string): Error => {
      throw new Error(`at rest, ${what}\nafter:\n${this.trace.slice(-80).join('\n')}`);
    };
    for (const queue of this.#queues) {
      const { group } = queue;
      const owners = this.#living.filter(({ state }) => state.kind === 'owner' && state.group === group);
      const [owner] = owners;
      if (owner === undefined || owners.length > 1) throw fail(`group ${group} has ${owners.length} owners`);
      if (owner.session === undefined) fail(`${owner.name} owns group ${group} and has no session`);
      const held = [...queue.unacked.values()];
      const [only] = held;
      const body = only?.message.body;
      if (queue.ready.length > 0 || held.length !== 1 || body?.kind !== 'record' || body.record.owner !== owner.name)
        fail(
          `queue ${group} holds more or less than its owner's record: ${[...queue.ready, ...held.map(({ message }) => message)].map(({ body }) => (body.kind === 'record' ? nameOf(body.record) : body.kind)).join(', ')}`,
        );
      if (body?.kind === 'record' && body.record.sessions[String(group)]?.sequence !== owner.session?.confirmed)
        fail(`the record of group ${group} is not what its owner has confirmed`);
    }
  }

  #queue(group: number): Queue {
    const queue = this.#queues[group];
    if (queue === undefined) throw new Error(`there is no queue ${group}`);
    return queue;
  }
}

/** The first to come consumes; the others wait. */
function activeOf(queue: Queue): Consumer | undefined {
  return queue.consumers[0];
}

function recordsOf(queue: Queue): GroupRecord[] {
  return [...queue.ready, ...[...queue.unacked.values()].map(({ message }) => message)].flatMap(({ body }) =>
    body.kind === 'record' ? [body.record] : [],
  );
}

function nameOf({ owner, epoch, commit }: GroupRecord): string {
  return `${owner}'s record ${epoch}.${commit}`;
}
