// A small model of what the lease runs on: RabbitMQ with the lease queue of one group, a quorum queue with a single active
// consumer; connections that lose what is on the way; and tasks that carry out the rules of lease.ts as the keeper does.
// Whatever can happen next is a move; the test chooses the moves. Each promise is checked after every move.
//
// Of the broker: a delivery goes to the active consumer only; what a lost connection held goes to the front of the
// queue again, in its order; a publish and an ack travel on different channels, so either may come first; a confirm
// means that the message is in the queue. A connection ends for its two sides at different moments. What a task sends on
// one channel in one turn is taken together: it is one packet, and the shortest timer is longer than its way. A node without
// a majority takes what it is sent and passes nothing on until the partition ends; reads, which it answers, prove nothing.
// After a partition the broker may have moved the record to another consumer and left the old one's channel open.

import { emptyRecord, FIRST_EPOCH } from '../../../service/contract/lease-record.ts';
import { type GroupRecord, isLater, isNewer, parseGroupRecord } from '../../../service/lease/group-record.ts';
import {
  type Delivery,
  type LeaseAction,
  type LeaseEvent,
  type LeaseState,
  leaseStep,
  mayStore,
  ownerIn,
  startingLease,
} from '../../../service/lease/lease.ts';
import { takeOver } from '../../../service/lease/take-over.ts';
import { groupRecord, resumeState } from './records.ts';

const GROUP = 0;
const SHARD_LAYOUT = { shardCount: 1, shardsPerTask: 1 };
/** What the topology puts into the queue of a new group. */
const EMPTY = {
  kind: 'record' as const,
  record: parseGroupRecord(Buffer.from(JSON.stringify(emptyRecord(GROUP, 'the topology', 0))), GROUP) as GroupRecord,
};

type Own = Extract<LeaseAction<Held>, { kind: 'own' }>;

/** After the faults, in which each owner stores: so many more takings would be a fight. */
const EVENTFUL_ROUNDS = 12;
const MOST_TAKINGS = 6;

interface Message {
  readonly id: number;
  readonly content: Delivery<never>['content'];
}

interface Held {
  readonly connection: Connection;
  readonly message: Message;
  /** The queue was deleted, or it was moved to another consumer: an answer finds nothing. */
  gone: boolean;
  /** The move at which the task received it. */
  receivedAt: number;
}

/** Something on the way, and what it does when it arrives. */
interface Frame {
  readonly name: string;
  /** The move in which it was sent. */
  readonly at: number;
  readonly arrive: () => void;
}

class Connection {
  readonly task: Task;
  /** As the broker sees it, and as the task does. */
  brokerSees = true;
  taskSees = true;
  /** How often its consumer was cancelled: by the task, and as the broker sees it. */
  timesLeft = 0;
  timesCancelled = 0;
  /** To a node without a majority. */
  stalled = false;
  readonly consuming: Frame[] = [];
  readonly publishing: Frame[] = [];
  readonly toTask: Frame[] = [];

  constructor(task: Task) {
    this.task = task;
  }
}

class Task {
  readonly name: string;
  life: 'running' | 'releasing' | 'gone' = 'running';
  state: LeaseState<Held> = startingLease();
  connection: Connection | undefined;
  frozen = false;
  /** The queue is left to its owner for a while. */
  left = false;
  timers: Extract<LeaseEvent<Held>, { kind: 'waited' | 'silence' }>[] = [];
  /** What this task knows to be confirmed of its session. */
  session: { readonly id: number; confirmed: number } | undefined;
  /** What the last takeover began from, and at which move. */
  basis = { epoch: 0, commit: 0 };
  ownedAt = 0;
  /** The move at which the first record of this ownership came back. */
  settledAt = 0;
  storing = false;
  /** The last commit that was confirmed on this connection. */
  confirmedCommit = 0;
  storeAgain = false;
  stored = '';

  constructor(name: string) {
    this.name = name;
  }
}

export interface Move {
  readonly name: string;
  readonly kind: 'work' | 'timer' | 'fault';
  readonly play: () => void;
}

