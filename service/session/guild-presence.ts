// Decides whether a GUILD_CREATE is a real join: Discord sends the same dispatch for every guild of the READY list and
// for every guild that is back from an outage. Each session has one, which is asked about each dispatch once, in order. An
// owner that resumes the session of another process decides by `joined_at` and by the joins of the group record.

/** Discord's clock and ours may differ by this much. */
const SKEW_MS = 60_000;
/** Joins kept for the next owner: beyond these, the end of an outage of a guild joined in this session may look like a join. */
const MAX_JOINS = 32;
/** Discord allows 2,500 guilds a shard, and more to the largest bots. Beyond these the end of an outage may look like a join. */
const MAX_EXPECTED = 100_000;

export class GuildPresence {
  readonly #startedAt: number;
  /** Guilds whose next GUILD_CREATE is no join: those of the READY list, and those in an outage. */
  #expected = new Set<string>();
  /** Joins of this session, oldest first. */
  readonly #joins = new Map<string, { readonly sequence: number; readonly joinedAt: number }>();

  /**
   * @param startedAt when the session's READY came, to whichever owner, Unix ms
   * @param joins what `joinsUntil` of the previous owner returned
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

  /** READY came, with these guilds: a GUILD_CREATE follows for each. */
  ready(guildIds: readonly string[]): void {
    this.#expected = new Set(guildIds.slice(0, MAX_EXPECTED));
  }

  /** GUILD_DELETE with `unavailable: true`. */
  outage(guildId: string): void {
    if (this.#expected.size < MAX_EXPECTED) this.#expected.add(guildId);
  }

  /** GUILD_DELETE without it: the bot was removed from the guild. */
  leave(guildId: string): void {
    this.#expected.delete(guildId);
  }

  /**
   * Whether the GUILD_CREATE of this sequence, of an available guild, is a real join.
   * @param joinedAt Discord's `joined_at`; without it, only what was expected is no join.
   */
  isJoin(guildId: string, sequence: number, joinedAt: string | undefined): boolean {
    if (this.#expected.has(guildId)) return false;
    const joined = Date.parse(joinedAt ?? '');
    if (Number.isNaN(joined)) return true;
    if (joined < this.#startedAt - SKEW_MS) return false;
    const known = this.#joins.get(guildId);
    // The same join again: the guild is back from an outage that began with a previous owner.
    if (known?.joinedAt === joined) return sequence <= known.sequence;
    this.#joins.delete(guildId);
    this.#joins.set(guildId, { sequence, joinedAt: joined });
    const [oldest] = this.#joins.keys();
    if (this.#joins.size > MAX_JOINS && oldest !== undefined) this.#joins.delete(oldest);
    return true;
  }
}
