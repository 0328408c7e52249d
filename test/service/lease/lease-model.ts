// A small, faithful model of what the lease runs on: a RabbitMQ with one quorum queue of a single active consumer for
// each group, connections that lose what is on the way, and tasks that carry out the rules of lease.ts as the keeper
// does. Whatever can happen next is a move; the test chooses the moves. Each promise is checked after every move.
//
// Of the broker: a delivery goes to the active consumer only; what a lost connection held goes to the front of the
// queue again, in its order; a publish and an ack travel on different channels, so either may come first; a confirm
// means that the message is in the queue. A connection ends for its two sides at different moments. What a task sends on
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
import { groupRecord, resumeState } from './records.ts';

interface Message {
  readonly id: number;
  readonly content: Delivery<never>['content'];
  /** The move at which it came into the queue. */
  readonly at: number;
}

interface Held {
  readonly queue: Queue;
  readonly connection: Connection;
  readonly message: Message;
  /** Its queue was deleted: an answer finds nothing. */
  gone: boolean;
}

interface Queue {
  readonly group: number;
  ready: Message[];
  /** In the order of their coming: the first is the active one. */
  consumers: Connection[];
  readonly unacked: Set<Held>;
  /** A record was stored since the queue was made: from then on it has one. */
  recorded: boolean;
}

/** Something on the way, and what it does when it arrives. */
interface Frame {
  readonly name: string;
  /** The move in which it was sent. */
  readonly at: number;
  readonly arrive: () => void;
}

interface Connection {
  readonly task: Task;
  /** As the broker sees it, and as the task does. */
  brokerSees: boolean;
  taskSees: boolean;
  readonly consuming: Frame[];
  readonly publishing: Frame[];
  readonly toTask: Frame[];
}

type Timer = Extract<LeaseEvent<Held>, { kind: 'waited' | 'unanswered' }>;

interface Task {
  readonly name: string;
  life: 'running' | 'releasing' | 'gone';
  state: LeaseState<Held>;
  connection: Connection | undefined;
  timers: Timer[];
  /** Groups still to be consumed, one after the other. */
  toConsume: number[];
  consumed: Set<number>;
  /** What this task knows to be confirmed of its session. */
  session: { readonly id: number; confirmed: number } | undefined;
  /** What the last takeover began from, and at which move. */
  basis: { readonly epoch: number; readonly commit: number };
  ownedAt: number;
  storing: boolean;
  storeAgain: boolean;
  stored: string;
}

export interface Move {
  readonly name: string;
  readonly kind: 'work' | 'timer' | 'fault';
  readonly play: () => void;
}

export class LeaseModel {
  readonly trace: string[] = [];
  readonly #groups: readonly number[];
  readonly #queues: readonly Queue[];
  readonly #connections: Connection[] = [];
  readonly #tasks: Task[] = [];
  /** By session id: what the broker has confirmed of its events, by whomever they were published. */
  readonly #confirmed = new Map<number, number>();
  #unreadable = 0;
  #moves = 0;
  #ids = 0;

