// The commands of one shard, in order, and its presence. A command is settled when it was sent and the connection has
// outlived it for a second, because Discord closes the connection over a payload that it does not accept. One whose connection
// ended earlier is sent once more; alone, if the close may be its fault. A presence is a state, not an event: it does not
// expire, the next one replaces it while it waits, and each IDENTIFY carries the last one. Pure.
//
//   waiting:     until it is sent, or expires
//   sent:        until the connection has outlived it, or ends: then it waits again, once
//   identifying: a presence in an IDENTIFY that is not answered yet

import { GatewayCloseCodes, GatewayOpcodes } from 'discord-api-types/v10';
import type { Payload, Presence } from './command.ts';

export type Outcome =
  | { readonly how: 'sent' }
  /** A presence that is sent as soon as the shard is connected, or that another one has replaced. */
  | { readonly how: 'kept' }
  | { readonly how: 'refused'; readonly reason: string };

export interface ShardCommand {
  readonly payload: Payload;
  /** Unix ms. */
  readonly expiresAt: number;
  /** Once, unless the command is forgotten. */
  settle(outcome: Outcome): void;
}

/** @returns 0 when it is sent, or in how many ms it may be; nothing while the shard is not connected */
export type Send = (payload: Payload) => number | undefined;

interface Entry extends ShardCommand {
  sends: number;
  /** Unix ms. */
  sentAt: number;
  /** The connection was closed when it had been sent. */
  suspect: boolean;
}

export const OUTLIVED_AFTER_MS = 1_000;
const MOST_SENDS = 2;
/** As many as one connection may send before a command expires. More would keep the commands of other shards from coming. */
export const MOST_WAITING = 110;
const TOO_MANY = 'more commands wait for the shard than Discord takes (120 sends in 60 s)';
/** Close codes for a payload that Discord cannot read, and for an unknown reason. */
const MAYBE_OVER_A_PAYLOAD: readonly (number | undefined)[] = [
  GatewayCloseCodes.UnknownError,
  GatewayCloseCodes.UnknownOpcode,
  GatewayCloseCodes.DecodeError,
];

export class ShardCommands {
  readonly #onPresenceRefused: () => void;
  /** Set by a command, now or before the last hand-over. */
  #presence: Presence | undefined;
  #initial: Presence | undefined;
  /** Discord may not have the last presence, and no command with one waits. */
  #mustSendPresence: boolean;
  /** The presence in the IDENTIFY that is not answered yet. */
  #carried: Presence | undefined;
  #connected = false;
  #waiting: Entry[] = [];
  #sent: Entry[] = [];
  #identifying: Entry[] = [];

  /** @param onPresenceRefused Discord closed the connection over the presence of an IDENTIFY: it is sent no more */
  constructor(stored: Presence | undefined, initial: Presence | undefined, onPresenceRefused: () => void) {
    this.#presence = stored;
    this.#initial = initial;
    this.#onPresenceRefused = onPresenceRefused;
    this.#mustSendPresence = this.#current !== undefined;
  }

  /** What is stored for the next owner. */
  get presence(): Presence | undefined {
    return this.#presence;
  }

  /** How many are not settled. */
  get open(): number {
    return this.#waiting.length + this.#sent.length + this.#identifying.length;
  }

  add(command: ShardCommand): void {
    if (isPresence(command)) {
      this.#presence = command.payload.d as Presence;
      this.#replacePresences();
      this.#mustSendPresence = false;
    } else if (this.#waiting.length >= MOST_WAITING) {
      command.settle({ how: 'refused', reason: TOO_MANY });
      return;
    }
    this.#waiting.push({ ...command, ...UNSENT });
  }

  /** An IDENTIFY is about to be sent. @returns the presence that it carries */
  identify(): Presence | null {
    const presences = this.#waiting.filter(isPresence);
    this.#waiting = this.#waiting.filter((each) => !isPresence(each));
    this.#identifying.push(...presences);
    this.#mustSendPresence = false;
    this.#carried = this.#current;
    return this.#current ?? null;
  }