export class LeaseModel {
  readonly trace: string[] = [];
  readonly #connections: Connection[] = [];
  readonly #tasks: Task[] = [];
  /** By session id: what the broker has confirmed of its events, by whomever they were published. */
  readonly #confirmed = new Map<number, number>();
  #ready: Message[] = [];
  readonly #unacked = new Set<Held>();
  /** In the order of their coming: the first is the active one. */
  #consumers: Connection[] = [];
  /** A record was stored since the queue was made or emptied: from then on it has one. */
  #recorded = false;
  /** Since then no record was stored: an owner from which it had been moved believes to hold it. */
  #purged = false;
  /** Of the last takeover that reported a lost session: what older owners store is reported with it. */
  #reportedEpoch = FIRST_EPOCH;
  /**
   * By epoch, the sessions that began in it. Two at once: a standby had what a new group begins with, and did not get what
   * its first owner had stored just before it was killed. The promise does not go so far.
   */
  readonly #begun = new Map<number, number[]>();
  /** Takeovers since the faults ended. */
  #takings = Number.NEGATIVE_INFINITY;
  /** Sessions that were stored in the queue, and are not reported as lost. An older one has the events of a younger. */
  readonly #stored = new Set<number>();
  /** The topology has made the queue, and its empty record may still come. */
  #emptyDue = true;
  #unreadable = 0;
  #ids = 0;

