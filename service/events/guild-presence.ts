// Decides whether a GUILD_CREATE is a real join: Discord sends the same dispatch for every guild of the READY list and
// for every guild that is back from an outage. One of these belongs to one session.
// Its answers depend on the sequence that is asked about, not on how often or how late: a RESUME may replay dispatches
// that were seen before, and gets the same answers. An owner that resumed the session without this memory (another
// process) is right too, by `joined_at` and by the joins that it was handed. 2,500 guilds of a shard take 20 kB.

/** Discord's clock and ours may differ by this much. */
const SKEW_MS = 60_000;

/** Turns kept for each guild. A turn needs the bot to be removed and, after it came back, an outage; or the reverse. */
const MAX_TURNS = 16;

/** Joins kept for the next owner: beyond these, an outage of a guild joined in this session may look like another join. */
const MAX_JOINS = 32;

/** From this sequence on the guild is awaited (its next GUILD_CREATE is no join), or no longer. */
interface Turn {
  readonly sequence: number;
  readonly awaited: boolean;
}

export class GuildPresence {
  readonly #startedAt: number;
  #atReady = new BigUint64Array();
  readonly #turns = new Map<string, Turn[]>();
  /** Joins of this session, oldest first. */
  readonly #joins = new Map<string, { readonly sequence: number; readonly joinedAt: number }>();

  /**
   * @param startedAt when the session's READY came, Unix ms; it goes with the session from owner to owner
   * @param joins what `joinsUntil` of the owner before said
   */
  constructor(startedAt: number, joins: Readonly<Record<string, number>> = {}) {
    this.#startedAt = startedAt;
    for (const [guildId, joinedAt] of Object.entries(joins)) this.#joins.set(guildId, { sequence: 0, joinedAt });
  }

  /** Guilds joined in this session up to this sequence, each with Discord's `joined_at`, Unix ms. */
  joinsUntil(sequence: number): Record<string, number> {
    const joins = [...this.#joins].filter(([, join]) => join.sequence <= sequence);
    return Object.fromEntries(joins.map(([guildId, { joinedAt }]) => [guildId, joinedAt]));
  }

  /** READY came, with these guilds: a GUILD_CREATE will follow for each. */
  ready(guildIds: readonly string[]): void {
    this.#atReady = BigUint64Array.from(guildIds, (id) => BigInt(id)).sort();
  }

  /** GUILD_DELETE with `unavailable: true`: an outage took the guild, it will be back. */
  outage(guildId: string, sequence: number): void {
    this.#turn(guildId, { sequence, awaited: true });
  }

  /** GUILD_DELETE without it: the bot is no longer in the guild. */
  leave(guildId: string, sequence: number): void {
    this.#turn(guildId, { sequence, awaited: false });
  }

  /**
   * Whether the GUILD_CREATE of this sequence, of an available guild, is a real join.
   * @param joinedAt Discord's `joined_at`; without it, only what was awaited counts.
   */
  isJoin(guildId: string, sequence: number, joinedAt: string | undefined): boolean {
    if (this.#isAwaited(guildId, sequence)) return false;
    const joined = joinedAt === undefined ? Number.NaN : Date.parse(joinedAt);
    if (Number.isNaN(joined)) return true;
    return joined >= this.#startedAt - SKEW_MS && this.#isFirst(guildId, sequence, joined);
  }

  /** A join that was seen at an earlier sequence: the guild is back from an outage that an owner before has seen begin. */
  #isFirst(guildId: string, sequence: number, joinedAt: number): boolean {
    const known = this.#joins.get(guildId);
    if (known?.joinedAt === joinedAt) return sequence <= known.sequence;
    this.#joins.delete(guildId);
    this.#joins.set(guildId, { sequence, joinedAt });
    const [oldest] = this.#joins.keys();
    if (this.#joins.size > MAX_JOINS && oldest !== undefined) this.#joins.delete(oldest);
    return true;
  }

  #isAwaited(guildId: string, sequence: number): boolean {
    const turn = this.#turns.get(guildId)?.findLast((each) => each.sequence < sequence);
    return turn?.awaited ?? includes(this.#atReady, BigInt(guildId));
  }

  #turn(guildId: string, turn: Turn): void {
    const turns = this.#turns.get(guildId) ?? [];
    const last = turns.at(-1);
    // A later turn is known: this one is a replay, and was seen.
    if (last && last.sequence >= turn.sequence) return;
    if ((last?.awaited ?? includes(this.#atReady, BigInt(guildId))) === turn.awaited) return;
    this.#turns.set(guildId, [...turns, turn].slice(-MAX_TURNS));
  }
}

function includes(sorted: BigUint64Array, wanted: bigint): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = sorted[middle];
    if (found === undefined || found === wanted) return found === wanted;
    if (found < wanted) low = middle + 1;
    else high = middle;
  }
  return false;
}