  /** READY came, so Discord has what the IDENTIFY carried; or RESUMED. */
  connected(): void {
    this.#connected = true;
    this.#carried = undefined;
    for (const each of this.#identifying.splice(0)) each.settle({ how: 'sent' });
    this.#addPresence();
  }

  /** @param closeCode where Discord closed the connection */
  ended(reason: string, closeCode: number | undefined): void {
    const identifying = this.#identifying.splice(0);
    const sent = this.#sent.splice(0);
    const carried = this.#carried;
    this.#carried = undefined;
    if (closeCode === GatewayCloseCodes.DecodeError && carried !== undefined) {
      this.#drop(carried);
      this.#onPresenceRefused();
      refuse(identifying.splice(0), `Discord closed the connection over it (${reason})`);
    }
    // It is in the next IDENTIFY, or sent after a RESUME.
    if (carried !== undefined && identifying.length === 0) this.#mustSendPresence = this.#current !== undefined;
    this.#connected = false;
    const again = sent.filter(({ sends }) => sends < MOST_SENDS);
    const over = sent.filter(({ sends }) => sends >= MOST_SENDS);
    for (const each of again) each.suspect = MAYBE_OVER_A_PAYLOAD.includes(closeCode);
    if (MAYBE_OVER_A_PAYLOAD.includes(closeCode)) for (const { payload } of over) this.#drop(payload.d);
    refuse(over, `the connection ended each time it had been sent, twice (${reason})`);
    const isNewer = this.#waiting.some(isPresence);
    this.#waiting.unshift(...identifying, ...again);
    // An older presence must not be sent after it.
    if (isNewer) this.#replacePresences(1);
  }

  /** Settles, expires and sends. @returns in how many ms to call it again, if nothing happens before; none: not by time */
  update(now: number, send: Send): number | undefined {
    while (this.#sent[0] !== undefined && this.#sent[0].sentAt + OUTLIVED_AFTER_MS <= now)
      this.#sent.shift()?.settle({ how: 'sent' });
    this.#expire(now);
    let waitMs: number | undefined;
    for (let next = this.#waiting[0]; next !== undefined && this.#maySend(next); next = this.#waiting[0]) {
      waitMs = send(next.payload);
      if (waitMs !== 0) break;
      this.#waiting.shift();
      this.#sent.push(Object.assign(next, { sends: next.sends + 1, sentAt: now }));
    }
    const waits = this.#waiting.filter((each) => !this.#isKept(each)).map(({ expiresAt }) => expiresAt - now);
    for (const { sentAt } of this.#sent.slice(0, 1)) waits.push(sentAt + OUTLIVED_AFTER_MS - now);
    if (waitMs) waits.push(waitMs);
    const least = Math.min(...waits);
    return least === Number.POSITIVE_INFINITY ? undefined : Math.max(0, least);
  }

  /** The consumer is lost: the broker delivers the commands of workers again. */
  forget(): void {
    const isOwn = ({ expiresAt }: Entry) => expiresAt === Number.POSITIVE_INFINITY;
    // A presence may expire in the queue before that.
    const hadPresence = [...this.#waiting, ...this.#sent].some((each) => isPresence(each) && !isOwn(each));
    this.#waiting = this.#waiting.filter(isOwn);
    this.#sent = this.#sent.filter(isOwn);
    this.#identifying = [];
    this.#mustSendPresence ||= hadPresence;
    if (this.#connected) this.#addPresence();
  }

  /** The shard stops. What was sent is settled; what waits is delivered to the next owner. */
  stop(): void {
    for (const each of this.#sent.splice(0)) each.settle({ how: 'sent' });
    this.#waiting = [];
    this.#identifying = [];
  }

  get #current(): Presence | undefined {
    return this.#presence ?? this.#initial;
  }

  #addPresence(): void {
    const presence = this.#mustSendPresence ? this.#current : undefined;
    this.#mustSendPresence = false;
    if (presence !== undefined) this.#waiting.unshift({ ...ownCommand(presence), ...UNSENT });
  }

  /** Settles the presences that wait, but for the last `kept`. */
  #replacePresences(kept = 0): void {
    const presences = this.#waiting.filter(isPresence);
    const replaced = presences.slice(0, presences.length - kept);
    this.#waiting = this.#waiting.filter((each) => !replaced.includes(each));
    for (const each of replaced) each.settle({ how: 'kept' });
  }

  /** Discord does not accept this presence. */
  #drop(presence: object): void {
    if (presence === this.#presence) this.#presence = undefined;
    if (presence === this.#initial) this.#initial = undefined;
  }

  #maySend({ suspect }: Entry): boolean {
    return this.#sent.length === 0 || !(suspect || this.#sent.some((each) => each.suspect));
  }

  /** While the shard is connected a presence does not expire. */
  #isKept(entry: Entry): boolean {
    return this.#connected && isPresence(entry);
  }

  #expire(now: number): void {
    const expired = this.#waiting.filter((each) => each.expiresAt <= now && !this.#isKept(each));
    if (expired.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !expired.includes(each));
    const why = this.#connected ? TOO_MANY : 'the shard is not connected to Discord';
    for (const each of expired) {
      if (isPresence(each)) this.#mustSendPresence = true;
      each.settle(isPresence(each) ? { how: 'kept' } : { how: 'refused', reason: `expired: ${why}` });
    }
  }
}

const UNSENT = { sends: 0, sentAt: 0, suspect: false };

const isPresence = ({ payload }: ShardCommand): boolean => payload.op === GatewayOpcodes.PresenceUpdate;

const ownCommand = (presence: Presence): ShardCommand => ({
  payload: { op: GatewayOpcodes.PresenceUpdate, d: presence as never },
  expiresAt: Number.POSITIVE_INFINITY,
  settle: () => undefined,
});

function refuse(entries: readonly Entry[], reason: string): void {
  for (const each of entries) each.settle({ how: 'refused', reason });
}