  /** Plays one move and checks the promises. @throws with the trace when one is broken */
  play(move: Move): void {
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
      if (connection.stalled) {
        add('work', `the partition of ${task.name} ends`, () => {
          connection.stalled = false;
        });
        continue;
      }
      for (const frames of [connection.consuming, connection.publishing]) {
        const packet = frames.filter(({ at }) => at === frames[0]?.at);
        const names = packet.map(({ name }) => name).join(', ');
        if (packet.length > 0)
          add('work', `broker takes of ${task.name}: ${names}`, () => {
            for (const each of frames.splice(0, packet.length)) each.arrive();
          });
      }
      if (!taskSees) add('work', `broker notices the end of ${task.name}`, () => this.#brokerLoses(connection));
    }
    const [active] = this.#consumers;
    if (active !== undefined && !active.stalled && this.#ready.length > 0)
      add('work', 'broker delivers', () => this.#deliver(active));
    for (const task of this.#living) {
      const { connection, session, state } = task;
      if (task.frozen) {
        add('work', `${task.name} is awake`, () => {
          task.frozen = false;
        });
        continue;
      }
      if (connection?.stalled === true && connection.publishing.length > 0)
        add('timer', `${task.name} has nothing confirmed in time`, () => this.#taskLoses(connection));
      const [frame] = (connection?.stalled === true ? [] : connection?.toTask) ?? [];
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
      if (connection !== undefined && task.left)
        add('timer', `${task.name} consumes again`, () => {
          task.left = false;
          this.#consume(task, connection);
        });
      if (connection !== undefined && this.#isIdle(task))
        add('timer', `${task.name} looks again`, () => this.#claim(task));
      if (
        connection !== undefined &&
        state.kind === 'owner' &&
        (state.held?.content.record.commit ?? 0) < task.confirmedCommit
      )
        add('timer', `${task.name} has no record delivered back in time`, () => this.#taskLoses(connection));
      if (stores(task)) add('timer', `${task.name} stores`, () => this.#store(task));
      if (task.life === 'releasing' && mayEnd(task)) add('work', `${task.name} ends`, () => this.#end(task));
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
      if (!task.frozen)
        add(`${task.name} is frozen`, () => {
          task.frozen = true;
        });
      if (connection?.stalled === false)
        add(`the node of ${task.name} has no majority`, () => {
          connection.stalled = true;
        });
      if (connection !== undefined && task.state.kind === 'standby')
        add(`${task.name} claims`, () => this.#claim(task));
      // Its drain took too long, or its last record is not delivered: it ends without.
      if (task.life === 'releasing') add(`${task.name} ends early`, () => this.#end(task));
      else
        add(`SIGTERM ${task.name}`, () => {
          task.life = 'releasing';
          task.storeAgain = true;
        });
    }
    if (this.#consumers.length > 1) add('the broker moves the record', () => this.#moveRecord());
    if (this.#living.length < 3) add('a task starts', () => this.startTask());
    add('the queue is deleted', () => this.#delete());
    add('the queue is purged', () => this.#purge());
    if (this.#emptyDue)
      add('the topology stores its empty record', () => {
        this.#emptyDue = false;
        this.#put(EMPTY);
      });
    if (this.#unreadable < 3)
      add('something unreadable', () => {
        this.#unreadable += 1;
        this.#put({ kind: 'unreadable' });
      });
  }

  startTask(): void {
    this.#tasks.push(new Task(`T${this.#tasks.length + 1}`));
  }

  /**
   * No more faults, and at least one task: plays what is left, the network before the timers. First for a while with
   * events, so that each task that believes to be the owner stores one record after the other.
   * @throws when the group has no owner then, or too many in turns, or something is left over
   */
  comeToRest(): void {
    if (!this.#tasks.some(({ life }) => life === 'running')) this.startTask();
    this.#takings = 0;
    for (let round = 0; round < EVENTFUL_ROUNDS; round += 1) {
      this.#playAll(({ kind }) => kind === 'work');
      for (const { name } of this.#living)
        for (const what of ['has an event confirmed', 'stores']) this.#playOne(`${name} ${what}`);
    }
    for (let played = 0; played < 5_000; played += 1) {
      const moves = this.moves({ faults: false }).filter(({ name }) => !/an event/.test(name));
      const move = moves.find(({ kind }) => kind === 'work') ?? moves[0];
      this.play(move ?? { kind: 'work', name: 'rest', play: () => this.#checkRest() });
      if (move === undefined) return;
    }
    throw new Error(`it does not come to rest\nafter:\n${this.trace.slice(-60).join('\n')}`);
  }

  #playAll(which: (move: Move) => boolean): void {
    for (let played = 0; played < 1_000; played += 1) {
      const move = this.moves({ faults: false }).find(which);
      if (move === undefined) return;
      this.play(move);
    }
    throw new Error(`the network does not come to rest\nafter:\n${this.trace.slice(-60).join('\n')}`);
  }

  #playOne(name: string): void {
    const move = this.moves({ faults: false }).find((each) => each.name === name);
    if (move !== undefined) this.play(move);
  }

  get #living(): Task[] {
    return this.#tasks.filter(({ life }) => life !== 'gone');
  }

  /** A standby whose claim came to nothing, as a queue is empty that no task owns. */
  #isIdle({ state, connection, timers }: Task): boolean {
    if (connection === undefined || state.kind !== 'standby' || timers.length > 0) return false;
    const { consuming, publishing, toTask } = connection;
    const messages = this.#ready.length + this.#unacked.size;
    return this.#consumers[0] === connection && consuming.length + publishing.length + toTask.length + messages === 0;
  }

  get #now(): number {
    return this.trace.length;
  }

  // ---- the broker

  #put(content: Message['content']): void {
    this.#ids += 1;
    this.#ready.push({ id: this.#ids, content });
    if (content.kind !== 'record') return;
    this.#recorded = true;
    this.#purged = false;
    const { sessions, epoch, owner } = content.record;
    const ids = Object.values(sessions).map(({ sessionId }) => Number(sessionId));
    // It was on the way while its sender stepped down.
    const sender = this.#living.find(({ name }) => name === owner);
    const isGivenUp = (id: number) => sender !== undefined && sender.session?.id !== id;
    if (epoch === this.#reportedEpoch || isLater(epoch, this.#reportedEpoch))
      for (const id of ids.filter((each) => !isGivenUp(each))) this.#stored.add(id);
    // Between queue and empty record the topology waits for nothing: no group begins, stores and is purged meanwhile.
    if (content !== EMPTY) this.#emptyDue &&= this.#records.length > 0;
  }

  /**
   * What is deleted under a living owner is not missed: it has its sessions, and stores them again. And if an owner dies
   * between storing its first record and acknowledging the empty one, and the queue is purged or deleted in the moment after
   * which a standby has the empty one and not the other: the promise does not go so far.
   */
  #excuse(): void {
    const messages = [...this.#ready, ...[...this.#unacked].map(({ message }) => message)];
    const isEmpty = ({ content }: Message) => content === EMPTY;
    if (this.#living.some(({ session }) => session !== undefined) || messages.some(isEmpty)) this.#stored.clear();
  }

  /** By hand: what is not delivered is gone. */
  #purge(): void {
    this.#excuse();
    this.#ready = [];
    // At the latest with its next renewal.
    for (const task of this.#owners) task.storeAgain = true;
    this.#recorded = this.#records.length > 0;
    this.#purged = true;
    if (this.#stored.size > 0) this.#emptyDue = false;
  }

  #requeue(held: readonly Held[]): void {
    for (const each of held) this.#unacked.delete(each);
    this.#ready.unshift(...held.map(({ message }) => message).toSorted((a, b) => a.id - b.id));
  }

  #deliver(connection: Connection): void {
    const message = this.#ready.shift();
    if (message === undefined) return;
    const held: Held = { connection, message, gone: false, receivedAt: 0 };
    const { timesCancelled } = connection;
    this.#unacked.add(held);
    this.#toTask(connection, 'delivery', () => {
      const { task } = connection;
      task.timers = task.timers.filter(({ kind }) => kind !== 'silence');
      held.receivedAt = this.#now;
      // Of a consumer that is being cancelled.
      if (connection.timesLeft !== timesCancelled) return this.#act(task, { kind: 'requeue', tag: held });
      this.#step(task, { kind: 'delivered', delivery: { group: GROUP, tag: held, content: message.content } });
    });
  }

  #answered(held: Held, how: 'ack' | 'requeue' | 'deadLetter'): void {
    if (held.gone) return;
    if (!this.#unacked.has(held)) throw new Error('a delivery is answered twice');
    if (how === 'requeue') this.#requeue([held]);
    this.#unacked.delete(held);
    if (how === 'ack') this.#checkAck(held);
  }

  #brokerLoses(connection: Connection): void {
    connection.brokerSees = false;
    connection.consuming.length = 0;
    connection.publishing.length = 0;
    this.#consumers = this.#consumers.filter((each) => each !== connection);
    this.#requeue([...this.#unacked].filter((each) => each.connection === connection));
  }

  /** As after a partition: what the active consumer held is another one's now, and its channel stays open. */
  #moveRecord(): void {
    const [active] = this.#consumers;
    if (active === undefined) return;
    this.#consumers = [...this.#consumers.slice(1), active];
    const held = [...this.#unacked].filter(({ connection }) => connection === active);
    for (const each of held) each.gone = true;
    this.#requeue(held);
    // At the latest with its next renewal.
    active.task.storeAgain = true;
  }

  /** By hand: its messages are gone, its consumers are cancelled. */
  #delete(): void {
    for (const connection of this.#consumers)
      this.#toTask(connection, 'consumer cancelled', () => this.#taskLoses(connection));
    this.#excuse();
    const holders = new Set([...this.#unacked].map(({ connection }) => connection));
    for (const held of this.#unacked) held.gone = true;
    this.#unacked.clear();
    this.#ready = [];
    this.#consumers = [];
    this.#recorded = false;
    // Made again, by the topology or by a task, it gets none.
    this.#emptyDue = false;
    // For a task that still believes to hold something of it, the channel is gone.
    for (const connection of holders) this.#brokerLoses(connection);
  }

  #toTask(connection: Connection, name: string, arrive: () => void): void {
    connection.toTask.push({ name, at: this.#now, arrive });
  }

  // ---- the tasks: what lease-keeper.ts does

  #connect(task: Task): void {
    const connection = new Connection(task);
    this.#connections.push(connection);
    task.connection = connection;
    this.#consume(task, connection);
  }

  #leave(task: Task): void {
    const { connection } = task;
    task.left = true;
    if (connection !== undefined) connection.timesLeft += 1;
    this.#send(task, 'consuming', 'cancel', () => {
      this.#consumers = this.#consumers.filter((each) => each !== connection);
      if (connection !== undefined) connection.timesCancelled += 1;
    });
  }

  #consume(task: Task, connection: Connection): void {
    this.#send(task, 'consuming', 'consume', () => {
      this.#consumers.push(connection);
      this.#toTask(connection, 'consuming', () => this.#claim(task));
    });
  }

  #claim(task: Task): void {
    if (task.state.kind !== 'standby' && task.state.kind !== 'uncertain') return;
    this.#publish(task, { kind: 'claim', from: task.name }, () => {
      if (task.state.kind === 'uncertain') task.timers.push({ kind: 'silence' });
    });
  }

  #send(task: Task, channel: 'consuming' | 'publishing', name: string, arrive: () => void): void {
    task.connection?.[channel].push({ name, at: this.#now, arrive });
  }

  #publish(task: Task, content: Message['content'], confirmed: () => void): void {
    const { connection } = task;
    this.#send(task, 'publishing', content.kind, () => {
      this.#put(content);
      if (connection !== undefined) this.#toTask(connection, 'confirm', confirmed);
    });
  }

  #taskLoses(connection: Connection): void {
    const { task } = connection;
    connection.taskSees = false;
    connection.toTask.length = 0;
    if (task.connection !== connection) return;
    task.connection = undefined;
    task.timers = [];
    task.left = false;
    task.confirmedCommit = 0;
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

  #store(task: Task): void {
    const storedAt = this.#now;
    task.storeAgain = false;
    task.storing = true;
    task.stored = contentsOf(task);
    this.#step(task, { kind: 'storing' });
    const { epoch, commit } = ownerIn(task.state) as NonNullable<ReturnType<typeof ownerIn<Held>>>;
    this.#publish(task, recordOf(task, epoch, commit), () => {
      task.storing = false;
      if (task.ownedAt <= storedAt) task.confirmedCommit = commit;
    });
  }

  #end(task: Task): void {
    this.#step(task, { kind: 'release' });
    this.#kill(task);
  }