  constructor(groups: number) {
    this.#groups = Array.from({ length: groups }, (_, group) => group);
    this.#queues = this.#groups.map((group) => ({
      ...{ group, ready: [], consumers: [], unacked: new Set(), recorded: false },
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
      const { task, brokerSees, taskSees } = connection;
      if (!brokerSees && taskSees) add('work', `${task.name} notices the end`, () => this.#taskLoses(connection));
      if (!brokerSees) continue;
      for (const frames of [connection.consuming, connection.publishing]) {
        const packet = frames.filter(({ at }) => at === frames[0]?.at);
        const arrive = () => {
          frames.splice(0, packet.length);
          for (const each of packet) each.arrive();
        };
        const names = packet.map(({ name }) => name).join(', ');
        if (packet.length > 0) add('work', `broker takes of ${task.name}: ${names}`, arrive);
      }
      if (!taskSees) add('work', `broker notices the end of ${task.name}`, () => this.#brokerLoses(connection));
    }
    for (const queue of this.#queues)
      if (queue.ready.length > 0 && queue.consumers.length > 0)
        add('work', `broker delivers of ${queue.group}`, () => this.#deliver(queue));
    for (const task of this.#living) {
      const { connection, session } = task;
      const [frame] = connection?.toTask ?? [];
      if (frame !== undefined)
        add('work', `${task.name} receives '${frame.name}'`, () => {
          connection?.toTask.shift();
          frame.arrive();
        });
      if (connection === undefined) add('work', `${task.name} connects`, () => this.#connect(task));
      for (const timer of task.timers)
        add('timer', `${task.name}: ${timer.kind}`, () => {
          task.timers = task.timers.filter((each) => each !== timer);
          this.#step(task, timer);
        });
      if (session !== undefined)
        add('timer', `${task.name} has an event confirmed`, () => {
          session.confirmed += 1;
          this.#confirmed.set(session.id, Math.max(this.#confirmed.get(session.id) ?? 0, session.confirmed));
        });
      if (this.#mayStore(task)) add('timer', `${task.name} stores`, () => this.#store(task));
      if (task.life === 'releasing' && this.#mayEnd(task)) add('work', `${task.name} ends`, () => this.#end(task));
    }
    if (faults) this.#addFaults((name, play) => add('fault', name, play));
    return moves;
  }

  #addFaults(add: (name: string, play: () => void) => void): void {
    for (const task of this.#living) {
      const { connection } = task;
      add(`kill -9 ${task.name}`, () => this.#kill(task));
      if (connection !== undefined) add(`${task.name} loses its connection`, () => this.#taskLoses(connection));
      if (connection?.brokerSees === true) add(`broker drops ${task.name}`, () => this.#brokerLoses(connection));
      // Its drain took too long, or its last record is not delivered: it ends without.
      if (task.life === 'releasing') add(`${task.name} ends early`, () => this.#end(task));
      else
        add(`SIGTERM ${task.name}`, () => {
          task.life = 'releasing';
          task.storeAgain = true;
        });
    }
    if (this.#living.length < this.#groups.length + 2) add('a task starts', () => this.startTask());
    for (const queue of this.#queues) {
      add(`queue ${queue.group} is deleted`, () => this.#delete(queue));
      if (this.#unreadable < 3)
        add(`something unreadable in ${queue.group}`, () => {
          this.#unreadable += 1;
          this.#put(queue, { kind: 'unreadable' });
        });
    }
  }

  startTask(): void {
    this.#tasks.push({
      ...{ name: `T${this.#tasks.length + 1}`, life: 'running', state: startingLease(), connection: undefined },
      ...{ timers: [], toConsume: [], consumed: new Set(), session: undefined, basis: { epoch: 0, commit: 0 } },
      ...{ ownedAt: 0, storing: false, storeAgain: false, stored: '' },
    });
  }

  /**
   * No more faults, and a task for each group: plays what is left, the network before the timers.
   * @throws when the groups are not all owned then, or something is left over
   */
  comeToRest(): void {
    while (this.#tasks.filter(({ life }) => life === 'running').length < this.#groups.length)
      this.play({ kind: 'fault', name: 'a task starts', play: () => this.startTask() });
    for (let played = 0; played < 5_000; played += 1) {
      const moves = this.moves({ faults: false }).filter(({ name }) => !/an event/.test(name));
      const move = moves.find(({ kind }) => kind === 'work') ?? moves[0];
      this.play(move ?? { kind: 'work', name: 'rest', play: () => this.#checkRest() });
      if (move === undefined) return;
    }
    throw new Error(`it does not come to rest\nafter:\n${this.trace.slice(-60).join('\n')}`);
  }

  get #living(): Task[] {
    return this.#tasks.filter(({ life }) => life !== 'gone');
  }

  // ---- the broker

  #put(queue: Queue, content: Message['content']): void {
    this.#ids += 1;
    queue.ready.push({ id: this.#ids, content, at: this.#moves });
    if (content.kind === 'record') queue.recorded = true;
  }

  #requeue(queue: Queue, messages: Message[]): void {
    queue.ready = [...messages.toSorted((a, b) => a.id - b.id), ...queue.ready];
  }

  #deliver(queue: Queue): void {
    const [connection] = queue.consumers;
    const message = queue.ready.shift();
    if (connection === undefined || message === undefined) return;
    const held: Held = { queue, connection, message, gone: false };
    queue.unacked.add(held);
    this.#toTask(connection, 'delivery', () => {
      const { task } = connection;
      task.timers = task.timers.filter(({ kind }) => kind !== 'unanswered');
      const delivery = { group: queue.group, tag: held, content: message.content };
      this.#step(task, { kind: 'delivered', delivery });
    });
  }

  #answered(held: Held, how: 'ack' | 'requeue' | 'deadLetter'): void {
    const { queue, message } = held;
    if (held.gone) return;
    if (!queue.unacked.delete(held)) throw new Error(`a delivery of queue ${queue.group} is answered twice`);
    if (how === 'requeue') this.#requeue(queue, [message]);
    if (how === 'ack') this.#checkAck(held);
  }

  #brokerLoses(connection: Connection): void {
    connection.brokerSees = false;
    connection.consuming.length = 0;
    connection.publishing.length = 0;
    for (const queue of this.#queues) {
      queue.consumers = queue.consumers.filter((each) => each !== connection);
      const held = [...queue.unacked].filter((each) => each.connection === connection);
      for (const each of held) queue.unacked.delete(each);
      this.#requeue(
        queue,
        held.map(({ message }) => message),
      );
    }
  }

  /** By hand: its messages are gone, its consumers are cancelled. */
  #delete(queue: Queue): void {
    for (const connection of queue.consumers)
      this.#toTask(connection, 'consumer cancelled', () => this.#taskLoses(connection));
    const holders = new Set([...queue.unacked].map(({ connection }) => connection));
    for (const held of queue.unacked) held.gone = true;
    queue.unacked.clear();
    queue.ready = [];
    queue.consumers = [];
    queue.recorded = false;
    // For a task that still believes to hold something of it, the channel is gone.
    for (const connection of holders) this.#brokerLoses(connection);
  }

  #toTask(connection: Connection, name: string, arrive: () => void): void {
    connection.toTask.push({ name, at: this.#moves, arrive });
  }

  // ---- the tasks: what lease-keeper.ts does

  #connect(task: Task): void {
    const connection: Connection = {
      ...{ task, brokerSees: true, taskSees: true, consuming: [], publishing: [], toTask: [] },
    };
    this.#connections.push(connection);
    task.connection = connection;
    task.consumed = new Set();
    task.toConsume = task.state.kind === 'uncertain' ? [task.state.group] : [...this.#groups];
    this.#consumeNext(task);
  }

  #send(task: Task, channel: 'consuming' | 'publishing', name: string, arrive: () => void): void {
    task.connection?.[channel].push({ name, at: this.#moves, arrive });
  }

  #consumeNext(task: Task): void {
    const group = task.toConsume.shift();
    const { connection } = task;
    if (group === undefined || connection === undefined) return;
    task.consumed.add(group);
    this.#send(task, 'consuming', `consume ${group}`, () => {
      this.#queues[group]?.consumers.push(connection);
      this.#toTask(connection, 'consuming', () => this.#consuming(task, group));
    });
  }

  #consuming(task: Task, group: number): void {
    const { state } = task;
    if (state.kind === 'standby') this.#publish(task, group, { kind: 'claim' }, () => undefined);
    else if (state.kind === 'uncertain')
      this.#publish(task, group, { kind: 'claim' }, () => {
        if (task.state.kind === 'uncertain') task.timers.push({ kind: 'unanswered' });
      });
    else {
      task.toConsume = [];
      // It became an owner while this consumer was on its way.
      if (state.kind === 'owner' && state.group !== group) this.#cancel(task, group);
      return;
    }
    this.#consumeNext(task);
  }

  #publish(task: Task, group: number, content: Message['content'], confirmed: () => void): void {
    const { connection } = task;
    this.#send(task, 'publishing', `${content.kind} for ${group}`, () => {
      const queue = this.#queues[group];
      if (queue !== undefined) this.#put(queue, content);
      if (connection !== undefined) this.#toTask(connection, 'confirm', confirmed);
    });
  }

  #cancel(task: Task, group: number): void {
    const { connection } = task;
    const queue = this.#queues[group];
    task.consumed.delete(group);
    // What it holds stays its own until it answers or is gone.
    this.#send(task, 'consuming', `cancel ${group}`, () => {
      if (queue !== undefined) queue.consumers = queue.consumers.filter((each) => each !== connection);
    });
  }

  #taskLoses(connection: Connection): void {
    const { task } = connection;
    connection.taskSees = false;
    connection.toTask.length = 0;
    if (task.connection !== connection) return;
    task.connection = undefined;
    task.timers = [];
    task.toConsume = [];
    task.storeAgain ||= task.storing;
    task.storing = false;
    this.#step(task, { kind: 'lost' });
  }

  #kill(task: Task): void {
    task.life = 'gone';
    task.session = undefined;
    if (task.connection === undefined) return;
    task.connection.taskSees = false;
    task.connection.toTask.length = 0;
    task.connection = undefined;
  }

  #mayStore(task: Task): boolean {
    if (task.state.kind !== 'owner' || task.connection === undefined || task.storing) return false;
    return task.storeAgain || contentsOf(task) !== task.stored;
  }

  #store(task: Task): void {
    task.storeAgain = false;
    task.storing = true;
    task.stored = contentsOf(task);
    this.#step(task, { kind: 'storing' });
    if (task.state.kind !== 'owner') throw new Error(`${task.name} stores and is not the owner`);
    const { group, epoch, commit } = task.state;
    this.#publish(task, group, this.#recordOf(task, group, epoch, commit), () => {
      task.storing = false;
    });
  }

  #recordOf({ name, session }: Task, group: number, epoch: number, commit: number) {
    const state = session && resumeState({ sessionId: String(session.id), sequence: session.confirmed });
    const sessions = state === undefined ? {} : { [group]: state };
    return { kind: 'record' as const, record: groupRecord({ owner: name, group, epoch, commit, sessions }) };
  }

  /** A task that drains waits for its last record to be held, unless it has none to wait for. */
  #mayEnd({ state, storeAgain, storing, connection }: Task): boolean {
    if (state.kind !== 'owner') return state.kind === 'standby';
    if (connection === undefined || storeAgain || storing) return false;
    return state.held?.content.record.commit === state.commit;
  }

  #end(task: Task): void {
    this.#step(task, { kind: 'release' });
    this.#kill(task);
  }

  #step(task: Task, event: LeaseEvent<Held>): void {
    const { state, actions } = leaseStep(task.state, event, task.name);
    task.state = state;
    for (const action of actions) this.#act(task, action);
  }

  #act(task: Task, action: LeaseAction<Held>): void {
    const { session } = task;
    switch (action.kind) {
      case 'ack':
      case 'requeue':
      case 'deadLetter': {
        const { tag, kind } = action;
        if (!tag.connection.taskSees) throw new Error(`${task.name} answers on a connection that it has lost`);
        // On a connection that the broker has given up the answer goes nowhere.
        if (tag.connection.brokerSees)
          this.#send(task, 'consuming', `${kind} ${tag.queue.group}`, () => this.#answered(tag, kind));
        return;
      }
      case 'wait':
        task.timers.push({ kind: 'waited', group: action.group });
        return;
      case 'consumeOnly':
        task.toConsume = [];
        for (const group of task.consumed) if (group !== action.group) this.#cancel(task, group);
        return;
      case 'consumeAll':
        task.toConsume = this.#groups.filter((group) => !task.consumed.has(group));
        this.#consumeNext(task);
        return;
      case 'own':
        this.#takeOver(task, action.record?.sessions[String(action.group)]);
        task.basis = action.record ?? { epoch: 0, commit: 0 };
        return;
      case 'leave word': {
        if (session === undefined) throw new Error(`${task.name} leaves word of sessions that it does not have`);
        const { group, epoch } = action;
        this.#publish(task, group, this.#recordOf(task, group, epoch, 0), () => undefined);
        return;
      }
      case 'stepDown':
        task.session = undefined;
        return;
      case 'store':
        task.storeAgain = true;
        return;
      case 'keepLease':
        if (session === undefined) throw new Error(`${task.name} keeps the lease of a group without its sessions`);
    }
  }

  #takeOver(task: Task, known: GroupRecord['sessions'][string] | undefined): void {
    if (task.session !== undefined) throw new Error(`${task.name} takes over without having given up what it had`);
    this.#ids += 1;
    const { sessionId = this.#ids, sequence = 1 } = known ?? {};
    const id = Number(sessionId);
    if (known === undefined) this.#confirmed.set(id, 1);
    const confirmed = this.#confirmed.get(id) ?? 0;
    if (sequence > confirmed)
      throw new Error(`${task.name} resumes session ${id} from ${sequence}, and only ${confirmed} is confirmed`);
    task.session = { id, confirmed: sequence };
    task.ownedAt = this.#moves;
  }

  // ---- the promises

  #checkAck({ queue, connection: { task }, message }: Held): void {
    const { content } = message;
    if (content.kind === 'unreadable') throw new Error('something unreadable was acknowledged, not dead-lettered');
    if (content.kind !== 'record') {
      if (queue.ready.length + queue.unacked.size === 0)
        throw new Error(`${task.name} acknowledges the last message of queue ${queue.group}`);
      return;
    }
    const { record } = content;
    if (!recordsOf(queue).some((other) => isNewer(other, record)))
      throw new Error(`${task.name} acknowledges ${nameOf(record)}, and nothing newer is in the queue`);
    if (record.owner !== task.name && message.at < task.ownedAt && isNewer(record, task.basis))
      throw new Error(`${task.name} acknowledges ${nameOf(record)}, which is newer than what it took over from`);
  }

  #check(): void {
    for (const { name, state, session } of this.#living)
      if (state.kind === 'standby' && session !== undefined)
        throw new Error(`${name} stands by and still has sessions`);
    for (const { group, recorded, unacked, ...queue } of this.#queues) {
      const holders = new Set([...unacked].map(({ connection }) => connection));
      const owners = this.#ownersOf(group).filter(({ connection }) => connection && holders.has(connection));
      if (owners.length > 1) throw new Error(`group ${group} has two owners, and the broker agrees`);
      if (recorded && recordsOf({ ...queue, unacked }).length === 0)
        throw new Error(`the record of group ${group} is lost`);
    }
  }

  #checkRest(): void {
    for (const queue of this.#queues) {
      const { group } = queue;
      const [owner, another] = this.#ownersOf(group);
      if (owner?.session === undefined || another !== undefined)
        throw new Error(`at rest, group ${group} has not one owner with a session`);
      const [record, more] = recordsOf(queue);
      const messages = queue.ready.length + queue.unacked.size;
      if (messages !== 1 || queue.unacked.size !== 1 || record?.owner !== owner.name || more !== undefined)
        throw new Error(`at rest, queue ${group} holds more or less than its owner's record`);
      if (record.sessions[String(group)]?.sequence !== owner.session.confirmed)
        throw new Error(`at rest, the record of group ${group} is not what its owner has confirmed`);
    }
  }

  #ownersOf(group: number): Task[] {
    return this.#living.filter(({ state }) => state.kind === 'owner' && state.group === group);
  }
}

function contentsOf({ state, session }: Task): string {
  return JSON.stringify([state.kind === 'owner' && state.epoch, session?.id, session?.confirmed]);
}

function recordsOf({ ready, unacked }: Pick<Queue, 'ready' | 'unacked'>): GroupRecord[] {
  return [...ready, ...[...unacked].map(({ message }) => message)].flatMap(({ content }) =>
    content.kind === 'record' ? [content.record] : [],
  );
}

function nameOf({ owner, epoch, commit }: GroupRecord): string {
  return `${owner}'s record ${epoch}.${commit}`;
}