  #step(task: Task, event: LeaseEvent<Held>): void {
    const before = task.state;
    const { state, actions } = leaseStep(before, event, task.name);
    task.state = state;
    if (wasSettled(state) && !wasSettled(before)) task.settledAt = this.#now;
    for (const action of actions) {
      if (action.kind === 'stepDown' && wasSettled(before)) checkStepDown(task, before, action.later);
      this.#act(task, action);
    }
  }

  #act(task: Task, action: LeaseAction<Held>): void {
    switch (action.kind) {
      case 'ack':
      case 'requeue':
      case 'deadLetter': {
        const { tag, kind } = action;
        if (!tag.connection.taskSees) throw new Error(`${task.name} answers on a connection that it has lost`);
        // On a connection that the broker has given up the answer goes nowhere.
        if (tag.connection.brokerSees) this.#send(task, 'consuming', kind, () => this.#answered(tag, kind));
        return;
      }
      case 'wait':
        task.timers.push({ kind: 'waited', group: action.group });
        return;
      case 'leaveToOwner':
        this.#leave(task);
        return;
      case 'own':
        this.#takeOver(task, action);
        task.basis = action.record ?? { epoch: 0, commit: 0 };
        return;
      case 'stepDown':
        // Given up for that of another owner, in whose records it is where it goes on.
        if (task.session !== undefined) this.#stored.delete(task.session.id);
        task.session = undefined;
        return;
      case 'store':
        task.storeAgain = true;
        return;
      case 'keepLease':
        if (task.session === undefined) throw new Error(`${task.name} keeps the lease without its sessions`);
        return;
      // It has one queue, and consumes it.
      case 'consumeAll':
      case 'consumeOnly':
    }
  }

  #takeOver(task: Task, { epoch, record, unreadable, claim }: Own): void {
    if (task.session !== undefined) throw new Error(`${task.name} takes over without having given up what it had`);
    this.#ids += 1;
    const { shardGroup, lost } = takeOver({
      ...{ group: GROUP, shardLayout: SHARD_LAYOUT, record },
      ...{ unreadable: unreadable && { body: Buffer.from(''), timestamp: 1 }, claim: claim && { headers: {} } },
    });
    const known = shardGroup.sessions.get(GROUP);
    const { sessionId = this.#ids, sequence = 1 } = known ?? {};
    const id = Number(sessionId);
    if (lost.length > 0) {
      this.#stored.clear();
      this.#reportedEpoch = epoch;
    }
    if (known === undefined) {
      this.#confirmed.set(id, 1);
      this.#begun.set(epoch, [...(this.#begun.get(epoch) ?? []), id]);
    }
    const confirmed = this.#confirmed.get(id) ?? 0;
    if (sequence > confirmed)
      throw new Error(`${task.name} resumes session ${id} from ${sequence}, and only ${confirmed} is confirmed`);
    task.session = { id, confirmed: sequence };
    task.ownedAt = this.#now;
    task.confirmedCommit = 0;
    this.#takings += 1;
    if (this.#takings > MOST_TAKINGS) throw new Error(`${this.#takings} takings since the faults ended`);
  }

  // ---- the promises

  get #records(): GroupRecord[] {
    const messages = [...this.#ready, ...[...this.#unacked].map(({ message }) => message)];
    return messages.flatMap(({ content }) => (content.kind === 'record' ? [content.record] : []));
  }

  get #owners(): Task[] {
    return this.#living.filter(({ state }) => state.kind === 'owner');
  }

  #checkAck({ connection: { task }, message, receivedAt }: Held): void {
    const { content } = message;
    if (content.kind === 'unreadable') throw new Error('something unreadable was acknowledged, not dead-lettered');
    if (content.kind !== 'record') {
      if (this.#ready.length + this.#unacked.size > 0 || this.#purged) return;
      throw new Error(`${task.name} acknowledges the last message of the queue`);
    }
    const { record } = content;
    const name = `${record.owner}'s record ${record.epoch}.${record.commit}`;
    const isReplaced = this.#records.some((other) => isNewer(other, record));
    // It was delivered, moved, and purged where it was moved to.
    if (!isReplaced && this.#purged) this.#recorded = this.#records.length > 0;
    else if (!isReplaced) throw new Error(`${task.name} acknowledges ${name}, and nothing newer is in the queue`);
    if (record.owner !== task.name && receivedAt < task.settledAt && isNewer(record, task.basis))
      throw new Error(`${task.name} acknowledges ${name}, which is newer than what it took over from`);
  }

  #check(): void {
    for (const { name, state, session } of this.#living)
      if (state.kind === 'standby' && session !== undefined)
        throw new Error(`${name} stands by and still has sessions`);
    const holders = new Set([...this.#unacked].map(({ connection }) => connection));
    const owners = this.#owners.filter(({ connection }) => connection && holders.has(connection));
    if (owners.length > 1) throw new Error('the group has two owners, and the broker agrees');
    if (this.#recorded && this.#records.length === 0) throw new Error('the record of the group is lost');
  }

  #checkRest(): void {
    const [owner, another] = this.#owners;
    if (owner?.session === undefined || another !== undefined)
      throw new Error('at rest, the group has not one owner with a session');
    const { id } = owner.session;
    const atOnce = [...this.#begun.values()].flatMap((ids) => (ids.length > 1 ? ids : []));
    if ([...this.#stored].some((stored) => stored < id && !atOnce.includes(stored)))
      throw new Error(`at rest, nothing has reported that of ${[...this.#stored]} only ${id} is left`);
    const [record] = this.#records;
    if (this.#ready.length > 0 || this.#unacked.size !== 1 || record?.owner !== owner.name)
      throw new Error("at rest, the queue holds more or less than its owner's record");
    if (record.sessions[GROUP]?.sequence !== owner.session.confirmed)
      throw new Error('at rest, the record is not what its owner has confirmed');
  }
}

/** An older epoch never makes an owner step down that has had a record of its own delivered back. */
function checkStepDown({ name }: Task, before: LeaseState<Held>, later: GroupRecord | undefined): void {
  const { epoch = 0 } = ownerIn(before) ?? {};
  if (later !== undefined && later.epoch !== epoch && !isLater(later.epoch, epoch))
    throw new Error(`${name}, owner in epoch ${epoch}, steps down for one of ${later.epoch}`);
}

const wasSettled = (state: LeaseState<Held>): boolean => ownerIn(state)?.settled === true;

function stores(task: Task): boolean {
  if (!mayStore(task.state) || task.connection === undefined || task.storing) return false;
  return task.storeAgain || contentsOf(task) !== task.stored;
}

/** A task that drains waits for its last record to be held, unless it has none to wait for. */
function mayEnd({ state, storeAgain, storing, connection }: Task): boolean {
  if (state.kind !== 'owner') return state.kind === 'standby';
  if (connection === undefined || storeAgain || storing) return false;
  return state.held?.content.record.commit === state.commit;
}

function contentsOf({ state, session }: Task): string {
  return JSON.stringify([ownerIn(state)?.epoch, session?.id, session?.confirmed]);
}

/** @throws for a task without a session */
function recordOf({ name, session, life }: Task, epoch: number, commit: number) {
  if (session === undefined) throw new Error(`${name} stores sessions that it does not have`);
  const state = resumeState({ sessionId: String(session.id), sequence: session.confirmed, shardCount: 1 });
  const released = life === 'releasing';
  const fields = { released, owner: name, group: GROUP, epoch, commit, sessions: { [GROUP]: state } };
  return { kind: 'record' as const, record: groupRecord(fields) };
}
